r"""Whether a Windows sleeps on disk: what ``\hiberfil.sys`` on its drive begins with.

Source: Microsoft's PO_MEMORY_IMAGE signatures, as its debugger and ntfs-3g know them. Fast startup leaves the same file
as hibernation.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.text import shown

_PATH: Final = "/hiberfil.sys"
_SLEEPING: Final = (b"hibr", b"HIBR", b"rstr", b"RSTR")
_AWAKE: Final = (b"wake", b"WAKE", b"")


def read_hibernation(tree: GuestTree) -> Fact[bool]:
    """Return whether the state of a running system is kept in the file; without a file it is not."""
    volume = tree.mounts["/"].volume
    evidence = AtPath(volume, _PATH)
    try:
        place = tree.find(_PATH)
        if place is None:
            return known(False, AtPath(volume, "/"))
        if place.entry.kind == "directory":  # Windows cannot write its file there
            return known(False, place.evidence())
        start = place.filesystem.read(place.entry.node, 0, 4)
    except ImageError as error:
        return unread_because(error, evidence)
    if start in _SLEEPING:
        return known(True, evidence)
    if start in _AWAKE or not any(start):
        return known(False, evidence)
    return unread("unsupported", f"{_PATH} begins with {shown(start.decode('latin-1'))!r}", evidence)
