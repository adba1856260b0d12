"""Machines as facts, for tests of rules, judge and reports: healthy ones, and ways to change one thing about them.

Sizes are bytes. Everything is a frozen value: a helper returns a changed copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from imgscan import profiles
from imgscan.errors import UnreadFact, Why
from imgscan.model.access import ServiceStart, SshSettings
from imgscan.model.boot import Boot, BootCode, BootCodeName, Firmware, Loader
from imgscan.model.disk import Disk, ImageFile, Parent, Partition, PartitionTable, Problem, ProblemKind
from imgscan.model.evidence import AtOffset, AtPath, AtRegistry, Evidence
from imgscan.model.fact import Fact, known, unread
from imgscan.model.initramfs import Initramfs, InitramfsFile, KernelDrivers
from imgscan.model.kernel_package import KernelPackage
from imgscan.model.linux_boot import DefaultKernel, MenuFile, NamedVolume
from imgscan.model.machine import Io, MachineFacts, StageIo
from imgscan.model.network import Interface, NetworkFile
from imgscan.model.profile import Profile, Use
from imgscan.model.rule import Outcome, Result
from imgscan.model.system import MenuEntry, MenuEntryKind, Mount, Reference, System
from imgscan.model.volume import Free, Volume
from imgscan.model.windows import BootDriver, DeviceDriver, Framework, Languages, PageFile, RemoteDesktop
from imgscan.rules import BY_NAME

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
ESP_GUID = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT_GUID = "21686148-6449-6e6f-744e-656564454649"
BASIC_DATA_GUID = "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
LINUX_GUID = "0fc63daf-8483-4772-8e79-3d69d8477de4"
NO_IO = Io(0, 0, {"containers": StageIo(0, 0)})


def a_disk(name: str = "disk0", format: str | None = "vmdk", size: int | None = 20 * GIB, **changes: Any) -> Disk:
    """Return a healthy disk with an empty MBR table."""
    variants = {"vmdk": "streamOptimized", "vhd": "dynamic", "vhdx": "dynamic"}
    file = f"{name}.{format}"
    header = AtOffset(file, 0, 512, f"{format} header")
    fields: dict[str, Any] = {
        "name": name,
        "path": file,
        "format": format,
        "variant": variants.get(format or ""),
        "virtual_size": size,
        "files": (ImageFile(file, "image", 5 * MIB),),
        "unclean": known(False, header),
        "encryption": known(None, header),
        "device_mapping": known(None, header),
        "delta": known(None, header),
        "partition_table": PartitionTable(scheme="mbr", identifier="0x1234abcd", boot_signature=True),
        "partitioning": known("mbr", AtOffset(name, 0, 512, "partition table")),
    }
    return Disk(**{**fields, **changes})


def a_partition(
    disk: str, number: int, start: int, size: int, type: str = "0x83", *, active: bool = False, label: str | None = None
) -> Partition:
    """Return a partition of `disk`."""
    return Partition(
        name=f"{disk}/p{number}", number=number, start=start, size=size, type=type, active=active, label=label
    )


def a_volume(name: str, content: str | None, on: str | None = None, size: int = 1 * GIB, **changes: Any) -> Volume:
    """Return a volume on a disk (its own, by its name) that could be read."""
    place = AtOffset(name, 0x438, 2, f"{content} signature")
    fields: dict[str, Any] = {
        "name": name,
        "kind": "partition" if "/" in name else "disk",
        "on": (on or name.partition("/")[0],),
        "size": size,
        "content": content,
        "signature": known(content, place),
        "label": None if content is None else known(None, place),
        "uuid": None if content is None else known("3e6be9de-8139-4c2b-9106-a43f08d823a6", place),
        "readable": None if content in {None, "swap", "LVM2_member"} else known(True),
        "free": None if content in {None, "swap", "LVM2_member"} else known(Free(size // 2, size // 3, 1000)),
        "condition": None if content in {None, "swap", "LVM2_member"} else known("clean"),
    }
    return Volume(**{**fields, **changes})


def a_menu(*entries: tuple[str, MenuEntryKind]) -> Fact[tuple[MenuEntry, ...]]:
    """Return a GRUB menu."""
    return known(
        tuple(
            MenuEntry(title=title, kind=kind, evidence=(AtPath("disk0/p1", "/boot/grub/grub.cfg", 100 + line),))
            for line, (title, kind) in enumerate(entries)
        )
    )


def a_linux_system(root: str = "disk0/p1", **changes: Any) -> System:
    """Return a Debian that has been read."""
    release = AtPath(root, "/etc/os-release", 1)
    fields: dict[str, Any] = {
        "family": "linux",
        "root": root,
        "id": known("debian", release),
        "version": known("8.0", AtPath(root, "/etc/debian_version", 1)),
        "product": known("Debian GNU/Linux 8 (jessie)", release),
        "service_pack": known(None, release),
        "variant": known(None, release),
        "architecture": known("x86_64", AtPath(root, "/bin/sh")),
        "hostname": known("web01", AtPath(root, "/etc/hostname", 1)),
        "bootloader": known("grub2", AtPath(root, "/boot/grub/grub.cfg")),
        "kernel": known("3.16.0-4-amd64", AtPath(root, "/boot/grub/grub.cfg", 110)),
        "mounts": known(
            (
                Mount(
                    source="UUID=3e6be9de-8139-4c2b-9106-a43f08d823a6",
                    point="/",
                    type="ext4",
                    volume=root,
                    evidence=(AtPath(root, "/etc/fstab", 2),),
                ),
            )
        ),
        "mount_units": known((), AtPath(root, "/etc/systemd/system")),
        "crypttab": known((), AtPath(root, "/etc/crypttab")),
        "network": known(
            (
                NetworkFile(
                    by="ifupdown",
                    evidence=AtPath(root, "/etc/network/interfaces"),
                    interfaces=known(
                        (Interface(name="eth0", dhcp4=True, evidence=(AtPath(root, "/etc/network/interfaces", 7),)),)
                    ),
                ),
            ),
            AtPath(root, "/etc"),
        ),
        "dhcp_client": known("/sbin/dhclient", AtPath(root, "/sbin/dhclient")),
        "products": known((), AtPath(root, "/etc")),
        "hibernated_files": known((), AtPath(root, "/etc/fstab")),
        "hardware_traces": known((), AtPath(root, "/etc")),
        "interface_names": known((), AtPath(root, "/etc/udev/rules.d")),
        "references": known(
            (
                Reference(
                    role="root", source="UUID=3e6b", volume=root, evidence=(AtPath(root, "/boot/grub/grub.cfg", 110),)
                ),
            )
        ),
        **_access(root),
        **_boot(root),
        "menu": a_menu(("Debian GNU/Linux", "own"), ("Debian (recovery mode)", "recovery"), ("memtest86+", "tool")),
    }
    return System(**{**fields, **changes})


def _boot(root: str) -> dict[str, Any]:
    """Return the facts of a GRUB menu that starts the distribution's own kernel."""
    image, line = AtPath(root, "/boot/vmlinuz-3.16.0-4-amd64"), AtPath(root, "/boot/grub/grub.cfg", 110)
    return {
        "menu_files": known((a_menu_file(root),), AtPath(root, "/boot/grub/grub.cfg")),
        "default_kernel": known(a_kernel(root), image, line),
        "kernel_package": known(a_kernel_package(), AtPath(root, "/var/lib/dpkg/info/linux-image.list")),
        "initramfs": known(an_initramfs(root), AtPath(root, "/boot/initrd.img-3.16.0-4-amd64")),
        "kernel_drivers": known(some_drivers(), AtPath(root, "/lib/modules/3.16.0-4-amd64/modules.dep")),
    }


