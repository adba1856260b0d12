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
        context.part(str(number))
        try:
            file, _ = context.given.open(unpack_text(path), context.counter)
        except ImgscanError as error:
            found.append(Identified(why=getattr(error, "why", "missing"), detail=error.message))
            continue
        try:
            found.append(identify_file(file))
        except MemoryError:
            found.append(Identified(why="limit", detail="looking at it needs more memory than one machine may use"))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other files are still looked at
            detail = f"imgscan failed at it, please report it: {type(error).__name__}: {error}"
            found.append(Identified(why="internal", detail=detail))
        file.close()
    return msgspec.json.encode(found)
