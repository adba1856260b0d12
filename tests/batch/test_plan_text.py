"""A plan as text and as JSON."""

from __future__ import annotations

import json

import jsonschema
import pytest
from share_builder import ISO, OVF, TEXT, UNREADABLE, Tree, descriptor, plan_of, sidecar

from imgscan.batch import plan_json, plan_text
from imgscan.batch.share import PathProblem, Plan, PlannedMachine
from imgscan.reports.schema import json_schema
from imgscan.reports.text_layout import Style

TREE: Tree = {
    "customer/web/web.ovf": sidecar(OVF, "web-disk1.vmdk", "web-disk2.vmdk"),
    "customer/web/web-disk1.vmdk": descriptor(*(f"web-disk1-f{n:03}.vmdk" for n in range(1, 6))),
    **{f"customer/web/web-disk1-f{n:03}.vmdk": "raw" for n in range(1, 6)},
    "customer/web/web-disk2.vmdk": "vmdk",
    "customer/db.vhdx": "vhdx",
    "customer/cd.iso": ISO,
    "a.log": TEXT,
    "b.log": TEXT,
    "c.log": TEXT,
    "d.log": TEXT,
    "unreadable": UNREADABLE,
}
TEXT_PLAN = """\
2 machines, 3 disks

customer/db
  disk0     customer/db.vhdx
  because   no sidecar names it, and no other disk of its folder belongs to it by name

customer/web/web
  disk0     customer/web/web-disk1.vmdk
  disk1     customer/web/web-disk2.vmdk
  with      web-disk1-f001.vmdk, web-disk1-f002.vmdk, web-disk1-f003.vmdk, and 3 more
  because   web.ovf (an OVF descriptor) names these 2 disks

Not part of any machine: 5 paths
  4  no disk image that imgscan knows  a.log, b.log, c.log, ...
  1  an ISO 9660 image                 customer/cd.iso

Could not be looked at: 1 path
  unreadable io-error: reading failed: Input/output error
"""


def test_text() -> None:
    assert plan_text.render(plan_of(TREE)) == TEXT_PLAN


def test_verbose_text_lists_all() -> None:
    text = plan_text.render(plan_of(TREE), Style(verbose=True))
    for path in TREE:
        assert path in text


def test_a_terminal_gets_colour_and_any_width_will_do() -> None:
    assert "\x1b[1m" in plan_text.render(plan_of(TREE), Style(width=60, terminal=True, color=True))
    for width in (1, 40, 100, 500):
        assert "customer/db.vhdx" in plan_text.render(plan_of(TREE), Style(width=width))


def test_json() -> None:
    report = json.loads(plan_json.render(plan_of(TREE)))
    jsonschema.validate(report, json_schema("plan"))
    assert report["schema"] == "imgscan.plan/1"
    assert [machine["name"] for machine in report["machines"]] == ["customer/db", "customer/web/web"]
    web = report["machines"][1]
    assert web["disks"] == ["customer/web/web-disk1.vmdk", "customer/web/web-disk2.vmdk"]
    assert set(web["files"]) == {path for path in TREE if path.startswith("customer/web/")}
    assert report["problems"] == [
        {"path": "unreadable", "why": "io-error", "detail": "reading failed: Input/output error"}
    ]
    assert len(report["others"]) == 5


HOSTILE = ("a\nb", "\x1b[31m", "caf\udce9", "\u202egpj", "\\x1b", "[red]x[/red]", ":smile:", "\x85")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless(name: str) -> None:
    path = f"{name}/{name}.vmdk"
    told = PathProblem(path, "unsupported", f"{name}; {name}")
    machine = PlannedMachine(name=name, disks=(path,), files=(path, f"{path}.x"), reason=f"because {name}")
    plan = Plan(machines=(machine,), others=(told,), problems=(told,))
    for text in (plan_text.render(plan), plan_text.render(plan, Style(verbose=True)), plan_json.render(plan)):
        text.encode()
        assert all(character.isprintable() or character == "\n" for character in text)
    rendered = json.loads(plan_json.render(plan))
    assert "\n" not in rendered["machines"][0]["name"]
    assert "[red]" in plan_text.render(plan) or "[red]" not in name


def test_an_empty_share() -> None:
    empty = Plan(machines=(), others=(), problems=())
    assert plan_text.render(empty) == "0 machines, 0 disks\n"
    assert json.loads(plan_json.render(empty))["machines"] == []


def test_kinds_without_end_are_cut() -> None:
    others = tuple(PathProblem(f"f{n}", "unsupported", f"kind {n}; details") for n in range(100))
    text = plan_text.render(Plan(machines=(), others=others, problems=()))
    assert "and 80 paths of 80 further kinds" in text