def a_kernel_package(**changes: Any) -> KernelPackage:
    """Return the package of a Debian's kernel."""
    fields: dict[str, Any] = {
        "manager": "dpkg",
        "file": "/boot/vmlinuz-3.16.0-4-amd64",
        "name": "linux-image-3.16.0-4-amd64",
        "version": "3.16.7-ckt9-3~deb8u1",
        "architecture": "amd64",
        "vendor": "Debian Kernel Team <debian-kernel@lists.debian.org>",
    }
    return KernelPackage(**{**fields, **changes})


def an_initramfs(on: str = "disk0/p1", **changes: Any) -> Initramfs:
    """Return an initramfs with the drivers for Xen."""
    file = InitramfsFile(path="/boot/initrd.img-3.16.0-4-amd64", volume=on, size=10 * MIB, forms=("gzip",))
    return Initramfs(**{"files": (file,), "modules": ("ext4", "xen_blkfront", "xen_netfront"), **changes})


def some_drivers(**changes: Any) -> KernelDrivers:
    """Return the drivers of a kernel that has all that the target wants."""
    fields: dict[str, Any] = {"version": "3.16.0-4-amd64", "builtin": ("ata_piix",), "modules": ("ena", "ixgbevf")}
    return KernelDrivers(**{**fields, **changes})


