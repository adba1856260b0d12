"""The machine holds, or offers to boot, more than one system.

What it checks
--------------
How many installed systems the disks hold, and whether a boot menu offers one that is not the system itself: an entry
that names another system, or that hands over to another boot sector or loader. Recovery entries and partitions,
WinRE and tools such as memory tests are no second system. An entry whose purpose or target cannot be told makes the
answer unknown, and so does a volume that may hold a second system and could not be read.

Why it matters
--------------
The importer prepares one system for its new hardware and cannot know which one is meant.

How to fix
----------
Export a machine with the one system to be migrated: remove the other's partitions and its boot menu entry
(`GRUB_DISABLE_OS_PROBER=true` and `update-grub`; on Windows `bcdedit /delete`).
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import MenuEntry, System
from imgscan.rules.explanation import how_to_fix, title


def check(machine: MachineFacts, _params: NoParams) -> Result:
    """Count the systems, then look through their menus; what could not be read counts when nothing fails."""
    systems = machine.systems
    if len(systems) > 1:
        return failed(
            f"{len(systems)} systems are installed: {', '.join(f'{s.family} on {s.root}' for s in systems)}",
            *(piece for system in systems for piece in _evidence(system)),
        )
    unread: UnreadFact | None = None
    others: list[MenuEntry] = []
    for system in systems:
        try:
            entries = system.menu.get()
        except UnreadFact as signal:
            unread = signal
            continue
        for entry in entries:
            if entry.kind == "other-system" or (entry.kind == "chainload" and entry.target is not None):
                others.append(entry)
            elif entry.kind in {"chainload", "unknown"}:
                unread = unread or UnreadFact(
                    "unsupported", f"what the boot menu entry {entry.title!r} starts cannot be told", entry.evidence
                )
    if others:
        titles = ", ".join(repr(entry.title) for entry in others)
        evidence = tuple(piece for entry in others for piece in entry.evidence)
        return failed(
            f"the boot menu of {systems[0].root} offers another system: {titles}", *(evidence or _evidence(systems[0]))
        )
    searched = machine.systems_searched.get()
    if unread is not None:
        raise unread
    if not systems:
        raise UnreadFact("missing", f"no installed system was found (searched: {', '.join(searched) or 'nothing'})")
    return passed(f"one system, {systems[0].family} on {systems[0].root}", *_evidence(systems[0]))


def _evidence(system: System) -> tuple[Evidence, ...]:
    return system.id.evidence or (AtOffset(system.root, 0, 0, "installed system"),)


RULE = Rule(
    name="dual-boot",
    title=title(__doc__),
    scope="machine",
    reads=(
        "systems.family",
        "systems.root",
        "systems.id",
        "systems.menu",
        "systems_searched",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
)
