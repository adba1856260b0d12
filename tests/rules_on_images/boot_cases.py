"""Faults of partition tables and of what boots."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

from disk_builder import DEFAULT_SIZE, KERNEL, UUIDS, run, write_at
from rules_on_images.case import (
    NO_DATA_VOLUME,
    OF_OTHER_SYSTEMS,
    WINDOWS_RULES,
    Case,
    Moved,
    linux_outcomes,
    windows_efi_outcomes,
    windows_outcomes,
)
from rules_on_images.machines import (
    WINDOWS_SIZE,
    Change,
    Make,
    changed,
    data_disk,
    debian,
    flip,
    image,
    linux,
    one_disk,
    put_volume,
    windows_bios,
    windows_efi,
)
from windows_builder import WINDOWS_8, WINDOWS_2019, Entry, Place, ntfs_image, windows_files

MIB, TIB = 1 << 20, 1 << 40
SMALL_VMDK = linux_outcomes("vmdk", **NO_DATA_VOLUME)
SMALL_VHDX = linux_outcomes("vhdx", **NO_DATA_VOLUME)
WINDOWS_EFI = windows_efi_outcomes("vhdx", client_not_us_english="pass", hotfix_missing="pass")
UEFI_64, UEFI_32 = WINDOWS_8, replace(WINDOWS_8, architecture="x86")


def debian_changed(change: Change) -> Make:
    """Make the real Debian with bytes of its disk changed."""
    return lambda folder: [image(changed(debian(), folder, change), "vmdk", folder)]


def with_data(scheme: str, change: Change | None = None) -> Make:
    """Make the Debian with a data disk, whose bytes `change` alters."""

    def make(folder: Path) -> list[Path]:
        data = data_disk(scheme=scheme)
        data = data if change is None else changed(data, folder, change)
        return [image(debian(), "vmdk", folder), image(data, "vmdk", folder, name="data")]

    return make


def spoil_gpt_entries(disk: Path) -> None:
    """Change a character of the partition's name in the primary entry array: its CRC does not fit any more."""
    flip(disk, 2 * 512 + 56, 1)


def overlap_in_gpt(disk: Path) -> None:
    """Add a second partition that begins inside the first one, with all checksums right, in both copies."""
    size = disk.stat().st_size
    data = disk.read_bytes()
    first = data[1024 : 1024 + 128]
    start, end = struct.unpack_from("<QQ", first, 32)
    second = bytearray(first)
    second[16:32] = bytes(range(16))
    struct.pack_into("<QQ", second, 32, end - 2047, end + 1024)
    assert start < end - 2047
    entries = first + bytes(second) + data[1024 + 256 : 1024 + 128 * 128]
    for header_at, entries_at in ((512, 1024), (size - 512, size - 512 - 128 * 128)):
        header = bytearray(data[header_at : header_at + 92])
        struct.pack_into("<I", header, 88, zlib.crc32(entries))
        header[16:20] = bytes(4)
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        write_at(disk, header_at, bytes(header))
        write_at(disk, entries_at, entries)


def partition_beyond_end(disk: Path) -> None:
    """Make the data disk's only partition one sector longer than the disk."""
    sectors = disk.stat().st_size // 512
    write_at(disk, 446 + 12, struct.pack("<I", sectors - 2048 + 1))


def no_boot_code(disk: Path) -> None:
    write_at(disk, 0, bytes(440))


def no_core_image(disk: Path) -> None:
    write_at(disk, 512, bytes(MIB - 512))


def not_active(disk: Path) -> None:
    write_at(disk, 446, b"\0")