def a_menu_file(root: str = "disk0/p1", **changes: Any) -> MenuFile:
    """Return a grub.cfg."""
    fields: dict[str, Any] = {
        "volume": root,
        "path": "/boot/grub/grub.cfg",
        "loader": "grub2",
        "size": 5000,
        "digest": "0" * 64,
        "entries": 3,
        "default": "0",
        "timeout": 5,
        "evidence": (AtPath(root, "/boot/grub/grub.cfg"),),
    }
    return MenuFile(**{**fields, **changes})


def a_kernel(on: str = "disk0/p1", **changes: Any) -> DefaultKernel:
    """Return a Debian's default kernel."""
    fields: dict[str, Any] = {
        "path": "/boot/vmlinuz-3.16.0-4-amd64",
        "volume": on,
        "format": "bzImage",
        "version": "3.16.0-4-amd64",
        "is_64_bit": True,
        "initrds": ("/boot/initrd.img-3.16.0-4-amd64",),
        "arguments": "root=UUID=3e6b ro quiet",
        "root": NamedVolume(source="UUID=3e6b", volume=on, candidates=(on,)),
        "evidence": (AtPath(on, "/boot/grub/grub.cfg", 110),),
    }
    return DefaultKernel(**{**fields, **changes})


def _access(root: str) -> dict[str, Any]:
    """Return the facts of a system that can be reached: sshd enabled, and no firewall."""
    link = AtPath(root, "/etc/systemd/system/multi-user.target.wants/ssh.service")
    start = ServiceStart(
        starts=True, manager="systemd", unit="ssh.service", detail="ssh.service is enabled", evidence=(link,)
    )
    return {
        "ssh_server": known("/usr/sbin/sshd", AtPath(root, "/usr/sbin/sshd")),
        "ssh_start": known(start, link),
        "ssh_settings": known(SshSettings(), AtPath(root, "/etc/ssh/sshd_config")),
        "firewalls": known((), AtPath(root, "/etc")),
    }


def a_mount(point: str, volume: str | None, options: str = "defaults") -> Mount:
    """Return a line of a mount table."""
    return Mount(source=f"/dev/{volume}", point=point, type="ext4", options=options, volume=volume)


