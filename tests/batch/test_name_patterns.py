"""The decision table of names: which disks of a folder are one machine when nothing else says so."""

from __future__ import annotations

import time

import pytest

from imgscan.batch.name_patterns import MOST_DISKS, NamedDisk, find_series, plain_stem
from imgscan.batch.names import natural_key


def together(folder: str, *stems: str, alone: bool = True, family: str = "vmdk") -> list[tuple[str, ...]]:
    """Return the machines of several disks."""
    stems = tuple(sorted(stems, key=natural_key))
    disks = [NamedDisk(stem, family, stem) for stem in stems]
    found = find_series(disks, folder, alone=alone)
    places = [place for series in found if series.together for place in series.members]
    assert len(places) == len(set(places))
    return sorted(tuple(stems[place] for place in series.members) for series in found if series.together)


@pytest.mark.parametrize(
    "stems",
    [
        # a word for disk: OVF exports, Proxmox, Azure, and what people write
        ("web-disk1", "web-disk2"),
        ("web-disk-0", "web-disk-1", "web-disk-2"),
        ("vm-100-disk-0", "vm-100-disk-1"),
        ("web_disk1", "web_disk2", "web_disk10"),
        ("web disk 1", "web disk 2"),
        ("web.disk1", "web.disk2"),
        ("webdisk1", "webdisk2"),
        ("disk0", "disk1"),
        ("disk-1", "disk-2", "disk-3"),
        ("web-disk-0001", "web-disk-0002"),
        ("web-hdd0", "web-hdd1"),
        ("web-drive1", "web-drive2"),
        ("web_OsDisk_1_0123456789abcdef0123456789abcdef", "web_DataDisk_0", "web_DataDisk_1"),
        ("web-osdisk", "web-datadisk-00", "web-datadisk-01"),
        ("web", "web-disk2"),
        ("WEB-disk1", "web-Disk2"),
        # what a disk is for
        ("web-os", "web-data"),
        ("web", "web_data"),
        ("web-os", "web-data1", "web-data2", "web-swap"),
        ("web", "web_data", "web_swap"),
        ("os", "data"),
        ("disk", "swap"),
        ("root", "data", "swap"),
        ("vm-100-disk-0", "vm-100-cloudinit"),
        # added disks: ESX, Workstation, virt-manager
        ("web", "web_1"),
        ("web", "web_1", "web_2", "web_3"),
        ("web", "web-0"),
        ("web", "web-0", "web-1"),
        ("web", "web-1", "web-3"),
        ("web server", "web server_1"),
        ("web01", "web01_1", "web01_2"),
        ("rhel8-4", "rhel8-4-1"),
        ("web-disk1", "web-disk1_1", "web-disk2"),
    ],
)
def test_one_machine_in_any_folder(stems: tuple[str, ...]) -> None:
    found = together("store", *stems, alone=False)
    assert len(found) == 1
    assert sorted(found[0]) == sorted(stems)
    assert together("", *stems) == found
    several = together("store", *stems, "another", "host.example.org", "file server", alone=False)
    assert several == found


@pytest.mark.parametrize(
    "stems",
    [
        ("web", "db"),
        ("web01", "web02"),
        ("web1", "web2"),
        ("web1", "web2", "web3"),
        ("web-1", "web-2"),
        ("web_0", "web_1"),
        ("web", "web1", "web2"),
        ("web", "web-02", "web-03"),
        ("web", "web-2012"),
        ("win", "win-10", "win-11"),
        ("web", "web-7"),
        ("web", "web-db"),
        ("web", "web-backup"),
        ("web", "web (1)"),
        ("web", "web - Copy"),
        ("web-data", "db-os"),
        ("os1", "os2", "os3"),
        ("10.0.0.1", "10.0.0.2"),
        ("2024-01-01", "2024-01-02"),
        ("8f2c4d5e-0000-4000-8000-000000000001", "8f2c4d5e-0000-4000-8000-000000000002"),
        ("web-disk1", "db-disk2"),
        ("ws-001", "ws-002", "ws-003"),
        tuple(f"web{n:02}" for n in range(1, 100)),
        tuple(f"web{n}" for n in range(1, 100)),
    ],
)
def test_machines_of_their_own_in_a_folder_of_another_name(stems: tuple[str, ...]) -> None:
    assert together("store", *stems) == []
    assert together("", *stems) == []