def made_dynamic(disk: Path) -> None:
    """Make the boot volume of a Windows one of a dynamic disk, as converting it does: type 0x42, and a private header.

    There is no database behind it: the header is after the description of LDM by the Linux-NTFS project.
    """
    head = bytearray(512)
    head[:8] = b"PRIVHEAD"
    struct.pack_into(">HH", head, 12, 2, 12)
    names = {48: "11111111-0000-0000-0000-000000000001", 176: "33333333-0000-0000-0000-000000000003", 240: "WIN-Dg0"}
    for at, name in names.items():
        head[at : at + len(name)] = name.encode()
    struct.pack_into(">QQ", head, 283, 63, disk.stat().st_size // 512 - 2048 - 63)
    write_at(disk, 6 * 512, bytes(head))
    write_at(disk, 446 + 4, b"\x42")


def no_efi_store(disk: Path) -> None:
    run("mdel", "-i", f"{disk}@@{MIB}", "::/EFI/Microsoft/Boot/BCD")


def loop_in_extended(disk: Path) -> None:
    """Let the Debian's extended boot record, behind its swap partition, name itself as the next one."""
    with disk.open("rb") as file:
        file.seek(446)
        entries = file.read(64)
    (extended,) = (entries[at : at + 16] for at in range(0, 64, 16) if entries[at + 4] == 5)
    (start,) = struct.unpack_from("<I", extended, 8)
    write_at(disk, start * 512 + 446 + 16, struct.pack("<B3xB3xII", 0, 5, 0, 2048))


def windows_beside_linux(folder: Path) -> list[Path]:
    """Put a Windows into the data partition of the small Linux; no menu offers it."""
    (start,) = (s for n, s in enumerate(partition_starts(linux(data="ext4"))) if n == 1)
    volume = ntfs_image(windows_files(WINDOWS_2019), size=DEFAULT_SIZE * MIB, start=start)

    def change(disk: Path) -> None:
        write_at(disk, start, bytes(DEFAULT_SIZE * MIB))
        put_volume(disk, start, volume)
        write_at(disk, 446 + 16 + 4, b"\7")

    return [image(changed(linux(data="ext4"), folder, change), "vmdk", folder)]


def partition_starts(disk: Path) -> list[int]:
    """Return the byte offsets of an MBR's partitions."""
    with disk.open("rb") as file:
        table = file.read(512)[446:510]
    return [start * 512 for (start,) in struct.iter_unpack("<8xI4x", table) if start]


def of_size(size: int) -> Make:
    """Make the Debian as a VHDX whose disk was enlarged to `size` bytes."""
    return lambda folder: [image(changed(debian(), folder, enlarge_to(size)), "vhdx", folder)]


def flat_of_size(size: int) -> Make:
    """Make the same as a flat VMDK: the raw disk with a descriptor beside it."""

    def make(folder: Path) -> list[Path]:
        extent = changed(debian(), folder, enlarge_to(size))
        descriptor = folder / "flat.vmdk"
        descriptor.write_text(
            '# Disk DescriptorFile\nversion=1\nCID=5eed5eed\nparentCID=ffffffff\ncreateType="vmfs"\n\n'
            f'# Extent description\nRW {size // 512} VMFS "{extent.name}"\n'
        )
        return [descriptor]

    return make


def enlarge_to(size: int) -> Change:
    def enlarge(disk: Path) -> None:
        with disk.open("r+b") as file:
            file.truncate(size)

    return enlarge


def linux_disks(**options: bool) -> Make:
    """Make a Linux with /boot and root on one disk and data on another, or with the root on the other disk."""

    def make(folder: Path) -> list[Path]:
        if options.get("two_disks"):
            first = linux(two_disks=True)
            second = first.with_name("disk-2.raw")
        else:
            first, second = linux(boot="ext4"), data_disk()
        return [image(first, "vmdk", folder), image(second, "vmdk", folder, name="disk1")]

    return make


NO_BOOT_DISK = Moved("not-applicable", "nothing boots, so there is no boot disk; no-bootable-partition says so")
ABOUT_BOOT_DISK = dict.fromkeys(
    (
        "boot-disk-too-large",
        "efi-boot-unsupported",
        "efi-partition-present",
        "boot-disk-not-mbr",
        "boot-disk-converted-to-mbr",
        "dynamic-boot-disk",
        "root-not-on-boot-disk/0",
    ),
    NO_BOOT_DISK,
)
ABOUT_LINUX_BOOT_DISK = ABOUT_BOOT_DISK | {"unsupported-bootloader/0": NO_BOOT_DISK}
ABOUT_WINDOWS_BOOT_DISK = ABOUT_BOOT_DISK | dict.fromkeys(
    ("generation-2-on-vhd", "gpt-boot-on-32-bit-windows/0"), NO_BOOT_DISK
)
OF_SECOND_SYSTEM = "the second system has findings of its own"
BY_EFI_ALONE = Moved("not-applicable", "a machine that boots by EFI alone is judged by efi-boot-unsupported")
NOT_CONVERTED = Moved("not-applicable", "the target refuses this GPT disk, so it converts nothing")
CHAINLOAD = (
    "menuentry 'Windows 10 (on /dev/sda2)' --class windows --class os $menuentry_id_option 'osprober-chain-C0DE' {\n"
    "\tinsmod part_msdos\n\tinsmod ntfs\n\tset root='hd0,msdos2'\n\tparttool ${root} hidden-\n\tchainloader +1\n}\n"
)
FEDORA = "NAME=Fedora\nID=fedora\nVERSION_ID=20\n"
MEMTEST = "menuentry 'Memory test (memtest86+)' {\n\tlinux16\t/boot/memtest86+.bin\n}\n"
# GRUB's menu, for a Linux whose loader is not in the boot sector.
GRUB_MENU = {
    "boot/grub/grub.cfg": (
        "menuentry 'Debian GNU/Linux' --class os {\n"
        f"\tsearch --no-floppy --fs-uuid --set=root {UUIDS['root']}\n"
        f"\tlinux\t/boot/vmlinuz-{KERNEL} root=UUID={UUIDS['root']} ro\n"
        f"\tinitrd\t/boot/initrd.img-{KERNEL}\n}}\n"
    )
}
TOOLS = (
    Entry("Windows Server", Place(), recovery="Windows Recovery Environment"),
    Entry("Windows Recovery Environment", Place(), kind="recovery", hidden=True),
    Entry("Windows Memory Diagnostic", Place(), kind="memory-test"),
)
WITH_TOOLS = replace(WINDOWS_2019, bcd=TOOLS)
WITH_ANOTHER = replace(WINDOWS_2019, bcd=(*TOOLS, Entry("Windows Server 2012 R2", Place(start=MIB + WINDOWS_SIZE))))

CASES = (
    Case(
        "damaged-partition-table",
        "GPT of a data disk whose entries fail their checksum",
        with_data("gpt"),
        with_data("gpt", spoil_gpt_entries),
        linux_outcomes("vmdk"),
    ),
    Case(
        "damaged-partition-table",
        "GPT of a data disk with partitions that overlap",
        with_data("gpt"),
        with_data("gpt", overlap_in_gpt),
        linux_outcomes("vmdk"),
    ),
    Case(
        "damaged-partition-table",
        "MBR of a data disk with a partition that ends behind the disk",
        with_data("dos"),
        with_data("dos", partition_beyond_end),
        linux_outcomes("vmdk"),
    ),
    Case(
        "damaged-partition-table",
        "MBR whose chain of logical partitions loops",
        one_disk(debian),
        debian_changed(loop_in_extended),
        SMALL_VMDK,
    ),
    Case(
        "dynamic-boot-disk",
        "the Windows volume on a dynamic disk",
        one_disk(lambda: windows_bios(WINDOWS_2019), "vhd"),
        lambda folder: [image(changed(windows_bios(WINDOWS_2019), folder, made_dynamic), "vhd", folder)],
        windows_outcomes("vhd"),
        "ready-with-warnings",
    ),
    Case(
        "no-bootable-partition",
        "no boot code",
        one_disk(debian),
        debian_changed(no_boot_code),
        SMALL_VMDK,
        moves=ABOUT_LINUX_BOOT_DISK,
    ),
    Case(
        "no-bootable-partition",
        "GRUB's core image overwritten",
        one_disk(debian),
        debian_changed(no_core_image),
        SMALL_VMDK,
        moves=ABOUT_LINUX_BOOT_DISK,
    ),
    Case(
        "no-bootable-partition",
        "GRUB's configuration is gone",
        one_disk(linux),
        one_disk(lambda: linux(files={"boot/grub/grub.cfg": None})),
        SMALL_VMDK,
        moves={
            **ABOUT_LINUX_BOOT_DISK,
            "several-grub-configurations/0": Moved("not-applicable", "there is none"),
            "unresolvable-root-device/0": Moved("not-applicable", "no menu names a root"),
            "unreadable-initramfs/0": Moved("unknown", "no menu names an initramfs"),
            "initramfs-rebuilt-on-import/0": Moved("unknown", "no menu names an initramfs"),
        },
    ),
    Case(
        "no-bootable-partition",
        "Windows' partition is not active",
        one_disk(lambda: windows_bios(WINDOWS_2019), "vhdx"),
        lambda folder: [image(changed(windows_bios(WINDOWS_2019), folder, not_active), "vhdx", folder)],
        windows_outcomes("vhdx"),
        moves=ABOUT_WINDOWS_BOOT_DISK,
    ),
    Case(
        "no-bootable-partition",
        "Windows' boot manager has no boot configuration data",
        one_disk(lambda: windows_efi(UEFI_64, "mbr"), "vhdx"),
        lambda folder: [image(changed(windows_efi(UEFI_64, "mbr"), folder, no_efi_store), "vhdx", folder)],
        WINDOWS_EFI,
        moves={name: moved for name, moved in ABOUT_WINDOWS_BOOT_DISK.items() if name != "efi-partition-present"},
    ),
    Case(
        "boot-disk-too-large",
        "VHDX of 2 TiB and a sector, against 2 TiB",
        of_size(2 * TIB),
        of_size(2 * TIB + 512),
        SMALL_VHDX,
    ),
    Case(
        "boot-disk-too-large",
        "flat VMDK of 2 TiB and a sector, against 2 TiB",
        flat_of_size(2 * TIB),
        flat_of_size(2 * TIB + 512),
        SMALL_VMDK,
    ),
    Case(
        "efi-boot-unsupported",
        "Linux with GRUB on an EFI system partition and none in the MBR",
        one_disk(linux),
        one_disk(lambda: linux(esp=True, bootloader="none", files=GRUB_MENU)),
        SMALL_VMDK,
        moves={"efi-partition-present": BY_EFI_ALONE},
    ),
    Case(
        "efi-boot-unsupported",
        "Linux that boots by EFI from GPT",
        one_disk(linux),
        one_disk(lambda: linux(scheme="gpt", esp=True)),
        SMALL_VMDK,
        moves={
            "efi-partition-present": BY_EFI_ALONE,
            "boot-disk-not-mbr": Moved("fail", "GPT is taken for Windows only"),
            "boot-disk-converted-to-mbr": NOT_CONVERTED,
        },
    ),
    Case(
        "efi-boot-unsupported",
        "Windows of 32 bit that boots by EFI, against one of 64 bit",
        one_disk(lambda: windows_efi(UEFI_64, "mbr"), "vhdx"),
        one_disk(lambda: windows_efi(UEFI_32, "mbr"), "vhdx"),
        WINDOWS_EFI,
    ),
    Case(
        "efi-partition-present",
        "an EFI system partition without a loader beside BIOS boot",
        one_disk(linux),
        one_disk(lambda: linux(esp=True, loader=False)),
        SMALL_VMDK,
        "ready-with-warnings",
    ),
    Case(
        "efi-partition-present",
        "an EFI system partition with a loader beside BIOS boot",
        one_disk(linux),
        one_disk(lambda: linux(esp=True)),
        SMALL_VMDK,
        "ready-with-warnings",
    ),
    Case(
        "boot-disk-not-mbr",
        "GPT with a BIOS boot partition",
        one_disk(linux),
        one_disk(lambda: linux(scheme="gpt", bios_boot=True)),
        SMALL_VMDK,
        moves={"boot-disk-converted-to-mbr": NOT_CONVERTED},
    ),
    Case(
        "boot-disk-converted-to-mbr",
        "Windows that boots by EFI from GPT, against MBR",
        one_disk(lambda: windows_efi(UEFI_64, "mbr"), "vhdx"),
        one_disk(lambda: windows_efi(UEFI_64, "gpt"), "vhdx"),
        WINDOWS_EFI,
        "ready",
    ),
    Case(
        "generation-2-on-vhd",
        "Windows that boots by EFI on VHD, against VHDX",
        one_disk(lambda: windows_efi(UEFI_64, "mbr"), "vhdx"),
        one_disk(lambda: windows_efi(UEFI_64, "mbr"), "vhd"),
        WINDOWS_EFI,
        moves={"efi-boot-unsupported": Moved("fail", "EFI is taken in VHDX images only")},
    ),
    Case(
        "gpt-boot-on-32-bit-windows/0",
        "Windows of 32 bit that boots from GPT",
        one_disk(lambda: windows_efi(UEFI_64, "mbr"), "vhdx"),
        one_disk(lambda: windows_efi(UEFI_32, "gpt"), "vhdx"),
        WINDOWS_EFI,
        moves={
            "efi-boot-unsupported": Moved("fail", "EFI is taken for 64-bit Windows only"),
            "boot-disk-not-mbr": Moved("fail", "GPT is taken for 64-bit Windows only"),
            "boot-disk-converted-to-mbr": NOT_CONVERTED,
        },
    ),
    Case(
        "unsupported-bootloader/0",
        "EXTLINUX",
        one_disk(linux),
        one_disk(lambda: linux(bootloader="extlinux")),
        SMALL_VMDK,
        moves={"several-grub-configurations/0": Moved("not-applicable", "there is none of GRUB")},
    ),
    Case(
        "root-not-on-boot-disk/0",
        "/boot on the first disk and the root on the second",
        linux_disks(),
        linux_disks(two_disks=True),
        linux_outcomes("vmdk"),
        "ready-with-warnings",
    ),
    Case(
        "dual-boot",
        "a menu entry that starts another boot sector, against one for a memory test",
        one_disk(lambda: linux(menu=MEMTEST)),
        one_disk(lambda: linux(menu=CHAINLOAD)),
        SMALL_VMDK,
    ),
    Case(
        "dual-boot",
        "a second Linux in another partition, against a data volume there",
        one_disk(lambda: linux(data="ext4")),
        one_disk(lambda: linux(second=FEDORA)),
        linux_outcomes("vmdk"),
        moves={
            "unsupported-data-filesystem/0": Moved("not-applicable", "the other volume is a root and holds no data"),
            "unsupported-data-filesystem/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "unsupported-bootloader/1": Moved("pass", OF_SECOND_SYSTEM),
            "root-not-on-boot-disk/1": Moved("pass", OF_SECOND_SYSTEM),
            "unsupported-root-filesystem/1": Moved("pass", OF_SECOND_SYSTEM),
            "rhel5-on-vhdx/1": Moved("pass", OF_SECOND_SYSTEM),
            "unsupported-operating-system/1": Moved("pass", OF_SECOND_SYSTEM),
            "unsupported-kernel/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "unsupported-architecture/1": Moved("pass", OF_SECOND_SYSTEM),
            "several-grub-configurations/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "unresolvable-default-kernel/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "unresolvable-root-device/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "paravirtual-only-kernel/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "custom-kernel/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "unreadable-initramfs/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "initramfs-rebuilt-on-import/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "enhanced-networking-driver-missing/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            "ssh-disabled/1": Moved("fail", OF_SECOND_SYSTEM),
            "firewall-blocks-ssh/1": Moved("unknown", OF_SECOND_SYSTEM),
            "too-little-free-space/1": Moved("fail", OF_SECOND_SYSTEM),
            "too-few-free-inodes/1": Moved("pass", OF_SECOND_SYSTEM),
            "fstab-device-names/1": Moved("pass", OF_SECOND_SYSTEM),
            "fstab-invalid-entry/1": Moved("pass", OF_SECOND_SYSTEM),
            "fstab-unresolvable/1": Moved("pass", OF_SECOND_SYSTEM),
            "fstab-network-filesystems/1": Moved("pass", OF_SECOND_SYSTEM),
            "static-ip-address/1": Moved("pass", OF_SECOND_SYSTEM),
            "dhcp-client-disabled/1": Moved("unknown", OF_SECOND_SYSTEM),
            "multiple-network-interfaces/1": Moved("pass", OF_SECOND_SYSTEM),
            "ipv6-configured/1": Moved("pass", OF_SECOND_SYSTEM),
            "antivirus-enabled/1": Moved("unknown", OF_SECOND_SYSTEM),
            "intrusion-detection-enabled/1": Moved("unknown", OF_SECOND_SYSTEM),
            "snapshot-backup-software/1": Moved("unknown", OF_SECOND_SYSTEM),
            "hibernated-system/1": Moved("pass", OF_SECOND_SYSTEM),
            "converted-from-physical/1": Moved("pass", OF_SECOND_SYSTEM),
            "file-changed-on-import/1": Moved("pass", OF_SECOND_SYSTEM),
        },
    ),
    Case(
        "dual-boot",
        "a Windows in another partition, against a data volume there",
        one_disk(lambda: linux(data="ext4")),
        windows_beside_linux,
        linux_outcomes("vmdk"),
        moves={
            "unsupported-data-filesystem/0": Moved("not-applicable", "the other volume is a root and holds no data"),
            "fstab-unresolvable/0": Moved("fail", "the data volume that fstab names is gone"),
            "unsupported-data-filesystem/1": Moved("not-applicable", OF_SECOND_SYSTEM),
            **{
                f"{rule}/1": Moved("not-applicable" if rule in OF_OTHER_SYSTEMS else "pass", OF_SECOND_SYSTEM)
                for rule in WINDOWS_RULES
                if rule != "unsupported-data-filesystem"
            },
            "too-little-free-space/1": Moved("fail", "its volume is small"),
        },
    ),
    Case(
        "dual-boot",
        "Windows' boot menu with another Windows, against one with recovery and a memory test",
        one_disk(lambda: windows_bios(WITH_TOOLS), "vhdx"),
        one_disk(lambda: windows_bios(WITH_ANOTHER), "vhdx"),
        windows_outcomes("vhdx"),
    ),
)
