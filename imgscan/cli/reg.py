"""`imgscan reg`: show a key of a guest's registry."""

from __future__ import annotations

import sys

import click

from imgscan.batch import isolated
from imgscan.batch.isolated import ReadOptions
from imgscan.cli.look import write_text
from imgscan.cli.main import OK
from imgscan.cli.options import image_options
from imgscan.errors import UsageError
from imgscan.model.text import shown


@click.command("reg")
@click.argument("arguments", nargs=-1, required=True, metavar="PATH... KEY")
@click.option("--system", type=int, metavar="N", help="Which installed system, when there are several.")
@click.option("--value", metavar="NAME", help="Show this value only; @ is the default value.")
@click.option("-r", "--recursive", is_flag=True, help="Show all keys below too.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", show_default=True)
@image_options
def command(
    arguments: tuple[str, ...],
    system: int | None,
    value: str | None,
    recursive: bool,
    format_: str,
    reading: ReadOptions,
) -> int:
    r"""Show a key of a Windows guest's registry: its values, and the names of the keys below.

    KEY begins with HKLM\SYSTEM, HKLM\SOFTWARE, HKLM\SAM, HKLM\SECURITY, HKU\.DEFAULT or HKCR; CurrentControlSet is the
    control set that the guest would start with. A hive that was not closed is completed from its logs, as Windows does.
    """
    if len(arguments) < 2:
        raise UsageError(r"give the disk images, and last the key: 'HKLM\SYSTEM\CurrentControlSet\Control'")
    *paths, where = arguments
    if not where.upper().startswith("HK"):
        raise UsageError(r"not a registry key; one begins with HKLM\ or HKU\ (put it in quotes)", where=where)
    if value is not None and recursive:
        raise UsageError("one value has no keys below it: give --value or --recursive")
    wanted: dict[str, str | int | bool | None] = {
        "where": where,
        "system": system,
        "value": value,
        "recursive": recursive,
        "json": format_ == "json",
    }
    isolated.look("reg", paths, wanted, write_text, _note, reading)
    return OK


def _note(text: str) -> None:
    sys.stderr.write(f"imgscan: {shown(text)}\n")
