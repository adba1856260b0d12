"""The installed system was hibernated (or a Windows shut down by fast startup), and not shut down fully.

What it checks
--------------
Linux: whether swap space of the machine holds the memory of a hibernated system, by the kernel's mark in a swap volume
or in a swap file that fstab names. Windows: what `hiberfil.sys` on its drive begins with, the mark of a system that
sleeps there, or that of one that woke up. Fast startup (Windows 8 and later) leaves the same mark as hibernation.

Why it matters
--------------
The filesystems are as they were when the machine fell asleep, with changes that exist only in that memory. A system
that wakes on other hardware fails; one that does not wake loses them, and a filesystem that the importer changed and
that is then woken is destroyed.

How to fix
----------
Start the machine, shut it down fully, and export it again. Linux: `systemctl poweroff`. Windows: `shutdown /s /t 0`,
which does not use fast startup; or switch hibernation off by `powercfg /h off` first.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask whether the system sleeps on disk."""
    return _windows(system) if system.family == "windows" else _swap_space(machine, system)


def _windows(system: System) -> Result:
    evidence = system.hibernated.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if system.hibernated.get():
        return failed(f"the Windows on {system.root} was hibernated, or shut down by fast startup", *evidence)
    return passed(f"the Windows on {system.root} does not sleep on disk", *evidence)


def _swap_space(machine: MachineFacts, system: System) -> Result:
    """Look at each volume, then at the swap files."""
    found: list[str] = []
    evidence: list[Evidence] = []
    unread: UnreadFact | None = None
    swaps: list[Evidence] = []
    for volume in machine.volumes:
        try:
            content = volume.signature.get()
        except UnreadFact as signal:
            unread = unread or signal
            continue
        if content == "swsuspend":
            found.append(volume.name)
            evidence += volume.signature.evidence
        elif content == "swap":
            swaps += volume.signature.evidence
    try:
        files = system.hibernated_files.get()
    except UnreadFact as signal:
        files, unread = (), unread or signal
    if files:
        found += files
        evidence += system.hibernated_files.evidence
    where = AtOffset(system.root, 0, 0, "installed system")
    if found:
        return failed(f"the swap space {', '.join(found)} holds a hibernated system", *(evidence or (where,)))
    if unread is not None:
        raise unread
    return passed("no swap space holds a hibernated system", *(swaps or (where,)))


RULE = Rule(
    name="hibernated-system",
    title=title(__doc__),
    scope="system",
    reads=("systems.family", "systems.root", "systems.hibernated", "systems.hibernated_files", "volumes.signature"),
    remedy=how_to_fix(__doc__),
    check=check,
)
