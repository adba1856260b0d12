r"""What the machine can boot with: boot code and loaders, their firmware, and the disks that can start it.

The boot disk is every disk that boots by BIOS (`imgscan.guests.bios_boot` follows its boot code to the files it loads)
or has an EFI system partition with a loader that firmware or a boot entry can start. Firmware's own boot entries are
not on the disks, so a loader outside \EFI\BOOT counts too; `Loader.fallback` tells which start without an entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.errors import ImageError, Why
from imgscan.guests.bios_boot import Answer, Machine, boot_sectors, follow, on_volume, search, with_menu
from imgscan.guests.grub_core import prefix_in, search_in
from imgscan.guests.grub_menu import CONFIG_BYTES, menu_problem
from imgscan.layouts.gpt import EFI_SYSTEM
from imgscan.model.boot import Boot, BootCode, Firmware, Loader
from imgscan.model.disk import Disk, Partition
from imgscan.model.evidence import AtOffset, AtPath, Evidence
from imgscan.model.fact import Fact, known, unread
from imgscan.model.volume import Volume

_ESP_TYPES = frozenset({EFI_SYSTEM, "0xef"})
_NO_SYSTEM = frozenset({"mok-manager", "fallback", "memtest", "driver", "systemd-stub"})
"""EFI programs that start no installed system."""
_WINDOWS_STORE = "/EFI/Microsoft/Boot/BCD"
"""Without it Windows' boot manager stops."""


class _OfDisk(msgspec.Struct, frozen=True):
    """What was found out about one disk; `evidence` is where its boot code, or its loaders, stand."""

    disk: str
    bios: Answer
    uefi: Answer
    evidence: tuple[Evidence, ...]
    has_code: bool


def inspect_boot(
    disks: Sequence[Disk],
    devices: Mapping[str, BlockDevice],
    volumes: Sequence[Volume],
    filesystems: Mapping[str, FileSystem],
) -> Boot:
    """Return the boot facts; `devices` holds disks and partitions by name, `filesystems` those that can be read."""
    machine = Machine(disks, devices, volumes, filesystems)
    code: list[BootCode] = []
    loaders: list[Loader] = []
    found: list[_OfDisk] = []
    for disk in disks:
        if disk.name not in devices or disk.partition_table is None:
            reason = disk.partitioning
            why: Why = reason.unread if isinstance(reason.unread, str) else "io-error"
            unsure = Answer("unsure", f"{disk.name} could not be read", why)
            found.append(_OfDisk(disk.name, unsure, unsure, (), has_code=False))
            continue
        codes, errors = boot_sectors(machine, disk)
        bios, codes = follow(machine, disk, codes)
        if bios.answer == "unsure" and errors:
            bios = Answer("unsure", str(errors[0]), errors[0].why)
        uefi, own = _uefi(machine, disk)
        code += codes.values()
        loaders += own
        evidence: tuple[Evidence, ...] = (AtOffset(disk.name, 0, 512, "boot sector"),)
        evidence += tuple(AtPath(loader.volume, loader.path) for loader in own)
        has_code = any(each.what != "none" for each in codes.values()) or bool(own)
        found.append(_OfDisk(disk.name, bios, uefi, evidence, has_code))
    return Boot(firmware=_firmware(found), disk=_boot_disk(found), code=tuple(code), loaders=tuple(loaders))


def _firmware(found: Sequence[_OfDisk]) -> Fact[Firmware]:
    """Join what the disks boot with; a disk that could not be read counts only while no other boots."""
    booting = [each for each in found if "yes" in (each.bios.answer, each.uefi.answer)] or list(found)
    evidence = tuple(dict.fromkeys(piece for each in booting for piece in each.evidence))
    answers = {
        "bios": [each.bios for each in booting],
        "uefi": [each.uefi for each in booting],
    }
    can: dict[str, bool] = {}
    for name, given in answers.items():
        can[name] = any(answer.answer == "yes" for answer in given)
        unsure = next((answer for answer in given if answer.answer == "unsure"), None)
        if unsure is not None and not can[name]:
            return unread(unsure.why or "internal", unsure.detail, *evidence)
    value: Firmware = (
        "both" if can["bios"] and can["uefi"] else "bios" if can["bios"] else "uefi" if can["uefi"] else "neither"
    )
    return known(value, *evidence)


def _boot_disk(found: Sequence[_OfDisk]) -> Fact[tuple[str, ...]]:
    """Return every disk that boots; without one, those whose boot code leads to what could not be read."""
    booting = [each for each in found if "yes" in (each.bios.answer, each.uefi.answer)]
    unsure = [each for each in found if "unsure" in (each.bios.answer, each.uefi.answer)]
    if not booting:
        blind = next((each for each in unsure if not each.has_code), None)
        if blind is not None:
            answer = blind.bios if blind.bios.answer == "unsure" else blind.uefi
            return unread(answer.why or "internal", answer.detail, *blind.evidence)
    candidates = booting or unsure
    evidence = tuple(piece for each in candidates or found for piece in each.evidence)
    return known(tuple(each.disk for each in candidates), *dict.fromkeys(evidence))


