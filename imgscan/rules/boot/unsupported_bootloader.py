"""Linux is started by a boot loader that the target does not support.

What it checks
--------------
What really starts the machine: the boot code in the boot disk's MBR, or in the partition that generic boot code
hands over to; on a disk that boots only by EFI, the loaders on its EFI system partition, with the loader that the
system configures deciding between several. A loader that is installed and not started does not count.

Why it matters
--------------
The importer edits the loader's configuration to boot its own kernel command line. It knows GRUB legacy and GRUB 2.

How to fix
----------
Install GRUB 2 as the loader (`grub-install` on the boot disk, then `update-grub` or `grub2-mkconfig`), boot once to
check, and export again.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.boot import BootCode
from imgscan.model.disk import Disk
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.subjects import of_boot_disk, partition_table_of

HANDS_OVER = frozenset({"syslinux", "windows-nt5", "windows-nt6", "unknown"})
"""Code that, in an MBR, starts the boot sector of the active partition instead of a loader of its own."""
NO_LOADER = frozenset({"none", "unknown"})
FIRST_STAGES = frozenset({"shim"})
"""EFI programs that start the real loader beside them."""
NOT_LINUX = frozenset({"memtest", "mok-manager", "fallback", "driver", "systemd-stub", "windows-boot-manager"})
"""EFI programs beside a Linux loader that do not start Linux."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`loaders` are those that the target supports, named as in `boot.code`."""

    loaders: tuple[str, ...]


def check(machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask the boot disk what starts it."""

    def ask(disk: Disk) -> Result:
        by_efi = machine.boot.firmware.get() == "uefi"
        what, evidence = _efi_loader(machine, system, disk) if by_efi else _bios_loader(machine, disk)
        said = f"{disk.name} is started by {what}"
        if what in params.loaders:
            return passed(said, *evidence)
        configured = system.bootloader.value if system.bootloader.is_known else None
        beside = f", although {configured} is installed" if configured in params.loaders else ""
        return failed(f"{said}, not {' or '.join(params.loaders)}{beside}", *evidence)

    return of_boot_disk(machine, ask)


def _bios_loader(machine: MachineFacts, disk: Disk) -> tuple[str, tuple[Evidence, ...]]:
    code = {piece.where: piece for piece in machine.boot.code}
    first = code.get(disk.name)
    if first is None:
        raise UnreadFact("missing", f"the boot code of {disk.name} was not read")
    if first.what not in HANDS_OVER and first.what not in NO_LOADER:
        return first.what, first.evidence
    active = (partition.name for partition in partition_table_of(disk).partitions if partition.active)
    chain: list[BootCode] = [first, *(code[name] for name in active if name in code)]
    evidence = tuple(piece for link in chain for piece in link.evidence)
    last = chain[-1]
    if last.what not in NO_LOADER:
        return last.what, evidence
    if last.what == "none" and first.what not in NO_LOADER:  # it hands over to nothing, and is all there is
        return first.what, evidence
    detail = last.detail or first.detail or "its boot code is none that imgscan knows"
    raise UnreadFact("unsupported", f"what starts {disk.name} is not known: {detail}", evidence)


def _efi_loader(machine: MachineFacts, system: System, disk: Disk) -> tuple[str, tuple[Evidence, ...]]:
    here = [
        loader
        for loader in machine.boot.loaders
        if disk.name in machine.disks_below(loader.volume) and loader.what not in NOT_LINUX
    ]
    evidence = tuple(at_path(loader.volume, loader.path) for loader in here)
    kinds = sorted({loader.what for loader in here} - FIRST_STAGES - {"unknown"})
    if len(kinds) == 1:
        return kinds[0], evidence
    configured = system.bootloader.get()
    if configured is not None and (configured in kinds or not kinds):
        return configured, (*evidence, *system.bootloader.evidence)
    found = ", ".join(sorted({loader.what for loader in here})) or "none"
    raise UnreadFact("missing", f"which EFI loader of {disk.name} starts is not told by the disk ({found})", evidence)


RULE = Rule(
    name="unsupported-bootloader",
    title=title(__doc__),
    scope="system",
    reads=(
        "boot.disk",
        "boot.firmware",
        "boot.code",
        "boot.loaders",
        "disks.partitioning",
        "disks.partition_table",
        "systems.bootloader",
        "volumes.on",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
