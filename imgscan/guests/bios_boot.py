"""Whether a disk boots by BIOS: what its first sector starts, followed until the system's own files.

Three answers, never a guess: `yes`, `no`, and `unsure` with the reason what could not be read. Boot code that imgscan
does not know is taken to do what all such code does, to start the active partition; without one it is `unsure`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.subvolumes import loader_roots
from imgscan.errors import CorruptStructure, ImageError, UnsupportedFormat, Why
from imgscan.guests.boot_code import DOS, FREEDOS, GPTMBR, identify_boot_code
from imgscan.guests.grub_core import GrubCore, PerhapsDamaged, read_core, read_legacy
from imgscan.guests.grub_device import grub_volumes
from imgscan.guests.grub_menu import problem_of_file
from imgscan.model.boot import BootCode
from imgscan.model.disk import Disk, Partition
from imgscan.model.machine import disks_below
from imgscan.model.volume import Volume, mirror_names, whole_names

GRUB_DIRECTORIES = ("/boot/grub", "/boot/grub2", "/grub", "/grub2")
"""Where GRUB's files lie, on the volume of / or on that of /boot."""


WINDOWS_NEEDS: dict[str, tuple[str, ...]] = {"windows-nt6": ("/bootmgr", "/Boot/BCD"), "windows-nt5": ("/ntldr",)}
"""What a boot sector of Windows loads from its volume; without its store the boot manager stops, NTLDR guesses."""
_DOS_NEEDS = {FREEDOS: ("/KERNEL.SYS",), DOS: ("/IO.SYS",)}
"""The same for DOS, by what is said of its boot sector."""


class Answer(msgspec.Struct, frozen=True):
    """Whether something is there; `why` is set when that is not known. `volume` is where, when it was found."""

    answer: Literal["yes", "no", "unsure"]
    detail: str
    why: Why | None = None
    volume: str | None = None


class Machine(msgspec.Struct, frozen=True):
    """What the stages before have found; all maps are by name."""

    disks: Sequence[Disk]
    devices: Mapping[str, BlockDevice]
    volumes: Sequence[Volume]
    filesystems: Mapping[str, FileSystem]

    def volume(self, name: str) -> Volume | None:
        """Return the volume whose content is found at a name: a filesystem on several volumes, or a mirror, as one."""
        for names in (mirror_names(self.volumes), whole_names(self.volumes)):
            name = names.get(name, name)
        return next((volume for volume in self.volumes if volume.name == name), None)


def follow(machine: Machine, disk: Disk, codes: Mapping[str, BootCode]) -> tuple[Answer, dict[str, BootCode]]:
    """Return whether `disk` boots by BIOS, and the boot code with what was found about it (`loads`, `detail`).

    `codes` are the boot codes that could be read, by the name of the disk or partition.
    """
    found = dict(codes)
    if disk.name not in codes:
        return Answer("unsure", f"the first sector of {disk.name} could not be read", "io-error"), found
    table = disk.partition_table
    if table is None or not table.boot_signature:
        detail = f"the first sector of {disk.name} does not end in 55 AA: firmware does not start it"
        return Answer("no", detail), found
    return _start(machine, disk, disk.name, found), found


def _start(machine: Machine, disk: Disk, where: str, codes: dict[str, BootCode]) -> Answer:
    """Follow the boot code of the disk or partition `where`."""
    code = codes[where]
    if code.what == "none":
        return Answer("no", f"{where} has no boot code: {code.detail}")
    if code.what == "grub2":
        answer = _grub2(machine, disk, where)
    elif code.what == "grub-legacy":
        answer = _grub_legacy(machine, disk, where)
    elif code.what in {"lilo", "isolinux"}:
        answer = Answer("yes", code.detail)
    elif where != disk.name or (disk.partition_table is not None and disk.partition_table.scheme == "none"):
        answer = _volume_boot_sector(machine, where, code)
    else:
        return _active_partition(machine, disk, codes)
    detail = answer.detail if answer.detail == code.detail else f"{code.detail}; {answer.detail}"
    codes[where] = msgspec.structs.replace(code, loads=answer.volume, detail=detail)
    return answer


