from __future__ import annotations

from typing import Any

import msgspec
import pytest
from facts_builder import (
    a_disk,
    a_linux_machine,
    a_linux_system,
    a_problem,
    a_windows_machine,
    a_windows_system,
    an_efi_linux_machine,
    an_efi_windows_machine,
    an_unread_system,
    and_disks,
    gpt,
    lost,
    not_searched,
    nothing_read,
    unread_table,
    with_boot,
    with_disk,
    with_system,
    with_volume,
    without_systems,
)
from msgspec.structs import replace

from imgscan import profiles
from imgscan.errors import UnreadFact
from imgscan.judge import judge
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts
from imgscan.model.profile import Profile, Requirement, Use
from imgscan.model.report import Finding, Verdict
from imgscan.model.rule import NoParams, Result, Rule, Severity, failed, passed

SMS = profiles.load("aws-sms")
PLACE = AtOffset("disk0", 0, 512, "somewhere")


def _rule(check: Any, scope: Any = "machine") -> Rule:
    return Rule(name="some-flaw", title="A flaw", scope=scope, reads=(), remedy="Mend it.", check=check)


def _profile(*uses: Use) -> Profile:
    return Profile("mine", "Mine", "1", "", uses)


def _use(rule: Rule, severity: Severity = "blocker", **changes: Any) -> Use:
    return Use(rule, severity, NoParams(), Requirement("text", "source"), **changes)


def _system_verdict(machine: MachineFacts, family: Any = None, scope: Any = "system") -> list[tuple[int | None, str]]:
    rule = _rule(lambda _machine, system, _params: passed(system.root, PLACE), scope)
    verdict = judge(machine, _profile(_use(rule, family=family)), strict=True)
    return [(finding.system, finding.outcome) for finding in verdict.findings]


def _by_rule(verdict: Verdict, outcome: str) -> set[str]:
    return {finding.rule for finding in verdict.findings if finding.outcome == outcome}


@pytest.mark.parametrize(
    ("machine", "readiness"),
    [
        (a_linux_machine(), "ready"),
        (a_linux_machine("vhd"), "ready"),
        (a_linux_machine("vhdx"), "ready"),
        (a_windows_machine(), "ready"),
        (an_efi_windows_machine(), "ready"),
        (an_efi_linux_machine(), "not-ready"),
        (a_linux_machine("qcow2"), "not-ready"),
        (nothing_read(), "undecided"),
        (not_searched(a_linux_machine()), "undecided"),
    ],
)
def test_readiness_by_aws_sms(machine: MachineFacts, readiness: str) -> None:
    verdict = judge(machine, SMS, strict=True)
    assert verdict.readiness == readiness
    assert verdict.profile == "aws-sms"


def test_a_healthy_machine_has_no_fault() -> None:
    verdict = judge(a_linux_machine(), SMS, strict=True)
    assert _by_rule(verdict, "fail") == _by_rule(verdict, "unknown") == set()


def test_a_converted_windows_is_ready_with_advice() -> None:
    verdict = judge(an_efi_windows_machine(), SMS, strict=True)
    assert _by_rule(verdict, "fail") == {"boot-disk-converted-to-mbr"}


def test_an_efi_linux_says_all_that_follows_from_it() -> None:
    verdict = judge(an_efi_linux_machine(), SMS, strict=True)
    assert _by_rule(verdict, "fail") == {"efi-boot-unsupported", "boot-disk-not-mbr"}


@pytest.mark.parametrize(
    ("outcomes", "readiness"),
    [
        ([], "ready"),
        ([("blocker", "pass"), ("warning", "unknown"), ("advice", "fail")], "ready"),
        ([("blocker", "manual"), ("blocker", "not-applicable")], "ready"),
        ([("warning", "fail"), ("advice", "unknown")], "ready-with-warnings"),
        ([("warning", "fail"), ("blocker", "unknown")], "undecided"),
        ([("blocker", "unknown"), ("blocker", "fail")], "not-ready"),
    ],
)
def test_readiness_adds_up(outcomes: list[tuple[Severity, str]], readiness: str) -> None:
    def answering(outcome: str) -> Rule:
        def check(_machine: MachineFacts, _params: NoParams) -> Result:
            if outcome == "unknown":
                raise UnreadFact("io-error", "unread")
            return Result(outcome, "", (PLACE,))  # type: ignore[arg-type]

        return _rule(check)

    uses = [_use(answering(outcome), severity) for severity, outcome in outcomes]
    assert judge(a_linux_machine(), _profile(*uses), strict=True).readiness == readiness


