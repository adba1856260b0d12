"""Small Linux machines made in about a second from foreign tools, without root or loop devices.

`build_linux` writes a healthy machine on raw disks: a partition table by sfdisk, filesystems by their own mkfs, GRUB's
real boot sector and core image embedded as grub-bios-setup does. Its options change one thing each, so that two disks
differ in one fault. `convert` puts a disk into a container. All identifiers are fixed: the expected values of a test
are the recipe's inputs.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from tools import pieces, require_file, require_tool

MIB = 1024 * 1024
GRUB_PC = Path("/usr/lib/grub/i386-pc")
GRUB_EFI = Path("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi")
SYSLINUX_MBR = {"mbr": Path("/usr/lib/syslinux/mbr/mbr.bin"), "gpt": Path("/usr/lib/syslinux/mbr/gptmbr.bin")}
EXTLINUX = Path("/usr/bin/extlinux")
LDLINUX = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")

FileSystemType = Literal[
    "ext2", "ext3", "ext4", "xfs", "btrfs", "jfs", "reiserfs", "f2fs", "vfat", "exfat", "ntfs", "swap"
]
Bootloader = Literal["grub2", "extlinux", "none"]

# MiB of a partition: what the type's mkfs accepts, and a little.
SIZES: dict[str, int] = {"xfs": 320, "btrfs": 128, "f2fs": 64, "jfs": 32, "esp": 40, "bios-boot": 1}
DEFAULT_SIZE = 48
SIZES_OF_ROOTS: dict[str, int] = {"xfs": 400, "btrfs": 400}
ROOT_SIZE = 320  # a root with more than 250 MiB free, which aws-sms asks for
# A partition's type in an MBR, and in a GPT.
TYPES: dict[str, tuple[str, str]] = {
    "linux": ("83", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    "swap": ("82", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"),
    "esp": ("ef", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
    "bios-boot": ("da", "21686148-6449-6E6F-744E-656564454649"),
    "windows": ("7", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
    "fat": ("c", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
}
TYPE_OF_CONTENT = {"swap": "swap", "ntfs": "windows", "exfat": "windows", "vfat": "fat"}
GRUB_FILESYSTEM = {"ext2": "ext2", "ext3": "ext2", "ext4": "ext2", "vfat": "fat"}
UUIDS = {
    "root": "10000000-aaaa-4bbb-8ccc-000000000001",
    "boot": "20000000-aaaa-4bbb-8ccc-000000000002",
    "data": "30000000-aaaa-4bbb-8ccc-000000000003",
    "second": "40000000-aaaa-4bbb-8ccc-000000000004",
    "swap": "50000000-aaaa-4bbb-8ccc-000000000005",
    "esp": "e5e5e5e5-aaaa-4bbb-8ccc-00000000000e",
}
KERNEL = "3.16.0-4-amd64"
DEBIAN = (
    'PRETTY_NAME="Debian GNU/Linux 8 (jessie)"\nNAME="Debian GNU/Linux"\nVERSION_ID="8"\n'
    'VERSION="8 (jessie)"\nID=debian\n'
)
MAINTAINER = "Debian Kernel Team <debian-kernel@lists.debian.org>"
MODULES_DEP = (
    "kernel/drivers/net/ethernet/amazon/ena/ena.ko:\nkernel/drivers/net/ethernet/intel/ixgbevf/ixgbevf.ko:\n"
    "kernel/drivers/block/xen-blkfront.ko:\nkernel/drivers/net/xen-netfront.ko:\n"
    "kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko\n"
)
MODULES_BUILTIN = "kernel/drivers/char/random.ko\nkernel/drivers/xen/xen-pcifront.ko\n"
SCREEN_SCRIPT = "serial --unit=0 --speed=115200\nterminal_output console serial\n"


class Link(bytes):
    """The content of a name that is a symbolic link: its target."""


SSH_UNIT = (
    "[Unit]\nDescription=OpenBSD Secure Shell server\nAfter=network.target auditd.service\n"
    "ConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n\n[Service]\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n\n"
    "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n"
)
SSHD_CONFIG = (
    "Include /etc/ssh/sshd_config.d/*.conf\n#Port 22\n#PermitRootLogin prohibit-password\n"
    "KbdInteractiveAuthentication no\nUsePAM yes\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n"
)
INTERFACES = (
    "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n\n"
    "allow-hotplug eth0\niface eth0 inet dhcp\n"
)


class Options(TypedDict, total=False):
    """What `build_linux` may do differently from the healthy machine: one MBR disk, ext4 root, GRUB 2.

    `scheme`: the partition table's; `bios_boot`: with a BIOS boot partition for GRUB's core image (GPT);
    `esp`: with an EFI system partition that holds GRUB; `loader`: whether the ESP holds one;
    `root`, `boot`, `data`: filesystem types of `/`, of a `/boot` of its own, and of a volume mounted at /srv; a None
    makes no such volume; `swap`: with a swap partition; `second`: the os-release text of another installed system in a
    partition of its own; `bootloader`: what stands in the boot sector; `active`: whether a partition is marked active;
    `two_disks`: the root lies on a second disk, `/boot` on the first; `disk_size`: bytes of the first disk (sparse);
    `os_release`: text, or None for a system without the file; `menu`: more of GRUB's configuration;
    `files`: more files, or other contents by their path without a leading slash, None to leave one out;
    `root_size`: of the root's partition in MiB (ROOT_SIZE for one that has enough free space for aws-sms).
    """

    scheme: Literal["mbr", "gpt"]
    bios_boot: bool
    esp: bool
    loader: bool
    root: FileSystemType
    boot: FileSystemType | None
    data: FileSystemType | None
    swap: bool
    second: str | None
    bootloader: Bootloader
    active: bool
    two_disks: bool
    disk_size: int
    os_release: str | None
    menu: str
    files: Mapping[str, str | bytes | None]
    root_size: int


@dataclass(frozen=True)
class Part:
    """A partition to make: `role` (root, boot, data, second, swap, esp, bios-boot), its filesystem, and its files."""

    role: str
    content: str
    files: Mapping[str, bytes | None]
    root_size: int | None = None
    label: str = ""

    @property
    def size(self) -> int:
        if self.role == "root" and self.root_size:
            return max(self.root_size, SIZES_OF_ROOTS.get(self.content, 0))
        return SIZES.get("esp" if self.role == "esp" else self.content, DEFAULT_SIZE)

    def type(self, scheme: str) -> str:
        name = self.role if self.role in ("esp", "bios-boot") else TYPE_OF_CONTENT.get(self.content, "linux")
        return TYPES[name][scheme == "gpt"]


def run(tool: str, *arguments: str | Path, text: str = "", cwd: Path | None = None) -> str:
    """Run a foreign tool with `text` as its input and return what it printed; skips the test where it is missing."""
    command = [require_tool(tool), *map(str, arguments)]
    if tool == "grub-mkimage":  # the program and the modules that it puts together are packages of their own
        require_file(GRUB_PC / "moddep.lst")
    done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", check=False, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"{tool} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def build_linux(folder: Path, name: str = "disk", **options: Unpack[Options]) -> Path:
    """Make a Linux machine (see Options) and return its first disk, `folder/name.raw`.

    With `two_disks` the second one is `folder/name-2.raw`. The machine starts as far as GRUB's menu in SeaBIOS: its
    kernel is a header without code.
    """
    scheme = options.get("scheme", "mbr")
    disks = _plan(options)
    paths = [folder / f"{name}.raw", folder / f"{name}-2.raw"][: len(disks)]
    for number, (path, parts) in enumerate(zip(paths, disks, strict=True)):
        size = options.get("disk_size", 0) if number == 0 else 0
        starts = _write_table(path, scheme, number, parts, size, active=options.get("active", True) and number == 0)
        for part, start in zip(parts, starts, strict=True):
            if part.role != "bios-boot":
                _write_content(path, start * MIB, part)
    _write_boot_code(paths[0], scheme, disks[0], options)
    return paths[0]


def build_system(
    folder: Path,
    files: Mapping[str, bytes | None],
    *,
    root: FileSystemType = "ext4",
    boot: FileSystemType | None = None,
    loader: Literal["grub2", "grub-legacy"] = "grub2",
    labels: bool = False,
) -> Path:
    """Make an MBR machine whose system is exactly these files, by path without a leading slash; return its disk.

    `boot` is the type of a /boot of its own, in the partition before the root; swap is the last partition. With
    `labels` each filesystem of the ext family is named after its mount point.
    """
    below_boot = {k.removeprefix("boot/"): v for k, v in files.items() if k.startswith("boot/")}
    parts = [Part("boot", boot, below_boot, label="/boot" if labels else "")] if boot else []
    others = {k: v for k, v in files.items() if not (boot and k.startswith("boot/"))} | (
        {"boot/": None} if boot else {}
    )
    parts += [Part("root", root, others, ROOT_SIZE, "/" if labels else ""), Part("swap", "swap", {})]
    path = folder / "disk.raw"
    starts = _write_table(path, "mbr", 0, parts, 0, active=True)
    for part, start in zip(parts, starts, strict=True):
        _write_content(path, start * MIB, part)
    if loader == "grub2":
        _write_boot_code(path, "mbr", parts, {})
    else:
        embed_grub_legacy(path, 0, "/grub/stage2" if boot else "/boot/grub/stage2")
    return path


def _plan(options: Options) -> list[list[Part]]:
    """Say which partitions with which files lie on which disk."""
    root_type = options.get("root", "ext4")
    two_disks = options.get("two_disks", False)
    boot_type = options.get("boot") or ("ext4" if two_disks else None)
    files = _system_files(options, root_type, boot_type)
    below_boot = {k.removeprefix("boot/"): v for k, v in files.items() if k.startswith("boot/")}
    first: list[Part] = []
    if options.get("bios_boot"):
        first.append(Part("bios-boot", "bios-boot", {}))
    if options.get("esp"):
        first.append(Part("esp", "vfat", _esp_files(boot_type is not None) if options.get("loader", True) else {}))
    if boot_type:
        first.append(Part("boot", boot_type, below_boot))
        files = {k: v for k, v in files.items() if not k.startswith("boot/")} | {"boot/": None}
    root = Part("root", root_type, files, options.get("root_size"))
    second = [root] if two_disks else []
    first += [] if two_disks else [root]
    data_type, other = options.get("data"), options.get("second")
    if data_type:
        first.append(Part("data", data_type, {"data.txt": b"data\n"}))
    if other is not None:
        first.append(Part("second", "ext4", {"etc/os-release": other.encode(), "bin/sh": elf(), "sbin/init": elf()}))
    if options.get("swap"):
        first.append(Part("swap", "swap", {}))
    return [first, second] if two_disks else [first]


def uuid_of(role: str, content: str) -> str:
    """Return the identity of a made volume as /dev/disk/by-uuid names it: the content's type decides its form."""
    digits = UUIDS[role].replace("-", "")
    if content in ("vfat", "exfat"):
        return f"{digits[:4]}-{digits[4:8]}".upper()
    return digits[:16].upper() if content == "ntfs" else UUIDS[role]


