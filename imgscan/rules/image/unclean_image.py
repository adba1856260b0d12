"""An image was not closed cleanly.

What it checks
--------------
Whether the image says that it was still being written: a VHDX whose log is not empty, a VMDK whose unclean-shutdown
byte is set, a VHD of a machine that was saved and not shut down. imgscan reads a VHDX as if its log had been replayed
and leaves the file as it is.

Why it matters
--------------
The last writes may not be where the tables say. A reader that does not replay the log, as import services may not,
sees an older or a broken disk.

How to fix
----------
Shut the machine down, let its hypervisor open and close the image once (for a VHDX, `Mount-VHD -ReadOnly:$false`
followed by `Dismount-VHD` replays the log), then export it again.
"""

from __future__ import annotations

from imgscan.model.disk import Disk
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, over, passed
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import image_of


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Ask each image whether it was closed."""

    def ask(disk: Disk) -> Result:
        fact = disk.unclean
        evidence = fact.evidence or (image_of(disk),)
        if fact.get():
            said = [problem for problem in disk.problems if problem.kind == "unclean"]
            detail = "; ".join(problem.detail for problem in said) or "it was not closed cleanly"
            return failed(f"{disk.name}: {detail}", *evidence, *(piece for p in said for piece in p.evidence))
        return passed(f"{disk.name} was closed cleanly", *evidence)

    return over(machine.disks, ask, none="the machine has no disks")


RULE = Rule(
    name="unclean-image",
    title=title(__doc__),
    scope="machine",
    reads=("disks.unclean", "disks.problems", "disks.format", "disks.files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
