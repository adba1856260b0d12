"""The demo export: the Debian 12 of guest_builder.py trimmed to a few MB, as a stream-optimized VMDK.

Boot sector, boot track, partition table, GRUB's files, configuration, package database and unit files are those that
debootstrap and grub-install left. What is cut, and how, stands in KEPT, CUT and the functions below, and in the README
beside the export. The same Debian tree gives the same bytes again.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import struct
import tarfile
import tempfile
from pathlib import Path

from debian_tree import debian_tree, run
from disk_builder import MIB, write_at
from guest_builder import LAYOUTS, guest_disks
from tools import FIXTURES

EXPORT = FIXTURES / "images" / "debian12-bios.vmdk"
PACKAGE_LIST = FIXTURES / "images" / "debian12-bios.packages"
COPYRIGHTS = FIXTURES / "images" / "debian12-bios.copyright.tar.xz"
TIME = 1735689600  # 2025-01-01: of every file, the filesystem, and the archive

# Whole files and folders of the installed system.
KEPT = (
    "etc",
    "usr/bin/dash",
    "usr/bin/sh",
    "usr/lib/systemd/systemd",
    "usr/lib/systemd/system",
    "usr/lib/os-release",
    "usr/sbin/init",
    "usr/share/zoneinfo/Etc/UTC",
    "usr/share/common-licenses",
    "usr/lib64",
    "var/lib/dpkg/status",
    "var/lib/dpkg/diversions",
)
# Programs of which only the first 4 KiB are kept: they are seen to be installed, and cannot run.
CUT = (
    "usr/sbin/sshd",
    "usr/bin/bash",
    "usr/bin/mount",
    "usr/bin/systemctl",
    "usr/sbin/grub-install",
    "usr/sbin/dhclient",
)
CUT_TO = 4096
# Package file lists, so that a kernel or a server is known to be its distribution's.
LISTS = ("linux-image-*", "grub-*", "grub2-*", "openssh-*", "systemd*", "base-files", "initramfs-tools*", "ifupdown")
# What GRUB's configuration loads, with what these modules depend on.
GRUB_MODULES = (
    *("normal", "configfile", "test", "true", "echo", "cat", "ls", "help", "loadenv", "reboot", "halt"),
    *("part_msdos", "part_gpt", "ext2", "search", "search_fs_uuid", "search_fs_file", "search_label"),
    *("boot", "chain", "linux", "linux16", "gzio", "xzio", "serial", "terminal", "all_video", "gfxterm"),
)
DRIVERS = ("virtio_blk", "virtio_pci*", "virtio_net", "virtio_scsi", "xen-blkfront", "xen-netfront", "ena")
INITRAMFS_DRIVERS = ("virtio_blk", "virtio_pci*", "virtio_scsi", "xen-blkfront")
# Never published: keys, logs, caches, what identifies the machine that built it.
DROPPED = ("etc/ssh/ssh_host_*", "etc/ssh/moduli", "etc/.pwd.lock", "etc/*-", "etc/ld.so.cache", "etc/mtab")


def _copy(source: Path, root: Path, name: str) -> None:
    """Copy one file, link or folder (without what lies below) with its mode, making the folders above."""
    target = root / name
    if target.is_symlink() or target.exists():
        return
    parent = Path(name).parent
    if str(parent) != ".":
        _copy(source, root, str(parent))
        # A folder may be reached through a link of the merged /usr.
        target = (root / parent).resolve() / Path(name).name
    origin = source / name
    if origin.is_symlink():
        target.symlink_to(origin.readlink())
    elif origin.is_dir():
        target.mkdir()
    else:
        shutil.copy(origin, target)
    owner = origin.lstat()
    os.chown(target, owner.st_uid, owner.st_gid, follow_symlinks=False)
    if not origin.is_symlink():
        shutil.copymode(origin, target)  # chown takes set-user-id away


def _copy_all(source: Path, root: Path, name: str) -> None:
    _copy(source, root, name)
    if (source / name).is_dir() and not (source / name).is_symlink():
        for below in sorted((source / name).rglob("*")):
            _copy(source, root, str(below.relative_to(source)))


def kernel_without_payload(kernel: bytes) -> bytes:
    """Return a bzImage up to the end of its real-mode set-up code.

    Header with the version string, protocol and flags: Documentation/arch/x86/boot.rst, `setup_sects` at 0x1F1. The
    compressed kernel that follows is cut off.
    """
    return kernel[: (kernel[0x1F1] + 1) * 512]


def small_initramfs(initramfs: Path, kernel: str, work: Path) -> bytes:
    """Return a Zstandard-compressed initramfs: scripts and a few drivers of the real one, no programs."""
    unpacked = work / "initramfs"
    unpacked.mkdir()
    run(["sh", "-c", 'zstd -dc "$1" | (cd "$2" && cpio -idm --quiet)', "unpack", initramfs, unpacked])
    kept = work / "initramfs.kept"
    kept.mkdir()
    names = ["init", "conf", "scripts", "bin", "sbin", "lib", "lib64", "usr/lib/modprobe.d", "etc/modprobe.d"]
    modules = f"usr/lib/modules/{kernel}"
    names += [f"{modules}/modules.{kind}" for kind in ("dep", "order", "builtin")]
    for name in names:
        if (unpacked / name).exists() or (unpacked / name).is_symlink():
            _copy_all(unpacked, kept, name)
    for pattern in INITRAMFS_DRIVERS:
        for driver in sorted((unpacked / modules).rglob(f"{pattern}.ko")):
            _copy(unpacked, kept, str(driver.relative_to(unpacked)))
    _set_times(kept)
    script = (
        'cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet | zstd -19 --no-check -q'
    )
    archive = work / "initramfs.zst"
    run(["sh", "-c", f'{script} > "$2"', "pack", kept, archive])
    return archive.read_bytes()


def _grub_files(disk: Path, root: Path, work: Path) -> None:
    """Take /boot/grub from the installed disk: configuration, images, and the modules that the configuration needs."""
    partition = LAYOUTS["demo"].disks[0][0]
    run(["debugfs", "-R", f"rdump /boot/grub {work}", f"{disk}?offset={partition.start * MIB}"])
    installed = work / "grub"
    target = root / "boot/grub/i386-pc"
    target.mkdir(parents=True)
    for name in ("grub.cfg", "grubenv"):
        shutil.copy(installed / name, target.parent / name)
    depends = dict(line.split(":", 1) for line in (installed / "i386-pc/moddep.lst").read_text().splitlines())
    wanted, queue = set[str](), list(GRUB_MODULES)
    while queue:
        module = queue.pop()
        if module not in wanted:
            wanted.add(module)
            queue += depends.get(module, "").split()
    names = sorted(f"{m}.mod" for m in wanted) + sorted(f.name for f in (installed / "i386-pc").glob("*.lst"))
    for name in [*names, "boot.img", "core.img", "modinfo.sh"]:
        if (installed / "i386-pc" / name).exists():
            shutil.copy(installed / "i386-pc" / name, target / name)


def trimmed_tree(tree: Path, disk: Path, root: Path, work: Path) -> None:
    """Fill `root` with what the demo export holds of the installed system."""
    for name in sorted(p.name for p in tree.iterdir()):
        _copy(tree, root, name)
    for name in KEPT:
        _copy_all(tree, root, name)
    for pattern in LISTS:
        for path in sorted((tree / "var/lib/dpkg/info").glob(f"{pattern}.list")):
            _copy(tree, root, str(path.relative_to(tree)))
    for pattern in DROPPED:
        for path in root.glob(pattern):
            path.unlink()
    for name in CUT:
        _copy(tree, root, name)
        with (root / name).open("r+b") as program:
            program.truncate(CUT_TO)
    for name in ("tmp", "run", "var/log", "var/tmp", "var/lib", "var/cache", "root", "home", "proc", "sys", "dev"):
        _copy(tree, root, name)
    for name in ("run", "dev", "proc", "sys"):
        shutil.rmtree(root / name)
        (root / name).mkdir()
    kernel_file = next((tree / "boot").glob("vmlinuz-*"))
    kernel = kernel_file.name.removeprefix("vmlinuz-")
    modules = f"usr/lib/modules/{kernel}"
    for name in ("modules.dep", "modules.builtin", "modules.order"):
        _copy(tree, root, f"{modules}/{name}")
    for pattern in DRIVERS:
        for driver in sorted((tree / modules).rglob(f"{pattern}.ko")):
            _copy(tree, root, str(driver.relative_to(tree)))
    _copy(tree, root, f"boot/config-{kernel}")
    for link in ("vmlinuz", "initrd.img"):
        if (tree / link).is_symlink():
            _copy(tree, root, link)
    (root / "boot" / kernel_file.name).write_bytes(kernel_without_payload(kernel_file.read_bytes()))
    (root / f"boot/initrd.img-{kernel}").write_bytes(small_initramfs(tree / f"boot/initrd.img-{kernel}", kernel, work))
    _grub_files(disk, root, work)
    partition = LAYOUTS["demo"].disks[0][0]
    swap = next(p for p in LAYOUTS["demo"].disks[0] if p.holds == "swap")
    fstab = ["# / was on /dev/sda1 during installation", f"UUID={partition.uuid} / ext4 errors=remount-ro 0 1"]
    fstab += ["# swap was on /dev/sda5 during installation", f"UUID={swap.uuid} none swap sw 0 0"]
    (root / "etc/fstab").write_text("\n".join(fstab) + "\n")


def _set_times(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def _filesystem(root: Path, image: Path) -> None:
    """Make the root's ext4 from a folder, with no time or random number of this moment in it."""
    partition = LAYOUTS["demo"].disks[0][0]
    with image.open("wb") as file:
        file.truncate(partition.size * MIB)
    env = {"E2FSPROGS_FAKE_TIME": str(TIME)}
    options = ["-U", partition.uuid, "-E", f"hash_seed={partition.uuid},root_owner=0:0,lazy_itable_init=1"]
    run(["mke2fs", "-q", "-t", "ext4", *options, "-J", "size=16", "-d", root, image], env=env)
    # mke2fs -d takes a file's change time from the host, which nobody can set.
    inodes = int(re.search(r"Inode count:\s+(\d+)", run(["dumpe2fs", "-h", image]))[1])  # type: ignore[index]
    free = int(re.search(r"Free inodes:\s+(\d+)", run(["dumpe2fs", "-h", image]))[1])  # type: ignore[index]
    fields = ("atime", "ctime", "mtime", "crtime")
    commands = [f"set_inode_field <{n}> {f} @{TIME}" for n in range(2, inodes - free + 1) for f in fields]
    commands += [f"set_inode_field <{n}> {f}_extra 0" for n in range(2, inodes - free + 1) for f in fields]
    script = image.with_suffix(".debugfs")
    script.write_text("\n".join(commands) + "\n")
    run(["debugfs", "-w", "-f", script, image], env=env)
    run(["e2fsck", "-fn", image])


