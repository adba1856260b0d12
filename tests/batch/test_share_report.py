"""The answers over a share: what is selected, what is counted, which fix frees most, and that nothing else matters."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections import Counter
from itertools import permutations
from pathlib import Path

import msgspec
import pytest
from facts_builder import a_linux_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from share_ledger import AWS, CONDITIONS, make_share_ledger, plan_of, planned, scan_into, share, stamps_of

from imgscan import profiles
from imgscan.batch.ledger import AttemptEnd, Ledger
from imgscan.batch.share_report import Selection, ShareReader, SummaryBuilder, exit_status, fixes, parse_selection
from imgscan.errors import LedgerError, UsageError
from imgscan.judge import judge, report_on
from imgscan.model.share_report import Fix, Summary
from imgscan.reports import json as report_json
from imgscan.reports import share_json
from imgscan.tool import this_tool


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_share_ledger(tmp_path_factory.mktemp("report") / "results.db")


def summary_of(reader: ShareReader, *where: str, rule: str | None = None) -> Summary:
    selection = parse_selection(where, rule)
    builder = SummaryBuilder(reader, selection)
    for answer in reader.answers(selection):
        builder.add(answer)
    return builder.result()


def whole_json(path: Path) -> str:
    with ShareReader.open(path) as reader:
        builder = SummaryBuilder(reader, Selection())
        machines = []
        for answer in reader.answers():
            builder.add(answer)
            machine = reader.machine(answer)
            if machine is not None:
                machines.append(machine)
        return "".join(share_json.render(reader.tool, reader.profiles, machines, builder.result))


def test_counts(database: Path) -> None:
    with ShareReader.open(database) as reader:
        summary = summary_of(reader)
    assert (summary.machines, summary.machines_on_share) == (9, 9)
    assert summary.states == {"done": 7, "failed": 1, "pending": 1}
    (profile,) = summary.profiles
    assert profile.readiness == {"ready": 2, "ready-with-warnings": 0, "not-ready": 4, "undecided": 2}
    assert (profile.not_judged, profile.blocked) == (1, 5)
    too_large = next(count for count in profile.rules if count.rule == "boot-disk-too-large")
    assert (too_large.failed, too_large.unknown, too_large.alone) == (2, 1, 2)
    assert profile.fixes[0] == Fix(rule="boot-disk-too-large", machines=2, unblocks=2, cumulative=2)
    assert profile.fixes[-1].cumulative == profile.blocked
    assert [(system.product, system.machines) for system in summary.systems] == [
        ("Debian GNU/Linux 8 (jessie)", 5),
        ("Windows Server 2016 Standard", 2),
    ]
    assert summary.failures[0].failure == "crashed"
    assert summary.failures[0].machines == ("lab/crash",)
    assert summary.pending == ("lab/unreached",)
    assert [path.path for path in summary.paths] == ["secret"]
    assert summary.other_files == 1


@pytest.mark.parametrize(
    ("where", "rule", "names"),
    [
        (["readiness=ready"], None, ["lab/debian", "lab/windows"]),
        (["readiness=undecided"], None, ["lab/crash", "lab/hidden"]),
        (["state=pending"], None, ["lab/unreached"]),
        (["state=failed"], None, ["lab/crash"]),
        (["failure=crashed"], None, ["lab/crash"]),
        (["failure=killed"], None, []),
        (["system=windows"], None, ["lab/large-windows", "lab/windows"]),
        (["system=DEBIAN", "readiness=ready"], None, ["lab/debian"]),
        (["system=Server 2016", "readiness=not-ready"], None, ["lab/large-windows"]),
        (["system=debian 8", "readiness=undecided"], None, ["lab/hidden"]),
        ([], "boot-disk-too-large", ["lab/crash", "lab/large", "lab/large-windows"]),
        (["state=done", "system=linux"], "boot-disk-too-large", ["lab/large"]),
        ([], "raw-device-mapping", ["lab/crash"]),
    ],
)
def test_selections(database: Path, where: list[str], rule: str | None, names: list[str]) -> None:
    with ShareReader.open(database) as reader:
        assert [answer.name for answer in reader.answers(parse_selection(where, rule))] == names
        summary = summary_of(reader, *where, rule=rule)
    assert summary.machines == len(names)
    assert summary.selection == (*where, *([f"rule={rule}"] if rule else []))


@pytest.mark.parametrize(
    ("where", "rule", "words"),
    [
        (["colour=red"], None, "readiness=..., system=..., state=..., failure=..."),
        (["readiness"], None, "readiness=..."),
        (["readiness=good"], None, "ready, ready-with-warnings, not-ready, undecided"),
        (["state=running"], None, "done, failed, pending"),
        (["failure=nothing"], None, "crashed"),
        (["system="], None, "some text"),
        ([], "boot-disk-to-large", "did you mean boot-disk-too-large"),
    ],
)
def test_what_cannot_be_selected_is_said(where: list[str], rule: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        parse_selection(where, rule)


@pytest.mark.parametrize(
    ("where", "rule", "status"),
    [
        ([], None, 1),
        (["readiness=ready"], None, 0),
        (["readiness=undecided"], None, 3),
        (["state=pending"], None, 3),
        (["state=failed"], None, 3),
        (["readiness=not-ready"], None, 1),
    ],
)
def test_exit_status_of_the_worst(database: Path, where: list[str], rule: str | None, status: int) -> None:
    with ShareReader.open(database) as reader:
        assert exit_status(summary_of(reader, *where, rule=rule)) == status


def test_a_path_that_was_not_looked_at_is_status_3(tmp_path: Path) -> None:
    path = make_share_ledger(tmp_path / "results.db", {"a": a_linux_machine()}, failed=False, pending=False)
    with ShareReader.open(path) as reader:
        assert exit_status(summary_of(reader)) == 0
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO path_problems VALUES ('x', 'denied', 'x: permission denied')")
    connection.commit()
    connection.close()
    with ShareReader.open(path) as reader:
        assert reader.exit_status() == exit_status(summary_of(reader)) == 3


def test_one_machine_is_what_scan_gives(database: Path) -> None:
    with ShareReader.open(database) as reader:
        for name, facts in share().items():
            answer = reader.answer(name)
            expected = report_on([msgspec.structs.replace(facts, name=name)], [AWS])
            assert reader.report(answer) == expected
            assert report_json.render(reader.report(answer)) == report_json.render(expected)


def test_a_machine_that_is_not_there_or_not_scanned(database: Path) -> None:
    with ShareReader.open(database) as reader:
        with pytest.raises(UsageError, match=r"did you mean lab/crash"):
            reader.answer("lab/crahs")
        with pytest.raises(LedgerError, match="not scanned yet"):
            reader.report(reader.answer("lab/unreached"))


def test_another_profile_is_judged_from_the_facts(database: Path) -> None:
    source = (Path(profiles.__file__).parent / "aws-sms.toml").read_text()
    other = profiles.parse(
        source.replace("2_199_023_255_552", "1").replace('name = "aws-sms"', 'name = "tiny"').encode(), "x"
    )
    with ShareReader.open(database, [other, AWS]) as reader:
        assert [stamp.name for stamp in reader.profiles] == [other.name, "aws-sms"]
        for name, facts in share().items():
            report = reader.report(reader.answer(name)).machines[0]
            machine = msgspec.structs.replace(facts, name=name)
            assert report.verdicts == (judge(machine, other), judge(machine, AWS))


def test_a_verdict_that_is_missing_is_judged_where_the_profile_is_known(database: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    shutil.copy(database, path)
    before = whole_json(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM findings")
    connection.execute("DELETE FROM verdicts")
    connection.commit()
    assert whole_json(path) == before
    connection.execute("UPDATE profiles SET digest = 'of a file that is no more'")
    connection.commit()
    connection.close()
    with ShareReader.open(path) as reader:
        summary = summary_of(reader)
    assert summary.profiles[0].not_judged == summary.machines
    assert exit_status(summary) == 3


@pytest.mark.parametrize(
    ("machines", "more", "status"),
    [
        (["lab/debian"], False, 0),
        (["lab/debian"], True, 3),
        (["lab/debian", "lab/hidden"], False, 3),
        (["lab/debian", "lab/efi"], False, 1),
        (["lab/debian", "lab/efi"], True, 1),
        ([], False, 0),
    ],
)
def test_the_short_way_to_the_exit_status(tmp_path: Path, machines: list[str], more: bool, status: int) -> None:
    facts = {name: share()[name] for name in machines}
    with ShareReader.open(make_share_ledger(tmp_path / "results.db", facts, failed=more, pending=more)) as reader:
        assert reader.exit_status() == exit_status(summary_of(reader)) == status


def test_the_json_is_that_of_the_whole_model(database: Path) -> None:
    from imgscan.model.share_report import ShareReport

    text = whole_json(database)
    report = msgspec.json.decode(text, type=ShareReport)
    assert msgspec.json.format(report_json.compact(report), indent=2).decode() + "\n" == text
    assert [machine.name for machine in report.machines] == sorted([*share(), "lab/crash"])


def test_the_same_bytes_whatever_way_led_there(tmp_path: Path) -> None:
    """In one go; and in another order, with crashes, an interruption, a death, machines that came and went."""
    machines = share()
    plans = [planned(name) for name in machines]
    (tmp_path / "a").mkdir()
    smooth = make_share_ledger(tmp_path / "a" / "results.db", machines, failed=False, pending=False)
    rough = tmp_path / "results.db"
    (tmp_path / "share").mkdir()
    names = list(machines)
    random.Random(7).shuffle(names)
    with Ledger.open(rough, tmp_path / "share") as ledger:
        ledger.begin_run(this_tool(), {"workers": 8}, [AWS])
        more = [*plans, planned("gone")]
        ledger.record_plan(plan_of(more), {**stamps_of(more), **stamps_of(plans, mtime_ns=9)}, CONDITIONS)
        ledger.start_attempt(names[0])
        ledger.end_attempt(names[0], AttemptEnd(outcome="crashed", part="disk0"))
        scan_into(ledger, {"gone": machines["lab/debian"], names[1]: machines["lab/efi-damaged"]})
        ledger.start_attempt(names[2])
    with Ledger.open(rough, tmp_path / "share") as ledger:
        ledger.begin_run(this_tool(), {"workers": 1}, [AWS])
        ledger.record_plan(plan_of(plans), stamps_of(plans), CONDITIONS)
        for name in names:
            scan_into(ledger, {name: machines[name]})
        ledger.end_run("finished")
    assert whole_json(rough) == whole_json(smooth)


def test_a_reader_sees_one_state_while_a_batch_writes(tmp_path: Path) -> None:
    machines = share()
    path = make_share_ledger(tmp_path / "results.db", {"lab/debian": machines["lab/debian"]}, pending=False)
    with ShareReader.open(path) as reader:
        before = [answer.name for answer in reader.answers()]
        with Ledger.open(path, tmp_path / "share") as ledger:
            ledger.begin_run(this_tool(), {}, [AWS])
            plans = [planned(name) for name in machines]
            ledger.record_plan(plan_of(plans), stamps_of(plans), CONDITIONS)
            scan_into(ledger, machines)
        assert [answer.name for answer in reader.answers()] == before
    with ShareReader.open(path) as reader:
        assert [answer.name for answer in reader.answers()] == sorted(machines)


def test_a_database_in_a_folder_that_cannot_be_written(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    shutil.copy(database, folder / "results.db")
    expected = whole_json(folder / "results.db")
    assert [path.name for path in folder.iterdir()] == ["results.db"]
    (folder / "results.db").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert whole_json(folder / "results.db") == expected
        assert [path.name for path in folder.iterdir()] == ["results.db"]
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no such file"), (b"", "it is empty"), (b"KDMV" * 100, "another kind of file")]
)
def test_what_is_no_ledger(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        ShareReader.open(path)
    assert [p.name for p in tmp_path.iterdir()] == ([] if content is None else ["x.db"])


def test_a_ledger_without_a_run(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    Ledger.open(tmp_path / "results.db", tmp_path / "share").close()
    with pytest.raises(LedgerError, match="no run yet"):
        ShareReader.open(tmp_path / "results.db")


def test_fixes_one_after_the_other() -> None:
    blockers = Counter(
        {frozenset("a"): 3, frozenset("ab"): 4, frozenset("bc"): 1, frozenset("c"): 2, frozenset("de"): 1}
    )
    assert fixes(blockers) == (
        Fix(rule="a", machines=7, unblocks=3, cumulative=3),
        Fix(rule="b", machines=5, unblocks=4, cumulative=7),
        Fix(rule="c", machines=3, unblocks=3, cumulative=10),
        Fix(rule="d", machines=1, unblocks=0, cumulative=10),
        Fix(rule="e", machines=1, unblocks=1, cumulative=11),
    )
    assert fixes({}) == ()


BLOCKERS = st.dictionaries(
    st.frozensets(st.sampled_from("abcd"), min_size=1), st.integers(min_value=1, max_value=9), max_size=6
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BLOCKERS)
def test_the_first_fix_is_the_best_single_one_and_all_are_freed_in_the_end(blockers: dict[frozenset[str], int]) -> None:
    steps = fixes(blockers)
    for count, step in enumerate(steps, 1):
        fixed = {earlier.rule for earlier in steps[:count]}
        assert step.cumulative == sum(machines for rules, machines in blockers.items() if rules <= fixed)
        assert step.machines == sum(machines for rules, machines in blockers.items() if step.rule in rules)
    if steps:
        best = max(sum(n for rules, n in blockers.items() if rules == {rule}) for rule in "abcd")
        assert steps[0].unblocks == best
        assert steps[-1].cumulative == sum(blockers.values())
    for order in list(permutations(blockers.items()))[:5]:
        assert fixes(dict(order)) == steps


def test_the_order_of_keys_in_json_is_fixed(database: Path) -> None:
    assert list(json.loads(whole_json(database))) == ["schema", "tool", "profiles", "machines", "summary"]
