"""A hibernated system in a file that is used as swap space: the kernel writes its mark over that of the swap space.

Source: Linux, Documentation/power/swsusp-and-swap-files.rst; libblkid's swap prober for the marks.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.layouts.superblocks.unix import SUSPENDED
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known
from imgscan.model.system import Mount

_MARK: Final = 4086
"""Where the mark of a swap space stands: the last ten bytes of its first page."""
FILES: Final = 64
"""Swap files of one system that are looked at."""


def read_hibernated_files(tree: GuestTree, mounts: Fact[tuple[Mount, ...]]) -> Fact[tuple[str, ...]]:
    """Return the swap files of fstab that hold a hibernated system, with the evidence for each.

    :raises ImageError: such a file cannot be read
    """
    if not mounts.is_known:
        return mounts.map(lambda _: ())
    found = []
    for mount in [each for each in mounts.get() if each.type == "swap" and each.how == "file"][:FILES]:
        place = tree.find(mount.source)
        if place is not None and place.entry.kind == "file":
            mark = place.filesystem.read(place.entry.node, _MARK, 10)
            if mark.startswith(SUSPENDED):
                found.append(place)
    where = tuple(place.evidence() for place in found) or (at_path(tree.mounts["/"].volume, "/etc/fstab"),)
    return known(tuple(place.path for place in found), *where)
