"""Where a command's result goes: standard output, or a file that is never an image and never half-written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from imgscan.devices.file import FileIdentity
from imgscan.errors import UsageError

if TYPE_CHECKING:
    from imgscan.reports.text_layout import Style


def check_output(output: Path | None, *, force: bool) -> None:
    """Refuse early, before a long scan, what `write_result` would refuse."""
    if output is None:
        return
    if output.is_dir():
        raise UsageError("it is a folder; name a file for the output", where=str(output))
    if not output.parent.is_dir():
        raise UsageError("its folder does not exist", where=str(output))
    if output.exists() and not force:
        raise UsageError("it exists already; --force replaces it", where=str(output))


def refuse_inside(path: Path | None, root: Path) -> None:
    """Refuse to write below the root of a share.

    :raises UsageError: the file is, or would be, there
    """
    if path is not None and path.resolve().is_relative_to(root.resolve()):
        raise UsageError("it lies inside the share, where nothing is ever written; name another file", where=str(path))


def refuse_database(path: Path, database: Path) -> None:
    """Refuse to write to a results database, or to a file that SQLite keeps beside it; also by another link.

    :raises UsageError: the file is one of them
    """
    if path.resolve() in _database_names(database) or (path.exists() and _identity(path) in database_files(database)):
        raise UsageError("it belongs to the results database; name another file", where=str(path))


def database_files(database: Path) -> frozenset[FileIdentity]:
    """Return a results database and the files beside it that are there: nothing else is ever written to them."""
    return frozenset(_identity(name) for name in _database_names(database) if name.exists())


def _database_names(database: Path) -> tuple[Path, ...]:
    database = database.resolve()
    return tuple(
        database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm", "-lock", "-journal", "-new")
    )


def _identity(path: Path) -> FileIdentity:
    info = path.stat()
    return FileIdentity(info.st_dev, info.st_ino)


def write_result(
    text: str | Iterable[str],
    output: Path | None,
    *,
    force: bool,
    images: frozenset[FileIdentity],
    names: Iterable[Path] = (),
) -> None:
    """Print `text`, whole or in pieces, or write it to `output` through a temporary file that is renamed.

    `images` are the files that were read; `names` are paths that an image refers to, whether or not they exist:
    neither is ever replaced, not even with `force`.

    :raises UsageError: `output` is one of those, exists without `force`, or cannot be written
    """
    pieces = [text] if isinstance(text, str) else text
    if output is None:
        try:
            sys.stdout.writelines(pieces)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader has seen enough; the command's status still says what was found
            silence_stdout()
        return
    check_output(output, force=force)
    if output.exists():
        info = output.stat()
        if output.is_block_device() or output.is_char_device():
            raise UsageError("it is a device; name a file for the output, or leave -o out", where=str(output))
        if FileIdentity(info.st_dev, info.st_ino) in images:
            raise UsageError("it is an input of this scan; it is never overwritten", where=str(output))
    if output.resolve() in {name.resolve() for name in names}:
        raise UsageError("an image refers to a file of this name; it is never overwritten", where=str(output))
    target = output.resolve()
    import tempfile  # with all that it loads it costs start-up time

    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=target.parent, prefix=".imgscan-", encoding="utf-8", delete=False
        ) as file:
            temporary = file.name
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        _keep_usual_mode(Path(temporary))
        if force:
            Path(temporary).replace(target)
        else:
            os.link(temporary, target)  # unlike a rename, this fails when the name was taken meanwhile
            Path(temporary).unlink()
    except FileExistsError as error:
        raise UsageError("it exists already; --force replaces it", where=str(output)) from error
    except OSError as error:
        raise UsageError(f"it cannot be written: {error.strerror}", where=str(output)) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def silence_stdout() -> None:
    """Point standard output nowhere, so that flushing at exit cannot fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _keep_usual_mode(path: Path) -> None:
    """Give a temporary file the mode that a plainly created one has (mkstemp makes it private)."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def text_style(output: Path | None, *, verbose: bool) -> Style:
    """Return how to print for people: colour and the full width on a terminal, plain lines elsewhere."""
    from imgscan.reports.text_layout import Style  # rich costs start-up time, and only text needs it

    if output is not None or not sys.stdout.isatty():
        return Style(verbose=verbose)
    dumb = os.environ.get("TERM", "") in {"", "dumb"}
    color = not dumb and not os.environ.get("NO_COLOR")
    import shutil  # the same

    return Style(width=shutil.get_terminal_size().columns, terminal=not dumb, color=color, verbose=verbose)
