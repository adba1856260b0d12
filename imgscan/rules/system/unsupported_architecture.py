"""The installed system is not built for a processor that the target has.

What it checks
--------------
What the system's own programs are built for, by the ELF header of the first one that every system has (`/bin/sh`,
`/sbin/init`, ...); a 32-bit system on a 64-bit kernel is a 32-bit system. Of a Windows the PE header of its kernel, or
what it calls its processor. Which Windows is taken with 32 bits is `unsupported-operating-system`'s question.

Why it matters
--------------
The target takes 64-bit Linux only, and Windows for x86 processors; the import of another system ends with an error.

How to fix
----------
There is no safe way to turn an installed system into one of another architecture: install the system for 64-bit x86
on a new machine and move the data there.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`architectures` are those that the target takes, named as `uname -m` does."""

    architectures: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask the system for its architecture."""
    architecture = system.architecture.get()
    evidence = system.architecture.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if architecture is None:
        raise UnreadFact("missing", f"no program on {system.root} says what it is built for", evidence)
    said = f"the system on {system.root} is {architecture}"
    if architecture in params.architectures:
        return passed(said, *evidence)
    return failed(f"{said}, not {' or '.join(params.architectures)}", *evidence)


RULE = Rule(
    name="unsupported-architecture",
    title=title(__doc__),
    scope="system",
    reads=("systems.architecture", "systems.root"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
