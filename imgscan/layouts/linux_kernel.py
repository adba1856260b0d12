"""The set-up header of a Linux kernel image for x86.

Source: Documentation/arch/x86/boot.rst ("The Linux/x86 Boot Protocol"), "The Real-Mode Kernel Header".
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from imgscan.errors import CorruptStructure, UnsupportedFormat

SETUP_BYTES: Final = 64 * 512
"""The most that the set-up code has: the header counts its sectors in a byte, and old loaders take 64 at most."""
_MAGIC: Final = b"HdrS"
_VERSION_BASE: Final = 0x200
_KERNEL_64: Final = 1
"""XLF_KERNEL_64: the kernel has a 64-bit entry point."""


class KernelImage(msgspec.Struct, frozen=True):
    """`version` is the release as uname prints it; `is_64_bit` is None before protocol 2.12, which does not say."""

    version: str
    is_64_bit: bool | None


def parse_kernel_image(data: bytes) -> KernelImage:
    """Return what the first `SETUP_BYTES` bytes of a kernel image (or all of a shorter one) say.

    :raises UnsupportedFormat: it is no kernel image for x86
    :raises CorruptStructure: the header does not lead to a version
    """
    if data[0x202:0x206] != _MAGIC or data[0x1FE:0x200] != b"\x55\xaa":
        raise UnsupportedFormat("it has no header of a Linux kernel image for x86")
    (protocol,) = struct.unpack_from("<H", data, 0x206)
    if protocol < 0x200 or len(data) < _VERSION_BASE + 0x40:
        raise UnsupportedFormat(f"its boot protocol {protocol >> 8}.{protocol & 0xFF:02d} names no version")
    (pointer,) = struct.unpack_from("<H", data, 0x20E)
    setup_bytes = ((data[0x1F1] or 4) + 1) * 512
    start = pointer + _VERSION_BASE
    if not pointer or start >= min(setup_bytes, len(data)):
        raise CorruptStructure("the kernel image's header names no version")
    words = data[start : start + 256].partition(b"\0")[0].split()
    if not words or not words[0][:1].isdigit():
        raise CorruptStructure("the kernel image's version is no text")
    (flags,) = struct.unpack_from("<H", data, 0x236)
    return KernelImage(
        words[0].decode("ascii", "backslashreplace"), bool(flags & _KERNEL_64) if protocol >= 0x20C else None
    )