def _system_files(options: Options, root_type: str, boot_type: str | None) -> dict[str, bytes | None]:
    """Return the files of an installed Debian 8.0 (aws-sms lists it): what a reader looks for, and no more."""
    mounts = [f"UUID={uuid_of('root', root_type)} / {root_type} defaults 0 1"]
    mounts += [f"UUID={uuid_of('boot', boot_type)} /boot {boot_type} defaults 0 2"] if boot_type else []
    data = options.get("data")
    mounts += [f"UUID={uuid_of('data', data)} /srv {data} defaults 0 2"] if data else []
    mounts += [f"UUID={uuid_of('esp', 'vfat')} /boot/efi vfat umask=0077 0 1"] if options.get("esp") else []
    mounts += [f"UUID={uuid_of('swap', 'swap')} none swap sw 0 0"] if options.get("swap") else []
    below = "" if boot_type else "/boot"
    grub_volume = uuid_of("boot", boot_type) if boot_type else uuid_of("root", root_type)
    files: dict[str, bytes | None] = {
        "etc/debian_version": b"8.0\n",
        "etc/fstab": ("\n".join(mounts) + "\n").encode(),
        "etc/hostname": b"small\n",
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
        "bin/sh": elf(),
        "sbin/init": Link(b"/lib/systemd/systemd"),
        f"boot/vmlinuz-{KERNEL}": kernel(),
        f"boot/initrd.img-{KERNEL}": initramfs(),
        f"boot/config-{KERNEL}": b"CONFIG_64BIT=y\n",
        f"lib/modules/{KERNEL}/modules.dep": MODULES_DEP.encode(),
        f"lib/modules/{KERNEL}/modules.builtin": MODULES_BUILTIN.encode(),
        f"var/lib/dpkg/info/linux-image-{KERNEL}.list": f"/.\n/boot\n/boot/vmlinuz-{KERNEL}\n".encode(),
        # it can be reached: an SSH server that starts, and a network by DHCP
        "lib/systemd/systemd": elf(),
        "usr/sbin/sshd": elf(),
        "etc/ssh/sshd_config": SSHD_CONFIG.encode(),
        "lib/systemd/system/ssh.service": SSH_UNIT.encode(),
        "etc/systemd/system/multi-user.target.wants/ssh.service": Link(b"/lib/systemd/system/ssh.service"),
        "etc/systemd/system/sshd.service": Link(b"/lib/systemd/system/ssh.service"),
        "etc/network/interfaces": INTERFACES.encode(),
        "sbin/dhclient": elf(),
        "var/lib/dpkg/status": dpkg_status().encode(),
    }
    release = options.get("os_release", DEBIAN)
    if release is not None:
        files["etc/os-release"] = release.encode()
    bootloader = options.get("bootloader", "grub2")
    arguments = f"root=UUID={uuid_of('root', root_type)} ro console=ttyS0"
    if bootloader == "grub2":
        menu = (
            "set default=0\nset timeout=1\n"
            "menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple' {\n"
            f"\tsearch --no-floppy --fs-uuid --set=root {grub_volume}\n"
            f"\tlinux\t{below}/vmlinuz-{KERNEL} {arguments}\n"
            f"\tinitrd\t{below}/initrd.img-{KERNEL}\n}}\n"
        )
        files["boot/grub/grub.cfg"] = (SCREEN_SCRIPT + menu + options.get("menu", "")).encode()
        files["boot/grub/i386-pc/normal.mod"] = require_file(GRUB_PC / "normal.mod")
    elif bootloader == "extlinux":
        entry = f"DEFAULT linux\nLABEL linux\n  KERNEL {below}/vmlinuz-{KERNEL}\n  INITRD {below}/initrd.img-{KERNEL}\n"
        files["boot/extlinux/extlinux.conf"] = f"{entry}  APPEND {arguments}\n".encode()
        files["boot/extlinux/ldlinux.c32"] = require_file(LDLINUX)
    for name, content in options.get("files", {}).items():
        files[name] = content.encode() if isinstance(content, str) else content
    return {k: v for k, v in files.items() if v is not None}


