"""Serve one virtual disk's bytes by position, for `imgscan.open_disk`."""

from __future__ import annotations

import msgspec

from imgscan import scan
from imgscan.batch.answers import Read, Served
from imgscan.batch.protocol import ErrorMessage, Job, pack_error, unpack_text
from imgscan.batch.worker import JobContext
from imgscan.errors import ImgscanError
from imgscan.scan import ScanOptions


def run(job: Job, context: JobContext) -> bytes:
    """Answer requests until nobody asks any more: the bytes behind a zero, or a one and an `ErrorMessage`."""
    options = ScanOptions(input_format=job.input_format, left_out=context.left_out)
    with scan.open_disk(unpack_text(job.paths[0]), options, given=context.given) as disk:
        context.write(msgspec.json.encode(Served(disk.name, disk.size, disk.sector_size, disk.facts)))
        while (request := context.next_request()) is not None:
            wanted = msgspec.msgpack.decode(request, type=Read)
            try:
                context.reply(b"\0" + disk.read_at(wanted.offset, wanted.length))
            except ImgscanError as error:
                message: ErrorMessage = pack_error(error)
                context.reply(b"\1" + msgspec.msgpack.encode(message))
    return b""
