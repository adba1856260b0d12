"""`imgscan rules`: what is checked."""

from __future__ import annotations

import sys

import click

from imgscan import profiles
from imgscan.cli.main import DEFAULT_PROFILE, OK


@click.command("rules")
@click.option(
    "--profile", "profile_name", default=DEFAULT_PROFILE, show_default=True, metavar="NAME|FILE", help="The target."
)
def command(profile_name: str) -> int:
    """List the rules of a profile: name, severity, what it checks."""
    profile = profiles.load(profile_name)
    width = max((len(use.rule.name) for use in profile.uses), default=0)
    for use in profile.uses:
        about = f" ({use.family})" if use.family else ""
        sys.stdout.write(f"{use.rule.name:<{width}}  {use.severity:<8} {use.rule.title}{about}\n")
    return OK
