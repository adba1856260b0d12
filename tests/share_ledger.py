"""A ledger of a made-up share, for tests of what reads one: facts from `facts_builder`, no image, no batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from facts_builder import (
    a_linux_machine,
    a_problem,
    a_windows_machine,
    an_efi_linux_machine,
    not_searched,
    with_disk,
)

from imgscan import profiles
from imgscan.batch.conversation import Death
from imgscan.batch.ledger import AttemptEnd, Failure, Ledger
from imgscan.batch.recovery import cut_short
from imgscan.batch.share import FileStamp, PathProblem, Plan, PlannedMachine
from imgscan.judge import judge
from imgscan.model.machine import MachineFacts
from imgscan.model.profile import Profile
from imgscan.tool import this_tool

AWS = profiles.load("aws-sms")
TIB = 1 << 40
CONDITIONS = "version 1, no options"


def planned(name: str, *disks: str) -> PlannedMachine:
    """Return a machine of these disks (or of the one named after it)."""
    paths = disks or (f"{name}.vmdk",)
    return PlannedMachine(name=name, disks=paths, files=tuple(sorted(paths)), reason="the only disk of that name")


def stamps_of(machines: Sequence[PlannedMachine], mtime_ns: int = 1) -> dict[str, FileStamp]:
    """Return a stamp for each file; inodes count from 1."""
    paths = sorted({path for machine in machines for path in machine.files})
    return {path: FileStamp(1000, mtime_ns, number, 7) for number, path in enumerate(paths, 1)}


def plan_of(
    machines: Sequence[PlannedMachine], problems: Sequence[PathProblem] = (), others: Sequence[PathProblem] = ()
) -> Plan:
    """Return the plan of these machines."""
    ordered = tuple(sorted(machines, key=lambda machine: machine.name))
    return Plan(machines=ordered, others=tuple(others), problems=tuple(problems))


def share() -> dict[str, MachineFacts]:
    """Return machines of every readiness: what each fails follows from how it is made."""
    too_large = with_disk(a_linux_machine(), virtual_size=4 * TIB)
    return {
        "lab/debian": a_linux_machine(),
        "lab/large": too_large,
        "lab/large-windows": with_disk(a_windows_machine(), virtual_size=4 * TIB),
        "lab/efi": an_efi_linux_machine(),
        "lab/efi-damaged": with_disk(an_efi_linux_machine(), problems=(a_problem("damage"),)),
        "lab/hidden": not_searched(a_linux_machine()),
        "lab/windows": a_windows_machine(),
    }


def scan_into(
    ledger: Ledger,
    machines: Mapping[str, MachineFacts],
    failures: Mapping[str, Failure] | None = None,
    chosen: Sequence[Profile] = (AWS,),
) -> None:
    """Scan what is pending: `machines` are the facts by name, `failures` those that crash."""
    failures = failures or {}
    plans = {name: planned(name) for name in (*machines, *failures)}
    for pending in ledger.pending():
        name = pending.name
        if name not in plans:
            continue
        failure = failures.get(name)
        if failure is not None and name not in machines:
            why = "crashed" if failure.kind == "killed" else failure.kind
            facts = cut_short(None, plans[name].disks, Death(why, failure.detail, "disk0"))
        else:
            facts = machines[name]
        facts = msgspec.structs.replace(facts, name=name)
        with ledger.transaction():
            ledger.start_attempt(name)
            ledger.end_attempt(name, AttemptEnd(outcome="done" if failure is None else failure.kind, reads=3, bytes=99))
            ledger.finish(name, facts, {profile.digest: judge(facts, profile) for profile in chosen}, failure)


def make_share_ledger(
    path: Path, machines: Mapping[str, MachineFacts] | None = None, *, failed: bool = True, pending: bool = True
) -> Path:
    """Make a ledger of `share()` with a crashed machine, one that was not reached, and an unreadable folder."""
    machines = share() if machines is None else machines
    failures = {"lab/crash": Failure("crashed", "disk0: the reader of partitions crashed")} if failed else {}
    names = [*machines, *failures, *(["lab/unreached"] if pending else [])]
    problems = [PathProblem("secret", "denied", "secret: permission denied")] if failed else []
    others = [PathProblem("lab/readme.txt", "unsupported", "text")] if failed else []
    plans = [planned(name) for name in names]
    root = path.parent / "share"
    root.mkdir(exist_ok=True)
    with Ledger.open(path, root) as ledger:
        ledger.begin_run(this_tool(), {"workers": 2}, [AWS])
        ledger.record_plan(plan_of(plans, problems, others), stamps_of(plans), CONDITIONS)
        scan_into(ledger, machines, failures)
        ledger.end_run("finished")
    return path
