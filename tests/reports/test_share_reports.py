"""The reports over a share: harmless whatever machines, files and guests are called, and readable at any width."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import msgspec
import pytest
from facts_builder import a_linux_machine, a_windows_machine, with_disk
from share_ledger import TIB, make_share_ledger

from imgscan.batch.share_report import Selection, ShareReader, SummaryBuilder
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts
from imgscan.reports import share_csv, share_json, share_text
from imgscan.reports.share_csv import disarmed
from imgscan.reports.text_layout import Style

ESC = "web\x1b[31m\u202egnp\x07\n\x85\u2028"
FORMULAS = (
    "=1+1",
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    '"=1',
    "' =1",
    " =1",
    "\uff1d1",
    "a;=1",
    "a; @x",
)
HTML = "<script>alert(1)</script>[bold]x[/bold]</td>"
NAMES = (ESC, *FORMULAS, HTML, os.fsdecode(b"\xff\xfe"), "日本語")
HIDDEN = {"\x1b", "\u202e", "\x07", "\x85", "\u2028", "\t", "\r"}


def called(machine: MachineFacts, name: str) -> MachineFacts:
    """Return a machine whose guest calls itself that everywhere it can."""
    clean = name.encode("utf-8", "replace").decode()
    system = msgspec.structs.replace(
        machine.systems[0], product=known(clean), hostname=known(clean), version=known(clean)
    )
    volume = msgspec.structs.replace(machine.volumes[0], label=known(clean))
    machine = with_disk(machine, virtual_size=4 * TIB, metadata={clean: clean})
    return msgspec.structs.replace(machine, systems=(system,), volumes=(volume, *machine.volumes[1:]))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    machines = {f"dir/{name}": called(a_linux_machine(), name) for name in NAMES}
    machines.update({name: called(a_windows_machine(), name) for name in FORMULAS})
    return make_share_ledger(tmp_path_factory.mktemp("hostile") / "results.db", machines)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_share_ledger(tmp_path_factory.mktemp("reports") / "results.db")


def as_text(path: Path, style: Style | None = None, rule: str | None = None, *, select: bool = False) -> str:
    selection = Selection(rule=rule, where=(("state", "done"),) if select else ())
    with ShareReader.open(path) as reader:
        builder = SummaryBuilder(reader, selection)
        listed = list(reader.answers(selection))
        for answer in listed:
            builder.add(answer)
        return share_text.render(builder.result(), listed if select or rule else (), rule, style)


def as_json(path: Path) -> str:
    with ShareReader.open(path) as reader:
        builder = SummaryBuilder(reader, Selection())
        answers = list(reader.answers())
        for answer in answers:
            builder.add(answer)
        machines = [machine for answer in answers if (machine := reader.machine(answer)) is not None]
        return "".join(share_json.render(reader.tool, reader.profiles, machines, builder.result))


def as_csv(path: Path, rule: str | None = None) -> str:
    with ShareReader.open(path) as reader:
        if rule is not None:
            return "".join(share_csv.render_rule(rule, reader.answers(Selection(rule=rule))))
        return "".join(share_csv.render(["aws-sms"], reader.answers()))


def test_hidden_characters_reach_no_output(hostile: Path) -> None:
    rule = "boot-disk-too-large"
    for text in (
        as_text(hostile, Style(verbose=True)),
        as_text(hostile, select=True),
        as_text(hostile, rule=rule),
        as_json(hostile),
        as_csv(hostile),
        as_csv(hostile, rule),
    ):
        assert not HIDDEN & set(text)
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode()


def test_no_string_of_the_json_hides_anything(hostile: Path) -> None:
    def strings(value: object) -> list[str]:
        if isinstance(value, dict):
            return [s for item in value.items() for s in strings(list(item))]
        return [s for item in value for s in strings(item)] if isinstance(value, list) else [str(value)]

    report = json.loads(as_json(hostile))
    assert all(text.isprintable() for text in strings(report))
    names = [machine["name"] for machine in report["machines"]]
    assert len(set(names)) == len(names) == len(NAMES) + len(FORMULAS) + 1


@pytest.mark.parametrize("rule", [None, "boot-disk-too-large"])
def test_no_cell_is_a_formula(hostile: Path, rule: str | None) -> None:
    text = as_csv(hostile, rule)
    for separator in ",;":
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            for cell in row:
                assert cell.strip(" \t\r\n\"'`")[:1] not in tuple("=+-@\uff1d") or cell.lstrip(' "').startswith("'"), (
                    cell
                )


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("plain", "plain"),
        ("a=b", "a=b"),
        ("web-01", "web-01"),
        ("=1", "'=1"),
        ('"=1', "'\"=1"),
        (" -1", "' -1"),
        ("\t=1", r"\x09=1"),
        ("a; =1", "a;' =1"),
        ("1; 2", "1; 2"),
        ("", ""),
    ],
)
def test_disarmed_cells(cell: str, safe: str) -> None:
    assert disarmed(cell) == safe


def test_csv_has_one_row_for_each_machine(database: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(database))))
    assert len(rows) == 9
    by_name = {row["machine"]: row for row in rows}
    assert by_name["lab/efi"]["aws-sms readiness"] == "not-ready"
    assert by_name["lab/efi"]["aws-sms failed blockers"] == "efi-boot-unsupported; boot-disk-not-mbr"
    assert by_name["lab/efi"]["files"] == "lab/efi.vmdk"
    assert by_name["lab/large"]["virtual size"] == str(4 * TIB)
    assert by_name["lab/crash"]["failure"] == "crashed"
    assert by_name["lab/unreached"]["state"] == "pending"
    assert by_name["lab/windows"]["systems"] == "Windows Server 2016 Standard"


def test_csv_of_a_rule_has_one_row_for_each_finding(database: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(database, "boot-disk-too-large"))))
    assert [(row["machine"], row["outcome"]) for row in rows] == [
        ("lab/crash", "unknown"),
        ("lab/large", "fail"),
        ("lab/large-windows", "fail"),
    ]
    assert rows[1]["evidence"] == f"disk0 at offset {4 * TIB} (end of the virtual disk)"


@pytest.mark.parametrize("width", [20, 40, 80, 100, 300])
def test_every_line_fits(database: Path, width: int) -> None:
    for select in (False, True):
        text = as_text(database, Style(width=width), select=select)
        assert max(len(line) for line in text.splitlines()) <= min(140, max(40, width))


def test_text_says_how_it_stands(database: Path) -> None:
    text = as_text(database)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0].startswith("9 machines, 8 disks")
    assert "ready 2 22.2 %" in lines
    assert "not ready 4 44.4 %" in lines
    assert "not scanned yet 1 11.1 %" in lines
    assert "boot-disk-too-large blocker 2 1 2" in lines
    assert "1 boot-disk-too-large 2 2 2 of 5" in lines
    assert "crashed (1) lab/crash" in lines
    assert "denied secret: permission denied" in lines


def test_long_lists_are_cut_and_say_how_to_get_all(tmp_path: Path) -> None:
    from share_ledger import plan_of, planned, stamps_of

    from imgscan.batch.ledger import Ledger
    from imgscan.tool import this_tool

    (tmp_path / "share").mkdir()
    plans = [planned(f"m{number:02}") for number in range(30)]
    with Ledger.open(tmp_path / "results.db", tmp_path / "share") as ledger:
        ledger.begin_run(this_tool(), {}, [])
        ledger.record_plan(plan_of(plans), stamps_of(plans), "")
    text = " ".join(as_text(tmp_path / "results.db").split())
    assert "m09 and 20 more (--where state=pending lists them)" in text
    assert "m10" not in text
    assert "m29" in as_text(tmp_path / "results.db", Style(verbose=True))
