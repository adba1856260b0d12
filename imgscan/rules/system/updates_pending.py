r"""Windows has updates that are not installed to their end, and goes on with them at its next start.

What it checks
--------------
Whether servicing is in the middle of something: packages that wait (`PackagesPending`), a session that is not finished
(`SessionsPending`), a list of changes to be made (`WinSxS\pending.xml`), commands for the next start (`SetupExecute`),
or a restart that servicing or Windows Update asks for. Files that are to be renamed at the next start are shown beside
it, and are no fault alone: installed programs leave them all the time.

Why it matters
--------------
The next start is the one on the target: it takes long, may start again by itself, and runs while the importer installs
its drivers. When the changes fail there, Windows rolls them back or does not start, and nobody sees its screen.

How to fix
----------
Restart the machine, and again until Windows asks for no restart; then shut it down and export it.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask what is left to be done."""
    work = system.pending_restart.get()
    where = system.pending_restart.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    updates = [each for each in work if each.kind == "updates"]
    if updates:
        said = "; ".join(each.text for each in work)
        return failed(
            f"the Windows on {system.root} waits for its next start: {said}", *(each.evidence for each in work)
        )
    beside = f" ({'; '.join(each.text for each in work)})" if work else ""
    return passed(f"no update of the Windows on {system.root} is half installed{beside}", *where)


RULE = Rule(
    name="updates-pending",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.pending_restart"),
    remedy=how_to_fix(__doc__),
    check=check,
)
