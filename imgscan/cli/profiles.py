"""`imgscan profiles`: the targets that imgscan knows."""

from __future__ import annotations

import sys

import click

from imgscan import profiles
from imgscan.cli.main import OK


@click.command("profiles")
def command() -> int:
    """List the profiles: name, version, what they are."""
    for name in profiles.NAMES:
        profile = profiles.load(name)
        sys.stdout.write(f"{profile.name}  {profile.version}  {profile.title} ({len(profile.uses)} rules)\n")
    return OK
