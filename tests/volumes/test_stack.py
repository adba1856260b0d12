"""Layers on each other, through the whole scan: what is found, how it is called, and that it always ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

import lvm2_builder
import pytest
from disk_builder import MIB, UUIDS, build_linux, embed_grub, grub_core, make_volume, uuid_of, write_at
from lvm2_builder import Group, Physical, Segment, Volume, identity
from tools import require_tool, requires_tool

from imgscan.devices.limits import VOLUME_DEPTH, VOLUMES
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import LimitExceeded, MissingPart
from imgscan.model.machine import MachineFacts
from imgscan.scan import inspect_machine
from imgscan.volumes import Layer
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.stack import Stack


def scan(tmp_path: Path, *disks: bytes | bytearray) -> MachineFacts:
    paths = []
    for number, data in enumerate(disks):
        paths.append(tmp_path / f"scan{number}.raw")
        paths[-1].write_bytes(data)
    return inspect_machine(paths)


def shape(machine: MachineFacts) -> dict[str, tuple[str, str | None, tuple[str, ...]]]:
    return {volume.name: (volume.kind, volume.content, volume.on) for volume in machine.volumes}


def partitioned(content: bytes | bytearray, kind: str = "83") -> bytearray:
    """Return a disk with one partition at 1 MiB."""
    disk = bytearray(MIB) + content + bytes(MIB)
    entry = bytes([0, 0, 0, 0, int(kind, 16), 0, 0, 0]) + (2048).to_bytes(4, "little")
    disk[446:462] = entry + (len(content) // 512).to_bytes(4, "little")
    disk[510:512] = b"\x55\xaa"
    return disk


def ext4(tmp_path: Path, size: int, role: str = "data") -> bytes:
    image = tmp_path / "ext4"
    make_volume(image, "ext4", size, uuid_of(role, "ext4"), {"data.txt": b"data\n"})
    return image.read_bytes()


def in_a_group(
    content: bytes | bytearray, letter: str = "A", name: str = "vg0", volume: str = "root", own: str = ""
) -> bytearray:
    """Return a physical volume whose only logical volume has this content."""
    extents = -(-len(content) // MIB)
    group = Group(
        [Physical(letter, extents)],
        [Volume(volume, [Segment(extents, [("pv0", 0)])])],
        name,
        own or chr(ord(letter) + 6),
    )
    (data,) = lvm2_builder.physical_volumes(group)
    data[MIB : MIB + len(content)] = content
    return data


@requires_tool("mke2fs")
def test_a_group_on_a_partition_and_on_a_whole_disk(tmp_path: Path) -> None:
    filesystem = ext4(tmp_path, 8 * MIB)
    machine = scan(tmp_path, partitioned(in_a_group(filesystem), "8e"), in_a_group(filesystem, "B", "other"))
    assert shape(machine) == {
        "disk0/p1": ("partition", "LVM2_member", ("disk0",)),
        "disk1": ("disk", "LVM2_member", ()),
        "vg0/root": ("logical-volume", "ext4", ("disk0/p1",)),
        "other/root": ("logical-volume", "ext4", ("disk1",)),
    }
    assert machine.disks_below("vg0/root") == {"disk0"}
    assert machine.volume("vg0/root").uuid.value == UUIDS["data"]  # type: ignore[union-attr]
    assert machine.volume("disk0/p1").readable is None
    assert machine.unread == ()


@requires_tool("mke2fs")
def test_partitions_inside_a_logical_volume(tmp_path: Path) -> None:
    machine = scan(tmp_path, in_a_group(partitioned(ext4(tmp_path, 8 * MIB)), volume="disk"))
    assert shape(machine)["vg0/disk/p1"] == ("partition", "ext4", ("vg0/disk",))
    assert machine.disks_below("vg0/disk/p1") == {"disk0"}
    assert machine.volume("vg0/disk").metadata["partition_table"] == "mbr"


@requires_tool("mke2fs")
def test_a_group_in_a_partition_of_a_volume_of_a_group(tmp_path: Path) -> None:
    inner = partitioned(in_a_group(ext4(tmp_path, 8 * MIB), "A", "inner"), "8e")
    machine = scan(tmp_path, in_a_group(inner, "B", "outer", "disk"))
    assert shape(machine)["inner/root"] == ("logical-volume", "ext4", ("outer/disk/p1",))
    assert machine.disks_below("inner/root") == {"disk0"}


@requires_tool("mke2fs")
def test_a_group_over_a_disk_and_a_volume_of_another_group(tmp_path: Path) -> None:
    """The outer group is complete only after the inner one was opened: it must not be given up before."""
    filesystem = ext4(tmp_path, 8 * MIB)
    group = Group(
        [Physical("A", 4), Physical("B", 4)], [Volume("root", [Segment(4, [("pv0", 0)]), Segment(4, [("pv1", 0)])])]
    )
    first, second = lvm2_builder.physical_volumes(group)
    first[MIB:], second[MIB:] = filesystem[: 4 * MIB], filesystem[4 * MIB :]
    machine = scan(tmp_path, first, in_a_group(second, "C", "under", "pv"))
    root = machine.volume("vg0/root")
    assert (root.content, root.on, root.problems) == ("ext4", ("disk0", "under/pv"), ())
    assert machine.disks_below("vg0/root") == {"disk0", "disk1"}
    assert machine.unread == ()


def test_a_group_on_itself_ends(tmp_path: Path) -> None:
    """A volume that is its own physical volume shows the same label and metadata again."""
    group = Group([Physical("A", 4)], [Volume("root", [Segment(4, [("pv0", 0)])])])
    text = group.text().replace(b"pe_start = 2048", b"pe_start = 0000")
    data = lvm2_builder.physical_volume("A", 4, [(lvm2_builder.AREA_START, lvm2_builder.area(text))])
    machine = scan(tmp_path, data)
    assert list(shape(machine)) == ["disk0", "vg0/root"]


def test_a_partition_table_inside_itself_ends(tmp_path: Path) -> None:
    table = partitioned(bytes(4 * MIB))
    table[454:458] = bytes(4)  # the partition begins where the table stands
    machine = scan(tmp_path, in_a_group(table))
    assert set(shape(machine)) <= {"disk0", "vg0/root", "vg0/root/p1"}


def test_what_is_missing_is_unread_and_may_hold_the_system(tmp_path: Path) -> None:
    group = Group([Physical("A", 4), Physical("B", 4)], [Volume("root", [Segment(4, [("pv1", 0)])])])
    machine = scan(tmp_path, lvm2_builder.physical_volumes(group)[0])
    volume = machine.volume("vg0/root")
    assert volume.signature.unread == "missing"
    assert (machine.unread[0].where, machine.unread[0].why) == ("vg0/root", "missing")
    assert machine.systems_searched.unread == "missing"


@requires_tool("grub-mkimage", "mke2fs", "sfdisk")
@pytest.mark.parametrize(
    ("prefix", "firmware"),
    [
        (f"(lvmid/{identity('G')}/{identity('a')})/boot/grub", "bios"),
        ("(lvm/vg0-root)/boot/grub", "bios"),
        (f"(lvmid/{identity('G')}/{identity('b')})/boot/grub", "neither"),
        ("(lvm/vg0-root)/grub", "neither"),
    ],
)
def test_grub_reads_its_files_from_a_logical_volume(tmp_path: Path, prefix: str, firmware: str) -> None:
    plain = build_linux(tmp_path)
    start = 512 * int(
        subprocess.run(
            [require_tool("sfdisk"), "--dump", str(plain)], capture_output=True, text=True, check=True
        ).stdout.partition("start=")[2].split(",")[0]
    )  # fmt: skip
    disk = partitioned(in_a_group(plain.read_bytes()[start : start + 48 * MIB], own="G"), "8e")
    path = tmp_path / "layered.raw"
    path.write_bytes(disk)
    core = grub_core(prefix, "ext2")
    table = path.read_bytes()[440:512]
    embed_grub(path, core, 1)
    write_at(path, 440, table)
    machine = inspect_machine([path])
    assert machine.boot.firmware.value == firmware
    (system,) = machine.systems
    assert system.root == "vg0/root"
    if firmware == "bios":
        assert machine.boot.disk.value == ("disk0",)
        assert machine.boot.code[0].loads == "vg0/root"


# --- the stack itself ------------------------------------------------------------------------------------------------

DEVICE = MemoryDevice(bytes(512))


def made(name: str, *on: str, complete: bool = True) -> Assembled:
    return Assembled(name, "logical-volume", on, 512, DEVICE, is_complete=complete)


def test_members_of_no_layer_are_left_alone() -> None:
    stack = Stack([Layer("one", frozenset({"x"}), lambda _: (made("v"),))])
    stack.add(Member("disk0", DEVICE, "y"))
    assert stack.due() is None
    assert stack.give_up() == []


def test_incomplete_volumes_wait_for_more_members() -> None:
    def assemble(members: object) -> tuple[Assembled, ...]:
        count = len(members)  # type: ignore[arg-type]
        return (made("v", complete=count > 1),)

    stack = Stack([Layer("one", frozenset({"x"}), assemble)])
    stack.add(Member("disk0", DEVICE, "x"))
    layer = stack.due()
    assert layer is not None
    assert stack.assemble(layer) == []
    assert stack.due() is None
    stack.add(Member("disk1", DEVICE, "x"))
    assert stack.due() is layer
    assert [volume.name for volume in stack.assemble(layer)] == ["v"]
    assert stack.give_up() == []


def test_incomplete_volumes_are_given_up_layer_by_layer() -> None:
    layers = [
        Layer(name, frozenset({name}), lambda _, name=name: (made(f"{name}/v", complete=False),))  # type: ignore[misc]
        for name in ("first", "second")
    ]
    stack = Stack(layers)
    for name in ("first", "second"):
        stack.add(Member(name, DEVICE, name))
    while (layer := stack.due()) is not None:
        assert stack.assemble(layer) == []
    assert [volume.name for volume in stack.give_up()] == ["first/v"]
    assert [volume.name for volume in stack.give_up()] == ["second/v"]
    assert stack.give_up() == []


def test_too_deep_and_too_many_are_told() -> None:
    def assemble(members: object) -> tuple[Assembled, ...]:
        number = len(members)  # type: ignore[arg-type]
        return tuple(made(f"v{each}", f"v{each - 1}" if each else "disk0") for each in range(number))

    layer = Layer("one", frozenset({"x"}), assemble)
    stack = Stack([layer])
    last: list[Assembled] = []
    for number in range(VOLUME_DEPTH + 1):
        stack.add(Member(f"v{number - 1}", DEVICE, "x"))
        last = stack.assemble(layer)
    assert isinstance(last[0].error, LimitExceeded)
    assert last[0].device is None

    crowded = Layer("two", frozenset({"x"}), lambda _: tuple(made(f"v{number}") for number in range(VOLUMES + 5)))
    stack = Stack([crowded])
    stack.add(Member("disk0", DEVICE, "x"))
    assert len(stack.assemble(crowded)) == VOLUMES
    assert isinstance(stack.refused["two"], LimitExceeded)
    assert stack.due() is None


def test_a_layer_that_is_refused_is_asked_no_more() -> None:
    layer = Layer("one", frozenset({"x"}), lambda _: ())
    stack = Stack([layer])
    stack.add(Member("disk0", DEVICE, "x"))
    stack.refuse(layer, MissingPart("x"))
    assert stack.due() is None
    assert [member.name for member in stack.members_of("one")] == ["disk0"]
