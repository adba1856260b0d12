from __future__ import annotations

import pytest
from memory_filesystem import Link, MemoryFileSystem

from imgscan.errors import CorruptStructure, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.fstab import FstabEntry, parse_fstab
from imgscan.guests.linux.mounts import read_mounts
from imgscan.model.disk import Disk, Partition, PartitionTable
from imgscan.model.evidence import AtPath
from imgscan.model.fact import known, unread
from imgscan.model.volume import Volume, VolumeKind


def volume(
    name: str,
    uuid: str | None = None,
    label: str | None = None,
    content: str | None = "ext4",
    kind: VolumeKind = "partition",
    *,
    readable: bool = True,
) -> Volume:
    return Volume(
        name=name,
        kind=kind,
        on=(name.partition("/")[0],),
        size=1 << 30,
        content=content,
        signature=known(content),
        uuid=known(uuid),
        label=known(label),
        readable=known(True) if readable else unread("unsupported", f"{content} is not read by this version"),
    )


def disk(name: str, *partitions: tuple[int, str, str | None]) -> Disk:
    entries = tuple(
        Partition(f"{name}/p{number}", number, number << 20, 1 << 20, "0x83", False, label, uuid=uuid)
        for number, uuid, label in partitions
    )
    table = PartitionTable(scheme="gpt", partitions=entries)
    return Disk(name=name, path=name, format="raw", variant=None, virtual_size=1 << 40, partition_table=table)


DISKS = [
    disk("disk0", (1, "1234abcd-01", None), (2, "1234abcd-02", "The Root")),
    disk("disk1", (1, "aaaa-1", "twice"), (2, "aaaa-2", "twice")),
]
VOLUMES = [
    volume("disk0/p1", "1111-AAAA", "BOOT", "vfat"),
    volume("disk0/p2", "6d1f0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a01", "/"),
    volume("disk1/p1", "dddd", "data disk"),
    volume("disk1/p2", "dddd", "\u00e9t\u00e9"),
    volume("vg0/root", "eeee", kind="logical-volume"),
    volume("vg-a/my-data", "ffff", kind="logical-volume"),
    volume("vg1/x", kind="logical-volume"),
    volume("vg1~0badf00d/x", kind="logical-volume"),
    volume("disk1/p3", "eeee", content="LVM2_member"),
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("UUID=6D1F0F5E-3c1b-4f0e-9b0a-0c6f5d1e2a01", "disk0/p2"),
        ('UUID="1111-aaaa"', "disk0/p1"),
        ("UUID=dddd", None),  # two volumes have it
        ("UUID=eeee", "vg0/root"),  # not the physical volume that carries the same text
        ("UUID=", None),
        ("UUID=none", None),
        ("LABEL=/", "disk0/p2"),
        ("LABEL=BOOT", "disk0/p1"),
        ("LABEL=boot", None),
        ("PARTUUID=1234ABCD-02", "disk0/p2"),
        ("PARTLABEL=The Root", "disk0/p2"),
        ("PARTLABEL=twice", None),
        ("/dev/disk/by-uuid/6d1f0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a01", "disk0/p2"),
        ("/dev/disk/by-label/data\\x20disk", "disk1/p1"),
        ("/dev/disk/by-label/\\xc3\\xa9t\\xc3\\xa9", "disk1/p2"),
        ("/dev/disk/by-partuuid/1234abcd-01", "disk0/p1"),
        ("/dev/disk/by-partlabel/The\\x20Root", "disk0/p2"),
        ("/dev/disk/by-id/ata-VBOX-part1", None),
        ("/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1", None),
        ("/dev/mapper/vg0-root", "vg0/root"),
        ("/dev/vg0/root", "vg0/root"),
        ("/dev/mapper/vg--a-my--data", "vg-a/my-data"),
        ("/dev/vg-a/my-data", "vg-a/my-data"),
        ("/dev/vg1/x", None),  # two groups of that name
        ("/dev/sda2", "disk0/p2"),
        ("/dev/vdb1", "disk1/p1"),
        ("/dev/hda1", "disk0/p1"),
        ("/dev/xvdb2", "disk1/p2"),
        ("/dev/nvme1n1p2", "disk1/p2"),
        ("/dev/mmcblk0p2", "disk0/p2"),
        ("/dev/cciss/c0d1p1", "disk1/p1"),
        ("/dev/sda9", None),
        ("/dev/sdc1", None),
        ("/dev/cdrom", None),
        ("/dev/sr0", None),
        ("proc", None),
        ("server:/export", None),
        ("", None),
    ],
)
def test_sources(source: str, expected: str | None) -> None:
    assert Devices(VOLUMES, DISKS).resolve(source).volume == expected


