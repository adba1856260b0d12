"""The kernel that starts by default is not one that the target takes with this system.

What it checks
--------------
For the systems of which the target's list names kernels (SUSE Linux Enterprise, Oracle Linux): the release of the
kernel that the boot menu's default entry starts, read from the kernel image. A flavour (`-default`) is not compared.

Why it matters
--------------
The importer adds drivers that are built for certain kernels, and ends at a kernel that it does not know.

How to fix
----------
Install the kernel that the list names, make it the default entry of the boot menu, boot it once, and export again.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.fact import NOT_COLLECTED
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.listed_systems import ListedLinux, find_listed, is_kernel, kernels_of, name_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`systems` is the target's list."""

    systems: tuple[ListedLinux, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Compare the default kernel with those of the system's lines."""
    name, evidence = name_of(system)
    if not any(line.kernels for line in params.systems if line.id == name):
        return not_applicable(f"the list names no kernels of {name}", *evidence)
    found = find_listed(system, params.systems)
    if not found.lines:
        return not_applicable(f"{found.said} itself is not on the list", *found.evidence)
    kernels = tuple(kernels_of(found.lines))
    if not kernels:
        return not_applicable(f"the list names no kernels of {found.said}", *found.evidence)
    if system.kernel is None:
        raise UnreadFact("not-collected", NOT_COLLECTED)
    kernel = system.kernel.get()
    evidence = (*system.kernel.evidence, *found.evidence)
    if kernel is None:
        raise UnreadFact("missing", f"no kernel was found on {system.root}", evidence)
    said = f"{found.said} on {system.root} starts kernel {kernel}"
    if any(is_kernel(kernel, listed) for listed in kernels):
        return passed(said, *evidence)
    return failed(f"{said}, not {' or '.join(map(str, kernels))}", *evidence)


RULE = Rule(
    name="unsupported-kernel",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.id",
        "systems.version",
        "systems.service_pack",
        "systems.kernel",
        "systems.root",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