@pytest.mark.parametrize(
    ("folder", "stems"),
    [
        ("web", ("web1", "web2")),
        ("web", ("web-0", "web-1", "web-2")),
        ("Web", ("web_1", "web_2")),
        ("web", ("web", "web1", "web2")),
        ("web server", ("web-server1", "web-server2")),
        ("web", ("web0", "web1")),
    ],
)
def test_a_folder_of_the_disks_name_is_one_machine(folder: str, stems: tuple[str, ...]) -> None:
    assert together(folder, *stems) == [stems]
    assert together("store", *stems) == []
    assert together(folder, *stems, alone=False) == []
    assert together(folder, *stems, "db") == []


@pytest.mark.parametrize(
    "stems",
    [
        ("web01", "web02"),  # leading zeros are a host's
        ("web1", "web3"),  # a gap
        ("web2", "web3"),  # not from the beginning
        ("web", "web3", "web4"),
        tuple(f"web{n}" for n in range(1, 30)),  # too many
    ],
)
def test_a_folder_of_the_disks_name_is_not_enough(stems: tuple[str, ...]) -> None:
    assert together("web", *stems) == []


def test_the_order_of_disks() -> None:
    assert together("", "web-disk10", "web-disk2", "web-disk1") == [("web-disk1", "web-disk2", "web-disk10")]
    assert together("", "web-1", "web", "web-0") == [("web", "web-0", "web-1")]
    assert together("", "web-swap", "web-data", "web-os") == [("web-os", "web-data", "web-swap")]
    assert together("", "web_DataDisk_1", "web_OsDisk_1", "web_DataDisk_0") == [
        ("web_OsDisk_1", "web_DataDisk_0", "web_DataDisk_1")
    ]


def test_formats_are_not_mixed() -> None:
    disks = [NamedDisk("web-disk1", "vmdk", 1), NamedDisk("web-disk2", "vhdx", 2)]
    assert find_series(disks, "", alone=True) == []
    disks += [NamedDisk("web-disk1", "vhdx", 3), NamedDisk("web-disk2", "vmdk", 4)]
    assert [series.members for series in find_series(disks, "", alone=True)] == [(0, 3), (2, 1)]


def test_what_speaks_against_a_series_is_said() -> None:
    def why(*disks: NamedDisk) -> str:
        (series,) = find_series(disks, "", alone=True)
        assert not series.together
        return series.why

    assert "same parent" in why(NamedDisk("web-disk1", "vmdk", 1), NamedDisk("web-disk2", "vmdk", 1))
    assert "same number" in why(NamedDisk("web-disk1", "vmdk", 1), NamedDisk("web_disk1", "vmdk", 2))
    assert "more than" in why(*(NamedDisk(f"web-disk{n}", "vmdk", n) for n in range(MOST_DISKS + 1)))
    assert "machines as well" in why(NamedDisk("web1", "vmdk", 1), NamedDisk("web2", "vmdk", 2))


@pytest.mark.parametrize(
    ("stem", "delta", "plain"),
    [
        ("web-000001", True, "web"),
        ("web-000001", False, "web-000001"),
        ("web_5C2C4E3B-6A39-4A52-9D0B-6A1B0B3C2D1E", True, "web"),
        ("web_1-000002", True, "web_1"),
        ("web-flat", False, "web"),
        ("-000001", True, "-000001"),
        ("-flat", False, "-flat"),
    ],
)
def test_marks_of_snapshots_and_extents(stem: str, delta: bool, plain: str) -> None:
    assert plain_stem(stem, delta=delta) == plain


@pytest.mark.parametrize("stem", ["-" * 255, "disk" * 63, "1" * 255, "-1" * 127, "_disk_1" * 36, "a" * 255, "\n" * 255])
def test_hostile_names_cost_little(stem: str) -> None:
    disks = [NamedDisk(stem, "vmdk", number) for number in range(200)]
    start = time.process_time()
    find_series(disks, stem, alone=True)
    plain_stem(stem, delta=True)
    assert time.process_time() - start < 2
