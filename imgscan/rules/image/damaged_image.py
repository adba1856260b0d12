"""An image file is damaged.

What it checks
--------------
What the container reader found wrong with an image: headers, tables and footers that fail their checksum or
contradict each other, and data that lies beyond the end of the file. A damage that is proven fails. It is unknown
when nothing of the image could be read, or when a part that it needs is missing or was refused. A pass means that
headers, tables and footers were checked, not every byte of the data.

Why it matters
--------------
Import fails, or it ends with a machine that misses parts of its disk. Copies that broke off are the usual cause.

How to fix
----------
Compare the file's size and checksum with the original and copy it again; when the original is damaged too, export
the machine again. Keep the damaged file until the new one has been scanned.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact, Why
from imgscan.model.disk import Disk, ProblemKind
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of, known_format_of

PROVEN: frozenset[ProblemKind] = frozenset({"damage", "truncated"})
UNCHECKED: dict[ProblemKind, Why] = {
    "missing": "missing",
    "refused": "denied",
    "unsupported": "unsupported",
    "encrypted": "encrypted",
    "io-error": "io-error",
    "changed": "changed",
    "timed-out": "timed-out",
    "crashed": "crashed",
    "internal": "internal",
}
"""Problems that leave a part of the image unchecked."""


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each disk for what its container reader found."""

    def ask(disk: Disk) -> Result:
        image = known_format_of(disk)
        proven = [problem for problem in disk.problems if problem.kind in PROVEN]
        if proven and disk.partitioning.is_known:
            evidence = tuple(piece for problem in proven for piece in problem.evidence)
            return failed(f"{disk.name}: {'; '.join(p.detail for p in proven)}", *(evidence or (image_of(disk),)))
        if proven:
            raise UnreadFact(
                "truncated" if proven[0].kind == "truncated" else "corrupt",
                f"nothing of {disk.name} can be read: {proven[0].detail}",
                proven[0].evidence,
            )
        for problem in disk.problems:
            if problem.kind in UNCHECKED:
                raise UnreadFact(UNCHECKED[problem.kind], problem.detail, problem.evidence)
        disk.partitioning.get()
        return passed(f"{disk.name}: the {image} headers and tables agree", image_of(disk))

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="damaged-image",
    title=title(__doc__),
    scope="machine",
    reads=("disks.format", "disks.problems", "disks.partitioning", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
