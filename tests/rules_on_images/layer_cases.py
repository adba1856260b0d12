"""Faults of the layers between partitions and filesystems."""

from __future__ import annotations

import tempfile
from pathlib import Path

import lvm2_builder
from disk_builder import MIB, make_volume, run, uuid_of
from lvm2_builder import Group, Physical, Segment, Volume
from rules_on_images.case import Case, Moved, linux_outcomes
from rules_on_images.machines import Make, image, kept, linux

BOOT_MIB, ROOT_MIB, HALF = 48, 48, 8
FSTAB = (
    f"/dev/mapper/vg0-root / ext4 defaults 0 1\nUUID={uuid_of('boot', 'ext4')} /boot ext4 defaults 0 2\n"
    "/dev/vg0/data /srv ext4 {options} 0 2\n"
)
COMPLETE = {"incomplete_volume_group": "pass", "incomplete_data_volume_group": "pass"}


def with_lvm(options: str) -> Path:
    """Return the first disk of a Linux with its root on LVM: /boot and a physical volume; the second is disk-2.raw.

    The root lies on the first disk. A data volume, mounted with `options`, begins there and ends on the second disk,
    which has no table: what it holds can be told from the first one.
    """

    def make(folder: Path) -> None:
        plain = linux(two_disks=True, files={"etc/fstab": FSTAB.format(options=options)})
        group = Group(
            [Physical("A", ROOT_MIB + HALF), Physical("B", HALF)],
            [
                Volume("root", [Segment(ROOT_MIB, [("pv0", 0)])]),
                Volume("data", [Segment(HALF, [("pv0", ROOT_MIB)]), Segment(HALF, [("pv1", 0)])]),
            ],
        )
        first, second = lvm2_builder.physical_volumes(group)
        with plain.with_name("disk-2.raw").open("rb") as file:
            file.seek(MIB)
            first[MIB : MIB + ROOT_MIB * MIB] = file.read(ROOT_MIB * MIB)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            data = Path(name) / "volume"
            make_volume(data, "ext4", 2 * HALF * MIB, uuid_of("data", "ext4"), {"data.txt": b"data\n"})
            content = data.read_bytes()
        first[(1 + ROOT_MIB) * MIB :], second[MIB:] = content[: HALF * MIB], content[HALF * MIB :]
        disk = folder / "disk.raw"
        run("cp", "--sparse=always", plain, disk)
        start = (1 + BOOT_MIB) * MIB
        with disk.open("r+b") as file:
            file.truncate(start + len(first) + MIB)
            file.seek(start)
            file.write(first)
        line = f"start={start // 512}, size={len(first) // 512}, type=8e\n"
        run("sfdisk", "--quiet", "--append", "--no-reread", "--no-tell-kernel", disk, text=line)
        (folder / "disk-2.raw").write_bytes(second)

    recipe = Path(__file__).read_text() + Path(str(lvm2_builder.__file__)).read_text()
    return kept(f"lvm {options} {recipe}", make) / "disk.raw"


def disks(options: str, count: int) -> Make:
    def make(folder: Path) -> list[Path]:
        first = with_lvm(options)
        raw = [first, first.with_name("disk-2.raw")][:count]
        return [image(disk, "vmdk", folder, name=f"disk{number}") for number, disk in enumerate(raw)]

    return make


CASES = (
    Case(
        "incomplete-volume-group",
        "the disk of a volume that the system mounts was not exported",
        disks("defaults", 2),
        disks("defaults", 1),
        linux_outcomes("vmdk", **COMPLETE),
        moves={
            "unsupported-data-filesystem/0": LOST,
            "dirty-filesystem": LOST,
            "damaged-filesystem": LOST,
            "incomplete-data-volume-group": Moved("fail", "the root lies in the same group, which is incomplete"),
        },
    ),
    Case(
        "incomplete-data-volume-group",
        "the disk of a volume that the system can do without was not exported",
        disks("nofail", 2),
        disks("nofail", 1),
        linux_outcomes("vmdk", **COMPLETE),
        "ready-with-warnings",
        moves={"unsupported-data-filesystem/0": LOST, "dirty-filesystem": LOST, "damaged-filesystem": LOST},
    ),
)
