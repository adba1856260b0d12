"""What a file is, told by a worker: the one module of discovery that knows the readers of images.

A share holds more other files than images, and each is asked: so the front and the end of a file are read once, and the
readers are served from there. An image costs what its reader needs beyond that.
"""

from __future__ import annotations

import re

from imgscan import containers
from imgscan.batch.names import last_component
from imgscan.batch.share import Identified
from imgscan.containers import refused, sidecars, vhd, vmdk
from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import ImageError
from imgscan.model.text import shown

FRONT_BYTES = 72 * KIB
"""What is read of every file: all signs of formats, and nearly all of filesystems, lie within."""
END_BYTES = 12 * KIB
"""What is read of a file's end, when anything of it is asked for."""
FLOPPY_BYTES = frozenset(kib * KIB for kib in (160, 180, 320, 360, 640, 720, 1200, 1440, 1680, 1722, 2880))
"""Sizes of floppy disks."""
KERNEL_BYTES = 128 * MIB
"""No Linux kernel is larger; and a guest can write a kernel's sign to its disk."""
NEAR_BYTES = 4 * KIB
"""What is read at least in between: structures there are read field by field."""
_TEXT_BYTES = bytes({*b"\t\n\f\r\x1b", *range(0x20, 0x100)})
_ISO_NAME = re.compile(r"\.(?:iso|cdr)\Z", re.IGNORECASE)
_ISO_MAGIC_AT = 32769
_KERNEL_MAGIC_AT = 514


def identify_file(file: FileDevice) -> Identified:
    """Say what a file is by its content, and which other files it names; opens none, and raises no `ImageError`.

    Three things begin like a disk and are none of a machine: an ISO image that a USB stick can boot from, the image of
    a floppy disk (told by its size) and a Linux kernel; they are told as what they are.
    """
    ends = _Ends(file)
    try:
        sidecar = sidecars.recognise(ends)
        if sidecar is not None:
            return Identified(
                sidecar=sidecar.what,
                sidecar_disks=sidecar.names,
                what=sidecar.what,
                why="unsupported",
                detail=f"this is {sidecar.what}",
            )
        if _is_plain_text(ends):
            return Identified(what="a text", why="unsupported", detail="this is a text, no disk image")
        found = containers.identify(ends)  # the sidecar comes first, as in a scan
        if found.format is None:
            return _unknown(ends, found.reason)
        no_disk = _no_disk(ends) if found.format == "raw" else None
        if no_disk is not None:
            return Identified(what=no_disk, why="unsupported", detail=f"this is {no_disk}; it is no disk of a machine")
    except ImageError as error:
        return Identified(why=error.why, detail=shown(error.message))
    extents = (shown(name) for name in found.references.extents if "/" not in name and "\\" not in name)
    parents = (shown(last_component(hint)) for hint in found.references.parents)
    return Identified(
        format=found.format, extents=tuple(dict.fromkeys(extents)), parents=tuple(dict.fromkeys(filter(None, parents)))
    )


def _is_plain_text(file: FileDevice) -> bool:
    """Whether a file begins as a log does, and so does not have to be asked for filesystems far inside it.

    Two images can begin so: a VMDK descriptor, and a fixed VHD or a disk with a boot signature that a guest filled.
    """
    front = file.read_at(0, min(file.size, FRONT_BYTES))
    return (
        front != b""
        and not front.translate(None, _TEXT_BYTES)
        and front[510:512] != b"\x55\xaa"
        and not vmdk.probe(file)
        and not vhd.probe(file)
    )


def _unknown(file: FileDevice, reason: ImageError | None) -> Identified:
    if reason is None:
        return Identified(why="unsupported", detail="this is no disk image that imgscan knows")
    known = refused.recognise(file) or refused.recognise_without_disk(file) if file.size else None
    return Identified(what=None if known is None else known.what, why=reason.why, detail=shown(reason.message))


def _no_disk(file: FileDevice) -> str | None:
    """Return what a file is that begins like a raw disk and is none of a machine."""
    if file.size in FLOPPY_BYTES:
        return "the image of a floppy disk"
    if file.size <= KERNEL_BYTES and _holds(file, _KERNEL_MAGIC_AT, b"HdrS"):
        return "a Linux kernel"
    if _ISO_NAME.search(file.name) and _holds(file, _ISO_MAGIC_AT, b"CD001"):
        return "an ISO 9660 image (a CD or DVD) that can boot as a disk too"
    return None


def _holds(file: FileDevice, offset: int, magic: bytes) -> bool:
    return file.size >= offset + len(magic) and file.read_at(offset, len(magic)) == magic


class _Ends(FileDevice):
    """A file whose front and end are read once. It owns no descriptor: the file it is made of does."""

    def __init__(self, file: FileDevice) -> None:
        super().__init__(-1, file.name, file.size, file.identity, IoCounter())
        self._file = file
        self._front: bytes | None = None
        self._end: bytes | None = None
        self._end_at = max(FRONT_BYTES, file.size - END_BYTES)
        self._near, self._near_at = b"", 0

    @property
    def modified(self) -> float:
        """When the host file was last written."""
        return self._file.modified

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes, from memory when they lie in the front or the end."""
        if offset >= 0 and length >= 0 and offset + length <= min(FRONT_BYTES, self.size):
            if self._front is None:
                self._front = self._file.read_at(0, min(FRONT_BYTES, self.size))
            return self._front[offset : offset + length]
        if self._end_at <= offset and length >= 0 and offset + length <= self.size:
            if self._end is None:
                self._end = self._file.read_at(self._end_at, self.size - self._end_at)
            return self._end[offset - self._end_at : offset - self._end_at + length]
        if offset >= 0 and 0 <= length < NEAR_BYTES and offset + length <= self.size:
            if not self._near_at <= offset <= offset + length <= self._near_at + len(self._near):
                self._near = self._file.read_at(offset, min(NEAR_BYTES, self.size - offset))
                self._near_at = offset
            return self._near[offset - self._near_at : offset - self._near_at + length]
        return self._file.read_at(offset, length)

    def close(self) -> None:
        """Close nothing."""