def test_guesses_and_ambiguity_are_told() -> None:
    devices = Devices(VOLUMES, DISKS)
    assert devices.resolve("/dev/sda2").is_guess
    assert not devices.resolve("LABEL=/").is_guess
    both = devices.resolve("UUID=dddd")
    assert both.is_ambiguous
    assert both.candidates == ("disk1/p1", "disk1/p2")


def test_a_known_root_fixes_the_letters() -> None:
    devices = Devices(VOLUMES, DISKS)
    devices.anchor("/dev/sdb2", "disk0/p2")
    assert devices.resolve("/dev/sdb1").volume == "disk0/p1"
    assert devices.resolve("/dev/sda1").volume is None or devices.resolve("/dev/sda1").volume != "disk0/p1"
    assert devices.resolve_grub("hd0,msdos1").volume == "disk0/p1"  # GRUB counts on its own


@pytest.mark.parametrize(
    ("device", "legacy", "modern"),
    [
        ("(hd0,1)", "disk0/p2", "disk0/p1"),
        ("(hd0,msdos2)", None, "disk0/p2"),
        ("hd1,gpt1", None, "disk1/p1"),
        ("(hd0,0)", "disk0/p1", None),
        ("(hd7,1)", None, None),
        ("lvm/vg0-root", None, "vg0/root"),
        ("(fd0)", None, None),
    ],
)
def test_grub_names(device: str, legacy: str | None, modern: str | None) -> None:
    devices = Devices(VOLUMES, DISKS)
    assert devices.resolve_grub(device).volume == modern
    assert devices.resolve_grub_legacy(device).volume == legacy


def test_fstab_lines() -> None:
    text = (
        "# <file system> <mount point>\n\n"
        "  UUID=1\t/\text4\terrors=remount-ro 0  1\n"
        "LABEL=my\\040disk /mnt/a\\011b\\134c ext3\n"
        "/dev/sdb1 /data\n"
        "  # indented comment\n"
        "alone\n"
        "/dev/sdc1 none swap sw 0 0 # said after\r\n"
        "caf\\303\\251 /x auto defaults\n"
    )
    assert parse_fstab(text) == [
        FstabEntry(3, "UUID=1", "/", "ext4", "errors=remount-ro", "0", "1"),
        FstabEntry(4, "LABEL=my disk", "/mnt/a\tb\\c", "ext3", "", "", ""),
        FstabEntry(5, "/dev/sdb1", "/data", "", "", "", ""),
        FstabEntry(7, "alone", "", "", "", "", ""),
        FstabEntry(8, "/dev/sdc1", "none", "swap", "sw", "0", "0"),
        FstabEntry(9, "caf\u00e9", "/x", "auto", "defaults", "", ""),
    ]
    assert parse_fstab("") == []
    with pytest.raises(LimitExceeded):
        parse_fstab("a b\n" * 5000)
    with pytest.raises(LimitExceeded):
        parse_fstab("\n" * 100_000)


