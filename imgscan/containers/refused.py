"""Files that imgscan does not read, recognised by content and answered with what to do.

A file is refused by name only when its content can be nothing else: the magic stands where a disk would have its boot
code; or, for what a disk could hold too (ISO 9660, a DMG's trailer), only when nothing at the front makes it a disk.
"""

from __future__ import annotations

import re

import msgspec

from imgscan.containers.sidecars import recognise as recognise_sidecar
from imgscan.devices.file import FileDevice
from imgscan.errors import EncryptedData, ImageError, TruncatedRead, UnsupportedFormat


class Refusal(msgspec.Struct, frozen=True):
    """What a file is, and what its owner can do; `encrypted` when only a key would help."""

    what: str
    advice: str
    encrypted: bool = False


class _Magic(msgspec.Struct, frozen=True):
    offset: int
    magic: bytes
    refusal: Refusal


_UNPACK = "unpack it and give the disk image inside"
_EWF = Refusal("an EnCase (EWF) evidence file", "export a raw image of it, for example with ewfexport")
_EWF_LOGICAL = Refusal("an EnCase logical evidence file", "it holds files, no disk; acquire the disk itself")
_CONVERT = "convert it first: qemu-img convert -O raw"
_STATE = Refusal("a VMware suspend or snapshot state", "give the machine's .vmdk disks instead")
_PARALLELS = Refusal("a Parallels disk image", f"{_CONVERT} -f parallels")

_MAGIC: tuple[_Magic, ...] = (
    _Magic(0, b"PK\x03\x04", Refusal("a zip archive", _UNPACK)),
    _Magic(0, b"PK\x05\x06", Refusal("an empty zip archive", "there is nothing in it")),
    _Magic(0, b"\x1f\x8b\x08", Refusal("a file compressed with gzip", "unpack it first: gunzip -k")),
    _Magic(0, b"\xfd7zXZ\0", Refusal("a file compressed with xz", "unpack it first: unxz -k")),
    _Magic(0, b"BZh", Refusal("a file compressed with bzip2", "unpack it first: bunzip2 -k")),
    _Magic(0, b"\x28\xb5\x2f\xfd", Refusal("a file compressed with zstd", "unpack it first: unzstd")),
    _Magic(0, b"\x04\x22\x4d\x18", Refusal("a file compressed with lz4", "unpack it first: unlz4")),
    _Magic(0, b"LZIP", Refusal("a file compressed with lzip", "unpack it first: lzip -dk")),
    _Magic(0, b"\x89LZO\0\r\n\x1a\n", Refusal("a file compressed with lzop", "unpack it first: lzop -d")),
    _Magic(0, b"7z\xbc\xaf\x27\x1c", Refusal("a 7z archive", _UNPACK)),
    _Magic(0, b"Rar!\x1a\x07", Refusal("a rar archive", _UNPACK)),
    _Magic(0, b"MSCF\0\0\0\0", Refusal("a Windows cabinet", _UNPACK)),
    _Magic(0, b"MSWIM\0\0\0", Refusal("a Windows image (WIM)", "it holds files, no disk; apply it to a disk first")),
    _Magic(0, b"EVF\x09\x0d\x0a\xff\x00", _EWF),
    _Magic(0, b"EVF2\x0d\x0a\x81", _EWF),
    _Magic(0, b"LVF\x09\x0d\x0a\xff\x00", _EWF_LOGICAL),
    _Magic(0, b"LEF2\x0d\x0a\x81", _EWF_LOGICAL),
    _Magic(
        0, b"AFF10\r\n\0", Refusal("an AFF evidence file", "export a raw image of it, for example with affconvert -r")
    ),
    _Magic(0, b"QED\0", Refusal("a QED image", f"{_CONVERT} -f qed")),
    _Magic(0, b"QFI\xfb\0\0\0\x01", Refusal("a qcow version 1 image", f"{_CONVERT} -f qcow")),
    _Magic(0, b"WithoutFreeSpace", _PARALLELS),
    _Magic(0, b"WithouFreSpacExt", _PARALLELS),
    _Magic(0, b"Bochs Virtual HD Image", Refusal("a Bochs disk image", f"{_CONVERT} -f bochs")),
    _Magic(0, b"#!/bin/sh\n#V2.0 Format\n", Refusal("a cloop image", f"{_CONVERT} -f cloop")),
    _Magic(0, b"VMA\0", Refusal("a Proxmox backup (VMA)", "extract its disks first: vma extract")),
    _Magic(0, b"partclone-image", Refusal("a partclone image", "restore it to a disk first: partclone.restore")),
    _Magic(0, b"\x3a\xff\x26\xed", Refusal("an Android sparse image", "convert it first: simg2img")),
    _Magic(
        0, b"encrcdsa", Refusal("an encrypted Apple disk image", "decrypt it first: hdiutil convert", encrypted=True)
    ),
    _Magic(
        0, b"cdsaencr", Refusal("an encrypted Apple disk image", "decrypt it first: hdiutil convert", encrypted=True)
    ),
    _Magic(0, b"sprs", Refusal("an Apple sparse image", "convert it first: hdiutil convert -format UDRW")),
    _Magic(0, b"\xd0\xbe\xd2\xbe", _STATE),
    _Magic(0, b"\xd1\xba\xd1\xba", _STATE),
    _Magic(0, b"\xd2\xbe\xd2\xbe", _STATE),
    _Magic(0, b"\xd3\xbe\xd3\xbe", _STATE),
    _Magic(0, b"\xd0\xbe\xd0\xbe", _STATE),
    _Magic(0, b"\xd1\xbe\xd1\xbe", _STATE),
    _Magic(0, b"MRVN", Refusal("a VMware .nvram file", "give the machine's .vmdk disks instead")),
    _Magic(
        0, b"\x7fVirtualBox SavedState", Refusal("a VirtualBox saved state", "give the machine's .vdi disks instead")
    ),
    _Magic(0, b"\x7fELF", Refusal("an ELF file (a program or a memory dump)", "give a disk image")),
    _Magic(0, b"PAGEDU", Refusal("a Windows memory dump", "give a disk image")),
    _Magic(0, b"%PDF-", Refusal("a PDF document", "give a disk image")),
    _Magic(0, b"MDMP\x93\xa7", Refusal("a Windows minidump", "give a disk image")),
)

