"""The root volume has too little free space.

What it checks
--------------
The free bytes of the volume that holds the root, as root sees them: the blocks that ext reserves for root count as
free. Exactly as much as is asked for is enough. Of a Btrfs what is available to files counts (as df says), whatever its
subvolumes are limited to.

Why it matters
--------------
The importer installs drivers and other software there, and keeps the originals of the files that it changes; without
space it ends with an error.

How to fix
----------
Make room: Linux, by `apt-get clean` or `yum clean all`, and old kernels, logs and core files; Windows, by Disk Cleanup,
`powercfg /h off`, and a smaller page file. Or enlarge the root volume.
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
    """`min_bytes` is what has to be free at least."""

    min_bytes: int


def check(machine: MachineFacts, system: System, params: Params) -> Result:
    """Compare the free bytes of the root volume with the limit."""
    volume = volume_named(machine, system.root)
    if volume.free is None:
        raise UnreadFact("missing", f"the free space of {volume.name} is not known")
    free = volume.free.get()
    evidence = volume.free.evidence or volume.signature.evidence or (AtOffset(volume.name, 0, 0, "free space"),)
    usable = free.usable(volume.content)
    figures = f"{_mebibytes(usable)} of the root {volume.name} are free"
    if volume.condition is not None and volume.condition.is_known and "replayed" in (volume.condition.value or ""):
        figures += ", by what is on the disk before the journal is replayed"
    if usable >= params.min_bytes:
        return passed(figures, *evidence)
    return failed(f"{figures}, less than {_mebibytes(params.min_bytes)}", *evidence)


def _mebibytes(size: int) -> str:
    """Return a size rounded down, so that what is too little never looks enough."""
    return f"{size * 10 // (1 << 20) / 10:.1f} MiB"


RULE = Rule(
    name="too-little-free-space",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "volumes.free", "volumes.signature", "volumes.content", "volumes.condition"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
