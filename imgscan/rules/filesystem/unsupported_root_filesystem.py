"""The root filesystem is of a type that the target does not support.

What it checks
--------------
The filesystem type of the volume that holds `/`, told by its signature, against the profile's list.

Why it matters
--------------
The importer mounts the root to put drivers and settings there; a filesystem it cannot mount ends the import.

How to fix
----------
Move the root to a supported filesystem: back up, make the new filesystem, restore, then correct `/etc/fstab`, rebuild
the initramfs and install the loader again.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import volume_named


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`filesystems` are the types that the target supports, named as libblkid does."""

    filesystems: tuple[str, ...]


def check(machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask the root volume for its signature."""
    signature = volume_named(machine, system.root).signature
    content = signature.get()
    evidence = signature.evidence or (AtOffset(system.root, 0, 0, "filesystem signature"),)
    if content is None:
        raise UnreadFact("missing", f"{system.root} holds a system and has no known filesystem signature", evidence)
    if content in params.filesystems:
        return passed(f"the root {system.root} is {content}", *evidence)
    return failed(f"the root {system.root} is {content}, not one of {', '.join(params.filesystems)}", *evidence)


RULE = Rule(
    name="unsupported-root-filesystem",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "volumes.signature"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
