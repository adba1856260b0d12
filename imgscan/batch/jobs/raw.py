"""A virtual disk's bytes."""

from __future__ import annotations

from imgscan import scan
from imgscan.batch.protocol import Job, unpack_text
from imgscan.batch.worker import JobContext
from imgscan.devices.device import BlockDevice
from imgscan.errors import ERRORS, ImageError, UnsupportedFormat, UsageError
from imgscan.scan import ScanOptions

CHUNK_BYTES = 1 << 20
SECTOR_BYTES = 512


def run(job: Job, context: JobContext) -> bytes:
    """Write the bytes; return `lost` when some could not be read and zeros were written for them."""
    options = ScanOptions(input_format=job.input_format, left_out=context.left_out)
    paths = [unpack_text(path) for path in job.paths]
    volume = job.arguments.get("volume")
    if volume is None:
        with scan.open_disk(paths[0], options, given=context.given) as disk:
            return _copy(disk, job, context)
    with scan.open_machine(paths, options, given=context.given, watch=context) as machine:
        if volume not in machine.devices:
            for known in machine.facts.volumes:
                if known.name == volume:
                    why = known.signature
                    raise ERRORS.get(str(why.unread), UnsupportedFormat)(f"{volume} cannot be read: {why.detail}")
            raise UsageError(f"there is no volume {volume!r}; there is: {', '.join(sorted(machine.devices)) or 'none'}")
        return _copy(machine.devices[str(volume)], job, context)


def _copy(device: BlockDevice, job: Job, context: JobContext) -> bytes:
    offset, length = int(job.arguments["offset"] or 0), job.arguments["length"]
    if offset > device.size:
        raise UsageError(f"--offset {offset} lies beyond the end ({device.size} bytes)")
    end = device.size if length is None else offset + int(length)
    if end > device.size:
        raise UsageError(f"--offset and --length reach beyond the end ({device.size} bytes)")
    lost, first = 0, ""
    for at in range(offset, end, CHUNK_BYTES):
        size = min(CHUNK_BYTES, end - at)
        try:
            context.write(device.read_at(at, size))
        except ImageError as error:
            if not job.arguments["zero"]:
                _write_up_to_error(device, at, size, context)
                raise
            first = first or str(error)
            lost += _write_with_zeros(device, at, size, context)
    if lost:
        context.note(f"{lost} bytes could not be read and were written as zeros; first: {first}")
    return b"lost" if lost else b""


def _sectors(at: int, size: int) -> range:
    return range(at, at + size, SECTOR_BYTES)


def _write_up_to_error(device: BlockDevice, at: int, size: int, context: JobContext) -> None:
    """Write the sectors before the first that cannot be read."""
    for sector in _sectors(at, size):
        try:
            context.write(device.read_at(sector, min(SECTOR_BYTES, at + size - sector)))
        except ImageError:
            return


def _write_with_zeros(device: BlockDevice, at: int, size: int, context: JobContext) -> int:
    """Write each sector, or zeros where it cannot be read; return how many bytes were lost."""
    lost = 0
    for sector in _sectors(at, size):
        part = min(SECTOR_BYTES, at + size - sector)
        try:
            context.write(device.read_at(sector, part))
        except ImageError:
            context.write(bytes(part))
            lost += part
    return lost
