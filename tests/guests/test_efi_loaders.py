"""Loaders on an EFI system partition: real ones that are installed here, others put together with their real marks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_builder import GRUB_EFI
from memory_filesystem import MemoryFileSystem
from tools import require_file

from imgscan.devices.filesystem import Entry
from imgscan.devices.limits import EFI_LOADERS
from imgscan.errors import ImageError
from imgscan.guests.efi_loaders import find_loaders
from imgscan.model.boot import Loader

SBAT = b"sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n"
SHIM = {".data": b"", ".sbat": SBAT + b"shim,4,UEFI shim,shim,1,https://github.com/rhboot/shim\n"}
REAL = {
    Path("/usr/lib/shim/shimx64.efi.signed"): "shim",
    Path("/usr/lib/shim/fbx64.efi.signed"): "fallback",
    Path("/usr/lib/shim/mmx64.efi.signed"): "mok-manager",
    Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi"): "systemd-boot",
    Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"): "systemd-stub",
    Path("/usr/share/refind/refind/refind_x64.efi"): "refind",
    Path("/usr/share/refind/refind/drivers_x64/ext4_x64.efi"): "driver",
    Path("/boot/memtest86+x64.efi"): "memtest",
}


def pe(sections: dict[str, bytes], machine: int = 0x8664, subsystem: int = 10, strings: bytes = b"") -> bytes:
    """Return a portable executable with sections; names of more than eight characters go into `strings`."""
    start, optional = 0x80, 240
    head = bytearray(4096)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3C, start)
    struct.pack_into("<4sHHIIIHH", head, start, b"PE\0\0", machine, len(sections), 0, 0, 0, optional, 0x22)
    struct.pack_into("<H", head, start + 24, 0x20B)
    struct.pack_into("<H", head, start + 24 + 68, subsystem)
    body = b""
    for index, (name, content) in enumerate(sections.items()):
        raw = name.encode("latin-1")
        at = start + 24 + optional + 40 * index
        size = len(content)
        struct.pack_into("<8sIIII", head, at, raw, size, 0x1000 * (index + 1), size, 4096 + len(body))
        body += content
    if strings:
        struct.pack_into("<I", head, start + 12, 4096 + len(body))
        body += strings
    return bytes(head) + body


def _loader(content: bytes, path: str = "/EFI/x/y.efi") -> Loader:
    (loader,) = find_loaders(MemoryFileSystem({path: content}, type_="vfat"))
    return loader


def test_grub_of_the_distribution() -> None:
    loader = _loader(require_file(GRUB_EFI), "/EFI/debian/grubx64.efi")
    assert (loader.what, loader.machine, loader.fallback) == ("grub2", "x86_64", False)


@pytest.mark.parametrize("path", REAL, ids=str)
def test_real_loaders_where_they_are_installed(path: Path) -> None:
    if not path.is_file():
        pytest.skip(f"{path} is not installed")
    loader = _loader(path.read_bytes())
    assert (loader.what, loader.machine) == (REAL[path], "x86_64")


@pytest.mark.parametrize(
    ("sections", "what"),
    [
        ({".sbat": SBAT + b"grub,5,Free Software Foundation,grub,2.06,https://www.gnu.org/software/grub/\n"}, "grub2"),
        ({".text": b"x", "mods": b"mimg"}, "grub2"),
        ({**SHIM, "/4": b""}, "shim"),
        ({**SHIM, ".data": "Perform MOK management".encode("utf-16-le")}, "mok-manager"),
        ({**SHIM, ".data": "Creating boot entry".encode("utf-16-le")}, "fallback"),
        ({".sdmagic": b"#### LoaderInfo: systemd-boot 252 ####\0", ".osrel": b"ID=x"}, "systemd-boot"),
        (
            {".sdmagic": b"#### LoaderInfo: systemd-stub 252 ####\0", ".linux": b"MZ", ".osrel": b""},
            "unified-kernel-image",
        ),
        ({".osrel": b"ID=debian", ".cmdline": b"ro", ".linux": b"MZ", ".initrd": b""}, "unified-kernel-image"),
        ({".sbat": SBAT + b"memtest86+,1,Memtest86+,6.0,https://github.com/memtest86plus\n"}, "memtest"),
        ({".data": "rEFInd - About".encode("utf-16-le")}, "refind"),
        ({".data": b"nothing told"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_marks(sections: dict[str, bytes], what: str) -> None:
    assert _loader(pe(sections)).what == what


def _version_resource(text: str) -> bytes:
    """Return a resource section at 0x1000: a manifest, and a version resource in one language."""
    content = text.encode("utf-16-le")
    levels = struct.pack("<12xHHIIII", 0, 2, 24, 0x80000020, 16, 0x80000020)
    levels += struct.pack("<12xHHII", 0, 1, 1, 0x80000038) + struct.pack("<12xHHII", 0, 1, 0x409, 0x50)
    return levels + struct.pack("<IIII", 0x1000 + 0x60, len(content), 0, 0) + content


def test_windows_by_its_version_resource_or_else_its_path() -> None:
    for text, path, what in (
        ("OriginalFilename\0bootmgr.exe", "/EFI/Boot/bootx64.efi", "windows-boot-manager"),
        ("OriginalFilename\0other.exe", "/EFI/Boot/bootx64.efi", "unknown"),
        ("OriginalFilename\0other.exe", "/EFI/Microsoft/Boot/bootmgfw.efi", "windows-boot-manager"),
    ):
        content = bytearray(pe({".rsrc": _version_resource(text)}))
        struct.pack_into("<I", content, 0x80 + 24 + 112 + 16, 0x1000)
        assert _loader(bytes(content), path).what == what


@pytest.mark.parametrize("at", range(0x60))
def test_damaged_resources_end_in_an_answer(at: int) -> None:
    resources = bytearray(_version_resource("bootmgr.exe"))
    resources[at] = 0xFF
    content = bytearray(pe({".rsrc": bytes(resources)}))
    struct.pack_into("<I", content, 0x80 + 24 + 112 + 16, 0x1000)
    assert _loader(bytes(content)).what in {"unknown", "windows-boot-manager"}


def test_a_long_section_name_tells_shim() -> None:
    content = pe({**SHIM, "/4": b"certificate", "/\xb3": b""}, strings=struct.pack("<I", 17) + b".vendor_cert\0")
    assert _loader(content, "/EFI/x/fbx64.efi").what == "shim"


@pytest.mark.parametrize(
    ("name", "machine", "shown", "fallback"),
    [
        ("BOOTX64.EFI", 0x8664, "x86_64", True),
        ("bootx64.efi", 0x8664, "x86_64", True),
        ("BOOTIA32.EFI", 0x14C, "x86", True),
        ("BOOTAA64.EFI", 0xAA64, "aarch64", True),
        ("BOOTX64.EFI", 0x14C, "x86", False),
        ("BOOTX64.EFI", 0x1234, "0x1234", False),
        ("grubx64.efi", 0x8664, "x86_64", False),
    ],
)
def test_fallback(name: str, machine: int, shown: str, fallback: bool) -> None:
    loader = _loader(pe({}, machine), f"/efi/Boot/{name}")
    assert (loader.machine, loader.fallback) == (shown, fallback)


def test_drivers_and_what_is_no_executable() -> None:
    assert _loader(pe({}, subsystem=11)).what == "driver"
    loader = _loader(b"not a program")
    assert (loader.machine, loader.what) == (None, "unknown")
    assert find_loaders(MemoryFileSystem({"/BOOTX64.EFI": pe({}), "/EFI/readme.txt": b""}, type_="vfat")) == []
    assert find_loaders(MemoryFileSystem({"/vmlinuz": b""}, type_="vfat")) == []


@pytest.mark.parametrize("cut", [0, 1, 0x3F, 0x80, 0x98, 0xE0, 0x150, 0x180, 4095])
def test_truncated_executables(cut: int) -> None:
    assert _loader(pe({".sbat": SBAT})[:cut]).what == "unknown"


class _Damaged(MemoryFileSystem):
    """One node cannot be read."""

    damaged = -1

    def damage(self, *names: str) -> _Damaged:
        node = self.root
        for name in names:
            entry = self.lookup(node, name)
            assert entry is not None
            node = entry.node
        self.damaged = node
        return self

    def list(self, directory: int) -> Iterator[Entry]:
        if directory == self.damaged:
            raise ImageError("gone")
        return super().list(directory)

    def read(self, node: int, offset: int, length: int) -> bytes:
        if node == self.damaged:
            raise ImageError("gone")
        return super().read(node, offset, length)


def test_unreadable_files_and_folders() -> None:
    files = {"/EFI/a/one.efi": pe({}), "/EFI/b/two.efi": pe({})}
    (bad, good) = find_loaders(_Damaged(files, type_="vfat").damage("EFI", "a", "one.efi"))
    assert (bad.machine, good.machine) == (None, "x86_64")
    (good,) = find_loaders(_Damaged(files, type_="vfat").damage("EFI", "a"))
    assert good.path == "/EFI/b/two.efi"
    with pytest.raises(ImageError):
        find_loaders(_Damaged(files, type_="vfat").damage("EFI"))


def test_the_number_of_loaders_is_limited() -> None:
    files = {f"/EFI/x/{number}.efi": b"" for number in range(EFI_LOADERS + 10)}
    assert len(find_loaders(MemoryFileSystem(files, type_="vfat"))) == EFI_LOADERS
