"""Lines of fstab and crypttab, and mount units, as distributions and their owners write them."""

from __future__ import annotations

import pytest
from memory_filesystem import Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.mount_sources import kind_of_source
from imgscan.guests.linux.mount_units import read_mount_units
from imgscan.guests.linux.mounts import read_mounts
from imgscan.guests.linux.services import Services
from imgscan.model.fact import known
from imgscan.model.system import Mount
from imgscan.model.volume import Volume, VolumeKind


def volume(name: str, uuid: str, content: str = "ext4", kind: VolumeKind = "partition") -> Volume:
    return Volume(
        name=name,
        kind=kind,
        on=(name.partition("/")[0],),
        size=1 << 30,
        content=content,
        signature=known(content),
        uuid=known(uuid),
        label=known(None),
    )


VOLUMES = [
    volume("disk0/p1", "1111"),
    volume("disk0/p2", "2222", "xfs"),
    volume("disk0/p3", "3333", "crypto_LUKS"),
    volume("disk0/p3/luks", "4444", kind="encrypted"),
    volume("disk0/p5", "5555", "swap"),
]


def mounts_of(fstab: str, crypttab: str | None = None) -> tuple[Mount, ...]:
    files = {"/etc/fstab": fstab, **({"/etc/crypttab": crypttab} if crypttab is not None else {})}
    root = MemoryFileSystem(files)
    return read_mounts("disk0/p1", {"disk0/p1": root}, VOLUMES, Devices(VOLUMES, [])).mounts.get()


@pytest.mark.parametrize(
    ("source", "type_", "options", "expected"),
    [
        ("UUID=1111-AAAA", "vfat", "", "uuid"),
        ("LABEL=/boot", "ext3", "", "label"),  # anaconda of EL5
        ("PARTUUID=1", "ext4", "", "partuuid"),
        ("PARTLABEL=x", "ext4", "", "partlabel"),
        ("ID=scsi-36000", "ext4", "", "hardware-name"),
        ("/dev/disk/by-uuid/1111", "ext4", "", "uuid"),
        ("/dev/disk/by-label/data", "ext4", "", "label"),
        ("/dev/disk/by-id/scsi-36000c29-part1", "ext3", "acl,user_xattr", "hardware-name"),  # YaST of SLES 11
        ("/dev/disk/by-id/dm-name-vg-root", "ext4", "", "mapper"),
        ("/dev/disk/by-id/md-uuid-1", "ext4", "", "array"),
        ("/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1", "ext4", "", "hardware-name"),
        ("/dev/mapper/vg-root", "ext4", "", "mapper"),
        ("/dev/VolGroup00/LogVol00", "ext3", "defaults", "logical-volume"),
        ("/dev/md0", "ext4", "", "array"),
        ("/dev/md/root", "ext4", "", "array"),
        ("/dev/md_d0p1", "ext4", "", "array"),
        ("/dev/sda1", "ext4", "", "device-name"),
        ("/dev/hda1", "ext3", "", "device-name"),
        ("/dev/vdb", "ext4", "", "device-name"),
        ("/dev/xvdf1", "ext4", "", "device-name"),
        ("/dev/nvme1n1p1", "xfs", "", "device-name"),
        ("/dev/cciss/c0d0p1", "ext3", "", "device-name"),
        ("/dev/dm-3", "ext3", "", "device-name"),
        ("/dev/sr0", "udf,iso9660", "user", "removable"),
        ("/dev/scd0", "iso9660", "", "removable"),
        ("/dev/cdrom", "iso9660", "", "removable"),
        ("/dev/fd0u1440", "auto", "", "removable"),
        ("nas:/export", "nfs", "", "network"),
        ("[fd00::1]:/export", "nfs4", "", "network"),
        ("nas:/export", "", "", "network"),
        ("//nas/share", "cifs", "", "network"),
        ("//nas/share", "auto", "", "network"),
        ("sshfs#me@nas:/", "fuse", "", "network"),
        ("share", "vboxsf", "", "network"),
        ("10.0.0.1:6789:/", "ceph", "", "network"),
        ("/srv/a", "none", "bind", "file"),
        ("/images/x.iso", "iso9660", "loop", "file"),
        ("/swapfile", "swap", "", "file"),
        ("proc", "proc", "", "virtual"),
        ("tmpfs", "tmpfs", "", "virtual"),
        ("none", "none", "", "virtual"),
        ("what", "ext4", "", "unknown"),
    ],
)
def test_how_a_source_names_a_volume(source: str, type_: str, options: str, expected: str) -> None:
    assert kind_of_source(source, type_, frozenset(options.split(","))) == expected