def _active_partition(machine: Machine, disk: Disk, codes: dict[str, BootCode]) -> Answer:
    """Follow an MBR that starts the active partition."""
    code = codes[disk.name]
    partitions = disk.partition_table.partitions if disk.partition_table is not None else ()
    by_attribute = code.what == "syslinux" and code.detail == GPTMBR
    on_gpt = disk.partition_table is not None and disk.partition_table.scheme == "gpt"
    active = [partition for partition in partitions if partition.active]
    if on_gpt and not by_attribute:
        detail = f"the boot code of {disk.name} looks for an active partition in the MBR, and the disk has a GPT"
        return Answer("unsure", detail, "unsupported") if code.what == "unknown" else Answer("no", detail)
    if not active:
        if code.what == "unknown":
            detail = f"{disk.name} has boot code that imgscan does not know, and no active partition"
            return Answer("unsure", detail, "unsupported")
        return Answer("no", f"the boot code of {disk.name} starts the active partition, and there is none")
    if len(active) > 1:
        names = ", ".join(partition.name for partition in active)
        return Answer("no", f"{names} are all active; the boot code of {disk.name} stops")
    name = active[0].name
    if name not in codes:
        return Answer("unsure", f"the boot sector of {name} could not be read", "io-error")
    if "55 AA is missing" in codes[name].detail:
        return Answer("no", f"the boot sector of the active partition {name} does not end in 55 AA")
    answer = _start(machine, disk, name, codes)
    nothing = f", which has no boot code ({codes[name].detail})" if codes[name].what == "none" else ""
    codes[disk.name] = msgspec.structs.replace(code, loads=name, detail=f"{code.detail}; that is {name}{nothing}")
    return answer


def _volume_boot_sector(machine: Machine, where: str, code: BootCode) -> Answer:
    """Follow a boot sector that loads a file of its own volume."""
    wanted = WINDOWS_NEEDS.get(code.what) or _DOS_NEEDS.get(code.detail)
    if code.what in {"syslinux", "extlinux"}:  # ldlinux.sys may lie in any folder, and is found by its sectors
        return on_volume(machine, where, ())
    if wanted is None:
        return Answer("unsure", f"imgscan does not know the boot code of {where}", "unsupported")
    answers = [on_volume(machine, where, (path,)) for path in wanted]
    return next((answer for answer in answers if answer.answer != "yes"), answers[0])


def _grub2(machine: Machine, disk: Disk, where: str) -> Answer:
    try:
        core = read_core(machine.devices[disk.name], machine.devices[where].read_at(0, 512))
    except PerhapsDamaged as error:
        return Answer("unsure", error.message, error.why)
    except CorruptStructure as error:
        return Answer("no", error.message)
    except UnsupportedFormat as error:
        return _grub_somewhere(machine, disk, error.message)
    except ImageError as error:
        return Answer("unsure", str(error), error.why)
    return prefix_of(machine, disk, core)


def prefix_of(machine: Machine, disk: Disk, core: GrubCore) -> Answer:
    """Return whether what a GRUB 2 core image loads is there."""
    if core.needs_key:
        return Answer("unsure", f"GRUB opens an encrypted volume to read {core.path}", "encrypted")
    # without its configuration GRUB stops at a prompt, without the module `normal` at a smaller one
    needed: tuple[tuple[str, ...], ...] = ((f"{core.path}/grub.cfg",),)
    if not core.has_normal:
        needed = ((f"{core.path}/i386-pc/normal.mod", f"{core.path}/normal.mod"), *needed)
    answer = Answer("yes", "")
    for paths in needed:
        if core.search is not None:
            answer = search(machine, core.search, paths)
        else:
            answer = _device(machine, disk, core.device, paths, f"({core.device}){core.path}")
        if answer.answer != "yes":
            return answer
    return with_menu(machine, answer, needed[-1][0])