def dpkg_status(*more: tuple[str, str]) -> str:
    """Return dpkg's database with the packages that the healthy machine has, and more by name and version."""
    packages = (
        ("base-files", "8"),
        ("ifupdown", "0.7.53.1"),
        ("isc-dhcp-client", "4.3.1-6"),
        (f"linux-image-{KERNEL}", "3.16.7-ckt9-3~deb8u1"),
        ("openssh-server", "1:6.7p1-5"),
        ("systemd", "215-17"),
        *more,
    )
    return "\n".join(
        f"Package: {name}\nStatus: install ok installed\n"
        f"Maintainer: {MAINTAINER if name.startswith('linux-image') else 'Somebody <somebody@debian.org>'}\n"
        f"Architecture: amd64\nVersion: {version}\n"
        for name, version in packages
    )


def _esp_files(boot_is_separate: bool) -> dict[str, bytes | None]:
    loader = require_file(GRUB_EFI)
    volume, prefix = ("boot", "/grub") if boot_is_separate else ("root", "/boot/grub")
    stub = f"search.fs_uuid {UUIDS[volume]} root\nset prefix=($root){prefix}\nconfigfile $prefix/grub.cfg\n"
    return {"EFI/BOOT/BOOTX64.EFI": loader, "EFI/debian/grubx64.efi": loader, "EFI/debian/grub.cfg": stub.encode()}


