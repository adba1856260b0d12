"""Options and arguments that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from imgscan.batch.isolated import ReadOptions
from imgscan.model.collect import GROUPS, OF_OWN_PROFILES, USUAL, Group, groups_of
from imgscan.reports import FORMATS

Command = TypeVar("Command", bound=Callable[..., Any])

INPUT_FORMATS = ("raw", "vmdk", "vhd", "vhdx", "qcow2", "vdi")


def image_options(command: Command) -> Command:
    """Add the options on how images are read; the command gets them as one argument `reading`.

    Stands next to the command: it changes its arguments.
    """

    @functools.wraps(command)
    def with_reading(
        *arguments: Any,
        input_format: str | None,
        search_dirs: tuple[Path, ...],
        in_process: bool,
        require_sandbox: bool,
        **others: Any,
    ) -> Any:
        reading = ReadOptions(search_dirs, input_format, not in_process, require_sandbox)
        return command(*arguments, reading=reading, **others)

    options = (
        click.option(
            "--input-format",
            type=click.Choice(INPUT_FORMATS),
            help="Take the images for this format instead of telling it by their content.",
        ),
        click.option(
            "--search-dir",
            "search_dirs",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Also look here for the parents that an image names. May be repeated.",
        ),
        click.option(
            "--require-sandbox",
            is_flag=True,
            help="Read nothing unless the process that parses is closed in fully (limits, Landlock, seccomp).",
        ),
        click.option(
            "--in-process",
            is_flag=True,
            help="Parse in this process, with nothing between it and a hostile image: for finding faults.",
        ),
    )
    for option in reversed(options):
        with_reading = option(with_reading)
    return cast(Command, with_reading)


def output_options(command: Command) -> Command:
    """Add `-o` and `--force`."""
    command = click.option("--force", is_flag=True, help="Let -o replace an existing file (never an image).")(command)
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        callback=_output,
        metavar="FILE",
        help="Write here instead of standard output.",
    )(command)


def _output(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """Take `-` for standard output, as other tools do."""
    return None if path == Path("-") else path


COLLECTED = (*GROUPS, "all")
collect_option = click.option(
    "--collect",
    multiple=True,
    type=click.Choice(COLLECTED),
    help="Also read these costly facts, which no rule of the profile needs. May be repeated.",
)


def groups_to_collect(asked: tuple[str, ...], profile_names: tuple[str, ...]) -> frozenset[Group]:
    """Return the costly groups of facts that the profiles' rules need, and those asked for.

    The needs of imgscan's own profiles are known before these are loaded; without a profile it is what any one needs.
    """
    if "all" in asked:
        return frozenset(GROUPS)
    found = {group for group in GROUPS if group in asked}
    for name in profile_names:
        needed = OF_OWN_PROFILES.get(name)
        if needed is None:
            from imgscan import profiles

            needed = groups_of(read for use in profiles.load(name).uses for read in use.rule.reads)
        found |= needed
    return frozenset(found if profile_names else found | USUAL)


paths_argument = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
profile_option = click.option(
    "--profile",
    "profile_names",
    multiple=True,
    metavar="NAME|FILE",
    help="The target; may be repeated. [default: aws-sms]",
)
format_option = click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="text", show_default=True, help="How to print it."
)
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Text: also list what passed or does not apply.")
