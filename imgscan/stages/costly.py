"""The costly facts of the systems that were found: the default kernel's package, its initramfs, all packages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from msgspec.structs import replace

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.model.collect import Group
from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.system import System
from imgscan.stages.state import ScanState

T = TypeVar("T")


def read_costly(
    scan: ScanState, systems: Sequence[System], trees: Sequence[GuestTree], groups: Collection[Group]
) -> list[System]:
    """Return the systems with the facts of these groups read; each group is counted as a stage of its own."""
    return [
        _read(scan, system, tree, groups) if system.family == "linux" and groups else system
        for system, tree in zip(systems, trees, strict=True)
    ]


def _read(scan: ScanState, system: System, tree: GuestTree, groups: Collection[Group]) -> System:
    from imgscan.guests.linux.initramfs import read_initramfs  # noqa: PLC0415 - start-up time
    from imgscan.guests.linux.kernel_drivers import read_kernel_drivers  # noqa: PLC0415 - the same
    from imgscan.guests.linux.kernel_package import read_kernel_package, read_packages  # noqa: PLC0415 - the same

    def attempt(name: str, ask: Callable[[], Fact[T]], *evidence: Evidence) -> Fact[T]:
        try:
            with scan.parts.reading(f"{name} {system.root}"):
                return ask()
        except ImageError as error:
            return unread_because(error, *evidence)

    kernel, version = system.default_kernel, system.kernel
    at = kernel.evidence
    changes: dict[str, object] = {}
    found = kernel.get() if kernel.is_known else None
    nothing = kernel.map(lambda _: None)  # no kernel, or why it is not known
    if "kernel-package" in groups:
        with scan.counter.stage("packages"):
            owned = found if found is not None and found.volume is not None else None
            changes["kernel_package"] = (
                nothing if owned is None else attempt("packages", lambda: read_kernel_package(tree, owned), *at)
            )
    if "initramfs" in groups:
        with scan.counter.stage("initramfs"):
            changes["initramfs"] = (
                nothing if found is None else attempt("initramfs", lambda: read_initramfs(tree, found), *at)
            )
            if version is None or not version.is_known or version.get() is None:
                changes["kernel_drivers"] = known(None) if version is None else version.map(lambda _: None)
            else:
                release = str(version.get())
                changes["kernel_drivers"] = attempt("drivers", lambda: read_kernel_drivers(tree, release), *at)
    if "packages" in groups:
        with scan.counter.stage("packages"):
            changes["packages"] = attempt("packages", lambda: read_packages(tree))
    return replace(system, **changes)
