"""The report for people: readable at any width, harmless whatever a guest is called."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from facts_builder import a_linux_machine, a_volume, and_volumes

from imgscan.judge import judge_facts
from imgscan.model.disk import Problem
from imgscan.model.fact import Fact, known, unread
from imgscan.model.machine import MachineFacts, UnreadPlace
from imgscan.model.report import Report
from imgscan.model.volume import Free
from imgscan.profiles import load
from imgscan.reports.text import render
from imgscan.reports.text_layout import Style
from imgscan.reports.units import size_text

HOSTILE = "web\x1b[31m\u202egnp\x07\n=cmd|' /C calc'!A0"


def report(machine: MachineFacts) -> Report:
    return judge_facts(machine, [load("aws-sms")])


def renamed(machine: MachineFacts, hostname: str) -> MachineFacts:
    system = msgspec.structs.replace(machine.systems[0], hostname=known(hostname), product=known(hostname))
    return msgspec.structs.replace(machine, name=hostname, systems=(system,))


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("width", [20, 40, 80, 100, 300])
def test_every_line_fits(width: int, color: bool) -> None:
    text = render(report(a_linux_machine()), Style(width=width, terminal=color, color=False))
    allowed = min(140, max(40, width))
    assert max(len(line) for line in text.splitlines()) <= allowed


def test_the_verdict_stands_on_top() -> None:
    lines = render(report(a_linux_machine())).splitlines()
    assert lines[1].startswith("READY for aws-sms")


def test_guest_text_is_harmless() -> None:
    text = render(report(renamed(a_linux_machine(), HOSTILE)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x07" not in text
    assert r"\x1b[31m\u202egnp\x07\x0a" in text


def test_markup_in_guest_text_is_text() -> None:
    text = render(report(renamed(a_linux_machine(), "[bold]x[/bold] :smile:")))
    assert "[bold]x[/bold] :smile:" in text


def test_color_only_when_asked() -> None:
    plain = render(report(a_linux_machine()), Style(terminal=True, color=False))
    assert "\x1b" not in plain
    assert "\x1b[" in render(report(a_linux_machine()), Style(terminal=True, color=True))


def test_what_was_not_read_is_listed() -> None:
    place = UnreadPlace("disk0/p2", "encrypted", "crypto_LUKS needs a key")
    machine = msgspec.structs.replace(
        a_linux_machine(), unread=(place,), systems_searched=unread("encrypted", "disk0/p2: crypto_LUKS needs a key")
    )
    text = render(report(machine))
    assert "Not read\n  disk0/p2  encrypted: crypto_LUKS needs a key" in text
    assert text.splitlines()[1].startswith("UNDECIDED")


def test_why_no_kernel_is_known_stands_there_once() -> None:
    lost: Fact[Any] = unread("corrupt", "disk0/p1: bad block")
    without = a_linux_machine(kernel=lost, default_kernel=lost, kernel_package=lost, initramfs=lost)
    systems = render(report(without)).partition("Systems")[2].partition("Findings")[0]
    assert " ".join(systems.split()).count("bad block") == 1
    assert "kernel unread (corrupt: disk0/p1: bad block)" in " ".join(systems.split())
    other: Fact[Any] = unread("limit", "the database is too large")
    systems = render(report(a_linux_machine(kernel_package=other))).partition("Systems")[2].partition("Findings")[0]
    assert "of package unread (limit: the database is too large)" in " ".join(systems.split())


def test_verbose_lists_what_passed() -> None:
    text = render(report(a_linux_machine()), Style(verbose=True))
    assert "pass           boot-disk-too-large" in text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2 << 40, "2.0 TiB"), (3 << 60, "3072.0 PiB"), (None, "-")],
)
def test_sizes(size: int | None, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize("width", [50, 100])
def test_no_width_loses_a_uuid(width: int) -> None:
    machine = a_linux_machine()
    uuids = [str(volume.uuid.value) for volume in machine.volumes if volume.uuid is not None]
    text = "".join(render(report(machine), Style(width=width)).split())
    assert uuids
    assert all(uuid in text for uuid in uuids)


def test_layers_stand_below_what_they_lie_on() -> None:
    group = {"group": "vg0", "segments": "striped"}
    lost = Problem("missing-physical-volume", "missing", "one is gone")
    machine = and_volumes(
        a_linux_machine(),
        a_volume("disk0/p7", "LVM2_member"),
        a_volume("disk1", "LVM2_member"),
        a_volume("vg0/data", "ext4", kind="logical-volume", metadata=group, problems=(lost,)),
        a_volume("vg0/more", "ext4", kind="logical-volume", metadata=group, problems=(lost,)),
    )
    volumes = [
        msgspec.structs.replace(volume, on=("disk0/p7", "disk1")) if volume.metadata else volume
        for volume in machine.volumes
    ]
    machine = msgspec.structs.replace(machine, volumes=tuple(volumes))
    lines = render(report(machine), Style(width=140)).splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith("disk0/p7"))
    assert lines[first + 1].startswith("    vg0/data")
    assert "ext4 (striped, on disk0/p7, disk1)" in lines[first + 1]
    assert lines[first + 2].startswith("    vg0/more")
    assert lines[first + 3].startswith("  disk1")
    assert sum("one is gone (missing-physical-volume)" in line for line in lines) == 1
    assert any("vg0/data and 1 more" in line for line in lines)


def test_volumes_on_each_other_in_a_circle_are_all_shown() -> None:
    circle = [
        msgspec.structs.replace(a_volume(name, "ext4"), on=(below,)) for name, below in (("a/x", "a/y"), ("a/y", "a/x"))
    ]
    text = render(report(and_volumes(a_linux_machine(), *circle)))
    assert all(name in text for name in ("a/x", "a/y"))


@pytest.mark.parametrize("width", [40, 60, 100, 140])
@pytest.mark.parametrize("name", ["rhel_web-frontend-production-01/var", "v" * 127 + "/" + "l" * 127])
def test_a_long_name_costs_no_figure(name: str, width: int) -> None:
    volume = msgspec.structs.replace(
        a_volume(name, "ext4", kind="logical-volume"), size=442_708_787, free=known(Free(1 << 30, 1 << 30, None))
    )
    text = "".join(render(report(and_volumes(a_linux_machine(), volume)), Style(width=width)).split())
    assert name in text
    assert "422.2MiB" in text
    assert "1.0GiB" in text
    assert "ext4" in text


def machine_with_partitions(count: int) -> MachineFacts:
    machine = a_linux_machine()
    disk = machine.disks[0]
    assert disk.partition_table is not None
    parts = tuple(
        msgspec.structs.replace(
            disk.partition_table.partitions[0], name=f"disk0/p{n}", number=n, start=n << 20, size=1 << 20
        )
        for n in range(1, count + 1)
    )
    disk = msgspec.structs.replace(
        disk, partition_table=msgspec.structs.replace(disk.partition_table, partitions=parts)
    )
    volumes = tuple(a_volume(part.name, "ext4") for part in parts)
    return msgspec.structs.replace(machine, disks=(disk,), volumes=volumes)


@pytest.mark.parametrize(("width", "count"), [(100, 15), (60, 15), (40, 15), (140, 40), (100, 4)])
def test_the_picture_of_a_disk_shows_whole_numbers_or_says_how_many_are_missing(width: int, count: int) -> None:
    lines = render(report(machine_with_partitions(count)), Style(width=width)).splitlines()
    bar = next(line.strip() for line in lines if line.strip().startswith("["))
    inside, _, more = bar.removeprefix("[").partition("]")
    numbers = [int(match) for match in re.findall(r"(?:^|[|.])(\d+)(?=[ =|])", inside)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert more == ("" if len(numbers) == count else f" +{count - len(numbers)} more")
    assert len(bar) <= width
