"""Several configurations of GRUB are there, and they differ.

What it checks
--------------
Every `grub.cfg`, `menu.lst` and `grub.conf` below `/boot/grub` and `/boot/grub2`, and on EFI system partitions, those
that a mount hides too. Files of the same content, several names of one file, and a file that has no entries and only
leads to another one do not count.

Why it matters
--------------
The importer changes the boot menu. Where it finds several that differ it cannot tell which one starts the machine, and
ends with an error.

How to fix
----------
Find out which file the installed boot loader reads (`grub2-probe`, or the prefix in the loader), make that the only
one, and remove the others: what an upgrade from GRUB legacy left (`menu.lst`, `grub.conf`), or a second folder.
"""

from __future__ import annotations

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Compare the files that have entries."""
    found = system.menu_files.get()
    menus = [menu for menu in found if menu.entries or menu.in_loader_entries]
    if not menus:
        return not_applicable(f"{system.root} has no menu of GRUB", *system.menu_files.evidence)
    evidence = tuple(piece for menu in menus for piece in menu.evidence) or system.menu_files.evidence
    names = ", ".join(f"{menu.path} on {menu.volume}" for menu in menus)
    if len({menu.digest for menu in menus}) > 1:
        return failed(f"{len(menus)} different boot menus: {names}", *evidence)
    return passed(f"one boot menu: {names}", *evidence)


RULE = Rule(
    name="several-grub-configurations",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.menu_files"),
    remedy=how_to_fix(__doc__),
    check=check,
)
