"""Says of scans in workers which modules they load when, and whether they find what a scan without a worker finds.

A program, for a process of its own. Arguments: images, each a machine of its own. Output, as JSON: `supervisor`, the
modules of the process that started a worker; `late`, by image the modules that a worker loads after it was closed in
(it would fail there; here the sandbox is left open, so that all are seen); `differ`, the images for which a worker that
is closed in returns other bytes than the same job in this process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec


def replace(module: object, name: str, ours: object) -> None:
    """Put ours in the place of a function; `unittest.mock` would load what a worker could then not lack."""
    setattr(module, name, ours)


def report(image: str, isolated: bool) -> bytes | str:
    from imgscan.batch.isolated import ReadOptions, inspect
    from imgscan.errors import ImgscanError

    try:
        found = inspect([image], ReadOptions(isolated=isolated))
    except ImgscanError as error:
        return str(error)
    return msgspec.json.encode((found.facts, found.failures))


def loaded_late(image: str) -> list[str]:
    """Return what a worker loads after it was closed in."""
    from imgscan.batch import isolated, process, sandbox, worker
    from imgscan.devices.host_files import LocalGivenFiles

    before: list[set[str]] = []
    late: list[str] = []
    close_in, job_function = worker.close_in, worker.job_function  # type: ignore[attr-defined] # imported there

    def leave_open(*_: Any) -> sandbox.Level:
        before.append(set(sys.modules))
        return sandbox.Level()

    def told(kind: str) -> Any:
        function = job_function(kind)

        def run(job: Any, context: Any) -> bytes:
            answer = function(job, context)
            for name in sorted(set(sys.modules) - before[0]):
                context.note(name)
            return answer

        return run

    replace(worker, "close_in", leave_open)
    replace(worker, "job_function", told)
    try:
        with LocalGivenFiles([image], ()) as files:
            ended = process.run_job(isolated.make_job("inspect", [image]), files, sandbox.Limits(), note=late.append)
    finally:
        replace(worker, "close_in", close_in)
        replace(worker, "job_function", job_function)
    if ended.done is None:
        late.append(f"it did not end: {ended}")
    return late


def main() -> None:
    images = sys.argv[1:]
    report(images[0], isolated=True)
    supervisor = sorted(sys.modules)
    from imgscan.batch.worker import preload

    preload()  # as a nursery does: each worker is a copy
    late = {Path(image).name: loaded_late(image) for image in images}
    closed_in = [report(image, isolated=True) for image in images]
    open_ = [report(image, isolated=False) for image in images]
    differ = [image for image, one, other in zip(images, closed_in, open_, strict=True) if one != other]
    sys.stdout.buffer.write(msgspec.json.encode({"supervisor": supervisor, "late": late, "differ": differ}))


if __name__ == "__main__":
    main()