def test_an_unread_fact_is_unknown_with_its_reason_and_place() -> None:
    def check(_machine: MachineFacts, _params: NoParams) -> Result:
        raise UnreadFact("truncated", "the file ends\nhere", (PLACE,))

    finding = judge(a_linux_machine(), _profile(_use(_rule(check))), strict=True).findings[0]
    assert (finding.outcome, finding.evidence) == ("unknown", (PLACE,))
    assert finding.summary == r"not decided (truncated): the file ends\x0ahere"


def test_a_bug_in_a_rule_is_unknown_and_raised_when_strict() -> None:
    def check(_machine: MachineFacts, _params: NoParams) -> Result:
        raise KeyError("disk7")

    profile = _profile(_use(_rule(check)), _use(_rule(lambda _machine, _params: failed("still asked", PLACE))))
    first, second = judge(a_linux_machine(), profile).findings
    assert first.outcome == "unknown"
    assert "internal" in first.summary
    assert second.summary == "still asked"
    with pytest.raises(KeyError):
        judge(a_linux_machine(), profile, strict=True)


def test_system_rules_are_asked_of_each_system_of_the_family() -> None:
    two = replace(a_linux_machine(), systems=(a_linux_system(), a_windows_system(), a_linux_system("disk1/p1")))
    assert _system_verdict(two) == [(0, "pass"), (1, "pass"), (2, "pass")]
    assert _system_verdict(two, "linux") == [(0, "pass"), (2, "pass")]
    assert _system_verdict(two, "windows") == [(1, "pass")]


def test_a_system_of_the_other_family_has_no_finding() -> None:
    assert _system_verdict(a_linux_machine(), "windows") == []


def test_a_system_of_no_known_family_is_unknown() -> None:
    machine = replace(a_linux_machine(), systems=(an_unread_system("other"),))
    assert _system_verdict(machine, "linux") == [(0, "unknown")]


def test_no_system_makes_the_system_rules_unknown_once() -> None:
    assert _system_verdict(without_systems(a_linux_machine()), "linux") == [(None, "unknown")]
    assert _system_verdict(not_searched(without_systems(a_linux_machine())), "windows") == [(None, "unknown")]


def test_a_system_that_may_be_hidden_is_told_beside_those_found() -> None:
    machine = not_searched(a_linux_machine())
    assert _system_verdict(machine, "linux") == [(0, "pass"), (None, "unknown")]
    assert _system_verdict(machine, "windows") == [(None, "unknown")]
    finding = [finding for finding in judge(machine, SMS).findings if finding.outcome == "unknown"][-1]
    assert "xfs is not read" in finding.summary
    assert finding.evidence == machine.systems_searched.evidence


@pytest.mark.parametrize("machine", [without_systems(a_linux_machine()), not_searched(a_linux_machine())])
def test_what_no_system_would_change_is_decided_without_one(machine: MachineFacts) -> None:
    def outcomes(of: MachineFacts) -> dict[str, str]:
        return {finding.rule: finding.outcome for finding in judge(of, SMS, strict=True).findings}

    found = outcomes(machine)
    assert (found["rhel5-on-vhdx"], found["gpt-boot-on-32-bit-windows"]) == ("pass", "pass")
    vhdx = outcomes(with_disk(machine, format="vhdx"))
    assert (vhdx["rhel5-on-vhdx"], vhdx["gpt-boot-on-32-bit-windows"]) == ("unknown", "pass")
    on_gpt = outcomes(with_disk(machine, **gpt("disk0")))
    assert (on_gpt["rhel5-on-vhdx"], on_gpt["gpt-boot-on-32-bit-windows"]) == ("pass", "unknown")
    for unread in (with_disk(machine, **unread_table()), with_boot(machine, disk=lost())):
        assert outcomes(unread)["gpt-boot-on-32-bit-windows"] == "unknown"
    assert outcomes(with_boot(machine, disk=()))["gpt-boot-on-32-bit-windows"] == "not-applicable"
    damaged = and_disks(machine, a_disk("disk1", None, problems=(a_problem("truncated"),)))
    assert outcomes(damaged)["rhel5-on-vhdx"] == "unknown"


def test_nothing_read_is_not_decided_without_a_system() -> None:
    found = {finding.rule: finding.outcome for finding in judge(nothing_read(), SMS, strict=True).findings}
    assert (found["rhel5-on-vhdx"], found["gpt-boot-on-32-bit-windows"]) == ("unknown", "unknown")