_TAR_MAGIC_AT = 257
_ISO_MAGIC_AT = 32769
_DMG_TRAILER = 512
_PART_NAME = re.compile(r"\.[0-9]{3}\Z|\.part[0-9]+\Z|\.split[0-9]+\Z", re.ASCII)


def recognise(file: FileDevice) -> Refusal | None:
    """Return what the file is when its first bytes say that it is something imgscan does not read.

    Reads at most 4 KiB (more of a text file, see `sidecars`).

    :raises ImageError: the file cannot be read
    """
    head = file.read_at(0, min(file.size, 4096))
    for known in _MAGIC:
        if head.startswith(known.magic, known.offset):
            return known.refusal
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar" and head[510:512] != b"\x55\xaa":
        return _tar(head)
    sidecar = recognise_sidecar(file)
    if sidecar is not None:
        names = f": {' '.join(sidecar.disks)}" if sidecar.disks else ""
        return Refusal(sidecar.what, f"give the machine's disk images instead{names}")
    return None


def recognise_without_disk(file: FileDevice) -> Refusal | None:
    """Return what a file is that does not begin like a disk, by what stands deeper inside it.

    :raises ImageError: the file cannot be read
    """
    if file.size >= _ISO_MAGIC_AT + 5 and file.read_at(_ISO_MAGIC_AT, 5) in {b"CD001", b"BEA01"}:
        return Refusal(
            "an ISO 9660 or UDF image (a CD or DVD) without a partition table",
            "it is no disk; give the machine's disks",
        )
    if file.size >= _DMG_TRAILER and file.read_at(file.size - _DMG_TRAILER, 4) == b"koly":
        return Refusal("an Apple disk image (DMG)", f"{_CONVERT} -f dmg")
    return None


def is_named_as_part(file: FileDevice) -> bool:
    """Whether the file's name is that of a part of a split image (`disk.001`); no more than a hint for a message."""
    return _PART_NAME.search(file.name) is not None


def _tar(head: bytes) -> Refusal:
    first = head[:100].rstrip(b"\0")
    if first.lower().endswith(b".ovf"):
        return Refusal(
            "an OVA (a tar archive with an OVF and its disks)", "unpack it first: tar -xf, and give its disks"
        )
    return Refusal("a tar archive", "unpack it first: tar -xf, and give the disk image inside")


def reason(file: FileDevice) -> ImageError:
    """Return the error that says why a file is no disk image that imgscan reads.

    :raises ImageError: the file cannot be read
    """
    if file.size == 0:
        return TruncatedRead("the file is empty; export or copy it again", where=file.name)
    found = recognise(file) or recognise_without_disk(file)
    if found is not None:
        kind = EncryptedData if found.encrypted else UnsupportedFormat
        return kind(f"this is {found.what}; {found.advice}", where=file.name)
    if is_named_as_part(file):
        return UnsupportedFormat(
            "by its name this is a part of a split image, and it does not begin as a disk does; "
            "join the parts in their order first: cat",
            where=file.name,
        )
    start = file.read_at(0, min(file.size, 65536))
    if not any(start):
        message = (
            "the file begins with zeros and holds no boot signature, partition table or filesystem: an empty disk, or "
            "a copy that failed; if it is an empty raw disk, say so with --input-format raw"
        )
        return UnsupportedFormat(message, where=file.name)
    message = (
        "this is no disk image that imgscan knows, and it has no boot signature, partition table or filesystem; "
        "if it is a raw disk, say so with --input-format raw"
    )
    return UnsupportedFormat(message, where=file.name)
