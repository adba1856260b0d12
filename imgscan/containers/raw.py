"""raw: the file is the disk.

There is no magic: a file is raw when its content begins like a disk, with a boot signature, a partition table or a
known filesystem. The format has no place for a state, a key or a parent: those facts are known to be absent.
"""

from __future__ import annotations

import re
import struct

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.devices.file import FileDevice
from imgscan.errors import TruncatedRead
from imgscan.layouts.magic import known_magic
from imgscan.model.disk import ImageFacts, ImageFile, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known
from imgscan.model.text import shown

NAME = "raw"
_OTHER_FORMAT = re.compile(r"\.(vmdk|vhdx?|avhdx?|qcow2|vdi)\Z", re.ASCII | re.IGNORECASE)
"""Names of images that begin with a magic, or (VHD) end with a footer: a raw disk so named may have lost it."""
_NO_DISK = frozenset({"iso9660", "udf"})
"""What a CD or DVD holds; one made to boot as a disk too (hybrid) has a boot signature, and is taken for a disk."""


class RawDisk:
    """A file's bytes as a disk; `sector_size` is 4096 when its GPT says so."""

    def __init__(self, file: FileDevice, sector_size: int) -> None:
        self._file = file
        self.name = file.name
        self.size = file.size
        self.sector_size = sector_size
        self.read_at = file.read_at


def probe(file: FileDevice) -> bool:
    """Whether the content begins like a disk: a boot signature, a partition table or a known filesystem."""
    hit = known_magic(file)
    return hit is not None and hit.what not in _NO_DISK


def refers_to(_file: FileDevice) -> References:
    """Return no names: a raw disk has none."""
    return References()


def open_image(file: FileDevice, _context: OpenContext) -> OpenedImage:
    """Return the file as a disk.

    :raises TruncatedRead: the file is empty
    """
    if file.size == 0:
        raise TruncatedRead("the file is empty; export or copy it again", where=file.name)
    head = file.read_at(0, min(file.size, 8192))
    sector_size = 4096 if head[4096:4104] == b"EFI PART" and head[512:520] != b"EFI PART" else 512
    problems = []
    if file.size % sector_size:
        problems.append(
            Problem(
                "size-not-of-whole-sectors",
                "note",
                f"the file's {file.size} bytes are not a whole number of {sector_size}-byte sectors: "
                "it may be cut short, or hold something after the disk",
                (AtOffset(shown(file.name), file.size // sector_size * sector_size, file.size % sector_size),),
            )
        )
    end = _end_of_partitions(head, sector_size)
    from imgscan.containers.refused import is_named_as_part  # noqa: PLC0415 - start-up time

    if end > file.size and is_named_as_part(file):
        detail = (
            f"by its name this is the first part of a split image: its partition table reaches to {end} bytes, and the "
            f"file has {file.size}; join the parts first: cat"
        )
        problems.append(
            Problem(
                "part-of-split-image", "truncated", detail, (AtOffset(shown(file.name), 0, 512, "partition table"),)
            )
        )
    misnamed = _misnamed(file, end)
    if misnamed is not None:
        problems.append(misnamed)
    facts = ImageFacts(
        format=NAME,
        variant="raw",
        virtual_size=file.size,
        logical_sector_size=sector_size,
        files=(ImageFile(shown(file.name), "image", file.size),),
        problems=tuple(problems),
        unclean=known(False),
        encryption=known(None),
        device_mapping=known(None),
        delta=known(None),
    )
    return OpenedImage(RawDisk(file, sector_size), facts)


def _misnamed(file: FileDevice, end: int) -> Problem | None:
    """Say that a raw disk has another format's name; that it was cut short when its table reaches to `end` behind it.

    The name is a hint for the message; the format is told by content. An extent that a descriptor names is not asked.
    """
    match = _OTHER_FORMAT.search(file.name)
    if match is None:
        return None
    suffix = match[1].lower()
    if suffix in {"vhd", "avhd"}:
        said = "there is no VHD footer: a fixed VHD whose end was cut off looks like this; export it again"
    elif suffix == "vmdk":
        said = (
            "this is the data of a disk: either a flat extent, whose descriptor (the small .vmdk text file beside it) "
            "is what to give, or a raw disk under another name"
        )
    else:
        said = f"it has no {suffix} header: a raw disk under another name, or a damaged export"
    where = AtOffset(shown(file.name), 0, 512, "partition table")
    if end > file.size:
        said = f"{said}. Its partition table reaches to {end} bytes, and the file has {file.size}"
        return Problem("named-as-other-format", "truncated", f"the file is named .{suffix}, and {said}", (where,))
    where = AtOffset(shown(file.name), max(0, file.size - 512), min(512, file.size), "end of the file")
    return Problem("named-as-other-format", "note", f"the file is named .{suffix}, and {said}", (where,))


def _end_of_partitions(head: bytes, sector_size: int) -> int:
    """Return the offset at which the partition table says the disk ends at the earliest; 0 without a table.

    Only a size to compare with: reading the table is not this module's business.
    """
    gpt = head[sector_size : sector_size + 40]
    if gpt.startswith(b"EFI PART") and len(gpt) == 40:
        return (int.from_bytes(gpt[32:40], "little") + 1) * sector_size  # the backup header is the last sector
    if head[510:512] != b"\x55\xaa":
        return 0
    entries = [head[at : at + 16] for at in range(446, 510, 16)]
    ends = [sum(struct.unpack("<II", entry[8:])) * sector_size for entry in entries if entry[4]]
    return max(ends, default=0)