def test_a_bug_in_deciding_without_a_system_hides_nothing() -> None:
    def decide(_machine: MachineFacts, _params: NoParams) -> Result:
        raise KeyError("disk7")

    rule = replace(_rule(lambda *_: passed(""), "system"), decide_without_system=decide)
    machine = without_systems(a_linux_machine())
    assert [finding.outcome for finding in judge(machine, _profile(_use(rule))).findings] == ["unknown"]
    with pytest.raises(KeyError):
        judge(machine, _profile(_use(rule)), strict=True)


def test_what_was_not_searched_is_named() -> None:
    machine = replace(without_systems(a_linux_machine()), systems_searched=known(()))
    rule = _use(_rule(lambda *_: passed(""), "system"))
    swap = with_volume(machine, "disk0/p1", content="swap")
    assert "no volume holds a filesystem to search: disk0/p1 (swap)" in judge(swap, _profile(rule)).findings[0].summary
    bare = replace(machine, volumes=())
    assert judge(bare, _profile(rule)).findings[0].summary == (
        "not decided (missing): no installed system was found: the disks hold no volume"
    )
    many = replace(machine, volumes=tuple(replace(swap.volumes[0], name=f"disk0/p{n}") for n in range(20)))
    assert judge(many, _profile(rule)).findings[0].summary.endswith("disk0/p7 (swap) and 12 more")


def test_a_finding_carries_what_the_profile_says() -> None:
    verdict = judge(with_boot(a_linux_machine(), disk=(), firmware="neither"), SMS, strict=True)
    finding = next(finding for finding in verdict.findings if finding.rule == "no-bootable-partition")
    use = next(use for use in SMS.uses if use.rule.name == "no-bootable-partition")
    assert finding.requirement == use.requirement
    assert finding.predicts == "Client.Unsupported: No bootable partition found"
    assert finding.remedy == use.rule.remedy
    assert finding.severity == "blocker"


def test_a_profile_may_have_a_better_remedy() -> None:
    rule = _rule(lambda _machine, _params: passed("", PLACE))
    uses = _use(rule), _use(rule, remedy="Ask support.")
    remedies = [finding.remedy for finding in judge(a_linux_machine(), _profile(*uses)).findings]
    assert remedies == ["Mend it.", "Ask support."]


def test_a_rule_may_answer_with_several_findings() -> None:
    rule = _rule(lambda _machine, _params: (failed("one", PLACE), failed("two", PLACE, PLACE)))
    findings = judge(a_linux_machine(), _profile(_use(rule)), strict=True).findings
    assert [(finding.summary, finding.evidence) for finding in findings] == [("one", (PLACE,)), ("two", (PLACE,))]


def test_findings_stand_in_the_order_of_the_profile() -> None:
    machine = replace(a_linux_machine(), systems=(a_linux_system(), a_linux_system("disk0/p2")))
    order = [use.rule.name for use in SMS.uses]
    keys = [(order.index(finding.rule), finding.system or 0) for finding in judge(machine, SMS).findings]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("machine", "fault"),
    [
        (with_volume(a_linux_machine(), "disk0/p1", content="reiserfs"), "unsupported-root-filesystem"),
        (with_system(a_linux_machine(), hostname=lost(), architecture=lost()), "unsupported-architecture"),
        (and_disks(a_linux_machine("vhd"), a_disk("disk1", "vhdx")), "mixed-vhd-and-vhdx"),
    ],
)
def test_one_fault_changes_one_finding(machine: MachineFacts, fault: str) -> None:
    def answers(findings: tuple[Finding, ...]) -> set[tuple[str, int | None, str]]:
        return {(finding.rule, finding.system, finding.outcome) for finding in findings}

    healthy = a_linux_machine(machine.disks[0].format or "")
    changed = answers(judge(machine, SMS).findings) ^ answers(judge(healthy, SMS).findings)
    assert {rule for rule, _, _ in changed} == {fault}


@pytest.mark.parametrize("machine", [a_linux_machine(), an_efi_windows_machine(), not_searched(nothing_read())])
def test_facts_from_a_file_are_judged_alike(machine: MachineFacts) -> None:
    again = msgspec.json.decode(msgspec.json.encode(machine), type=MachineFacts)
    assert judge(again, SMS, strict=True) == judge(machine, SMS, strict=True)
