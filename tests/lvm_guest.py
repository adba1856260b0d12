"""A whole Debian whose root is a logical volume over two disks, made by LVM's own tools without device-mapper.

Needs root and loop devices, like guest_builder.py, whose installed machine is taken apart for it: GRUB and /boot stay
on the first disk, the root goes into the volume. Where its extents lie is what `lvs` says.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from debian_tree import CACHE, recipe_key, run
from disk_builder import MIB
from guest_builder import LAYOUTS, guest_disks

GROUP, VOLUME = "debian-vg", "root"
MAPPER = "/dev/mapper/debian--vg-root"
BEHIND_BOOT = 257
"""Where /boot ends on the first disk, in MiB."""
SECOND_MIB = 700


@contextmanager
def _loop(image: Path, offset: int, size: int) -> Iterator[str]:
    device = run(["losetup", "--find", "--show", "-o", str(offset), "--sizelimit", str(size), image]).strip()
    try:
        yield device
    finally:
        run(["losetup", "--detach", device])


def _lvm(folder: Path, devices: Sequence[str], command: str, *arguments: str) -> str:
    """Run one of LVM's tools on these devices only; nothing is activated."""
    allowed = ", ".join(f'"a|^{device}$|"' for device in devices)
    (folder / "lvm.conf").write_text(
        f'devices {{ filter = [{allowed}, "r|.*|"] use_devicesfile = 0 obtain_device_list_from_udev = 0\n'
        '  external_device_info_source = "none" }\n'
        "global { event_activation = 0 use_lvmpolld = 0 }\nbackup { backup = 0 archive = 0 }\n"
        "activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }\n"
    )
    return run(
        [command, "--nolocking", "--driverloaded", "n", *arguments],
        env={"LVM_SYSTEM_DIR": str(folder), "LVM_SUPPRESS_FD_WARNINGS": "1"},
    )


def _put_into_group(root: Path, disks: Sequence[Path], folder: Path) -> None:
    """Make the group on the rest of the first disk and on the second one, and copy `root` into its volume."""
    places = [(disks[0], BEHIND_BOOT * MIB), (disks[1], 0)]
    sizes = [path.stat().st_size - offset - (MIB if offset else 0) for path, offset in places]
    with _loop(*places[0], sizes[0]) as first, _loop(*places[1], sizes[1]) as second:
        devices = [first, second]
        _lvm(folder, devices, "pvcreate", *devices)
        _lvm(folder, devices, "vgcreate", GROUP, *devices)
        size = f"{root.stat().st_size}b"
        _lvm(folder, devices, "lvcreate", "-an", "-Zn", "-Wn", "-y", "-L", size, "-n", VOLUME, GROUP)
        _lvm(folder, devices, "lvcreate", "-an", "-Zn", "-Wn", "-y", "-L", "64m", "-n", "swap_1", GROUP)
        units = ["--noheadings", "--nosuffix", "--units", "b"]
        start = int(_lvm(folder, devices, "pvs", *units, "-o", "pe_start", first))
        extent = int(_lvm(folder, devices, "vgs", *units, "-o", "vg_extent_size", GROUP))
        segments = _lvm(folder, devices, "lvs", *units, "--segments", "-o", "seg_pe_ranges", f"{GROUP}/{VOLUME}")
    with root.open("rb") as source:
        for device, low, high in re.findall(r"(\S+):(\d+)-(\d+)", segments):
            path, offset = places[devices.index(device)]
            with path.open("r+b") as target:
                target.seek(offset + start + int(low) * extent)
                _copy(source, target, (int(high) - int(low) + 1) * extent)


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    """Copy the next bytes of a file; where all are zeros the other keeps its holes."""
    while length:
        data = source.read(min(length, MIB))
        if data.count(0) == len(data):
            target.seek(len(data), os.SEEK_CUR)
        else:
            target.write(data)
        length -= len(data)


def _rewrite(image: str, path: str, old: str, new: str, folder: Path) -> None:
    """Replace text in a file of an ext4 filesystem."""
    copy = folder / "rewritten"
    run(["debugfs", "-R", f"dump {path} {copy}", image])
    text = copy.read_text()
    if old not in text:
        raise RuntimeError(f"{path} does not hold {old}")
    copy.write_text(text.replace(old, new))
    subprocess.run(
        ["/usr/sbin/debugfs", "-w", "-f", "-", image], input=f"rm {path}\nwrite {copy} {path}\n", text=True, check=True
    )


def build(folder: Path) -> None:
    """Make disk0.raw and disk1.raw."""
    boot_disk, root_disk = guest_disks("two-disks")
    (boot,), (old,) = LAYOUTS["two-disks"].disks
    root = folder / "root"
    with root_disk.open("rb") as source, root.open("wb") as target:
        source.seek(old.start * MIB)
        target.truncate(old.size * MIB)
        _copy(source, target, old.size * MIB)
    disks = [folder / "disk0.raw", folder / "disk1.raw"]
    run(["cp", "--sparse=always", boot_disk, disks[0]])
    with disks[1].open("wb") as file:
        file.truncate(SECOND_MIB * MIB)
    sectors = (disks[0].stat().st_size - (BEHIND_BOOT + 1) * MIB) // 512
    line = f"2: start={BEHIND_BOOT * 2048}, size={sectors}, type=8e\n"
    command = ["/usr/sbin/sfdisk", "--quiet", "--append", "--no-reread", "--no-tell-kernel", str(disks[0])]
    subprocess.run(command, input=line, text=True, check=True)
    _rewrite(str(root), "/etc/fstab", f"UUID={old.uuid}", MAPPER, folder)
    place = f"{disks[0]}?offset={boot.start * MIB}"
    _rewrite(place, "/grub/grub.cfg", f"root=UUID={old.uuid}", f"root={MAPPER}", folder)
    _put_into_group(root, disks, folder)
    for name in ("root", "rewritten", "lvm.conf"):
        (folder / name).unlink()


def lvm_disks() -> list[Path]:
    """Return the raw disks, built on first use."""
    source = Path(__file__).read_text()
    target = CACHE / f"lvm-{recipe_key(guest_disks('two-disks')[0].parent.name, source)}"
    if not target.is_dir():
        building = Path(tempfile.mkdtemp(dir=CACHE, prefix=f"{target.name}.building-"))
        try:
            build(building)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    os.utime(target)
    return sorted(target.glob("disk*.raw"))
