"""A plan for programs: `imgscan.plan/1`."""

from __future__ import annotations

import msgspec

from imgscan.batch.share import PathProblem, Plan
from imgscan.batch.written_names import written
from imgscan.model.plan_report import PlanMachine, PlanPath, PlanReport
from imgscan.model.text import shown


def render(plan: Plan) -> str:
    """Return indented JSON that ends in a newline."""
    report = PlanReport(
        machines=tuple(
            PlanMachine(
                name=written(machine.name),
                disks=tuple(map(written, machine.disks)),
                files=tuple(map(written, machine.files)),
                reason=shown(machine.reason),
            )
            for machine in plan.machines
        ),
        others=tuple(map(_path, plan.others)),
        problems=tuple(map(_path, plan.problems)),
    )
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def _path(problem: PathProblem) -> PlanPath:
    return PlanPath(written(problem.path), problem.why, shown(problem.detail))