def with_menu(machine: Machine, answer: Answer, path: str) -> Answer:
    """Return `answer`, or what is wrong with the grub.cfg at `path` of the volume that it found."""
    filesystem = machine.filesystems.get(answer.volume or "")
    if filesystem is None:
        return answer
    try:
        problem = problem_of_file(filesystem, path)
    except ImageError as error:
        return Answer("unsure", str(error), error.why, answer.volume)
    return answer if problem is None else Answer(problem.answer, problem.detail, problem.why, answer.volume)


def search(machine: Machine, wanted: tuple[str, str], paths: Sequence[str]) -> Answer:
    """Return where GRUB's search ends: on the volume with a UUID or label, or with a file."""
    kind, what = wanted
    if kind == "file":
        answers = [on_volume(machine, name, (what,)) for name in machine.filesystems]
        found = next((answer for answer in answers if answer.answer == "yes"), None)
        return found or _perhaps_inside(machine, f"GRUB searches for the file {what}, which no volume has")
    for volume in machine.volumes:
        fact = volume.uuid if kind == "fs_uuid" else volume.label
        if fact is not None and isinstance(fact.value, str) and fact.value.casefold() == what.casefold():
            return on_volume(machine, volume.name, paths)
    name = "UUID" if kind == "fs_uuid" else "label"
    return _perhaps_inside(machine, f"GRUB searches for the volume with {name} {what}, which none has")


def _perhaps_inside(machine: Machine, detail: str) -> Answer:
    """Answer no, or unsure when something that was not read could hold it."""
    for volume in machine.volumes:
        if not volume.signature.is_known:
            return Answer("unsure", f"{detail}; {volume.name} could not be read", _why(volume.signature.unread))
        lost = volume.readable
        if lost is not None and not lost.is_known and _is_container(volume):
            why = _why(lost.unread)
            return Answer("unsure", f"{detail}; it may be inside {volume.name} ({volume.content})", why)
    for disk in machine.disks:
        if disk.partition_table is None:
            return Answer("unsure", f"{detail}; {disk.name} could not be read", _why(disk.partitioning.unread))
    return Answer("no", detail)


def _is_container(volume: Volume) -> bool:
    content = volume.content or ""
    return content.endswith("_member") or content in {"crypto_LUKS", "BitLocker", "stratis", "bcache", "drbd"}


def _why(unread: object) -> Why:
    return unread if isinstance(unread, str) else "unsupported"  # type: ignore[return-value] # a Why, or UNSET


def _device(machine: Machine, disk: Disk, device: str, paths: Sequence[str], shown: str) -> Answer:
    """Return whether GRUB's device, such as ``hd0,msdos1`` or ``,gpt2``, is there and holds one of `paths`."""
    if device.startswith("crypto"):
        detail = f"GRUB's prefix is {shown}"
        if all(volume.signature.is_known and volume.content != "crypto_LUKS" for volume in machine.volumes):
            return Answer("no", f"{detail}, and no volume is a crypto_LUKS")
        return Answer("unsure", f"{detail}, which is not read", "encrypted")
    layered = grub_volumes(device, machine.volumes)
    if layered:
        return on_volume(machine, layered[0], paths, f"GRUB's prefix {shown} is ")
    if layered is not None:
        return _perhaps_inside(machine, f"GRUB's prefix is {shown}, and no volume is that one")
    match = re.fullmatch(r"(?:hd(\d{1,9}))?(?:,(?:[a-z]+)?(\d{1,9})(?:,.*)?)?", device)
    if match is None:
        return Answer("unsure", f"GRUB's prefix {shown} names a device that is not understood", "unsupported")
    # BIOS numbers the disk it boots from first; the others follow in their order
    order = [disk, *(other for other in machine.disks if other is not disk)]
    number = int(match[1] or 0)
    if number >= len(order):
        return Answer("no", f"GRUB's prefix {shown} is on a disk that is not given")
    target = order[number]
    name = f"{target.name}/p{match[2]}" if match[2] else target.name
    if machine.volume(name) is None:
        return Answer("no", f"GRUB's prefix {shown} is on {name}, which does not exist")
    return on_volume(machine, name, paths, f"GRUB's prefix {shown} is ")


