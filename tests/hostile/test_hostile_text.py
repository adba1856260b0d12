"""Configuration files of a guest that are made to be slow, deep or endless: an answer or a limit, and soon."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pytest
from tools import soon

from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.grub_core import search_in
from imgscan.guests.linux.boot_entry import CONFIGURATION_BYTES, BootConfiguration
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.fstab import parse_fstab
from imgscan.guests.linux.grub2 import parse_grub2
from imgscan.guests.linux.shell_file import assignments

MIB = 1 << 20
SHORT = 16 << 10
DIGITS = "1" * 5000  # more than Python turns into a number


def grows_no_faster(read: Callable[[str], object], unit: str, before: str = "") -> None:
    """Read a text of a unit repeated and one of four times its length, until the longer takes no more than ten times.

    Time that grows with the square takes sixteen times. The best of all runs counts, so that a busy machine costs runs
    and not the test; below 10 ms nothing is told.
    """
    best = [1e9, 1e9]
    for _ in range(12):
        for index, length in enumerate((SHORT, 4 * SHORT)):
            text = before + unit * (length // len(unit))
            started = time.process_time()
            with contextlib.suppress(ImageError):
                read(text)
            best[index] = min(best[index], time.process_time() - started)
        if best[1] < max(10 * best[0], 0.010):
            return
    pytest.fail(f"{best[0]:.3f} s for {SHORT} bytes, {best[1]:.3f} s for four times as many")


def parse(text: str) -> BootConfiguration | None:
    """Parse a grub.cfg; None stands for a limit."""
    try:
        return parse_grub2(text, "/boot/grub/grub.cfg", {}, lambda _: None, lambda _: [])
    except LimitExceeded:
        return None


UNITS = (
    *(";", "a;", "{}", "{", "}", "'", '"', "\\", "$", "${", '"${', "$a ", "#\n", "\n", "a\\\n", "\0", "\x1b[2J"),
    *("then ", "! ", "if then ", "menuentry x {\n", "menuentry x {}\n", "submenu x {\n", "set a=$a$a\n", '"\\'),
    *("set default=${${\n", "source x\n", "configfile /boot/grub/grub.cfg\n"),
)


@pytest.mark.parametrize("unit", UNITS)
def test_a_script_of_one_thing_repeated_takes_no_square_of_its_length(unit: str) -> None:
    grows_no_faster(parse, unit)
    grows_no_faster(parse, unit, "menuentry 'x' {\n")


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS)
def test_the_longest_script_of_one_thing_repeated_is_parsed_soon(unit: str) -> None:
    with soon():
        parse(unit * (CONFIGURATION_BYTES // len(unit)))
        parse("menuentry 'x' {\n" + unit * (CONFIGURATION_BYTES // len(unit)))


def test_keywords_in_front_of_a_command_are_taken_off() -> None:
    menu = parse("! then set default=x\nthen then\n")
    assert menu is not None
    assert menu.default == "x"


def test_files_that_source_each_other_end_in_a_limit() -> None:
    def next_file(name: str) -> tuple[str, str]:
        return f"/boot/grub/{name}", f"source {int(name) + 1}\n"

    with soon(), pytest.raises(LimitExceeded):
        parse_grub2("source 1\n", "/boot/grub/grub.cfg", {}, next_file, lambda _: [])


def test_many_long_sourced_files_end_in_a_limit() -> None:
    names = "".join(f"source {number}\n" for number in range(1000))
    with soon(), pytest.raises(LimitExceeded):
        parse_grub2(names, "/boot/grub/grub.cfg", {}, lambda name: (name, "a;" * 500_000), lambda _: [])


@pytest.mark.parametrize(
    ("before", "unit"),
    [
        ("", "\n"),
        ("", " "),
        ("", "search "),
        ("", "search --"),
        ("search --fs-uuid", " "),
        ("", "search" + " " * 1000 + "\n"),
        ("search", " " * 1000 + "\n"),
    ],
)
def test_a_configuration_inside_a_core_image_takes_no_square_of_its_length(before: str, unit: str) -> None:
    grows_no_faster(search_in, unit, before)


@pytest.mark.parametrize(
    "name",
    [
        f"/dev/sda{DIGITS}",
        f"/dev/nvme{DIGITS}n1p{DIGITS}",
        "/dev/mapper/" + "-" * 20_001,
        "/dev/mapper/" + "a-" * 20_001,
        "UUID=" + "x" * MIB,
        "/dev/disk/by-label/" + "\\x41" * 100_000,
        "=",
        "",
    ],
)
def test_a_device_name_that_cannot_be_means_nothing(name: str) -> None:
    devices = Devices((), ())
    with soon():
        assert devices.resolve(name).volume is None


@pytest.mark.parametrize("device", [f"hd{DIGITS}", f"(hd0,msdos{DIGITS})", f"(hd0,{DIGITS})", "hd0" + ",1" * 100_000])
def test_a_grub_device_that_cannot_be_means_nothing(device: str) -> None:
    devices = Devices((), ())
    with soon():
        assert devices.resolve_grub(device).volume is None
        assert devices.resolve_grub_legacy(device).volume is None


@pytest.mark.parametrize("unit", ["\t ", "x ", "a b c d\n", "\\040", "\0"])
def test_an_fstab_of_one_thing_repeated_takes_no_square_of_its_length(unit: str) -> None:
    grows_no_faster(parse_fstab, unit)


@pytest.mark.parametrize(("before", "unit"), [("ID='", "a "), ("ID=", "\\"), ("", "A=b\n"), ('ID="', "$(")])
def test_assignments_of_one_thing_repeated_take_no_square_of_their_length(before: str, unit: str) -> None:
    grows_no_faster(assignments, unit, before)
