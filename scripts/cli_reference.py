"""Writes the command line's reference from the commands themselves; called by scripts/generate_docs.py."""

from __future__ import annotations

import json

import click

from imgscan.cli.main import COMMANDS, cli
from imgscan.reports.schema import SCHEMAS, json_schema

WIDTH = 100
EXIT_STATUS = """Exit status: 0 ready (with or without warnings) or done; 1 not ready; 2 usage error or a given path
that does not exist; 3 undecided, or something asked for could not be read; 70 internal error. For several verdicts
the worst wins: 70, then 1, 3, 0."""


def cli_page() -> str:
    """Return docs/cli.md: every command with its help text, as `--help` prints it."""
    context = click.Context(cli, info_name="imgscan", max_content_width=WIDTH, terminal_width=WIDTH)
    parts = [
        "# The command line",
        "Made from the commands by scripts/generate_docs.py.",
        EXIT_STATUS,
    ]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is None:
            continue
        inner = click.Context(command, info_name=name, parent=context, max_content_width=WIDTH, terminal_width=WIDTH)
        parts.append(f"## imgscan {name}\n\n```text\n{command.get_help(inner)}\n```")
    return "\n\n".join(parts) + "\n"


def schema_pages() -> dict[str, str]:
    """Return the JSON Schemas by the file name below docs/schemas/."""
    return {
        f"{name}-1.json": json.dumps(json_schema(name), indent=2, sort_keys=True) + "\n" for name in sorted(SCHEMAS)
    }