def _with_fixed_content_id(vmdk: Path) -> None:
    """Replace the random content id that qemu-img writes into the descriptor."""
    data = vmdk.read_bytes()
    offset = struct.unpack_from("<Q", data, 28)[0] * 512  # descriptorOffset of the sparse extent header
    end = data.index(b"\0", offset)
    descriptor = re.sub(rb"(?m)^CID=[0-9a-f]{8}$", b"CID=deb12b10", data[offset:end])
    vmdk.write_bytes(data[:offset] + descriptor + data[end:])


def package_list(tree: Path) -> str:
    """Return a line for each installed package: name, version, source package and its version."""
    show = "${Package}\t${Version}\t${source:Package}\t${source:Version}\n"
    return run(["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "-W", "-f", show])


def _copyright_archive(tree: Path, target: Path) -> None:
    with (
        lzma.open(target, "wb", preset=9 | lzma.PRESET_EXTREME) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        # Some packages share their folder with another by a link, which path.open() follows.
        for path in sorted(p for p in tree.glob("usr/share/doc/*/copyright") if p.is_file()):
            member = tarfile.TarInfo(str(path.relative_to(tree / "usr/share/doc")))
            member.size, member.mtime = path.stat().st_size, TIME
            with path.open("rb") as file:
                archive.addfile(member, file)


def build_demo(folder: Path = EXPORT.parent) -> Path:
    """Build the export with its package list and copyright files in `folder`; return the export's path. Needs root."""
    tree = debian_tree()
    installed = guest_disks("demo")[0]
    layout = LAYOUTS["demo"]
    root_partition = layout.disks[0][0]
    # A folder in memory lists its names in an order that only depends on how it was filled.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        work = Path(name)
        root = work / "root"
        root.mkdir(mode=0o755)
        trimmed_tree(tree, installed, root, work)
        _set_times(root)
        _filesystem(root, work / "root.ext4")
        disk = work / "disk.raw"
        _blank(disk, layout.disk_size * MIB)
        with installed.open("rb") as source:
            write_at(disk, 0, source.read(root_partition.start * MIB))
            for partition in layout.disks[0]:
                if partition.holds in ("swap", "extended"):
                    source.seek(partition.start * MIB)
                    write_at(disk, partition.start * MIB, source.read(4096))
        run(["dd", f"if={work / 'root.ext4'}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"])
        export = folder / EXPORT.name
        options = "subformat=streamOptimized,adapter_type=lsilogic"
        run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", options, disk, export])
        _with_fixed_content_id(export)
        export.chmod(0o644)
    (folder / PACKAGE_LIST.name).write_text(package_list(tree))
    _copyright_archive(tree, folder / COPYRIGHTS.name)
    return export


def _blank(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
