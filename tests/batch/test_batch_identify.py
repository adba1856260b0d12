"""What a worker says of a file: formats by their content, names of other files, and at what cost."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from image_opening import qemu_img
from qcow2_images import Qcow2
from tools import requires_tool
from vhd_images import FIXED, footer

from imgscan.batch.identify import identify_file
from imgscan.batch.share import Identified
from imgscan.containers import sidecars
from imgscan.devices.counters import IoCounter
from imgscan.devices.file import FileDevice, FileIdentity

MIB = 1 << 20
BOOT_SECTOR = bytes(510) + b"\x55\xaa"


def identify(path: Path, counter: IoCounter | None = None) -> Identified:
    descriptor = os.open(path, os.O_RDONLY)
    info = os.fstat(descriptor)
    identity = FileIdentity(info.st_dev, info.st_ino)
    file = FileDevice(descriptor, os.fsdecode(path.name), info.st_size, identity, counter or IoCounter())
    try:
        found = identify_file(file)
    finally:
        file.close()
    assert msgspec.json.decode(msgspec.json.encode(found), type=Identified) == found
    return found


def written(folder: Path, content: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@requires_tool("qemu-img")
@pytest.mark.parametrize(
    ("qemu_format", "options", "expected"),
    [
        ("vmdk", "subformat=monolithicSparse", Identified(format="vmdk")),
        ("vmdk", "subformat=streamOptimized", Identified(format="vmdk")),
        ("vmdk", "subformat=monolithicFlat", Identified(format="vmdk", extents=("disk-flat.vmdk",))),
        ("vmdk", "subformat=twoGbMaxExtentSparse", Identified(format="vmdk", extents=("disk-s001.vmdk",))),
        ("vpc", "subformat=dynamic", Identified(format="vhd")),
        ("vpc", "subformat=fixed", Identified(format="vhd")),
        ("vhdx", "subformat=dynamic", Identified(format="vhdx")),
        ("qcow2", "compat=1.1", Identified(format="qcow2")),
        ("vdi", "static=off", Identified(format="vdi")),
    ],
)
def test_formats(tmp_path: Path, qemu_format: str, options: str, expected: Identified) -> None:
    path = tmp_path / "disk.vmdk"
    qemu_img("create", "-f", qemu_format, "-o", options, path, "4M")
    counter = IoCounter()
    assert identify(path, counter) == expected
    assert counter.result().reads <= (7 if qemu_format == "vhdx" else 3)


@requires_tool("qemu-img")
def test_parents(tmp_path: Path) -> None:
    qemu_img("create", "-f", "vmdk", tmp_path / "base.vmdk", "4M")
    qemu_img("create", "-f", "vmdk", "-F", "vmdk", "-b", tmp_path / "base.vmdk", tmp_path / "top.vmdk")
    assert identify(tmp_path / "top.vmdk") == Identified(format="vmdk", parents=("base.vmdk",))
    qemu_img("create", "-f", "qcow2", tmp_path / "base.qcow2", "4M")
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", tmp_path / "base.qcow2", tmp_path / "top.qcow2")
    assert identify(tmp_path / "top.qcow2") == Identified(format="qcow2", parents=("base.qcow2",))


def test_names_are_bare_and_fit_to_be_shown(tmp_path: Path) -> None:
    for name, bare in ((b"../../caf\xe9.img", ("caf\\xe9.img",)), (b"C:\\vm\\b\x1b.img", ("b\\x1b.img",)), (b"x/", ())):
        assert identify(written(tmp_path, Qcow2(40 * 4096, backing=name).build())).parents == bare
    descriptor = (
        b'# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="twoGbMaxExtentFlat"\n'
        b'RW 1 FLAT "caf\xe9.vmdk" 0\nRW 1 FLAT "/etc/passwd" 0\nRW 1 FLAT "..\\x" 0\nRW 1 FLAT "b.vmdk" 0\n'
    )
    assert identify(written(tmp_path, descriptor)).extents == ("caf\\xe9.vmdk", "b.vmdk")


def test_a_raw_disk(tmp_path: Path) -> None:
    assert identify(written(tmp_path, BOOT_SECTOR + bytes(MIB))) == Identified(format="raw")


def iso(*, hybrid: bool) -> bytes:
    content = bytearray(64 * 2048)
    content[32768:32774] = b"\x01CD001"
    if hybrid:
        content[:512] = BOOT_SECTOR
    return bytes(content)


def kernel() -> bytes:
    return (bytes(510) + b"\x55\xaa\xeb\x66HdrS").ljust(MIB, b"\x90")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("cd.iso", iso(hybrid=False), "an ISO 9660 or UDF image (a CD or DVD) without a partition table"),
        ("debian.iso", iso(hybrid=True), "an ISO 9660 image (a CD or DVD) that can boot as a disk too"),
        ("floppy.img", BOOT_SECTOR.ljust(1_474_560, b"\0"), "the image of a floppy disk"),
        ("vmlinuz", kernel(), "a Linux kernel"),
        ("disk.vmdk", gzip.compress(bytes(100), mtime=0), "a file compressed with gzip"),
        ("vmware.log", b"2024-01-01 vmx caf\xe9\n" * 9, "a text"),
        ("web.nvram", b"MRVN" + bytes(8000), "a VMware .nvram file"),
    ],
)
def test_what_is_no_disk_of_a_machine(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    found = identify(written(tmp_path, content, name))
    assert (found.format, found.what, found.why) == (None, what, "unsupported")
    assert found.detail is not None
    assert found.detail.startswith(f"this is {what}")


def test_a_disk_in_which_a_guest_wrote_a_kernel_s_sign_is_a_disk(tmp_path: Path) -> None:
    path = written(tmp_path, kernel())
    os.truncate(path, 200 * MIB)
    assert identify(path).format == "raw"


def test_a_disk_that_once_held_an_iso_is_a_disk(tmp_path: Path) -> None:
    assert identify(written(tmp_path, iso(hybrid=True), "disk.img")).format == "raw"


@pytest.mark.parametrize("content", [bytes(5000), b"\x01" * 100_000, bytes(400_000)])
def test_what_is_not_known(tmp_path: Path, content: bytes) -> None:
    found = identify(written(tmp_path, content))
    assert (found.format, found.what, found.why) == (None, None, "unsupported")


def test_sidecars(tmp_path: Path) -> None:
    vmx = b'.encoding = "UTF-8"\nconfig.version = "8"\nscsi0:0.fileName = "C:\\\\vm\\\\web.vmdk"\n'
    found = identify(written(tmp_path, vmx, "web.vmx"))
    assert (found.format, found.sidecar, found.sidecar_disks) == (None, "a VMX machine file", ("web.vmdk",))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # reading a folder is an error
    file = FileDevice(descriptor, "disk.vmdk", 4096, FileIdentity(1, 1), IoCounter())
    found = identify_file(file)
    file.close()
    assert (found.format, found.why) == (None, "io-error")


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = written(tmp_path, b"short")
    descriptor = os.open(path, os.O_RDONLY)
    file = FileDevice(descriptor, "disk.vmdk", 4096, FileIdentity(1, 1), IoCounter())
    assert identify_file(file).why == "changed"
    file.close()


def cut_vhdx() -> bytes:
    return b"vhdxfile" + bytes(5000)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"KDMV" + bytes(40),
        lambda: b"KDMV" + struct.pack("<IIQQQQ", 1, 3, 1 << 40, 128, 1 << 40, 1 << 40) + bytes(600),
        cut_vhdx,
        lambda: b"QFI\xfb\0\0\0\x03" + b"\xff" * 100,
        lambda: b"# Disk DescriptorFile\nRW nonsense\n",
    ],
)
def test_damaged_images_keep_their_format(tmp_path: Path, make: Callable[[], bytes]) -> None:
    assert identify(written(tmp_path, make())).format is not None


# ---- what other files cost


@pytest.mark.parametrize(
    ("content", "reads"),
    [
        (b"2024-01-01T00:00:00Z In(05) vmx - Log for VMware ESX\n" * 40, 1),
        (b"2024-01-01T00:00:00Z In(05) vmx - Log for VMware ESX\n" * 100_000, 2),
        (b"MRVN" + os.urandom(270_000), 2),
        (iso(hybrid=False) * 8, 2),
        (b"x", 1),
        (os.urandom(3 * MIB), 6),
        (bytes(3 * MIB), 6),
        (b"\x7fELF" + os.urandom(MIB), 2),
    ],
    ids=["small log", "log", "nvram", "iso", "one byte", "unknown", "zeros", "program"],
)
def test_other_files_cost_few_reads(tmp_path: Path, content: bytes, reads: int) -> None:
    counter = IoCounter()
    identify(written(tmp_path, content), counter)
    assert counter.result().reads <= reads
    assert counter.result().bytes <= 110 * 1024


def test_every_kind_of_sidecar_has_its_rank() -> None:
    from imgscan.batch.sidecar_machines import RANKS

    kinds = {kind.what for kind in sidecars._KINDS} | {
        *("a Hyper-V machine file (.vmcx or .vmrs)", "an OVF descriptor of several machines")
    }
    assert set(RANKS) == kinds


def test_images_that_begin_as_a_text_does(tmp_path: Path) -> None:
    front = b"nothing but text\n" * 62_000
    size = len(front) // 512 * 512
    assert identify(written(tmp_path, front[:size] + footer(size, FIXED))).format == "vhd"
    assert identify(written(tmp_path, front[:510] + b"\x55\xaa" + front)).format == "raw"
    assert identify(written(tmp_path, b"# Disk DescriptorFile\n" + b"# nothing\n" * 90_000)).format == "vmdk"
