"""Whole Debian 12 machines that really boot: the tree of debian_tree.py on several disk layouts, with a real GRUB.

Needs root and loop devices. Built once and cached under .cache/guests by recipe; scripts/fixtures builds them by hand.
A layout's identifiers are fixed, so the expected facts stand here and not in what imgscan says.
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from debian_tree import CACHE, debian_tree, recipe_key, run
from disk_builder import MIB, write_at

Content = Literal["root", "boot", "esp", "grub", "swap", "extended"]

# The type of a partition in an MBR and in a GPT.
PARTITION_TYPES: dict[Content, tuple[str, str]] = {
    "root": ("83", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    "boot": ("83", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    "swap": ("82", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F"),
    "esp": ("ef", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
    "grub": ("da", "21686148-6449-6E6F-744E-656564454649"),
    "extended": ("5", ""),
}


@dataclass(frozen=True)
class Partition:
    """A partition of a layout: `number`, `start` and `size` in MiB, what it holds, and the filesystem's identity."""

    number: int
    start: int
    size: int
    holds: Content
    uuid: str = ""


@dataclass(frozen=True)
class Layout:
    """Disks of `disk_size` MiB with one partition table each; GRUB goes to the first one."""

    scheme: Literal["dos", "gpt"]
    disks: tuple[tuple[Partition, ...], ...]
    firmware: Literal["bios", "uefi"]
    disk_size: int = 1024


ROOT_UUID = "6d1f0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a{:02x}"
BOOT_UUID = "b007b007-3c1b-4f0e-9b0a-0c6f5d1e2a04"
ESP_SERIAL = "C0DEB007"

LAYOUTS = {
    "mbr": Layout("dos", ((Partition(1, 1, 1000, "root", ROOT_UUID.format(1)),),), "bios"),
    "gpt-bios": Layout(
        "gpt", ((Partition(1, 1, 1, "grub"), Partition(2, 2, 1000, "root", ROOT_UUID.format(2))),), "bios"
    ),
    "gpt-esp": Layout(
        "gpt",
        ((Partition(1, 1, 64, "esp", ESP_SERIAL), Partition(2, 65, 950, "root", ROOT_UUID.format(3))),),
        "uefi",
    ),
    "two-disks": Layout(
        "dos",
        ((Partition(1, 1, 256, "boot", BOOT_UUID),), (Partition(1, 1, 1000, "root", ROOT_UUID.format(4)),)),
        "bios",
    ),
    # As Debian's installer lays out a disk; the demo export is trimmed from it.
    "demo": Layout(
        "dos",
        (
            (
                Partition(1, 1, 1790, "root", ROOT_UUID.format(5)),
                Partition(2, 1792, 256, "extended"),
                Partition(5, 1793, 254, "swap", "5a5a0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a05"),
            ),
        ),
        "bios",
        2048,
    ),
}

# A formatted FAT of the ESP starts an EFI loader whose own configuration only finds the real one.
ESP_GRUB_CFG = "search.fs_uuid {root} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
MONOLITHIC_GRUB = "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"

# Runs in a mount namespace of its own, so no mount outlives it, whatever happens. update-grub writes root=UUID= only
# where /dev/disk/by-uuid knows the filesystem, and nothing but udev would make that link.
INSTALL_SCRIPT = r"""
set -eu
mnt=$1 root_device=$2 root_uuid=$3 boot_device=$4 boot_uuid=$5 grub_disk=$6
mount "$root_device" "$mnt"
if [ "$boot_device" != - ]; then mount "$boot_device" "$mnt/boot"; fi
mount --rbind /dev "$mnt/dev"
mount -t tmpfs tmpfs "$mnt/dev/disk" 2>/dev/null || { mkdir -p "$mnt/dev/disk"; mount -t tmpfs tmpfs "$mnt/dev/disk"; }
mkdir -p "$mnt/dev/disk/by-uuid"
ln -s "$root_device" "$mnt/dev/disk/by-uuid/$root_uuid"
if [ "$boot_device" != - ]; then ln -s "$boot_device" "$mnt/dev/disk/by-uuid/$boot_uuid"; fi
mount -t proc proc "$mnt/proc"
mount --rbind /sys "$mnt/sys"
if [ "$grub_disk" != - ]; then chroot "$mnt" grub-install --target=i386-pc "$grub_disk"; fi
mkdir -p "$mnt/boot/grub"
chroot "$mnt" update-grub
"""


@contextmanager
def _loop_devices(image: Path, layout: Layout, disk: int) -> Iterator[dict[int, str]]:
    """Attach an image; yield its device (key 0) and its partitions' by number."""
    device = run(["losetup", "--find", "--show", image]).strip()
    try:
        run(["partx", "--add", device])
        try:
            yield {0: device} | {p.number: f"{device}p{p.number}" for p in layout.disks[disk]}
        finally:
            run(["partx", "--delete", device])
    finally:
        run(["losetup", "--detach", device])


def partition_script(layout: Layout, disk: int) -> str:
    """Return sfdisk's input for a disk of a layout; the first partition of an MBR disk is the active one."""
    lines = [f"label: {layout.scheme}"]
    lines.append("label-id: 0xb007b007" if layout.scheme == "dos" else "label-id: B007B007-0000-4000-8000-00000000000A")
    for p in layout.disks[disk]:
        dos, gpt = PARTITION_TYPES[p.holds]
        kind = dos if layout.scheme == "dos" else gpt
        active = ", bootable" if layout.scheme == "dos" and disk == 0 and p.number == 1 else ""
        lines.append(f"{p.number}: start={p.start * 2048}, size={p.size * 2048}, type={kind}{active}")
    return "\n".join(lines) + "\n"


