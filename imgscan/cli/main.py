"""The `imgscan` command: finds the subcommand, and turns every error into one line and an exit status.

Exit status: 0 ready or done, 1 not ready, 2 usage error or a given path that does not exist, 3 undecided or something
asked for could not be read, 70 internal error, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from imgscan.cli.output import silence_stdout
from imgscan.errors import ImageError, ImgscanError, InternalFailure, ProfileError, UsageError
from imgscan.model.text import shown
from imgscan.version import VERSION

COMMANDS = {
    "scan": "imgscan.cli.scan",
    "inspect": "imgscan.cli.inspect",
    "judge": "imgscan.cli.judge",
    "report": "imgscan.cli.report",
    "ls": "imgscan.cli.ls",
    "tree": "imgscan.cli.tree",
    "cat": "imgscan.cli.cat",
    "stat": "imgscan.cli.stat",
    "raw": "imgscan.cli.raw",
    "reg": "imgscan.cli.reg",
    "batch": "imgscan.cli.batch",
    "rules": "imgscan.cli.rules",
    "explain": "imgscan.cli.explain",
    "profiles": "imgscan.cli.profiles",
    "schema": "imgscan.cli.schema",
}
"""Each command and the module that holds it as `command`; loaded when it runs, so that starting stays quick."""

DEFAULT_PROFILE = "aws-sms"

OK, NOT_READY, USAGE, UNDECIDED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 70, 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        # from here on Ctrl-C ends the command; while modules are loaded it waits (`imgscan.__main__`)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C is one line here, while click would put an empty one before it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_fail("interrupted", INTERRUPTED)) from None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)
@click.version_option(VERSION, prog_name="imgscan", message="%(prog)s %(version)s")
def cli() -> None:
    """Say, without booting it, whether an exported virtual machine will import and boot on the target."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; errors are printed here and nowhere else."""
    try:
        result = cli.main(args=arguments, prog_name="imgscan", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except click.UsageError as error:
        hint = f" (see: {error.ctx.command_path} --help)" if error.ctx is not None else ""
        return _fail(" ".join(error.format_message().split()) + hint, USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), USAGE)
    except (UsageError, ProfileError) as error:
        return _fail(str(error), USAGE)
    except ImageError as error:
        return _fail(f"{error} ({error.why})", UNDECIDED)
    except InternalFailure as error:
        return _fail(f"internal error, please report it: {error}", INTERNAL)
    except ImgscanError as error:
        return _fail(str(error), UNDECIDED)
    except SystemExit:  # click's answer to a closed pipe, with a status that would mean "not ready"
        silence_stdout()
        return OK
    except OSError as error:
        return _fail(f"the output cannot be written: {error.strerror or error}", UNDECIDED)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug is one line and status 70, no traceback
        return _fail(f"internal error, please report it: {type(error).__name__}: {error}", INTERNAL)
    return result if isinstance(result, int) else OK


def main() -> NoReturn:
    """Run as a program."""
    _open_closed_streams()
    status = run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
    except OSError as error:
        silence_stdout()
        status = _fail(f"the output cannot be written: {error.strerror or error}", UNDECIDED)
    try:
        sys.stderr.flush()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        if "imgscan.batch.process" in sys.modules:
            importlib.import_module("imgscan.batch.process").end_workers()
        os._exit(status)  # nothing is left to do; to take the modules down one by one takes a tenth of a small scan


def report_failures(failures: Sequence[str]) -> bool:
    """Say which bugs of imgscan's own were contained; return whether there were any."""
    for failure in failures:
        _fail(f"internal error, please report it: {failure}", INTERNAL)
    return bool(failures)


def _fail(message: str, status: int) -> int:
    try:
        sys.stderr.write(f"imgscan: {shown(message)}\n")
    except OSError:
        return status
    return status


def _open_closed_streams() -> None:
    """Give a standard stream that the caller closed (``>&-``) somewhere to go: writing to it is an error of its own."""
    if sys.stdin is None:
        os.open(os.devnull, os.O_RDONLY)  # it becomes 0, which no image or channel may become
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            # read-only: what is written there fails, and the user hears of it on the other stream
            descriptor = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_WRONLY)
            os.dup2(descriptor, number)
            if descriptor != number:
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False))