def a_windows_system(root: str = "disk0/p2", **changes: Any) -> System:
    """Return a Windows Server 2016 that has been read."""

    def at(value: str) -> AtRegistry:
        hive = "/Windows/System32/config/SOFTWARE"
        return AtRegistry(root, hive, r"Microsoft\Windows NT\CurrentVersion", value)

    def control(key: str, value: str) -> AtRegistry:
        return AtRegistry(root, "/Windows/System32/config/SYSTEM", rf"ControlSet001\Control\{key}", value)

    fields: dict[str, Any] = {
        "family": "windows",
        "root": root,
        "id": known("windows", at("ProductName")),
        "version": known("10.0.14393", at("CurrentBuildNumber")),
        "product": known("Windows Server 2016 Standard", at("ProductName")),
        "architecture": known("x86_64", at("BuildLabEx")),
        "edition": known("ServerStandard", at("EditionID")),
        "installation_type": known("Server", at("InstallationType")),
        "build": known("14393", at("CurrentBuildNumber")),
        "service_pack": known(None, at("CSDVersion")),
        "product_type": known("server", control(r"ProductOptions", "ProductType")),
        "languages": known(
            Languages(installed="en-US", interface=("en-US",)), control(r"Nls\Language", "InstallLanguage")
        ),
        "remote_desktop": known(
            RemoteDesktop(starts=True, port=3389, detail="connections are allowed by fDenyTSConnections"),
            control("Terminal Server", "fDenyTSConnections"),
        ),
        "firewalls": known((), control("Services", "")),
        "page_files": known(
            (PageFile(path="C:\\pagefile.sys", minimum=1024, maximum=1024),),
            control(r"Session Manager\Memory Management", "PagingFiles"),
        ),
        "frameworks": known((Framework(version="3.5"), Framework(version="4.6.2")), at("Release")),
        "updates": known((), at("CurrentState")),
        "universal_clock": known(False, control("TimeZoneInformation", "RealTimeIsUniversal")),
        "hibernated": known(False, AtPath(root, "/")),
        "driver_signing": known(None, at("CurrentBuildNumber")),
        "pending_restart": known((), control("Session Manager", "")),
        "boot_drivers": known((a_boot_driver("xenvbd"),), control("Services", "")),
        "network_drivers": known(
            (DeviceDriver(name="ena", state="installed"), DeviceDriver(name="ixgbevf", state="staged")),
            control("Services", ""),
        ),
        "products": known((), control("Services", "")),
        "network": known((), control("Services", "")),
        "dhcp_client": known("the service Dhcp", control("Services", "")),
        "ipv6_disabled": known(False, control("Services", "")),
        "hardware_traces": known((), control("Enum", "")),
        "directory": "/Windows",
        "menu": known(
            (
                MenuEntry(title="Windows Server 2016", kind="own", default=True),
                MenuEntry(title="Windows Recovery Environment", kind="recovery"),
            ),
            AtPath("disk0/p1", "/Boot/BCD"),
        ),
    }
    return System(**{**fields, **changes})


def a_boot_driver(name: str, **changes: Any) -> BootDriver:
    """Return a driver that starts with Windows."""
    fields: dict[str, Any] = {"start": "boot", "configured": "boot", "file": "present"}
    key = rf"ControlSet001\Services\{name}"
    fields["evidence"] = (AtRegistry("disk0/p2", "/Windows/System32/config/SYSTEM", key, "Start"),)
    fields["path"] = f"/Windows/System32/drivers/{name}.sys"
    return BootDriver(name=name, **{**fields, **changes})


def boot_code(where: str, what: BootCodeName, **changes: Any) -> BootCode:
    """Return boot code found in the first sector of `where`."""
    return BootCode(where=where, what=what, evidence=(AtOffset(where, 0, 446, "boot code"),), **changes)


def bios_boot(*code: BootCode, disk: Sequence[str] = ("disk0",)) -> Boot:
    """Return a machine's boot facts for BIOS boot from `disk`."""
    return Boot(
        firmware=known("bios", AtOffset("disk0", 0, 446, "boot code")),
        disk=known(tuple(disk), AtOffset("disk0", 0x1BE, 16, "active partition")),
        code=code or (boot_code("disk0", "grub2"),),
    )


def efi_boot(*loaders: Loader, firmware: Firmware = "uefi", disk: Sequence[str] = ("disk0",)) -> Boot:
    """Return a machine's boot facts for EFI boot from `disk`."""
    return Boot(
        firmware=known(firmware, AtPath("disk0/p1", "/EFI/BOOT/BOOTX64.EFI")),
        disk=known(tuple(disk), AtPath("disk0/p1", "/EFI/BOOT/BOOTX64.EFI")),
        code=(boot_code("disk0", "none"),),
        loaders=loaders or (a_loader("grub2"),),
    )


