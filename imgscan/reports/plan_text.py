"""A plan for people: placeholder until the real one."""

from __future__ import annotations

from imgscan.batch.share import Plan


def render(plan: Plan) -> str:
    """Return the machines."""
    return "".join(f"{m.name}: {m.disks} {m.reason}\n" for m in plan.machines)
