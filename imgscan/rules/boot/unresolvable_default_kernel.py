"""The boot menu's default entry cannot be told, or starts a kernel that is not there.

What it checks
--------------
Which entry of the boot menu is the default, and whether the kernel that it names is a file. Where the menu is made of
the files of `/boot/loader/entries`, the default (`saved_entry` in `grubenv`) has to name one of them.

Why it matters
--------------
The importer adds drivers for the kernel that starts by default. It ends with an error when it cannot tell which one
that is, and a machine whose default kernel is missing does not start.

How to fix
----------
Set the default anew: `grub2-set-default` or `grubby --set-default /boot/vmlinuz-VERSION` where entries are files of
`/boot/loader/entries`, else correct the menu with `update-grub`, `grub2-mkconfig -o /boot/grub2/grub.cfg` or by hand.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask for the kernel's file, then for how the default is named."""
    kernel = system.default_kernel.get()
    evidence = system.default_kernel.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if kernel is None:
        if system.bootloader.get() is None:
            return not_applicable(f"{system.root} has no boot loader's configuration and no kernel", *evidence)
        return failed(f"the boot menu of {system.root} starts no kernel, and none is in /boot", *evidence)
    if kernel.volume is None:
        return failed(f"the default entry starts {kernel.path}, which is not there", *evidence)
    for found in system.menu_files.get():
        if found.in_loader_entries and not found.default_is_there:
            return failed(
                f"the default of {found.path} names none of the entries in /boot/loader/entries: "
                f"{'no entry is saved' if found.default in {None, '0'} else found.default}",
                *found.evidence,
                *evidence,
            )
    said = "the only kernel is" if kernel.arguments is None else "the default entry starts"
    return passed(f"{said} {kernel.path}", *evidence)


RULE = Rule(
    name="unresolvable-default-kernel",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.root",
        "systems.menu_files",
        "systems.default_kernel",
        "systems.bootloader",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
)
