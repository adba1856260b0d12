"""Read the facts of one machine."""

from __future__ import annotations

import msgspec

from imgscan import scan
from imgscan.batch.answers import Inspection
from imgscan.batch.protocol import Job, unpack_text
from imgscan.batch.worker import JobContext
from imgscan.model.text import shown
from imgscan.scan import ScanOptions


def run(job: Job, context: JobContext) -> bytes:
    """Return an `Inspection` as JSON."""
    options = ScanOptions((), job.input_format, context.left_out, frozenset(job.collect))
    paths = [unpack_text(path) for path in job.paths]
    with scan.open_machine(paths, options, given=context.given, watch=context, counter=context.counter) as machine:
        return msgspec.json.encode(
            Inspection(
                machine.facts,
                {shown(name): found for name, found in context.counter.fingerprints().items()},
                context.counter.failed,
                tuple(map(shown, machine.failures)),
            )
        )