def test_the_mount_tree() -> None:
    fstab = (
        "UUID=6d1f0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a01 / ext4 defaults 0 1\n"
        "LABEL=BOOT /boot vfat defaults 0 0\n"
        "proc /proc proc defaults 0 0\n"
        "/swapfile swap swap sw 0 0\n"
        "UUID=gone /gone ext4 defaults 0 0\n"
        "/dev/disk/by-partuuid/aaaa-1 /srv/data xfs defaults 0 0\n"
        "server:/home /home nfs defaults 0 0\n"
        "/srv/data/x /mnt none bind 0 0\n"
        "/dev/vg0/root /link/deep ext4 defaults 0 0\n"
    )
    root = MemoryFileSystem(
        {"/etc/fstab": fstab, "/home/local": "", "/mnt/y": "", "/link": Link("real"), "/real": None}, "disk0/p2"
    )
    boot = MemoryFileSystem({"/grub/grub.cfg": "menu"}, "disk0/p1", "vfat")
    deep = MemoryFileSystem({"/file": "deep"}, "vg0/root")
    volumes = [*VOLUMES[:2], volume("disk1/p1", "dddd", content="xfs", readable=False), *VOLUMES[3:]]
    filesystems = {"disk0/p2": root, "disk0/p1": boot, "vg0/root": deep}
    tree, mounts, _ = read_mounts("disk0/p2", filesystems, volumes, Devices(volumes, DISKS))
    assert tree.read("/boot/grub/grub.cfg") == b"menu"
    assert tree.read("/real/deep/file") == tree.read("/link/deep/file") == b"deep"
    assert tree.exists("/home/local")
    assert tree.exists("/mnt/y")
    with pytest.raises(UnsupportedFormat, match="/srv/data cannot be read: xfs is not read"):
        tree.find("/srv/data/file")
    with pytest.raises(MissingPart, match="fstab mounts UUID=gone there"):
        tree.find("/gone")
    found = {mount.point: mount for mount in mounts.get()}
    assert {point: mount.volume for point, mount in found.items()} == {
        "/": "disk0/p2", "/boot": "disk0/p1", "/proc": None, "none": None, "/gone": None, "/srv/data": "disk1/p1",
        "/home": None, "/mnt": None, "/link/deep": "vg0/root",
    }  # fmt: skip
    assert found["/boot"].evidence == (AtPath("disk0/p2", "/etc/fstab", 2),)


def test_disk_letters_are_fixed_by_the_root() -> None:
    root = MemoryFileSystem({"/etc/fstab": "/dev/sdb2 / ext4\n/dev/sdb1 /boot vfat\n"}, "disk0/p2")
    boot = MemoryFileSystem({"/k": "right"}, "disk0/p1", "vfat")
    filesystems = {"disk0/p2": root, "disk0/p1": boot}
    tree, mounts, _ = read_mounts("disk0/p2", filesystems, VOLUMES, Devices(VOLUMES, DISKS))
    assert [mount.volume for mount in mounts.get()] == ["disk0/p2", "disk0/p1"]
    assert tree.read("/boot/k") == b"right"


def test_no_fstab_and_an_unreadable_one() -> None:
    devices = Devices(VOLUMES, DISKS)
    _, mounts, _ = read_mounts("disk0/p2", {"disk0/p2": MemoryFileSystem({"/etc/x": ""}, "disk0/p2")}, VOLUMES, devices)
    assert mounts.get() == ()
    broken = MemoryFileSystem({"/etc/fstab": CorruptStructure("bad block", where="disk0/p2")}, "disk0/p2")
    _, mounts, _ = read_mounts("disk0/p2", {"disk0/p2": broken}, VOLUMES, devices)
    assert mounts.unread == "corrupt"


def test_a_name_after_the_hardware_means_what_the_systems_own_fstab_says() -> None:
    devices = Devices(VOLUMES, DISKS)
    name = "/dev/disk/by-id/scsi-36000c29-part2"
    assert devices.resolve(name).volume is None
    root = MemoryFileSystem({"/etc/fstab": f"{name} / ext4 acl 1 1\n"}, "disk0/p2")
    read_mounts("disk0/p2", {"disk0/p2": root}, VOLUMES, devices)
    assert devices.resolve(name).candidates == ("disk0/p2",)
    assert devices.resolve(f"{name}x").volume is None


@pytest.mark.parametrize("content", [bytes(512), bytes(range(1, 256)) * 8])
def test_an_fstab_that_is_no_text_is_corrupt(content: bytes) -> None:
    root = MemoryFileSystem({"/etc/fstab": content}, "disk0/p2")
    _, mounts, _ = read_mounts("disk0/p2", {"disk0/p2": root}, VOLUMES, Devices(VOLUMES, DISKS))
    assert mounts.unread == "corrupt"
