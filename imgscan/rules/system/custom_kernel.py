"""The kernel that starts by default is not the distribution's own default kernel.

What it checks
--------------
Which package owns the default kernel's file, by the package database (dpkg, rpm), and whether its name and vendor are
those of the distribution's own kernels. A file that no package owns was built or copied there by hand. Where the
database cannot be read, or the package names no vendor, the question stays open.

Why it matters
--------------
The importer adds drivers that are built for the kernels of the distributions that it knows. With another kernel (built
by hand, of a third party, of another flavour) the import may fail, or the machine may not start.

How to fix
----------
Install the distribution's own kernel (`apt install linux-image-amd64`, `yum install kernel`, `zypper install
kernel-default`), make it the default entry of the boot menu, boot it once, and export again.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title


class Distribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The kernels of distributions with these os-release IDs.

    `vendors` are texts that rpm's vendor or dpkg's maintainer has in it, in any case; `names` are the packages' names,
    one with `*` at its end stands for all that begin so.
    """

    ids: tuple[str, ...]
    vendors: tuple[str, ...]
    names: tuple[str, ...]


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`distributions` are those whose kernels are known."""

    distributions: tuple[Distribution, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Compare the owner of the kernel's file with the distribution's."""
    kernel = system.default_kernel.get()
    evidence = system.default_kernel.evidence or (AtOffset(system.root, 0, 0, "root volume"),)
    if kernel is None:
        if system.bootloader.get() is None:
            return not_applicable(f"{system.root} has no boot loader's configuration and no kernel", *evidence)
        raise UnreadFact("missing", f"no kernel was found on {system.root}", evidence)
    if kernel.volume is None:
        raise UnreadFact("missing", f"the default kernel {kernel.path} is not there", evidence)
    package = system.kernel_package.get()
    evidence = (*system.kernel_package.evidence, *evidence)
    if package is None:
        raise UnreadFact("missing", f"{system.root} has no package database of dpkg or rpm", evidence)
    if package.name is None:
        return failed(f"no package of {package.manager} owns the default kernel {kernel.path}", *evidence)
    said = f"the default kernel {kernel.path} is of the package {package.name} {package.version or ''}".rstrip()
    name = system.id.get()
    distribution = next((each for each in params.distributions if name in each.ids), None)
    if distribution is None:
        raise UnreadFact("unsupported", f"{said}; the kernels of {name or 'this system'} are not known", evidence)
    if not any(_is_named(package.name, pattern) for pattern in distribution.names):
        return failed(f"{said}, which is none of the default kernels of {name}", *evidence)
    if package.vendor is None:
        raise UnreadFact("missing", f"{said}, which names no vendor", evidence)
    vendor = package.vendor.lower()
    if not any(known in vendor for known in distribution.vendors):
        return failed(f"{said} by {package.vendor}, not by the distribution", *evidence)
    return passed(f"{said} by {package.vendor}", *evidence)


def _is_named(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


RULE = Rule(
    name="custom-kernel",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.root",
        "systems.id",
        "systems.default_kernel",
        "systems.bootloader",
        "systems.kernel_package",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
