"""Firmware and boot disk of small Linux machines: a healthy one, and each with one thing taken away."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import msgspec
import pytest
from disk_builder import MIB, build_linux, embed_grub, grub_core, write_at
from md_builder import mirror
from memory_filesystem import MemoryFileSystem
from tools import require_tool

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.memory import MemoryDevice
from imgscan.devices.slice import SliceDevice
from imgscan.guests.boot import inspect_boot
from imgscan.model.boot import Boot, BootCode
from imgscan.model.disk import Disk, Partition, PartitionTable
from imgscan.model.fact import known, unread
from imgscan.model.volume import Volume
from imgscan.scan import ScanOptions, inspect_machine


def _boot(*paths: Path) -> Boot:
    return inspect_machine(paths, ScanOptions(input_format="raw")).boot


def _code(boot: Boot, where: str = "disk0") -> BootCode:
    return next(code for code in boot.code if code.where == where)


def _starts(path: Path) -> list[int]:
    dump = subprocess.check_output([require_tool("sfdisk"), "--dump", str(path)], text=True)
    return [int(line.split("start=")[1].split(",")[0]) for line in dump.splitlines() if "start=" in line]


@pytest.fixture(scope="module")
def mbr(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_linux(tmp_path_factory.mktemp("mbr")).read_bytes()


@pytest.fixture(scope="module")
def gpt(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_linux(tmp_path_factory.mktemp("gpt"), scheme="gpt", bios_boot=True).read_bytes()


@pytest.fixture(scope="module")
def esp(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return build_linux(tmp_path_factory.mktemp("esp"), scheme="gpt", esp=True).read_bytes()


def _on(tmp_path: Path, disk: bytes) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(disk)
    return path


def test_a_healthy_mbr_disk(tmp_path: Path, mbr: bytes) -> None:
    boot = _boot(_on(tmp_path, mbr))
    assert (boot.firmware.value, boot.disk.value) == ("bios", ("disk0",))
    assert (_code(boot).what, _code(boot).loads) == ("grub2", "disk0/p1")


def test_a_healthy_gpt_disk_with_bios_boot_partition(tmp_path: Path, gpt: bytes) -> None:
    boot = _boot(_on(tmp_path, gpt))
    assert (boot.firmware.value, boot.disk.value, _code(boot).loads) == ("bios", ("disk0",), "disk0/p2")


def test_a_healthy_disk_with_efi_system_partition(tmp_path: Path, esp: bytes) -> None:
    boot = _boot(_on(tmp_path, esp))
    assert (boot.firmware.value, boot.disk.value) == ("uefi", ("disk0",))
    assert [(loader.path.upper(), loader.what, loader.fallback) for loader in boot.loaders] == [
        ("/EFI/BOOT/BOOTX64.EFI", "grub2", True),
        ("/EFI/DEBIAN/GRUBX64.EFI", "grub2", False),
    ]


def test_both_ways(tmp_path: Path) -> None:
    boot = _boot(build_linux(tmp_path, scheme="gpt", bios_boot=True, esp=True))
    assert boot.firmware.value == "both"


def _neither(path: Path) -> str:
    boot = _boot(path)
    assert (boot.firmware.value, boot.disk.value) == ("neither", ())
    assert boot.firmware.evidence
    return "; ".join(code.detail for code in boot.code)


def test_boot_code_taken_away(tmp_path: Path, mbr: bytes, gpt: bytes) -> None:
    for disk in (mbr, gpt):
        assert "empty" in _neither(_on(tmp_path, bytes(440) + disk[440:]))


def test_boot_signature_taken_away(tmp_path: Path, mbr: bytes) -> None:
    assert "55 AA is missing" in _neither(_on(tmp_path, mbr[:510] + b"\0\0" + mbr[512:]))


def test_core_image_taken_away(tmp_path: Path, mbr: bytes, gpt: bytes) -> None:
    assert "no GRUB core image" in _neither(_on(tmp_path, mbr[:512] + bytes(MIB - 512) + mbr[MIB:]))
    path = _on(tmp_path, gpt)
    write_at(path, _starts(path)[0] * 512, bytes(MIB))
    assert "no GRUB core image" in _neither(path)


def test_core_image_damaged(tmp_path: Path, mbr: bytes) -> None:
    path = _on(tmp_path, mbr)
    write_at(path, 1024, bytes(1024))
    assert "sector 2 of disk0 is zeros" in _neither(path)
    path = _on(tmp_path, mbr)
    write_at(path, 1024, b"\x90" * 5)
    boot = _boot(path)
    assert (boot.firmware.unread, boot.disk.value) == ("corrupt", ("disk0",))


def test_partition_taken_away(tmp_path: Path, mbr: bytes) -> None:
    assert "does not exist" in _neither(_on(tmp_path, mbr[:446] + bytes(16) + mbr[462:]))


@pytest.mark.parametrize("by", ["bios", "uefi"])
def test_firmware_takes_a_disk_of_a_mirror_for_a_disk(tmp_path: Path, mbr: bytes, esp: bytes, by: str) -> None:
    paths = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for path, member in zip(paths, mirror(mbr if by == "bios" else esp, at_end=True), strict=True):
        path.write_bytes(member)
    machine = inspect_machine(paths, ScanOptions(input_format="raw"))
    assert machine.boot.firmware.value == by
    assert machine.boot.disk.value == ("disk0", "disk1")
    assert [system.root[:12] for system in machine.systems] == ["md/5eed5eed/"]


def test_a_loader_takes_a_partition_of_a_mirror_for_a_partition(tmp_path: Path, mbr: bytes) -> None:
    (start,) = _starts(_on(tmp_path, mbr))
    paths = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for path, member in zip(paths, mirror(mbr[start * 512 : -MIB], at_end=True), strict=True):
        path.write_bytes(mbr[: start * 512] + member + bytes(MIB))
        table = f"label: dos\nstart={start}, size={len(member) // 512}, type=fd, bootable\n"
        order = [require_tool("sfdisk"), "--quiet", "--no-reread", "--no-tell-kernel", str(path)]
        subprocess.run(order, input=table, text=True, check=True)
        write_at(path, 0, mbr[:440])
    machine = inspect_machine(paths, ScanOptions(input_format="raw"))
    assert machine.boot.firmware.value == "bios"
    assert [code.loads for code in machine.boot.code if code.where == "disk0"] == ["md/5eed5eed"]
    assert [system.root for system in machine.systems] == ["md/5eed5eed"]


def test_root_filesystem_taken_away(tmp_path: Path, mbr: bytes, gpt: bytes, esp: bytes) -> None:
    for disk, index in ((mbr, 0), (gpt, 1), (esp, 1)):
        path = _on(tmp_path, disk)
        write_at(path, _starts(path)[index] * 512, bytes(2 * MIB))
        said = _neither(path)
        assert disk is esp or "holds no filesystem" in said


def test_grub_directory_taken_away(tmp_path: Path) -> None:
    assert "grub.cfg" in _neither(build_linux(tmp_path, files={"boot/grub/grub.cfg": None}))


@pytest.mark.parametrize("menu", [b"", b" \n\n", b"# made by grub-mkconfig\n\n  # nothing was found\n"])
@pytest.mark.parametrize("by", ["bios", "uefi"])
def test_grub_with_an_empty_menu(tmp_path: Path, menu: bytes, by: str) -> None:
    files: dict[str, bytes | None] = {"boot/grub/grub.cfg": menu}
    path = build_linux(tmp_path, scheme="gpt", esp=by == "uefi", bios_boot=by == "bios", files=files)
    boot = _boot(path)
    assert (boot.firmware.value, boot.disk.value) == ("neither", ())
    if by == "bios":
        assert "GRUB's menu is empty" in _code(boot).detail


@pytest.mark.parametrize(
    ("menu", "why"),
    [
        (bytes(5000), "corrupt"),
        (b"set timeout=5\n\x8b\x01\xff menuentry", "corrupt"),
        (b"set timeout=5\n", "unsupported"),
        (b"blscfg\n", None),
        (b"insmod ext2\nconfigfile /other.cfg\n", None),
        (b"source /other.cfg", None),
        (b"if true; then . /other.cfg; fi", None),
        (b"menuentry 'Gr\xfc\xdfe' {\n linux /vmlinuz\n}\n", None),
        (b"# a long head\n" * 1000, None),
    ],
)
def test_grub_with_an_odd_menu(tmp_path: Path, menu: bytes, why: str | None) -> None:
    boot = _boot(build_linux(tmp_path, files={"boot/grub/grub.cfg": menu}))
    assert boot.disk.value == ("disk0",)
    assert (boot.firmware.value == "bios") if why is None else (boot.firmware.unread == why)


@pytest.mark.parametrize(("stub", "firmware"), [(b"", "neither"), (b"configfile (hd0,gpt2)/grub.cfg\n", "uefi")])
def test_grubs_configuration_on_the_efi_system_partition(tmp_path: Path, stub: bytes, firmware: str) -> None:
    path = build_linux(tmp_path, scheme="gpt", esp=True)
    folder = tmp_path / "grub.cfg"
    folder.write_bytes(stub)
    part = f"{path}@@{_starts(path)[0] * 512}"
    subprocess.run([require_tool("mcopy"), "-o", "-i", part, str(folder), "::/EFI/debian/grub.cfg"], check=True)
    boot = _boot(path)
    assert boot.firmware.value == firmware
    # GRUB's file in EFI/BOOT and in EFI/debian read the same configuration
    assert [bool(loader.detail) for loader in boot.loaders] == [firmware == "neither"] * 2
    if firmware == "neither":
        assert all("grub.cfg" in loader.detail for loader in boot.loaders)


def test_efi_loader_taken_away(tmp_path: Path) -> None:
    _neither(build_linux(tmp_path, scheme="gpt", esp=True, loader=False))


def test_no_boot_code_at_all(tmp_path: Path) -> None:
    _neither(build_linux(tmp_path, bootloader="none"))


def test_extlinux_needs_its_active_partition(tmp_path: Path) -> None:
    boot = _boot(build_linux(tmp_path, bootloader="extlinux"))
    assert (boot.firmware.value, _code(boot).what, _code(boot).loads) == ("bios", "syslinux", "disk0/p1")
    assert _code(boot, "disk0/p1").what == "extlinux"
    _neither(build_linux(tmp_path, "inactive", bootloader="extlinux", active=False))


def test_the_partition_at_which_the_chain_breaks_off_is_named(tmp_path: Path) -> None:
    path = build_linux(tmp_path, bootloader="extlinux")
    write_at(path, _starts(path)[0] * 512, bytes(510))
    boot = _boot(path)
    assert boot.firmware.value == "neither"
    assert "that is disk0/p1, which has no boot code" in _code(boot).detail


def test_extlinux_on_gpt(tmp_path: Path) -> None:
    path = build_linux(tmp_path, scheme="gpt", bootloader="extlinux")
    _neither(path)
    subprocess.run([require_tool("sgdisk"), "-A", "1:set:2", str(path)], check=True, capture_output=True)
    assert _boot(path).firmware.value == "bios"


def test_grub_does_not_need_the_active_flag(tmp_path: Path) -> None:
    assert _boot(build_linux(tmp_path, active=False)).firmware.value == "bios"


def test_a_boot_partition_of_its_own(tmp_path: Path) -> None:
    boot = _boot(build_linux(tmp_path, boot="ext4", root="ext4"))
    volume = _code(boot).loads
    assert boot.firmware.value == "bios"
    assert volume is not None


def test_a_boot_filesystem_that_is_not_read(tmp_path: Path) -> None:
    boot = _boot(build_linux(tmp_path, boot="xfs"))
    assert boot.firmware.value == "bios"


def test_root_on_another_disk(tmp_path: Path) -> None:
    first = build_linux(tmp_path, two_disks=True)
    second = first.with_name("disk-2.raw")
    boot = _boot(first, second)
    assert (boot.firmware.value, boot.disk.value) == ("bios", ("disk0",))
    swapped = _boot(second, first)
    assert (swapped.firmware.value, swapped.disk.value) == ("bios", ("disk1",))
    alone = _boot(second)
    assert alone.firmware.value == "neither"


def test_two_boot_disks(tmp_path: Path, mbr: bytes) -> None:
    one, two = tmp_path / "one.raw", tmp_path / "two.raw"
    one.write_bytes(mbr)
    two.write_bytes(mbr)
    assert _boot(one, two).disk.value == ("disk0", "disk1")


@pytest.mark.parametrize(
    ("prefix", "firmware", "why"),
    [
        ("(lvm/vg0-root)/boot/grub", "neither", None),
        ("(cryptouuid/0123)/boot/grub", "neither", None),
        ("(hd5,msdos1)/boot/grub", "neither", None),
        ("(,msdos1)/boot/elsewhere", "neither", None),
        ("(memdisk)/boot/grub", None, "unsupported"),
    ],
)
def test_other_prefixes(tmp_path: Path, mbr: bytes, prefix: str, firmware: str | None, why: str | None) -> None:
    path = _on(tmp_path, mbr)
    embed_grub(path, grub_core(prefix, "ext2"), 1)
    boot = _boot(path)
    if firmware is not None:
        assert boot.firmware.value == firmware
    else:
        assert boot.firmware.unread == why
        assert boot.disk.value == ("disk0",)


def test_an_encrypted_boot_volume_is_unread_not_absent(tmp_path: Path, mbr: bytes) -> None:
    path = _on(tmp_path, mbr)
    header = struct.pack(">6sH", b"LUKS\xba\xbe", 1).ljust(592, b"\0")
    write_at(path, _starts(path)[0] * 512, header + bytes(2 * MIB))
    boot = _boot(path)
    assert (boot.firmware.unread, boot.disk.value) == ("encrypted", ("disk0",))
    embed_grub(path, grub_core("(cryptouuid/0123)/boot/grub", "ext2"), 1)
    assert _boot(path).firmware.unread == "encrypted"


# -- Windows and unknown code, on devices put together here ----------------------------------------------------------

_XP_MBR = bytes.fromhex("33c08ed0bc007cfb5007501ffc") + b"Invalid partition table\0"
_NT6_VBR = b"\xeb\x52\x90NTFS    ".ljust(84, b"\0") + b"\xfa\x33\xc0 BOOTMGR is missing"


def _machine(
    mbr_code: bytes, boot_sector: bytes, files: dict[str, bytes] | None, *, active: bool = True, readable: str = "yes"
) -> Boot:
    """Return the boot facts of a disk with one NTFS partition at 1 MiB; `files` None: it could not be opened."""
    disk = bytearray(4 * MIB)
    disk[: len(mbr_code)] = mbr_code
    disk[510:512] = b"\x55\xaa"
    disk[MIB : MIB + len(boot_sector)] = boot_sector
    disk[MIB + 510 : MIB + 512] = b"\x55\xaa"
    device = MemoryDevice(bytes(disk), "disk0")
    part = Partition("disk0/p1", 1, MIB, 3 * MIB, "0x07", active, None)
    table = PartitionTable(scheme="mbr", partitions=(part,), boot_signature=True)
    image = Disk(name="disk0", path="x", format="raw", variant="raw", virtual_size=4 * MIB, partition_table=table)
    volume = Volume(
        name="disk0/p1",
        kind="partition",
        on=("disk0",),
        size=3 * MIB,
        content="ntfs",
        signature=known("ntfs"),
        readable=known(True) if readable == "yes" else unread("corrupt", "the MFT is damaged"),
    )
    devices: dict[str, BlockDevice] = {"disk0": device, "disk0/p1": SliceDevice(device, MIB, 3 * MIB, "disk0/p1")}
    filesystems: dict[str, FileSystem] = {} if files is None else {"disk0/p1": MemoryFileSystem(files)}
    return inspect_boot((image,), devices, (volume,), filesystems)


def test_windows() -> None:
    whole = {"/bootmgr": b"", "/Boot/BCD": b""}
    boot = _machine(_XP_MBR, _NT6_VBR, whole)
    assert (boot.firmware.value, boot.disk.value) == ("bios", ("disk0",))
    assert [(code.where, code.what, code.loads) for code in boot.code] == [
        ("disk0", "windows-nt5", "disk0/p1"),
        ("disk0/p1", "windows-nt6", "disk0/p1"),
    ]
    assert _machine(_XP_MBR, _NT6_VBR, {"/Windows/x": b""}).firmware.value == "neither"
    assert _machine(_XP_MBR, _NT6_VBR, {"/bootmgr": b""}).firmware.value == "neither"
    assert _machine(_XP_MBR, _NT6_VBR, whole, active=False).firmware.value == "neither"
    assert _machine(_XP_MBR, b"", whole).firmware.value == "neither"
    assert _machine(_XP_MBR, _NT6_VBR, None, readable="no").firmware.unread == "corrupt"


def test_unknown_boot_code() -> None:
    unknown = b"\xfa\xfa\xfa some other loader"
    assert _machine(unknown, _NT6_VBR, {"/bootmgr": b"", "/Boot/BCD": b""}).firmware.value == "bios"
    for boot in (_machine(unknown, unknown, {}), _machine(_XP_MBR, unknown, {})):
        assert (boot.firmware.unread, boot.disk.value) == ("unsupported", ("disk0",))
    boot = _machine(unknown, unknown, {}, active=False)
    assert (boot.firmware.unread, boot.disk.value) == ("unsupported", ("disk0",))


@pytest.mark.parametrize(
    ("boot_sector", "kernel"),
    [
        (b"\xeb\x3c\x90FRDOS5.1".ljust(90, b"\0") + b"Loading FreeDOS KERNEL  SYS", "/KERNEL.SYS"),
        (b"\xeb\x3c\x90MSDOS5.0".ljust(90, b"\0") + b"\xfa Non-System disk IO      SYSMSDOS   SYS", "/IO.SYS"),
    ],
)
def test_dos_needs_its_kernel(boot_sector: bytes, kernel: str) -> None:
    assert _machine(_XP_MBR, boot_sector, {kernel: b""}).firmware.value == "bios"
    assert _machine(_XP_MBR, boot_sector, {"/COMMAND.COM": b""}).firmware.value == "neither"


def test_a_disk_that_could_not_be_read_is_no_answer() -> None:
    lost = Disk(
        name="disk0",
        path="x",
        format=None,
        variant=None,
        virtual_size=None,
        partitioning=unread("truncated", "the file is empty"),
    )
    boot = inspect_boot((lost,), {}, (), {})
    assert (boot.firmware.unread, boot.disk.unread) == ("truncated", "truncated")


def test_a_lost_data_disk_does_not_spoil_a_boot_disk(tmp_path: Path, mbr: bytes) -> None:
    facts = inspect_machine([_on(tmp_path, mbr)])
    lost = msgspec.structs.replace(
        facts.disks[0], name="disk1", partition_table=None, partitioning=unread("truncated", "cut")
    )
    device = MemoryDevice(mbr, "disk0")
    devices: dict[str, BlockDevice] = {"disk0": device}
    for partition in facts.disks[0].partition_table.partitions if facts.disks[0].partition_table else ():
        devices[partition.name] = SliceDevice(device, partition.start, partition.size, partition.name)
    grub = MemoryFileSystem({"/boot/grub/i386-pc/normal.mod": b"", "/boot/grub/grub.cfg": b"blscfg\n"}, type_="ext4")
    boot = inspect_boot((facts.disks[0], lost), devices, facts.volumes, {"disk0/p1": grub})
    assert (boot.firmware.value, boot.disk.value) == ("bios", ("disk0",))
