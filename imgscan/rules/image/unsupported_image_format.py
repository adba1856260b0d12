"""A disk is in an image format that the target does not import.

What it checks
--------------
The format of each disk's image, told by its content and never by its file name, against the formats that the
profile lists. Every variant of a listed format counts as that format. A file of no known format fails too; one that
could not be read far enough to tell is unknown.

Why it matters
--------------
The import is refused, often only after the upload has ended.

How to fix
----------
Convert the disk to a listed format, for example with `qemu-img convert -O vmdk -o subformat=streamOptimized`, or
export the machine again from its hypervisor in that format. Unpack archives first.
"""

from __future__ import annotations

import msgspec

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import format_of, image_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`formats` are the image formats that the target imports."""

    formats: tuple[str, ...]


def check(machine: MachineFacts, params: Params) -> Result:
    """Ask each disk for its format."""

    def ask(disk: Disk) -> Result:
        image, wanted = format_of(disk), ", ".join(params.formats)
        if image is None:
            said = next((problem for problem in disk.problems if problem.kind == "unsupported"), None)
            detail = said.detail if said else "its content is of no image format that imgscan knows"
            return failed(
                f"{disk.name} is not one of {wanted}: {detail}", *(said.evidence if said else ()), image_of(disk)
            )
        shape = f"{image} ({disk.variant})" if disk.variant not in {None, image} else image
        if image not in params.formats:
            return failed(f"{disk.name} is a {shape} image, not one of {wanted}", image_of(disk))
        return passed(f"{disk.name} is a {shape} image", image_of(disk))

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="unsupported-image-format",
    title=title(__doc__),
    scope="machine",
    reads=("disks.format", "disks.variant", "disks.problems", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