def elf(machine: int = 62) -> bytes:
    """Return a 64-bit ELF program that ends at once: a header and one segment (System V ABI); machine 62 is x86-64."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    code = b"\x31\xff\xb8\x3c\x00\x00\x00\x0f\x05"  # exit(0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, 120 + len(code), 120 + len(code), 0x1000)
    return header + segment + code


@cache
def initramfs(
    *more: str,
    drivers: tuple[str, ...] = ("block/xen-blkfront.ko", "net/xen-netfront.ko"),
    compress: str = "gzip -n -9",
) -> bytes:
    """Return an initramfs made by cpio and a compressor: the modules that an importer puts in, and more by path."""
    with tempfile.TemporaryDirectory() as name:
        tree, archive = Path(name) / "tree", Path(name) / "archive"
        folder = f"lib/modules/{KERNEL}/kernel/drivers"
        names = ["init", *(f"{folder}/{driver}" for driver in drivers), *more]
        for path in names:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(elf() + path.encode() * 50)
        found = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*"))
        run("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-O", archive, text="\n".join(found) + "\n", cwd=tree)
        if compress:
            tool, *options = compress.split()
            command = [require_tool(tool), *options, "-c", str(archive)]
            return subprocess.run(command, capture_output=True, check=True).stdout
        return archive.read_bytes()


def kernel(version: str = f"{KERNEL} (debian-kernel@lists.debian.org) #1 SMP") -> bytes:
    """Return the set-up code of a bzImage (Linux x86 boot protocol 2.15) without the kernel that it would unpack."""
    image = bytearray(5 * 512)
    image[0x1F1] = 4  # setup_sects
    struct.pack_into("<H", image, 0x1FE, 0xAA55)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<HI", image, 0x206, 0x020F, 0)
    struct.pack_into("<H", image, 0x20E, 0x400)  # kernel_version: from 0x200
    image[0x211] = 1  # LOADED_HIGH
    image[0x236] = 1  # XLF_KERNEL_64
    image[0x600 : 0x600 + len(version)] = version.encode()
    return bytes(image)


def _write_table(path: Path, scheme: str, number: int, parts: list[Part], size: int, *, active: bool) -> list[int]:
    """Write an empty disk with its partition table; return the partitions' starts in MiB."""
    starts, end = list[int](), 1
    for part in parts:
        starts.append(end)
        end += part.size
    with path.open("wb") as file:
        file.truncate(max(size, (end + 1) * MIB))
    identity = f"0xb007000{number}" if scheme == "mbr" else f"B0070000-0000-4000-8000-00000000000{number}"
    lines = [f"label: {'dos' if scheme == 'mbr' else 'gpt'}", f"label-id: {identity}"]
    bootable = next((p for p in parts if p.role in ("boot", "root")), None)
    for n, (part, start) in enumerate(zip(parts, starts, strict=True), 1):
        line = f"{n}: start={start * 2048}, size={part.size * 2048}, type={part.type(scheme)}"
        if scheme == "gpt":
            line += f", uuid=B0070000-0000-4000-8000-0000000{number}000{n}"
        elif active and part is bootable:
            line += ", bootable"
        lines.append(line)
    run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", path, text="\n".join(lines) + "\n")
    return starts


