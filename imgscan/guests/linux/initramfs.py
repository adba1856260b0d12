"""The initramfs of the default kernel: opened as the kernel opens it, its driver modules listed.

Source: Documentation/driver-api/early-userspace/buffer-format.rst: archives one after the other, each plain or
compressed, with zeros between them (an early one with microcode comes first).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, LimitExceeded, MissingPart, TruncatedRead, UnsupportedFormat
from imgscan.guests.linux.kernel import find_in_boot
from imgscan.guests.linux.unpacking import unpacker_of
from imgscan.layouts.cpio import MAGICS, CpioNames
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known
from imgscan.model.initramfs import Initramfs, InitramfsFile
from imgscan.model.linux_boot import DefaultKernel
from imgscan.model.text import shown

PACKED_BYTES: Final = 88 * MIB
"""What is read of all files of one machine's initramfs."""
UNPACKED_BYTES: Final = 384 * MIB
"""What is unpacked of all files; a form that takes longer counts several times, so that all end after some 5 s."""
WEIGHTS: Final = {"xz": 2, "lzma": 2, "bzip2": 4}
FILES: Final = 16
ARCHIVES: Final = 64
"""Archives in one file."""
_PIECE: Final = 256 * KIB
_PADDING: Final = 16 * MIB
MODULE_ENDINGS: Final = (".ko", ".ko.gz", ".ko.xz", ".ko.zst", ".ko.bz2", ".ko.lzma")
_ENDINGS: Final = tuple(ending.encode() for ending in (*MODULE_ENDINGS, "squash-root.img", "squashfs-root.img"))
_OLD_IMAGES: Final = ((0x438, b"\x53\xef"), (0, b"-rom1fs-"), (0, b"\x45\x3d\xcd\x28"), (0, b"hsqs"))
"""Filesystems that kernels took for an initrd before there was an initramfs: ext2, romfs, cramfs, squashfs."""


class _Packed:
    """A file of the guest from its beginning on; `left` is what may still be read of all files."""

    def __init__(self, place: Location, left: int) -> None:
        self.left = left
        self.position = 0
        self._place = place
        self._size = place.entry.size
        self._back = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return up to that many bytes, fewer at the end."""
        if self._at + size <= len(self._back):
            self._at += size
            return self._back[self._at - size : self._at]
        parts = [self._back[self._at :]]
        while (missing := size - sum(map(len, parts))) > 0 and self.position < self._size:
            length = min(max(missing, _PIECE), self._size - self.position)
            if length > self.left:
                raise LimitExceeded(f"more than {PACKED_BYTES} bytes of initramfs would have to be read")
            data = self._place.filesystem.read(self._place.entry.node, self.position, length)
            if not data:
                raise TruncatedRead("the file ends before its size", where=self._place.filesystem.volume)
            self.position += len(data)
            self.left -= len(data)
            parts.append(data)
        self._back, self._at = b"".join(parts), min(size, sum(map(len, parts)))
        return self._back[: self._at]

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""
        self._back, self._at = data + self._back[self._at :], 0

    def skip(self, size: int) -> None:
        """Go over bytes without reading them."""
        kept = len(self._back) - self._at
        if size > kept + self._size - self.position:
            raise CorruptStructure("the file ends in the middle of an entry")
        self.position += max(0, size - kept)
        self._back, self._at = self._back[self._at + size :], 0


def read_initramfs(tree: GuestTree, kernel: DefaultKernel) -> Fact[Initramfs | None]:
    """Return what is loaded with the default kernel; None when nothing is.

    A file that is missing, or that no kernel can unpack, is known and has a flaw; so has the last one where none of
    those that the kernel unpacks has the program that it starts.

    :raises ImageError: a file cannot be read, is of a form that is not read, or is larger than the limits
    """
    if kernel.arguments is None:
        raise MissingPart(f"no boot menu says which initramfs is loaded with {kernel.path}")
    if not kernel.initrds:
        return known(None, *kernel.evidence)
    if len(kernel.initrds) > FILES:
        raise LimitExceeded(f"the boot menu loads {len(kernel.initrds)} files with its kernel")
    files: list[InitramfsFile] = []
    evidence: list[AtPath] = []
    names: list[bytes] = []
    packed_left, unpacked_left = PACKED_BYTES, UNPACKED_BYTES
    init = _init(kernel.arguments)
    rest: int | None = None  # the file from whose middle on the kernel unpacks nothing more
    has_init = False
    for path in kernel.initrds:
        place = find_in_boot(tree, path)
        if place is None:
            files.append(InitramfsFile(path=path, volume=None, flaw="missing", detail=f"there is no {path}"))
            continue
        evidence.append(place.evidence())
        packed = _Packed(place, packed_left)
        reading = _Reading(packed, unpacked_left, init)
        detail = None
        try:
            reading.run()
        except CorruptStructure as error:
            if error.where:  # of the filesystem or of what lies below it, not the file's own
                raise
            detail = str(error)
        names += reading.names.found
        has_init = has_init or (rest is None and any(_plain_path(name) == init for name in reading.names.found))
        rest = len(files) if rest is None and reading.has_rest else rest
        packed_left, unpacked_left = packed.left, reading.left
        files.append(
            InitramfsFile(
                path=shown(place.path),
                volume=place.filesystem.volume,
                size=place.entry.size,
                unpacked=reading.unpacked,
                forms=tuple(reading.forms),
                flaw=None if detail is None else "damaged",
                detail=shown(detail or ""),
            )
        )
    if not has_init and not any(file.flaw for file in files):
        last = len(files) - 1 if rest is None else rest
        detail = shown(f"nothing that the kernel unpacks has the program /{init.decode('utf-8', 'replace')}")
        detail += "" if rest is None else "; behind its archives comes what is none"
        files[last] = msgspec.structs.replace(files[last], flaw="damaged", detail=detail)
    modules = {module for name in names if (module := module_name(name.decode("utf-8", "replace")))}
    return known(
        Initramfs(
            files=tuple(files),
            modules=tuple(sorted(map(shown, modules))),
            is_nested=any(b"squash" in name.rpartition(b"/")[2] and name.endswith(b".img") for name in names),
        ),
        *evidence,
        *kernel.evidence,
    )


def _init(arguments: str) -> bytes:
    """Return the path of what the kernel starts, without a slash in front (kernel-parameters.txt, "rdinit=")."""
    said = [word.removeprefix("rdinit=") for word in arguments.split() if word.startswith("rdinit=/")]
    return _plain_path((said[-1] if said else "/init").encode("utf-8", "surrogateescape"))


def _plain_path(name: bytes) -> bytes:
    return name.removeprefix(b".").lstrip(b"/")


def module_name(path: str) -> str | None:
    """Return the name by which the kernel knows a module's file; None for any other file."""
    name = path.rpartition("/")[2]
    for ending in MODULE_ENDINGS:
        if name.endswith(ending):
            return name.removesuffix(ending).replace("-", "_")
    return None


