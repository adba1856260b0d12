"""Whole machines as disk images, healthy ones and such with one fault: made by foreign tools, then a few bytes changed.

Slow parts (raw disks) are kept in .cache/rules_on_images by their recipe; images are made anew for each test.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import disk_builder
import windows_builder
from disk_builder import (
    CONTAINERS,
    MIB,
    ROOT_SIZE,
    SIZES,
    Options,
    build_linux,
    convert,
    make_volume,
    run,
    uuid_of,
    write_at,
)
from tools import FIXTURES, ROOT, pieces, require_file
from windows_builder import WINDOWS_2019, Entry, Place, Windows, bcd_store, ntfs_image, pe_file, windows_files

CACHE = ROOT / ".cache" / "rules_on_images"
SOURCES = tuple(
    Path(str(module)).read_bytes() for module in (disk_builder.__file__, windows_builder.__file__, __file__)
)
DEBIAN_EXPORT = FIXTURES / "images" / "debian12-bios.vmdk"

Make = Callable[[Path], list[Path]]
"""Makes the disk images of one machine in a folder."""


def kept(recipe: str, make: Callable[[Path], object]) -> Path:
    """Return the folder that `make` filled, from the cache; other test processes may make it at the same time."""
    digest = hashlib.sha256(recipe.encode())
    for source in SOURCES:
        digest.update(source)
    folder = CACHE / digest.hexdigest()[:16]
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            building = Path(name) / "made"
            building.mkdir()
            make(building)
            try:
                building.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return folder


def debian() -> Path:
    """Return the demo export, a real Debian 12, as a raw disk of 2 GiB; it calls itself Debian 8.0, which is listed."""

    def make(folder: Path) -> None:
        disk = folder / "disk.raw"
        run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", DEBIAN_EXPORT, disk)
        for path, text in (("/usr/lib/os-release", disk_builder.DEBIAN), ("/etc/debian_version", "8.0\n")):
            (folder / "text").write_text(text)
            for request in (f"rm {path}", f"write {folder / 'text'} {path}"):
                run("debugfs", "-w", "-R", request, f"{disk}?offset={MIB}")
        (folder / "text").unlink()

    return kept(f"debian {hashlib.sha256(DEBIAN_EXPORT.read_bytes()).hexdigest()}", make) / "disk.raw"


def linux(**options: Unpack[Options]) -> Path:
    """Return a small Linux of disk_builder.py as a raw disk; with `two_disks` the second is disk-2.raw beside it."""
    options.setdefault("root_size", ROOT_SIZE)
    return kept(f"linux {sorted(options.items())!r}", lambda folder: build_linux(folder, **options)) / "disk.raw"


def data_disk(content: str = "ext4", scheme: str = "dos") -> Path:
    """Return a raw disk with one partition at 1 MiB that holds a filesystem."""
    size = SIZES.get(content, 64)

    def make(folder: Path) -> None:
        disk = folder / "disk.raw"
        with disk.open("wb") as file:
            file.truncate((size + 2) * MIB)
        kind = "83" if scheme == "dos" else "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
        script = f"label: {scheme}\nfirst-lba: 2048\n1: start=2048, size={size * 2048}, type={kind}\n"
        run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk, text=script)
        put_new_volume(disk, MIB, content, size * MIB, uuid_of("data", content))

    return kept(f"data {content} {scheme}", make) / "disk.raw"


def put_new_volume(
    disk: Path, offset: int, content: str, size: int, identity: str, files: Mapping[str, bytes] | None = None
) -> None:
    """Make a filesystem with these files in a disk."""
    with tempfile.TemporaryDirectory(dir=disk.parent) as name:
        volume = Path(name) / "volume"
        make_volume(volume, content, size, identity, files or {})
        put_volume(disk, offset, volume)


def put_volume(disk: Path, offset: int, volume: Path) -> None:
    """Copy a volume into a disk, leaving holes where it is empty."""
    with disk.open("r+b") as target:
        for at, data in pieces(volume):
            target.seek(offset + at)
            target.write(data)


WINDOWS_GUID, ESP_GUID = "B0070000-0000-4000-8000-0000000000C1", "B0070000-0000-4000-8000-0000000000E5"
WINDOWS_START, WINDOWS_SIZE = 48 * MIB, 6400 * MIB
"""The volume of Windows is as large as it has to be for 6 GiB to be free; all disks with one are sparse."""
SIGNATURE, SECOND_SIGNATURE = 0x1234ABCD, 0x5EC0DD15


def windows_bios(installed: Windows, filesystem: str = "ntfs", data: str = "ntfs", size: int = WINDOWS_SIZE) -> Path:
    """Return an MBR disk with a phony Windows in the active partition at 1 MiB and a data volume behind it.

    Windows' own boot sectors cannot be distributed: the MBR is Syslinux' generic one, the boot sector its parameters
    and the message that Windows' prints.
    """

    def make(folder: Path) -> None:
        loads = "NTLDR" if installed.boot_ini else "BOOTMGR"
        files = windows_files(installed)
        _bios_disk(folder / "disk.raw", files, installed.place.start, size, loads, filesystem, data)

    return kept(f"windows-bios {installed!r} {filesystem} {data} {size}", make) / "disk.raw"


def windows_apart() -> tuple[Path, Path]:
    """Return an MBR disk with a boot manager alone, and a second one with the Windows that it loads."""
    place = Place(signature=SECOND_SIGNATURE)
    installed = replace(WINDOWS_2019, place=place, bcd=None)

    def make(folder: Path) -> None:
        store = bcd_store((Entry("Windows Server", place),), Place())
        files = {"/bootmgr": b"\xeb\x3c\x90" + bytes(509), "/Boot/BCD": store}
        _bios_disk(folder / "disk.raw", files, MIB, 64 * MIB, "BOOTMGR")
        _table(
            folder / "second.raw",
            f"label: dos\nlabel-id: 0x{SECOND_SIGNATURE:08x}\n1: start=2048, size={WINDOWS_SIZE // 512}, type=7\n",
        )
        put_volume(folder / "second.raw", MIB, ntfs_image(windows_files(installed), room=WINDOWS_SIZE))

    folder = kept("windows-apart", make)
    return folder / "disk.raw", folder / "second.raw"


def _bios_disk(
    disk: Path,
    files: Mapping[str, bytes],
    start: int,
    size: int,
    loads: str,
    filesystem: str = "ntfs",
    data: str = "ntfs",
) -> None:
    """Write a disk that boots from a volume with these files, and a data volume behind it."""
    type_of = {"ntfs": "7", "vfat": "c", "exfat": "7"}
    _table(
        disk,
        f"label: dos\nlabel-id: 0x{SIGNATURE:08x}\n"
        f"1: start={start // 512}, size={size // 512}, type={type_of[filesystem]}, bootable\n"
        f"2: start={(start + size) // 512}, size={16 * 2048}, type={type_of[data]}\n",
    )
    write_at(disk, 0, require_file(disk_builder.SYSLINUX_MBR["mbr"])[:440])
    if filesystem == "ntfs":
        put_volume(disk, start, ntfs_image(files, start=start, room=size))
    else:
        named = {path.lstrip("/"): data for path, data in files.items()}
        put_new_volume(disk, start, filesystem, size, "C0DE-0001", named)
    write_at(disk, start + 0x5A, b"\x33\xc0\x8e\xd0".ljust(0x100 - 0x5A, b"\x90"))
    write_at(disk, start + 0x100, f"\r\n{loads} is missing\0".encode().ljust(0xFE, b"\0") + b"\x55\xaa")
    put_new_volume(disk, start + size, data, 16 * MIB, uuid_of("data", data))


def windows_efi(installed: Windows, scheme: str) -> Path:
    """Return a disk with an EFI system partition at 1 MiB and a phony Windows at 48 MiB; `scheme` is mbr or gpt."""

    def make(folder: Path) -> None:
        disk = folder / "disk.raw"
        by_guid = scheme == "gpt"
        esp_type = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" if by_guid else "ef"
        windows_type = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7" if by_guid else "7"
        label = "label: gpt\n" if by_guid else f"label: dos\nlabel-id: 0x{SIGNATURE:08x}\n"
        guids = [f", uuid={guid}" if by_guid else "" for guid in (ESP_GUID, WINDOWS_GUID)]
        _table(
            disk,
            f"{label}1: start=2048, size={40 * 2048}, type={esp_type}{guids[0]}\n"
            f"2: start={WINDOWS_START // 512}, size={WINDOWS_SIZE // 512}, type={windows_type}{guids[1]}\n",
        )
        place = Place(gpt=WINDOWS_GUID if by_guid else None, signature=SIGNATURE, start=WINDOWS_START)
        esp_place = Place(gpt=ESP_GUID if by_guid else None, signature=SIGNATURE, start=MIB)
        here = replace(installed, place=place, bcd=None)
        loader = pe_file(installed.architecture)
        esp = {
            "EFI/Microsoft/Boot/bootmgfw.efi": loader,
            "EFI/Microsoft/Boot/BCD": bcd_store((Entry("Windows", place),), esp_place),
        }
        put_new_volume(disk, MIB, "vfat", 40 * MIB, "E5E5-E5E5", esp)
        put_volume(disk, WINDOWS_START, ntfs_image(windows_files(here), start=WINDOWS_START, room=WINDOWS_SIZE))

    return kept(f"windows-efi {installed!r} {scheme}", make) / "disk.raw"


def _table(disk: Path, script: str) -> None:
    with disk.open("wb") as file:
        file.truncate(WINDOWS_START + WINDOWS_SIZE + 18 * MIB)
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk, text=script)


Change = Callable[[Path], None]


def image(raw: Path, container: str, folder: Path, change: Change | None = None, name: str = "disk0") -> Path:
    """Return a raw disk in a container, in `folder`; `change` then alters the image file."""
    target = convert(raw, container, folder / f"{name}.{CONTAINERS[container][2]}")
    if change is not None:
        change(target)
    return target


def changed(raw: Path, folder: Path, change: Change) -> Path:
    """Return a sparse copy of a raw disk in `folder`, altered by `change`."""
    copy = folder / f"changed-{len(list(folder.iterdir()))}.raw"
    run("cp", "--sparse=always", "--reflink=auto", raw, copy)
    change(copy)
    return copy


def one_disk(raw: Callable[[], Path], container: str = "vmdk", change: Change | None = None) -> Make:
    """Make a machine of one disk; `change` alters the image file."""
    return lambda folder: [image(raw(), container, folder, change)]


def flip(path: Path, offset: int, mask: int = 0xFF) -> None:
    """Change bits of one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def sparse_vmdk_grains(path: Path) -> list[int]:
    """Return the file offsets of the grains of a monolithicSparse VMDK ("Virtual Disk Format 5.0", hosted sparse)."""
    data = path.read_bytes()
    capacity, grain_sectors = struct.unpack_from("<QQ", data, 12)
    entries_per_table = struct.unpack_from("<I", data, 44)[0]
    directory = struct.unpack_from("<Q", data, 56)[0] * 512
    found = []
    for number in range(-(-capacity // (grain_sectors * entries_per_table))):
        table = struct.unpack_from("<I", data, directory + 4 * number)[0] * 512
        if table:
            entries = struct.unpack_from(f"<{entries_per_table}I", data, table)
            found += [entry * 512 for entry in entries if entry > 1]
    return sorted(found)
