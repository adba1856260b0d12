"""The kernel that starts by default runs only below Xen, in paravirtual mode.

What it checks
--------------
The default kernel's image and name. The kernels that distributions built for Xen alone (`kernel-xen` of Red Hat
Enterprise Linux 5, the `-xen` flavour of SUSE) end in `xen`, and are ELF programs with Xen's notes, without the set-up
header by which a boot loader starts Linux on a PC. Kernels that run below Xen and on bare hardware pass.

Why it matters
--------------
The imported machine is fully virtualised (HVM): it starts like a PC, and a kernel for paravirtual mode does not.

How to fix
----------
Install the distribution's normal kernel (`yum install kernel`, `zypper install kernel-default`), make it the default
entry of the boot menu, start the machine with it where that is possible, and export again.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`endings` are those of the versions of kernels for Xen alone."""

    endings: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Look at the version's ending, then at the image's form."""
    kernel = system.default_kernel.get()
    evidence = system.default_kernel.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if kernel is None:
        if system.bootloader.get() is None:
            return not_applicable(f"{system.root} has no boot loader's configuration and no kernel", *evidence)
        raise UnreadFact("missing", f"no kernel was found on {system.root}", evidence)
    version = kernel.version or kernel.path.rpartition("/")[2]
    if version.endswith(params.endings):
        return failed(f"the default kernel {version} is built for Xen's paravirtual mode alone", *evidence)
    if kernel.volume is None:
        raise UnreadFact("missing", f"the default kernel {kernel.path} is not there", evidence)
    if kernel.has_xen_notes:
        return failed(
            f"the default kernel {kernel.path} is an ELF program for Xen, without a header for PCs", *evidence
        )
    if kernel.format != "bzImage":
        raise UnreadFact(
            "unsupported", f"the default kernel {kernel.path} has no set-up header ({kernel.format})", evidence
        )
    return passed(f"the default kernel {version} starts on a PC", *evidence)


RULE = Rule(
    name="paravirtual-only-kernel",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.default_kernel", "systems.bootloader"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