def _write_content(disk: Path, offset: int, part: Part) -> None:
    with tempfile.TemporaryDirectory(dir=disk.parent) as name:
        image = Path(name) / "volume"
        identity = uuid_of(part.role, part.content)
        make_volume(image, part.content, part.size * MIB, identity, part.files)
        if part.label:
            run("tune2fs", "-L", part.label, image)
        with disk.open("r+b") as target:
            for at, data in pieces(image):
                target.seek(offset + at)
                target.write(data)


def make_volume(image: Path, content: str, size: int, identity: str, files: Mapping[str, bytes | None]) -> None:
    """Make a filesystem of `size` bytes in a file, with its UUID and these files (a name that ends in / is a folder).

    JFS, ReiserFS, exFAT and NTFS are made empty: no tool fills them without mounting.
    """
    with image.open("wb") as file:
        file.truncate(size)
    tree = image.with_name("tree")
    for name, data in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (tree / name).mkdir(exist_ok=True)
        elif isinstance(data, Link) and content != "vfat":  # FAT has no links
            (tree / name).symlink_to(data.decode())
        else:
            (tree / name).write_bytes(data or b"")
            (tree / name).chmod(0o755 if (data or b"").startswith(b"\x7fELF") else 0o644)
    tree.mkdir(exist_ok=True)
    if content.startswith("ext"):
        run("mke2fs", "-q", "-F", "-t", content, "-U", identity, "-E", "root_owner=0:0", "-d", tree, image)
    elif content == "xfs":
        prototype = image.with_name("prototype")
        prototype.write_text("/\n0 0\nd--755 0 0\n" + _xfs_prototype(tree))
        run("mkfs.xfs", "-q", "-f", "-m", f"uuid={identity}", "-p", prototype, image)
    elif content == "vfat":
        run("mkfs.vfat", "-i", identity.replace("-", ""), image)
        for entry in sorted(tree.iterdir()):
            run("mcopy", "-s", "-i", image, entry, "::/")
    else:
        for tool, *arguments in _mkfs(content, identity, str(tree), str(image)):
            run(tool, *arguments)
    if content == "ntfs":  # mkntfs takes no serial number: it stands in the boot sector, and in its copy at the end
        serial = bytes.fromhex(identity)[::-1]
        write_at(image, 0x48, serial)
        write_at(image, size - 512 + 0x48, serial)


