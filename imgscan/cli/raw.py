"""`imgscan raw`: a virtual disk's bytes on standard output, for other tools."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imgscan import scan
from imgscan.cli.main import OK, UNDECIDED
from imgscan.cli.options import image_options, scan_options
from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError, UsageError

CHUNK_BYTES = 1 << 20
SECTOR_BYTES = 512


@click.command("raw")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="First byte. [default: 0]")
@click.option("--length", type=click.IntRange(min=0), metavar="N", help="How many bytes. [default: up to the end]")
@click.option("--volume", metavar="NAME", help="Read this volume (disk0/p1) instead of the disk.")
@click.option(
    "--on-error", type=click.Choice(["stop", "zero"]), default="stop", show_default=True, help="At what cannot be read."
)
@image_options
def command(
    path: Path,
    offset: int,
    length: int | None,
    volume: str | None,
    on_error: str,
    input_format: str | None,
    search_dirs: tuple[Path, ...],
) -> int:
    """Write one virtual disk's bytes to standard output.

    Stops with status 3 at what cannot be read; with --on-error zero it writes zeros there, says so, and goes on.
    """
    if sys.stdout.isatty():
        raise UsageError("standard output is a terminal; send the bytes to a file or another program")
    options = scan_options(input_format, search_dirs)
    if volume is None:
        with scan.open_disk(path, options) as disk:
            return _copy(disk, offset, length, zero=on_error == "zero")
    with scan.open_machine([path], options) as machine:
        if volume not in machine.devices:
            raise UsageError(f"there is no volume {volume!r}; there is: {', '.join(sorted(machine.devices)) or 'none'}")
        return _copy(machine.devices[volume], offset, length, zero=on_error == "zero")


def _copy(device: BlockDevice, offset: int, length: int | None, *, zero: bool) -> int:
    if offset > device.size:
        raise UsageError(f"--offset {offset} lies beyond the end ({device.size} bytes)")
    end = device.size if length is None else offset + length
    if end > device.size:
        raise UsageError(f"--offset and --length reach beyond the end ({device.size} bytes)")
    lost, first = 0, ""
    for at in range(offset, end, CHUNK_BYTES):
        size = min(CHUNK_BYTES, end - at)
        try:
            sys.stdout.buffer.write(device.read_at(at, size))
        except ImageError as error:
            if not zero:
                _write_up_to_error(device, at, size)
                raise
            first = first or str(error)
            lost += _write_with_zeros(device, at, size)
    if lost:
        sys.stderr.write(f"imgscan: {lost} bytes could not be read and were written as zeros; first: {first}\n")
        return UNDECIDED
    return OK


def _sectors(at: int, size: int) -> range:
    return range(at, at + size, SECTOR_BYTES)


def _write_up_to_error(device: BlockDevice, at: int, size: int) -> None:
    """Write the sectors before the first that cannot be read."""
    for sector in _sectors(at, size):
        try:
            sys.stdout.buffer.write(device.read_at(sector, min(SECTOR_BYTES, at + size - sector)))
        except ImageError:
            return


def _write_with_zeros(device: BlockDevice, at: int, size: int) -> int:
    """Write each sector, or zeros where it cannot be read; return how many bytes were lost."""
    lost = 0
    for sector in _sectors(at, size):
        part = min(SECTOR_BYTES, at + size - sector)
        try:
            sys.stdout.buffer.write(device.read_at(sector, part))
        except ImageError:
            sys.stdout.buffer.write(bytes(part))
            lost += part
    return lost