def on_volume(machine: Machine, name: str, paths: Sequence[str], what: str = "") -> Answer:
    """Return whether the volume is there and holds one of `paths` (all, when there are none)."""
    volume = machine.volume(name)
    if volume is None:
        return Answer("no", f"{what}{name}, which does not exist")
    name = volume.name
    if not volume.signature.is_known:
        return Answer("unsure", f"{what}{name}, which could not be read", _why(volume.signature.unread), name)
    if volume.content is None:
        return Answer("no", f"{what}{name}, which holds no filesystem")
    filesystem = machine.filesystems.get(name)
    if filesystem is None:
        why = None if volume.readable is None else volume.readable.unread
        if volume.readable is None:
            return Answer("no", f"{what}{name}, which holds no files ({volume.content})")
        if why == "unsupported" and not _is_container(volume):
            return Answer("yes", f"{what}{name} ({volume.content}, whose files are not read)", None, name)
        return Answer("unsure", f"{what}{name} ({volume.content}), which cannot be read", _why(why), name)
    try:
        if not paths or any(_exists(filesystem, path) for path in paths):
            return Answer("yes", f"{what or 'it loads from '}{name}", None, name)
    except ImageError as error:
        return Answer("unsure", str(error), error.why, name)
    return Answer("no", f"{what or 'it loads from '}{name}, which has no {paths[0]}")


def _exists(filesystem: FileSystem, path: str) -> bool:
    """Whether a path is there, as a boot loader begins it."""
    return any(_exists_below(filesystem, root, path) for root in loader_roots(filesystem))


def _exists_below(filesystem: FileSystem, node: int, path: str) -> bool:
    """Whether a path below a directory is there; what lies behind a symbolic link is taken to be there."""
    for name in path.split("/"):
        if not name:
            continue
        entry = filesystem.lookup(node, name)
        if entry is None:
            return False
        if entry.kind == "symlink":
            return True
        if entry.kind == "other":
            raise CorruptStructure(
                f"{path} is named in its folder, and is nothing that is known", where=filesystem.volume
            )
        node = entry.node
    return True


def _grub_somewhere(machine: Machine, disk: Disk, reason: str) -> Answer:
    """Answer for a core image that was not understood: look for GRUB's files on the disk's volumes."""
    for volume in machine.volumes:
        if disk.name not in disks_below(volume.name, machine.disks, machine.volumes):
            continue
        for directory in GRUB_DIRECTORIES:
            answer = on_volume(machine, volume.name, (directory,)) if volume.name in machine.filesystems else None
            if answer is not None and answer.answer == "yes":
                return Answer("yes", f"{reason}; GRUB's files are on {volume.name}", None, volume.name)
    return Answer("unsure", reason, "unsupported")


def _grub_legacy(machine: Machine, disk: Disk, where: str) -> Answer:
    try:
        grub = read_legacy(machine.devices[disk.name], machine.devices[where].read_at(0, 512))
    except CorruptStructure as error:
        return Answer("no", error.message)
    except ImageError as error:
        return Answer("unsure", str(error), error.why)
    if grub.partition is None:
        return _grub_somewhere(machine, disk, f"GRUB {grub.version}")
    name = f"{disk.name}/p{grub.partition}"
    return on_volume(machine, name, (grub.path,) if grub.path else (), f"GRUB {grub.version}; {grub.path} is on ")


def boot_sectors(machine: Machine, disk: Disk) -> tuple[dict[str, BootCode], list[ImageError]]:
    """Return the boot code of a disk and of its partitions, by name, and what could not be read."""
    codes: dict[str, BootCode] = {}
    errors: list[ImageError] = []
    partitions: Iterable[Partition] = disk.partition_table.partitions if disk.partition_table is not None else ()
    for name, active in ((disk.name, True), *((p.name, p.active) for p in partitions)):
        device = machine.devices.get(name)
        if device is None:
            continue
        try:
            code = identify_boot_code(device, name)
        except ImageError as error:
            if active:
                errors.append(error)
            continue
        startable = code.what != "none" and "55 AA is missing" not in code.detail
        if active or startable:
            codes[name] = code
    return codes, errors
