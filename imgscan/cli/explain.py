"""`imgscan explain`: one rule in full."""

from __future__ import annotations

import sys

import click

from imgscan import profiles, rules
from imgscan.cli.main import OK
from imgscan.errors import UsageError


@click.command("explain")
@click.argument("rule_name", metavar="RULE")
def command(rule_name: str) -> int:
    """Say what a rule checks, why it matters, how to fix it, and which requirement it enforces."""
    page = rules.explanation(rule_name)
    if page is None:
        raise UsageError(f"there is no rule {rule_name!r}; imgscan rules lists them")
    lines = [page]
    for name in profiles.NAMES:
        profile = profiles.load(name)
        for use in profile.uses:
            if use.rule.name == rule_name:
                dated = f", {use.requirement.date}" if use.requirement.date else ""
                lines.append(
                    f"In profile {name} ({use.severity}{f', {use.family}' if use.family else ''}):\n"
                    f"  {use.requirement.text}\n  [{use.requirement.source}{dated}]"
                )
    sys.stdout.write("\n".join(lines).rstrip() + "\n")
    return OK