def _mkfs(content: str, identity: str, tree: str, image: str) -> list[list[str]]:
    commands = {
        "btrfs": [["mkfs.btrfs", "-q", "-f", "-U", identity, "--rootdir", tree, image]],
        "jfs": [["mkfs.jfs", "-q", image], ["jfs_tune", "-U", identity, image]],
        "reiserfs": [["mkreiserfs", "-q", "-f", "-f", "-u", identity, image]],
        "f2fs": [["mkfs.f2fs", "-q", "-f", "-U", identity, image]],
        "exfat": [["mkfs.exfat", image], ["tune.exfat", "-I", f"0x{identity.replace('-', '')}", image]],
        "ntfs": [["mkntfs", "-F", "-Q", "-q", "-s", "512", "-p", "0", "-H", "16", "-S", "63", image]],
        "swap": [["mkswap", "--quiet", "--uuid", identity, image]],
    }
    return commands[content]


def _xfs_prototype(folder: Path, depth: int = 1) -> str:
    """Return a folder as mkfs.xfs's prototype file describes it."""
    lines = []
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            lines.append(f"{' ' * depth}{entry.name} l--777 0 0 {entry.readlink()}\n")
        elif entry.is_dir():
            lines.append(f"{' ' * depth}{entry.name} d--755 0 0\n{_xfs_prototype(entry, depth + 1)}")
        else:
            lines.append(f"{' ' * depth}{entry.name} ---{entry.stat().st_mode & 0o777:o} 0 0 {entry}\n")
    return "".join(lines) + f"{' ' * (depth - 1)}$\n"


@cache
def grub_core(prefix: str, filesystem: str) -> bytes:
    """Return GRUB's core image for BIOS machines, made by grub-mkimage as grub-install would call it."""
    modules = ["biosdisk", "part_msdos", "part_gpt", filesystem, "search_fs_uuid", "normal", "configfile", "test"]
    modules += ["echo", "linux", "serial", "terminal"]
    with tempfile.TemporaryDirectory() as name:
        image = Path(name) / "core.img"
        run("grub-mkimage", "-O", "i386-pc", "-p", prefix, "-o", image, *modules)
        return image.read_bytes()


def _write_boot_code(disk: Path, scheme: str, parts: list[Part], options: Options) -> None:
    starts = [int(s) for s in re.findall(r"start=\s*(\d+)", run("sfdisk", "--dump", disk))]
    bootloader = options.get("bootloader", "grub2")
    # Where /boot is; on a GPT without a BIOS boot partition nothing starts by BIOS, as grub-install would refuse it.
    number = next(n for n, p in enumerate(parts, 1) if p.role == ("boot" if _has(parts, "boot") else "root"))
    if bootloader == "grub2" and (scheme == "mbr" or _has(parts, "bios-boot")):
        where = f"{'msdos' if scheme == 'mbr' else 'gpt'}{number}"
        folder = "grub2" if any("grub2/" in name for name in parts[number - 1].files) else "grub"
        prefix = f"(,{where}){'' if parts[number - 1].role == 'boot' else '/boot'}/{folder}"
        content = parts[number - 1].content
        core = grub_core(prefix, GRUB_FILESYSTEM.get(content, content))
        embed_grub(disk, core, next((s for s, p in zip(starts, parts, strict=True) if p.role == "bios-boot"), 1))
    elif bootloader == "extlinux":
        write_at(disk, 0, require_file(SYSLINUX_MBR[scheme])[:440])
        write_at(disk, starts[number - 1] * 512, _extlinux_boot_sector())