def _uefi(machine: Machine, disk: Disk) -> tuple[Answer, list[Loader]]:
    """Return whether a disk boots by UEFI, and the loaders on it."""
    answers: list[Answer] = []
    loaders: list[Loader] = []
    partitions: dict[str, Partition] = {}
    if disk.partition_table is not None:
        partitions = {partition.name: partition for partition in disk.partition_table.partitions}
    for name in (disk.name, *partitions):
        volume = machine.volume(name)
        is_esp = name in partitions and partitions[name].type in _ESP_TYPES
        if volume is None or not (is_esp or volume.content == "vfat"):
            continue
        filesystem = machine.filesystems.get(volume.name)
        if filesystem is None:
            answers.append(_unreadable_esp(volume))
            continue
        from imgscan.guests.efi_loaders import find_loaders  # noqa: PLC0415 - start-up time

        try:
            own = find_loaders(filesystem)
        except ImageError as error:
            answers.append(Answer("unsure", str(error), error.why))
            continue
        if not is_esp and not any(loader.fallback for loader in own):
            continue  # firmware starts a loader from any FAT volume, but only the one it looks for itself
        answer, followed = _esp(machine, name, filesystem, own)
        loaders += followed
        answers.append(answer)
    for wanted in ("yes", "unsure"):
        for answer in answers:
            if answer.answer == wanted:
                return answer, loaders
    return answers[0] if answers else Answer("no", f"{disk.name} has no EFI system partition"), loaders


def _unreadable_esp(volume: Volume) -> Answer:
    if not volume.signature.is_known:
        why = volume.signature.unread
    elif volume.content is None or volume.readable is None:
        return Answer("no", f"the EFI system partition {volume.name} holds no filesystem")
    else:
        why = volume.readable.unread
        if why == "unsupported":
            return Answer("no", f"the EFI system partition {volume.name} holds {volume.content}, not FAT")
    reason: Why = why if isinstance(why, str) else "internal"
    return Answer("unsure", f"the EFI system partition {volume.name} could not be read", reason)


def _esp(machine: Machine, name: str, filesystem: FileSystem, loaders: Sequence[Loader]) -> tuple[Answer, list[Loader]]:
    """Return whether one of the loaders starts a system; GRUB's small configuration on the partition is followed.

    The loaders are returned with why they do not.
    """
    answers: list[Answer] = []
    followed: list[Loader] = []
    for loader in loaders:
        if loader.machine is None or loader.what in _NO_SYSTEM:
            followed.append(loader)
            continue
        answer = Answer("yes", f"{name} has {loader.path}", None, name)
        if loader.what in {"grub2", "shim"}:
            try:
                answer = _grub_config(machine, filesystem, loader) or answer
            except ImageError as error:
                answer = Answer("unsure", str(error), error.why)
        elif loader.what == "windows-boot-manager":
            store = on_volume(machine, name, (_WINDOWS_STORE,))
            answer = answer if store.answer == "yes" else store
        answers.append(answer)
        followed.append(loader if answer.answer == "yes" else msgspec.structs.replace(loader, detail=answer.detail))
    answers = answers or [Answer("no", f"the EFI system partition {name} has no loader")]
    for wanted in ("yes", "unsure"):
        for answer in answers:
            if answer.answer == wanted:
                return answer, followed
    return answers[0], followed


def _grub_config(machine: Machine, filesystem: FileSystem, loader: Loader) -> Answer | None:
    r"""Return where the grub.cfg beside a loader leads, None when it says nothing about that.

    A GRUB in \EFI\BOOT reads the grub.cfg of the folder that it was made for, which is any.
    """
    folder = loader.path.rsplit("/", 1)[0]
    folders = [folder]
    top = filesystem.lookup(filesystem.root, "EFI")
    if top is not None and folder.lower().endswith("/boot"):
        folders += [f"/EFI/{entry.name}" for entry in filesystem.list(top.node) if entry.kind == "directory"][:64]
    unsure: Answer | None = None
    for each in folders:
        node = filesystem.root
        for part in (*each.strip("/").split("/"), "grub.cfg"):
            entry = filesystem.lookup(node, part)
            if entry is None:
                break
            node = entry.node
        else:
            head = filesystem.read(node, 0, CONFIG_BYTES)
            answer = _grub_stub(machine, head, f"{each}/grub.cfg on {filesystem.volume}")
            if answer is None or answer.answer == "yes":
                return answer
            unsure = unsure or answer
    return unsure


def _grub_stub(machine: Machine, head: bytes, shown: str) -> Answer | None:
    """Return where a grub.cfg leads, None when it says nothing about that; a menu that is missing there is not told."""
    problem = menu_problem(head, shown)
    if problem is not None:
        return Answer(problem.answer, problem.detail, problem.why)
    text = head.decode("utf-8", "replace")
    wanted = search_in(text) if len(head) < CONFIG_BYTES else None
    if wanted is None:
        return None
    answer = search(machine, wanted, ())
    prefix = prefix_in(text)
    return with_menu(machine, answer, f"{prefix}/grub.cfg") if prefix and answer.answer == "yes" else answer