@pytest.mark.parametrize(
    ("line", "flaw"),
    [
        ("UUID=1111 / ext4 defaults 0 1", None),
        ("UUID=1111 / ext4", None),
        ("UUID=1111 / ext4 defaults 0 1 # comment", None),
        ("UUID=1111 / ext4 defaults # comment", None),
        ("UUID=5555 none swap sw 0 0", None),
        ("UUID=5555 swap swap", None),
        ("UUID=5555", "it names no mount point"),
        ("UUID=5555 /x", "it names no type of filesystem"),
        ("UUID=2222 srv xfs", "its mount point srv is no absolute path"),
        ("UUID=2222 /my data xfs defaults 0 0", "its fifth field is defaults, not a number"),
        ("UUID=2222 /my\\040data xfs defaults 0 0", None),
        ("UUID=2222 /srv xfs defaults, noatime 0 0", "its fifth field is noatime, not a number"),
        ("UUID=2222 /srv xfs defaults 0 x", "its sixth field is x, not a number"),
        ("UUID=2222 /srv ext4 defaults 0 2", "it says ext4, and disk0/p2 holds xfs"),
        ("UUID=2222 /srv auto defaults 0 2", None),
        ("UUID=1111 /srv ext3 defaults 0 2", None),  # the same driver
        ("UUID=2222 none swap sw 0 0", "it says swap, and disk0/p2 holds xfs"),
    ],
)
def test_what_makes_a_line_invalid(line: str, flaw: str | None) -> None:
    assert mounts_of(f"{line}\n")[0].flaw == flaw


def test_two_lines_for_one_place() -> None:
    text = "UUID=1111 / ext4\nUUID=2222 /srv xfs\nUUID=1111 /srv/ ext4\nUUID=5555 none swap\nUUID=1 none swap\n"
    text += "/dev/sdb1 /usb auto noauto\n/dev/sdc1 /usb auto noauto\n"
    flaws = [mount.flaw for mount in mounts_of(text)]
    assert flaws == [None, None, "line 2 mounts something at /srv/ too", None, None, None, None]


def test_what_the_system_waits_for() -> None:
    text = (
        "UUID=1111 / ext4 defaults 0 1\n"
        "UUID=2222 /a xfs noauto\n"
        "UUID=2222 /b xfs defaults,nofail,x-systemd.device-timeout=10\n"
        "UUID=2222 /c xfs noauto,x-systemd.automount\n"
        "UUID=2222 /d xfs nobootwait\n"
        "UUID=2222 /e xfs noauto,auto\n"
    )
    assert [(mount.at_boot, mount.may_fail) for mount in mounts_of(text)] == [
        (True, False), (False, False), (True, True), (False, True), (True, True), (True, False),
    ]  # fmt: skip


def test_what_crypttab_unlocks() -> None:
    fstab = "UUID=1111 / ext4\n/dev/mapper/secret /srv ext4\n/dev/mapper/other /x ext4\n"
    crypttab = (
        "# <target name> <source device> <key file> <options>\nsecret UUID=3333 none luks,discard\n\nother UUID=9\n"
    )
    assert [mount.volume for mount in mounts_of(fstab, crypttab)] == ["disk0/p1", "disk0/p3/luks", None]
    root = MemoryFileSystem({"/etc/crypttab": crypttab})
    entries = read_mounts("disk0/p1", {"disk0/p1": root}, VOLUMES, Devices(VOLUMES, [])).crypttab.get()
    assert [(each.name, each.source, each.volume, each.key, each.options) for each in entries] == [
        ("secret", "UUID=3333", "disk0/p3", "none", "luks,discard"),
        ("other", "UUID=9", None, "", ""),
    ]


UNIT = "[Unit]\n\n[Mount]\nWhat={}\nWhere=/srv\nType={}\nOptions={}\n\n[Install]\nWantedBy=multi-user.target\n"
WANTS = "/etc/systemd/system/multi-user.target.wants"


def units_of(files: dict[str, str | Link | None]) -> tuple[Mount, ...]:
    tree = GuestTree({"/": MemoryFileSystem({"/lib/systemd/systemd": "", "/etc/machine-id": "01\n", **files})})
    return read_mount_units(tree, Services(tree), Devices(VOLUMES, [])).get()


def test_mount_and_swap_units() -> None:
    folder = "/etc/systemd/system"
    found = units_of(
        {
            f"{folder}/srv.mount": UNIT.format("/dev/disk/by-uuid/2222", "xfs", "noatime"),
            f"{WANTS}/srv.mount": Link(f"{folder}/srv.mount"),
            f"{folder}/nas.mount": UNIT.format("nas:/x", "nfs", "soft"),
            f"{folder}/dev-sdb1.swap": "[Swap]\nWhat=/dev/sdb1\n",
            f"{folder}/run-x.mount": UNIT.format("tmpfs", "tmpfs", ""),
            f"{folder}/masked.mount": Link("/dev/null"),
        }
    )
    assert [(each.how, each.volume, each.point, each.at_boot) for each in found] == [
        ("device-name", None, "none", False),
        ("network", None, "/srv", False),
        ("uuid", "disk0/p2", "/srv", True),
    ]
    assert found[2].evidence[0].line == 4  # type: ignore[union-attr]


def test_without_mount_units_the_init_system_does_not_matter() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/etc/passwd": ""})})
    assert read_mount_units(tree, Services(tree), Devices(VOLUMES, [])).get() == ()


def test_a_crypttab_that_cannot_be_read_loses_nothing_else() -> None:
    root = MemoryFileSystem(
        {"/etc/fstab": "UUID=1111 / ext4\n", "/etc/crypttab": CorruptStructure("bad block", where="disk0/p1")}
    )
    found = read_mounts("disk0/p1", {"disk0/p1": root}, VOLUMES, Devices(VOLUMES, []))
    assert found.crypttab.unread == "corrupt"
    assert len(found.mounts.get()) == 1
