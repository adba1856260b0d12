from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from demo_builder import EXPORT
from disk_builder import kernel

from imgscan.errors import ImageError
from imgscan.layouts.linux_kernel import SETUP_BYTES, KernelImage, parse_kernel_image
from imgscan.scan import open_machine

VERSION = "3.0.101-63-default (geeko@buildhost) #1 SMP"


def test_the_version_of_a_real_kernel() -> None:
    """Debian names the file by the release that uname prints."""
    with open_machine([EXPORT]) as machine:
        tree = machine.trees[0]
        (name,) = (entry.name for entry in tree.list("/boot") if entry.name.startswith("vmlinuz-"))
        image = parse_kernel_image(tree.read(f"/boot/{name}")[:SETUP_BYTES])
        assert f"vmlinuz-{image.version}" == name
        assert image.is_64_bit is True


@pytest.mark.parametrize(
    ("protocol", "flags", "is_64_bit"), [(0x20B, 1, None), (0x20C, 1, True), (0x20F, 2, False), (0x20F, 3, True)]
)
def test_the_64_bit_flag(protocol: int, flags: int, is_64_bit: bool | None) -> None:
    image = bytearray(kernel(VERSION))
    struct.pack_into("<H", image, 0x206, protocol)
    struct.pack_into("<H", image, 0x236, flags)
    assert parse_kernel_image(bytes(image)) == KernelImage("3.0.101-63-default", is_64_bit)


def changed(offset: int, data: bytes) -> bytes:
    image = bytearray(kernel(VERSION))
    image[offset : offset + len(data)] = data
    return bytes(image)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: b"", "unsupported"),
        (lambda: b"MZ" + bytes(4096), "unsupported"),
        (lambda: changed(0x202, b"HdrX"), "unsupported"),
        (lambda: changed(0x206, b"\x01\x01"), "unsupported"),
        (lambda: kernel(VERSION)[:0x210], "unsupported"),
        (lambda: changed(0x20E, b"\0\0"), "corrupt"),
        (lambda: changed(0x20E, b"\xff\xff"), "corrupt"),
        (lambda: changed(0x600, bytes(64)), "corrupt"),
        (lambda: changed(0x600, b"\xff\xfe"), "corrupt"),
        (lambda: kernel(VERSION)[:0x400], "corrupt"),
    ],
)
def test_what_is_no_kernel_image(make: Callable[[], bytes], why: str) -> None:
    with pytest.raises(ImageError) as raised:
        parse_kernel_image(make())
    assert raised.value.why == why
