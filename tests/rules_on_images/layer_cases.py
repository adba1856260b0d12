"""Faults of the layers between partitions and filesystems."""

from __future__ import annotations

import tempfile
from pathlib import Path

import lvm2_builder
import md_builder
from disk_builder import MIB, ROOT_SIZE, make_volume, run, uuid_of
from lvm2_builder import Group, Physical, Segment, Volume
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes
from rules_on_images.machines import Make, image, kept, linux
from tools import pieces

BOOT_MIB, ROOT_MIB, DATA_MIB, HALF = 48, ROOT_SIZE, 16, 8
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
        for at, piece in pieces(plain.with_name("disk-2.raw"), MIB):
            first[at : at + len(piece)] = piece  # its partition begins where the first extent does, at 1 MiB
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
            for at in range(0, len(first), MIB):
                if any(first[at : at + MIB]):
                    file.seek(start + at)
                    file.write(first[at : at + MIB])
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


def with_mirror(count: int) -> Make:
    """Make a Linux with `count` of two disks that mirror each other and hold a data volume of one partition each."""

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            data = Path(name) / "volume"
            make_volume(data, "ext4", DATA_MIB * MIB, uuid_of("data", "ext4"), {"data.txt": b"data\n"})
            members = md_builder.mirror(data.read_bytes())
        for number, member in enumerate(members):
            disk = folder / f"member-{number}.raw"
            disk.write_bytes(bytes(MIB) + member + bytes(MIB))
            table = f"label: dos\nfirst-lba: 2048\nstart=2048, size={len(member) // 512}, type=fd\n"
            run("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk, text=table)

    def disks_of(folder: Path) -> list[Path]:
        fstab = f"UUID={uuid_of('root', 'ext4')} / ext4 defaults 0 1\n/dev/md0 /srv ext4 nofail 0 2\n"
        raw = [kept("mirror", make) / f"member-{number}.raw" for number in range(count)]
        system = linux(files={"etc/fstab": fstab})
        return [image(disk, "vmdk", folder, name=f"disk{number}") for number, disk in enumerate([system, *raw])]

    return disks_of


def with_encrypted_disk(is_encrypted: bool) -> Make:
    """Make a Linux with a second disk: empty, or one LUKS volume."""

    def make(folder: Path) -> None:
        volume = folder / "disk.raw"
        volume.write_bytes(bytes(20 * MIB))
        if is_encrypted:
            order = ("luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
            run("cryptsetup", *order, volume, "-", text="secret")

    def disks_of(folder: Path) -> list[Path]:
        raw = kept(f"encrypted {is_encrypted}", make) / "disk.raw"
        return [image(linux(), "vmdk", folder), image(raw, "vmdk", folder, name="data")]

    return disks_of


def with_btrfs(options: str, count: int) -> Make:
    """Make a Linux with `count` of two disks that hold a Btrfs together, mounted with `options`."""

    def make(folder: Path) -> None:
        disks = [folder / "first.raw", folder / "second.raw"]
        for disk in disks:
            with disk.open("wb") as file:
                file.truncate(128 * MIB)
        run("mkfs.btrfs", "--quiet", "-d", "raid0", "-m", "raid1", "-U", uuid_of("data", "btrfs"), *disks)

    def disks_of(folder: Path) -> list[Path]:
        root, data = f"UUID={uuid_of('root', 'ext4')}", f"UUID={uuid_of('data', 'btrfs')}"
        system = linux(files={"etc/fstab": f"{root} / ext4 defaults 0 1\n{data} /srv btrfs {options} 0 0\n"})
        made = kept(f"btrfs {Path(__file__).read_text()}", make)
        raw = [system, made / "first.raw", made / "second.raw"][: 1 + count]
        return [image(disk, "vmdk", folder, name=f"disk{number}") for number, disk in enumerate(raw)]

    return disks_of


CASES = (
    Case(
        "incomplete-volume-group",
        "the disk of a volume that the system mounts was not exported",
        disks("defaults", 2),
        disks("defaults", 1),
        linux_outcomes("vmdk", **COMPLETE),
        moves={
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
    ),
    Case(
        "incomplete-volume-group",
        "one of the two disks of a Btrfs that the system mounts was not exported",
        with_btrfs("defaults", 2),
        with_btrfs("defaults", 1),
        linux_outcomes("vmdk", **COMPLETE),
        moves={"incomplete-data-volume-group": Moved("not-applicable", "the other rule is about what a system needs")},
    ),
    Case(
        "incomplete-data-volume-group",
        "one of the two disks of a Btrfs that the system can do without was not exported",
        with_btrfs("nofail", 2),
        with_btrfs("nofail", 1),
        linux_outcomes("vmdk", **COMPLETE),
        "ready-with-warnings",
    ),
    Case(
        "degraded-array",
        "one of the two disks of a mirror was not exported",
        with_mirror(2),
        with_mirror(1),
        linux_outcomes("vmdk", degraded_array="pass"),
        "ready-with-warnings",
    ),
    Case(
        "encrypted-volume",
        "a data disk is encrypted as a whole",
        with_encrypted_disk(is_encrypted=False),
        with_encrypted_disk(is_encrypted=True),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        moves={
            "dirty-filesystem": Moved("unknown", "how an encrypted filesystem was left cannot be read"),
            "damaged-filesystem": Moved("unknown", "the same"),
        },
    ),
)
