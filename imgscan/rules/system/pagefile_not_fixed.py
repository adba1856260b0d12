"""A page file of the installed Windows has no fixed size.

What it checks
--------------
The page files that Windows is configured to make (`PagingFiles` in the registry): each has a lowest and a highest size
that are equal. A page file whose sizes Windows manages has no fixed size, and a Windows without a page file has none.

Why it matters
--------------
A page file that grows takes the space that the importer needs to install drivers.

How to fix
----------
Give each page file one size (System Properties, Advanced, Performance, Virtual memory: Custom size, with the initial
size equal to the maximum), and restart before the export.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.model.windows import PageFile
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for a page file whose sizes differ, or are not set."""
    files = system.page_files.get()
    evidence = system.page_files.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if not files:
        return failed(f"the Windows on {system.root} has no page file", *evidence)
    said = "; ".join(f"{file.path}: {_size(file)}" for file in files)
    if all(file.minimum is not None and file.minimum == file.maximum for file in files):
        return passed(said, *evidence)
    return failed(said, *evidence)


def _size(file: PageFile) -> str:
    if file.minimum is None or file.maximum is None:
        return "Windows manages its size"
    return f"{file.minimum} MiB" if file.minimum == file.maximum else f"{file.minimum} to {file.maximum} MiB"


RULE = Rule(
    name="pagefile-not-fixed",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.page_files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
