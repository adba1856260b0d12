"""Say of many files what they are by their content."""

from __future__ import annotations

import msgspec

from imgscan.batch.identify import identify_file
from imgscan.batch.protocol import Job, unpack_text
from imgscan.batch.share import Identified
from imgscan.batch.worker import JobContext
from imgscan.errors import ImgscanError


def run(job: Job, context: JobContext) -> bytes:
    """Return an `Identified` for each given file, as JSON, in their order; the part is the file's number."""
    found: list[Identified] = []
    for number, path in enumerate(job.paths):
        if str(number) in context.left_out:
            why, detail = context.left_out[str(number)]
            found.append(Identified(why=why, detail=detail))
            continue
        context.part(str(number))
        try:
            file, _ = context.given.open(unpack_text(path), context.counter)
        except ImgscanError as error:
            found.append(Identified(why=getattr(error, "why", "missing"), detail=error.message))
            continue
        found.append(identify_file(file))
        file.close()
    return msgspec.json.encode(found)
