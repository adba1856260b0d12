"""The initramfs of the default kernel is missing or damaged.

What it checks
--------------
Every file that the default boot entry loads with its kernel is unpacked to its end, as the kernel does it: cpio
archives one after the other, plain or compressed (gzip, xz, zstd, lz4, bzip2, lzma). One that is not there, is cut off,
or is none of these fails, and so do files without a `/init` in any of them, such as microcode alone. What this version
cannot unpack (lzop, old initrd images) leaves the question open.

Why it matters
--------------
The importer opens the initramfs to add drivers, and ends with an error when it cannot. The machine itself does not find
its root without it.

How to fix
----------
Write it anew in the running machine (`update-initramfs -u -k VERSION`, `dracut -f --kver VERSION`, `mkinitrd`), look
whether `/boot` has room left, start the machine once, and export again.
"""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Look for a file with a flaw."""
    found = system.initramfs.get()
    evidence = system.initramfs.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if found is None:
        return not_applicable(f"the default entry of {system.root} loads no initramfs", *evidence)
    bad = [f"{file.path} is {file.flaw}: {file.detail}" for file in found.files if file.flaw is not None]
    if bad:
        return failed("; ".join(bad), *evidence)
    names = ", ".join(f"{file.path} ({', '.join(file.forms)})" for file in found.files)
    return passed(f"it can be unpacked: {names}", *evidence)


RULE = Rule(
    name="unreadable-initramfs",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.initramfs"),
    remedy=how_to_fix(__doc__),
    check=check,
)
