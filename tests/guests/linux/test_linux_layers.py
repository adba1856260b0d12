"""Names of volumes on layers: logical volumes and arrays, as fstab, root= and GRUB write them."""

from __future__ import annotations

import pytest

from imgscan.guests.grub_device import grub_volumes
from imgscan.guests.linux.devices import Devices
from imgscan.model.fact import known
from imgscan.model.volume import Volume, VolumeKind

GROUP, ROOT, OTHER = "abcdef-Abcd-efgh-1234-5678-90AB-CDEFGH", "ROOTro-otro-otro-otro-otro-otro-otroot", "x" * 32
ARRAY = "01234567:89abcdef:01234567:89abcdef"


def layered(name: str, kind: VolumeKind, identity: str | None = None, /, **metadata: str) -> Volume:
    return Volume(
        name=name,
        kind=kind,
        on=("disk0/p1",),
        size=1 << 30,
        content="ext4",
        signature=known("ext4"),
        uuid=known(identity),
        readable=known(True),
        metadata=metadata,
    )


VOLUMES = [
    layered("my-vg/ro-ot", "logical-volume", "aaaa", group="my-vg", group_uuid=GROUP, uuid=ROOT),
    layered("my-vg/snap", "snapshot", "aaaa", group="my-vg", group_uuid=GROUP, uuid=OTHER, origin="my-vg/ro-ot"),
    layered("vg~12345678/home", "logical-volume", "bbbb", group="vg", group_uuid=GROUP[::-1], uuid=ROOT),
    layered("vg/disk/p1", "partition", "cccc", partition_uuid="feed-01"),
    layered("md/01234567", "raid-array", "dddd", array_uuid=ARRAY, array_name="host:0"),
    layered("md/01234567/p1", "partition", "eeee"),
    layered("md/89abcdef", "raid-array", "ffff", array_uuid=ARRAY[::-1], array_name="data", preferred_minor="5"),
]
DEVICES = Devices(VOLUMES, [])


@pytest.mark.parametrize(
    ("source", "volume"),
    [
        ("/dev/my-vg/ro-ot", "my-vg/ro-ot"),
        ("/dev/mapper/my--vg-ro--ot", "my-vg/ro-ot"),
        ("/dev/mapper/my-vg-ro-ot", None),
        ("/dev/disk/by-id/dm-name-my--vg-ro--ot", "my-vg/ro-ot"),
        (f"/dev/disk/by-id/dm-uuid-LVM-{GROUP.replace('-', '')}{ROOT.replace('-', '')}", "my-vg/ro-ot"),
        ("UUID=aaaa", "my-vg/ro-ot"),
        ("/dev/disk/by-uuid/bbbb", "vg~12345678/home"),
        ("/dev/vg/home", "vg~12345678/home"),
        ("PARTUUID=feed-01", "vg/disk/p1"),
        ("/dev/md0", "md/01234567"),
        ("/dev/md/0", "md/01234567"),
        ("/dev/md0p1", "md/01234567/p1"),
        ("/dev/md0p2", None),
        ("/dev/md/data", "md/89abcdef"),
        ("/dev/md5", "md/89abcdef"),
        ("/dev/md127", None),
        ("/dev/disk/by-id/md-name-host:0", "md/01234567"),
        (f"/dev/disk/by-id/md-uuid-{ARRAY}", "md/01234567"),
    ],
)
def test_names_of_the_guest(source: str, volume: str | None) -> None:
    assert DEVICES.resolve(source).volume == volume


def test_the_only_array_answers_to_any_number_as_a_guess() -> None:
    resolution = Devices([VOLUMES[4]], []).resolve("/dev/md127")
    assert (resolution.volume, resolution.is_guess) == ("md/01234567", True)


@pytest.mark.parametrize(
    ("device", "volumes"),
    [
        (f"lvmid/{GROUP}/{ROOT}", ("my-vg/ro-ot",)),
        (f"(lvmid/{GROUP}/{OTHER})", ("my-vg/snap",)),
        (f"lvmid/{OTHER}/{ROOT}", ()),
        ("lvm/my--vg-ro--ot", ("my-vg/ro-ot",)),
        ("lvm/nothing-there", ()),
        ("mduuid/0123456789abcdef0123456789abcdef", ("md/01234567",)),
        ("mduuid/0123456789abcdef0123456789abcdef,msdos1", ("md/01234567/p1",)),
        ("md/0", ("md/01234567",)),
        ("md/0,gpt1", ("md/01234567/p1",)),
        ("md/data", ("md/89abcdef",)),
        ("hd0,msdos1", None),
        ("memdisk", None),
    ],
)
def test_names_of_grub(device: str, volumes: tuple[str, ...] | None) -> None:
    assert grub_volumes(device, VOLUMES) == volumes
    assert DEVICES.resolve_grub(f"({device.strip('()')})").volume == (volumes[0] if volumes else None)