def a_loader(what: str, path: str = "/EFI/debian/grubx64.efi", volume: str = "disk0/p1") -> Loader:
    """Return a 64-bit EFI loader."""
    return Loader(volume=volume, path=path, machine="x86_64", what=what)


def a_machine(disks: Sequence[Disk], volumes: Sequence[Volume], boot: Boot, systems: Sequence[System]) -> MachineFacts:
    """Return a machine of these parts, all volumes searched."""
    return MachineFacts(
        name="machine",
        disks=tuple(disks),
        volumes=tuple(volumes),
        boot=boot,
        systems=tuple(systems),
        systems_searched=known(tuple(volume.name for volume in volumes if volume.readable is not None)),
        unread=(),
        io=NO_IO,
    )


def a_linux_machine(format: str = "vmdk", **system: Any) -> MachineFacts:
    """Return a healthy Debian: MBR, root on ext4 in an active partition, swap, GRUB 2."""
    table = PartitionTable(
        scheme="mbr",
        boot_signature=True,
        identifier="0x1234abcd",
        partitions=(
            a_partition("disk0", 1, MIB, 18 * GIB, active=True),
            a_partition("disk0", 2, MIB + 18 * GIB, GIB, "0x82"),
        ),
    )
    return a_machine(
        (a_disk(format=format, partition_table=table),),
        (a_volume("disk0/p1", "ext4", size=18 * GIB), a_volume("disk0/p2", "swap")),
        bios_boot(),
        (a_linux_system(**system),),
    )


def an_efi_linux_machine(format: str = "vmdk") -> MachineFacts:
    """Return a Debian that boots only by EFI: GPT, EFI system partition, root on ext4."""
    partitions = (
        a_partition("disk0", 1, MIB, 512 * MIB, ESP_GUID),
        a_partition("disk0", 2, 513 * MIB, 18 * GIB, LINUX_GUID),
    )
    return a_machine(
        (a_disk(format=format, **gpt("disk0", partitions)),),
        (a_volume("disk0/p1", "vfat", size=512 * MIB), a_volume("disk0/p2", "ext4", size=18 * GIB)),
        efi_boot(),
        (a_linux_system("disk0/p2"),),
    )


def a_windows_machine(format: str = "vhd", **system: Any) -> MachineFacts:
    """Return a healthy Windows Server 2016: MBR, an active system partition and the Windows volume, both NTFS."""
    table = PartitionTable(
        scheme="mbr",
        boot_signature=True,
        identifier="0xcafe0001",
        partitions=(
            a_partition("disk0", 1, MIB, 500 * MIB, "0x07", active=True),
            a_partition("disk0", 2, 501 * MIB, 18 * GIB, "0x07"),
        ),
    )
    return a_machine(
        (a_disk(format=format, partition_table=table),),
        (a_volume("disk0/p1", "ntfs", size=500 * MIB), a_volume("disk0/p2", "ntfs", size=18 * GIB)),
        bios_boot(boot_code("disk0", "windows-nt6"), boot_code("disk0/p1", "windows-nt6")),
        (a_windows_system(**system),),
    )


def an_efi_windows_machine(format: str = "vhdx", firmware: Firmware = "uefi", **system: Any) -> MachineFacts:
    """Return a healthy generation 2 Windows: VHDX, GPT, EFI system partition."""
    partitions = (
        a_partition("disk0", 1, MIB, 100 * MIB, ESP_GUID),
        a_partition("disk0", 2, 101 * MIB, 18 * GIB, BASIC_DATA_GUID),
    )
    return a_machine(
        (a_disk(format=format, **gpt("disk0", partitions)),),
        (a_volume("disk0/p1", "vfat", size=100 * MIB), a_volume("disk0/p2", "ntfs", size=18 * GIB)),
        efi_boot(a_loader("windows-boot-manager", "/EFI/Microsoft/Boot/bootmgfw.efi"), firmware=firmware),
        (a_windows_system(**system),),
    )


