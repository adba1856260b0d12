"""The Windows boot volume has a filesystem that the target does not support.

What it checks
--------------
The filesystem type of the volume that holds the Windows folder, told by its signature, against the profile's list.

Why it matters
--------------
The importer changes the registry on that volume to make the machine boot; it reads and writes NTFS there.

How to fix
----------
Convert a FAT volume with `convert C: /fs:ntfs`. A Windows on ReFS has to be moved to an NTFS volume, by backup and
restore or by a new installation.
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
    """Ask the Windows volume for its signature."""
    signature = volume_named(machine, system.root).signature
    content = signature.get()
    evidence = signature.evidence or (AtOffset(system.root, 0, 0, "filesystem signature"),)
    if content is None:
        raise UnreadFact("missing", f"{system.root} holds a Windows and has no known filesystem signature", evidence)
    if content in params.filesystems:
        return passed(f"the boot volume {system.root} is {content}", *evidence)
    return failed(f"the boot volume {system.root} is {content}, not {' or '.join(params.filesystems)}", *evidence)


RULE = Rule(
    name="unsupported-boot-filesystem",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "volumes.signature"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