def _has(parts: list[Part], role: str) -> bool:
    return any(p.role == role for p in parts)


def embed_grub(disk: Path, core: bytes, sector: int) -> None:
    """Write GRUB's boot.img to the MBR and its core image from `sector` on, as grub-bios-setup does.

    boot.img: the core's first sector at 0x5C, boot drive 0xFF at 0x64. diskboot.img, the core's first sector: the
    block list in its last 12 bytes says where the rest lies (GRUB 2: util/setup.c, boot/i386/pc/diskboot.S).
    """
    boot = bytearray(require_file(GRUB_PC / "boot.img")[:440])
    struct.pack_into("<Q", boot, 0x5C, sector)
    boot[0x64] = 0xFF
    boot[0x66:0x68] = b"\x90\x90"  # do not take a hard disk for a floppy
    image = bytearray(core)
    rest = -(-(len(core) - 512) // 512)
    struct.pack_into("<QHH", image, 0x1F4, sector + 1, rest, 0x820)
    write_at(disk, 0, bytes(boot))
    write_at(disk, sector * 512, bytes(image))


def embed_grub_legacy(disk: Path, partition: int, stage2: str) -> None:
    """Write what GRUB legacy's `setup` leaves: stage 1 in the MBR, a stage 1.5 behind it; both without their code.

    Stage 1: version 3.2 at 0x3E, the next sector at 0x44. Second sector of stage 1.5: version, the partition from 0
    in the third byte at 8, "0.97", then a device and the file of stage 2 (GRUB 0.97: stage1.h, asm.S).
    """
    boot = bytearray(440)
    boot[:2], boot[0x3E:0x40], boot[0x44:0x48] = b"\xeb\x48", b"\x03\x02", struct.pack("<I", 1)
    boot[0x180:0x1A0] = b"GRUB \0Geom\0Hard Disk\0Read\0 Error"
    second = struct.pack("<6xHI6x", 0x0203, partition << 16 | 0xFFFF)
    second += b"0.97\0\xff\xff\xff\xff" + stage2.encode() + b"\0"
    write_at(disk, 0, bytes(boot))
    write_at(disk, 512, b"\x90" * 512 + second.ljust(512, b"\0"))


def _extlinux_boot_sector() -> bytes:
    """Return the boot sector that extlinux would install: it lies in the program, up to its signature."""
    program = require_file(EXTLINUX)
    start = program.index(b"EXTLINUX") - 3
    return program[start : start + 510] + b"\x55\xaa"


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


# The driver of qemu-img, its options, and the file's suffix.
CONTAINERS = {
    "vmdk": ("vmdk", "subformat=monolithicSparse", "vmdk"),
    "vmdk-stream": ("vmdk", "subformat=streamOptimized", "vmdk"),
    "vmdk-flat": ("vmdk", "subformat=monolithicFlat", "vmdk"),
    "vmdk-2gb": ("vmdk", "subformat=twoGbMaxExtentSparse", "vmdk"),
    "vhd-fixed": ("vpc", "subformat=fixed,force_size=on", "vhd"),
    "vhd": ("vpc", "subformat=dynamic,force_size=on", "vhd"),
    "vhdx": ("vhdx", "subformat=dynamic", "vhdx"),
    "qcow2": ("qcow2", "compat=1.1", "qcow2"),
    "vdi": ("vdi", "static=off", "vdi"),
}


def convert(raw: Path, container: str, target: Path | None = None) -> Path:
    """Return a raw disk's copy in a container (a name of CONTAINERS), beside it unless `target` says where."""
    driver, options, suffix = CONTAINERS[container]
    target = target or raw.with_name(f"{raw.stem}-{container}.{suffix}")
    if container == "vhdx" and raw.stat().st_size < 1 << 36:
        options += ",block_size=1048576"  # the default of 8 MiB makes a small disk a large file
    # A VMDK of several files has their names in its descriptor.
    partial = target.with_name(f"partial-{target.name}") if container not in ("vmdk-flat", "vmdk-2gb") else target
    run("qemu-img", "convert", "-f", "raw", "-O", driver, "-o", options, raw, partial)
    if partial != target:
        shutil.move(partial, target)
    return target