def gpt(disk: str, partitions: Sequence[Partition] = (), **changes: Any) -> dict[str, Any]:
    """Return the fields of a disk that make it GPT."""
    return {
        "partition_table": PartitionTable(
            scheme="gpt", protective="protective", boot_signature=True, partitions=tuple(partitions), **changes
        ),
        "partitioning": known("gpt", AtOffset(disk, 512, 92, "primary GPT header")),
    }


def no_table(disk: str = "disk0") -> dict[str, Any]:
    """Return the fields of a disk that was read and has no partition table."""
    return {
        "partition_table": PartitionTable(scheme="none"),
        "partitioning": known("none", AtOffset(disk, 0, 512, "partition table")),
    }


def unread_table(why: Why = "io-error", detail: str = "disk0: the table could not be read") -> dict[str, Any]:
    """Return the fields of a disk whose partition table could not be read."""
    return {"partition_table": None, "partitioning": unread(why, detail)}


def a_problem(kind: ProblemKind, detail: str = "something is wrong", code: str = "some-problem") -> Problem:
    """Return a problem with evidence."""
    return Problem(code, kind, detail, (AtOffset("disk0.vmdk", 0, 512, "header"),))


def a_parent(hint: str = "base.vmdk") -> Parent:
    """Return a parent that was opened."""
    return Parent(hint, hint, "vmdk", "fffffffe")


def with_disk(machine: MachineFacts, index: int = 0, **changes: Any) -> MachineFacts:
    """Return the machine with one disk changed."""
    disks = list(machine.disks)
    disks[index] = msgspec.structs.replace(disks[index], **changes)
    return msgspec.structs.replace(machine, disks=tuple(disks))


def with_table(machine: MachineFacts, index: int = 0, **changes: Any) -> MachineFacts:
    """Return the machine with one disk's partition table changed."""
    table = machine.disks[index].partition_table
    assert table is not None
    return with_disk(machine, index, partition_table=msgspec.structs.replace(table, **changes))


def and_disks(machine: MachineFacts, *disks: Disk) -> MachineFacts:
    """Return the machine with more disks behind its own."""
    return msgspec.structs.replace(machine, disks=(*machine.disks, *disks))


def with_volume(machine: MachineFacts, name: str, **changes: Any) -> MachineFacts:
    """Return the machine with one volume changed; `content` changes its signature too."""
    if "content" in changes and "signature" not in changes:
        changes["signature"] = known(changes["content"], AtOffset(name, 0, 8, "signature"))
    volumes = tuple(
        msgspec.structs.replace(volume, **changes) if volume.name == name else volume for volume in machine.volumes
    )
    return msgspec.structs.replace(machine, volumes=volumes)


def and_volumes(machine: MachineFacts, *volumes: Volume) -> MachineFacts:
    """Return the machine with more volumes behind its own."""
    return msgspec.structs.replace(machine, volumes=(*machine.volumes, *volumes))


def with_system(machine: MachineFacts, index: int = 0, **changes: Any) -> MachineFacts:
    """Return the machine with one system changed."""
    systems = list(machine.systems)
    systems[index] = msgspec.structs.replace(systems[index], **changes)
    return msgspec.structs.replace(machine, systems=tuple(systems))


def with_boot(machine: MachineFacts, **changes: Any) -> MachineFacts:
    """Return the machine with its boot facts changed; plain values of `firmware` and `disk` become known facts."""
    for name in ("firmware", "disk"):
        if name in changes and not isinstance(changes[name], Fact):
            changes[name] = known(changes[name], AtOffset("disk0", 0, 512, "boot sector"))
    return msgspec.structs.replace(machine, boot=msgspec.structs.replace(machine.boot, **changes))


def without_systems(machine: MachineFacts) -> MachineFacts:
    """Return the machine when every volume was searched and none holds a system."""
    return msgspec.structs.replace(machine, systems=())