def _root_and_boot(layout: Layout) -> tuple[tuple[int, Partition], tuple[int, Partition] | None]:
    holds = {p.holds: (disk, p) for disk, partitions in enumerate(layout.disks) for p in partitions}
    return holds["root"], holds.get("boot")


def write_table(image: Path, layout: Layout, disk: int) -> None:
    """Make an empty disk image with the layout's partition table."""
    with image.open("wb") as file:
        file.truncate(layout.disk_size * MIB)
    subprocess.run(["/usr/sbin/sfdisk", "--quiet", image], input=partition_script(layout, disk).encode(), check=True)


def build_disks(layout: Layout, tree: Path, folder: Path) -> list[Path]:
    """Install `tree` (which this call changes: /etc/fstab) on new raw disks in `folder`."""
    (root_disk, root), boot = _root_and_boot(layout)
    esp = next((p for p in layout.disks[0] if p.holds == "esp"), None)
    fstab = [f"UUID={root.uuid} / ext4 errors=remount-ro 0 1"]
    fstab += [f"UUID={boot[1].uuid} /boot ext4 defaults 0 2"] if boot else []
    fstab += [f"UUID={p.uuid} none swap sw 0 0" for p in layout.disks[0] if p.holds == "swap"]
    # nofail: the cloud kernel has vfat as a module, and the machine must reach its prompt by its own root.
    fstab += [f"UUID={esp.uuid[:4]}-{esp.uuid[4:]} /boot/efi vfat umask=0077,nofail 0 1"] if esp else []
    (tree / "etc/fstab").write_text("\n".join(fstab) + "\n")
    (tree / "boot/efi").mkdir(exist_ok=True)
    images = [folder / f"disk{n}.raw" for n in range(len(layout.disks))]
    for n, image in enumerate(images):
        write_table(image, layout, n)
    with ExitStack() as stack:
        devices = [stack.enter_context(_loop_devices(image, layout, n)) for n, image in enumerate(images)]
        root_device = devices[root_disk][root.number]
        boot_device = devices[boot[0]][boot[1].number] if boot else "-"
        if boot:
            # Files on /boot go to their own filesystem; the root keeps the empty mount point.
            run(["mke2fs", "-q", "-t", "ext4", "-U", boot[1].uuid, "-d", tree / "boot", boot_device])
            kept = folder / "boot.kept"
            (tree / "boot").rename(kept)
            (tree / "boot").mkdir()
        run(["mke2fs", "-q", "-t", "ext4", "-U", root.uuid, "-d", tree, root_device])
        for p in layout.disks[0]:
            if p.holds == "swap":
                run(["mkswap", "--uuid", p.uuid, devices[0][p.number]])
        uses_grub_pc = layout.firmware == "bios"
        mountpoint = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        script = ["unshare", "--mount", "sh", "-c", INSTALL_SCRIPT, "install", str(mountpoint), root_device, root.uuid]
        run([*script, boot_device, boot[1].uuid if boot else "-", devices[0][0] if uses_grub_pc else "-"])
    if boot:
        (tree / "boot").rmdir()
        (folder / "boot.kept").rename(tree / "boot")
    if esp:
        _write_esp(images[0], esp, (tree / MONOLITHIC_GRUB).read_bytes(), root.uuid)
    return images


def _write_esp(image: Path, esp: Partition, loader: bytes, root_uuid: str) -> None:
    """Format the ESP inside the image and put GRUB on it, as the boot entry's path and as the fallback path."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        folder = Path(name)
        (folder / "grubx64.efi").write_bytes(loader)
        (folder / "grub.cfg").write_text(ESP_GRUB_CFG.format(root=root_uuid))
        fat = folder / "esp.fat"
        with fat.open("wb") as file:
            file.truncate(esp.size * MIB)
        run(["mkfs.vfat", "-F", "32", "-i", esp.uuid, "-n", "ESP", fat])
        run(["mmd", "-i", fat, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"])
        run(["mcopy", "-i", fat, folder / "grubx64.efi", "::/EFI/debian/grubx64.efi"])
        run(["mcopy", "-i", fat, folder / "grubx64.efi", "::/EFI/BOOT/BOOTX64.EFI"])
        run(["mcopy", "-i", fat, folder / "grub.cfg", "::/EFI/debian/grub.cfg"])
        write_at(image, esp.start * MIB, fat.read_bytes())


def _recipe(*functions: Callable[..., object]) -> str:
    return "".join(inspect.getsource(f) for f in functions)


def guest_disks(name: str) -> list[Path]:
    """Return the raw disks of the layout called `name`, built on first use (5 to 10 s each, after the tree)."""
    layout = LAYOUTS[name]
    tree = debian_tree()
    recipe = _recipe(build_disks, write_table, partition_script, _write_esp)
    key = recipe_key(tree.name, layout, PARTITION_TYPES, INSTALL_SCRIPT, ESP_GRUB_CFG, recipe)
    target = CACHE / f"{name}-{key}"
    if not target.is_dir():
        if os.geteuid() != 0:
            raise PermissionError("loop devices need root: run scripts/fixtures with sudo")
        building = CACHE / f"{target.name}.building-{os.getpid()}"
        building.mkdir()
        try:
            copy = building / "tree"
            run(["cp", "--archive", "--reflink=auto", tree, copy])
            build_disks(layout, copy, building)
            shutil.rmtree(copy)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return sorted(target.glob("disk*.raw"))
