"""`imgscan schema`: the JSON Schemas of what imgscan writes."""

from __future__ import annotations

import json
import sys

import click

from imgscan.cli.main import OK
from imgscan.reports.schema import SCHEMAS, json_schema


@click.command("schema")
@click.argument("name", type=click.Choice(sorted(SCHEMAS)), default="report")
def command(name: str) -> int:
    """Print the JSON Schema of the report, of the facts, or of the report over a share."""
    sys.stdout.write(json.dumps(json_schema(name), indent=2, sort_keys=True) + "\n")
    return OK