class _Reading:
    """One file, archive after archive; `left` is how much may still be unpacked.

    `has_rest` is whether something that is no archive comes behind the archives: there the kernel ends.
    """

    def __init__(self, packed: _Packed, left: int, init: bytes) -> None:
        self.names = CpioNames((*_ENDINGS, init))
        self.has_rest = False
        self.forms: list[str] = []
        self.unpacked = 0
        self.left = left
        self._packed = packed
        self._weight = 1

    def run(self) -> None:
        """Read all archives.

        :raises CorruptStructure: the kernel cannot unpack it
        """
        while True:
            head = self._after_zeros()
            if not head:
                break
            if len(self.forms) >= ARCHIVES:
                raise LimitExceeded(f"the initramfs has more than {ARCHIVES} archives")
            if head.startswith(MAGICS):
                self.forms.append("cpio")
                self._weight = 1
                self.names.restart()
                self._plain()
                continue
            form = unpacker_of(head)
            if form is None:
                if self.forms:
                    self.has_rest = True  # the kernel keeps what it has unpacked before it
                    return
                self._refuse()
                return
            self.forms.append(form[0])
            self._weight = WEIGHTS.get(form[0], 1)
            self._compressed(form[1](self._packed))
        if not self.forms:
            raise CorruptStructure("the file is empty")

    def _refuse(self) -> None:
        head = self._packed.read(0x440)
        for offset, magic in _OLD_IMAGES:
            if head[offset:].startswith(magic):
                raise UnsupportedFormat("it is an old initrd, the image of a filesystem, which is not read")
        raise CorruptStructure("it begins with neither a cpio archive nor a compressed one")

    def _after_zeros(self) -> bytes:
        """Return the next bytes that are not zeros, without taking them; empty at the end."""
        for _ in range(_PADDING // (4 * KIB)):
            data = self._packed.read(4 * KIB)
            rest = data.lstrip(b"\0")
            if rest or not data:
                self._packed.unread(rest)
                return rest[:16]
        raise LimitExceeded(f"the initramfs has more than {_PADDING} zeros between its archives")

    def _plain(self) -> None:
        """Read an archive that is not compressed; contents of files are gone over without reading them."""
        names = self.names
        while not names.is_done:
            if names.skip > _PIECE:
                self._count(names.skip)
                self._packed.skip(names.skip)
                names.skipped()
            data = self._packed.read(_PIECE)
            if not data:
                if names.is_between:
                    return  # the kernel does not ask for a trailer
                raise CorruptStructure("the file ends in the middle of an entry")
            rest = names.feed(data)
            self._count(len(data) - len(rest))
            self._packed.unread(rest)

    def _compressed(self, pieces: Iterator[bytes]) -> None:
        names = self.names
        names.is_done = True
        for piece in pieces:
            self._count(len(piece))
            data = piece
            while data:
                if names.is_done:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    names.restart()
                data = names.feed(data)
        if not names.is_done and not names.is_between:
            raise CorruptStructure("what is unpacked of it ends in the middle of an entry")

    def _count(self, size: int) -> None:
        self.unpacked += size
        self.left -= size * self._weight
        if self.left < 0:
            most = UNPACKED_BYTES // self._weight
            raise LimitExceeded(f"the initramfs has more than {most} bytes unpacked, which is where reading it ends")
