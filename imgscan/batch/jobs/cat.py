"""A guest file's bytes."""

from __future__ import annotations

from imgscan.batch.jobs.places import guest_place
from imgscan.batch.protocol import Job
from imgscan.batch.worker import JobContext
from imgscan.errors import UsageError
from imgscan.model.text import shown

CHUNK_BYTES = 1 << 20


def run(job: Job, context: JobContext) -> bytes:
    """Write the file that `where` names."""
    with guest_place(job, context) as (tree, path):
        place = tree.resolve(path)
        if place.entry.kind != "file":
            raise UsageError(f"it is a {place.entry.kind}, not a file", where=shown(path))
        offset = 0
        while data := place.filesystem.read(place.entry.node, offset, CHUNK_BYTES):
            context.write(data)
            offset += len(data)
    return b""