def not_searched(machine: MachineFacts, why: Why = "unsupported") -> MachineFacts:
    """Return the machine when a volume that may hold a system could not be searched."""
    return msgspec.structs.replace(
        machine, systems_searched=unread(why, "disk0/p9: xfs is not read", AtOffset("disk0/p9", 0, 4, "XFS superblock"))
    )


def lost(why: Why = "io-error") -> Fact[Any]:
    """Return an unread fact."""
    return unread(why, "it could not be read", AtOffset("disk0", 4096, 512, "something"))


def nothing_read(systems: Sequence[System] = ()) -> MachineFacts:
    """Return a machine of two disks of which nothing could be read; `systems` are there all the same."""
    disks = [
        Disk(
            name=name,
            path=f"{name}.bin",
            format=None,
            variant=None,
            virtual_size=None,
            problems=(a_problem("refused"),),
            unclean=lost(),
            encryption=lost(),
            device_mapping=lost(),
            delta=lost(),
            partitioning=lost(),
        )
        for name in ("disk0", "disk1")
    ]
    volumes = [
        Volume(name=name, kind="partition", on=("disk0",), size=GIB, content=None, signature=lost(), readable=lost())
        for name in ("disk0/p1", "disk0/p2", "disk0/p3")
    ]
    machine = a_machine(disks, volumes, Boot(firmware=lost(), disk=lost()), systems)
    return msgspec.structs.replace(machine, systems_searched=lost())


def an_unread_system(family: Any = "linux", root: str = "disk0/p1") -> System:
    """Return a system of which nothing but its family and root is known."""
    return System(
        family=family,
        root=root,
        id=lost(),
        version=lost(),
        product=lost(),
        service_pack=lost(),
        variant=lost(),
        architecture=lost(),
        hostname=lost(),
        bootloader=lost(),
        kernel=lost(),
        edition=lost(),
        installation_type=lost(),
        product_type=lost(),
        languages=lost(),
        remote_desktop=lost(),
        page_files=lost(),
        frameworks=lost(),
        updates=lost(),
        universal_clock=lost(),
        hibernated=lost(),
        driver_signing=lost(),
        pending_restart=lost(),
        boot_drivers=lost(),
        network_drivers=lost(),
        mounts=lost(),
        mount_units=lost(),
        crypttab=lost(),
        network=lost(),
        dhcp_client=lost(),
        interface_names=lost(),
        products=lost(),
        hibernated_files=lost(),
        hardware_traces=lost(),
        references=lost(),
        menu=lost(),
        menu_files=lost(),
        default_kernel=lost(),
        kernel_package=lost(),
        initramfs=lost(),
        kernel_drivers=lost(),
        ssh_server=lost(),
        ssh_start=lost(),
        ssh_settings=lost(),
        firewalls=lost(),
    )


@cache
def _aws_sms() -> Profile:
    return profiles.load("aws-sms")


def use_of(rule: str, family: str | None = None) -> Use:
    """Return how the profile aws-sms uses a rule (for a family of systems)."""
    uses = [use for use in _aws_sms().uses if use.rule.name == rule]
    return next(use for use in uses if family is None or use.family in {None, family})


def answer(rule: str, machine: MachineFacts, system: int = 0) -> Result:
    """Return a rule's answer with the parameters of aws-sms; `unknown` when it asks for an unread fact."""
    subject = machine.systems[system] if BY_NAME[rule].scope == "system" else None
    use = use_of(rule, subject.family if subject else None)
    try:
        result = use.rule.check(*((machine,) if subject is None else (machine, subject)), use.params)
    except UnreadFact as signal:
        evidence: tuple[Evidence, ...] = tuple(signal.evidence)  # type: ignore[arg-type] # errors import no model
        return Result("unknown", signal.detail, evidence)
    assert isinstance(result, Result)
    assert result.outcome not in {"pass", "fail"} or result.evidence, "what decided is not shown"
    return result


def outcome(rule: str, machine: MachineFacts, system: int = 0) -> Outcome:
    """Return the outcome of `answer`."""
    return answer(rule, machine, system).outcome
