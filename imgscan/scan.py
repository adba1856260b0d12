"""The whole flow, in order. Read this first.

::

    paths -> containers -> partitions -> volumes and filesystems -> boot and systems -> MachineFacts -> judge -> Report

Every stage takes what the one before it made and knows no other stage; this file alone puts them together. A stage
that cannot read something says so in its facts, and the scan goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from imgscan import containers, filesystems, partitions
from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.devices.filesystem import FileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.host_files import LocalHostFiles, open_given
from imgscan.devices.limits import FILESYSTEMS, FREE_SPACE_BYTES, SYSTEMS
from imgscan.devices.named import NamedDevice
from imgscan.devices.slice import SliceDevice
from imgscan.errors import ERRORS, ImageError, LimitExceeded, UsageError, Why
from imgscan.filesystems import signatures
from imgscan.guests import boot, systems
from imgscan.judge import judge
from imgscan.model.boot import Boot
from imgscan.model.disk import Disk, ImageFacts, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.machine import MachineFacts, UnreadPlace
from imgscan.model.profile import Profile
from imgscan.model.report import MachineReport, ProfileStamp, Report
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.model.volume import Free, Volume, VolumeKind
from imgscan.tool import this_tool

Inspector = Callable[
    [systems.FoundSystem, Mapping[str, FileSystem], Sequence[Volume], Sequence[Disk]], systems.Inspected
]
EXTENDED_TYPES = frozenset({"0x05", "0x0f", "0x85"})
"""MBR types of extended partitions: they hold other partitions, and no filesystem of their own."""
NEVER_A_SYSTEM = frozenset({"swap", "swsuspend", "linux_raid_journal", "iso9660", "udf"})
"""Content that cannot be an installed system, even unread."""
NO_FILES = frozenset({"swap", "swsuspend"})
"""Content that holds no files: not reading it is no loss."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What the user may set: `search` are further folders for parents; `input_format` overrides the detection."""

    search: tuple[Path, ...] = ()
    input_format: str | None = None


@dataclass(slots=True)
class OpenMachine:
    """A machine while its files are open.

    `devices` and `filesystems` are by volume name, `trees` in the order of the systems. `images` are the host files
    that were opened, `referred_paths` where the files would lie that an image names.
    """

    facts: MachineFacts
    devices: dict[str, BlockDevice]
    filesystems: dict[str, FileSystem]
    trees: list[GuestTree]
    images: frozenset[FileIdentity]
    referred_paths: tuple[Path, ...]


@dataclass(slots=True)
class _Scan:
    """What the stages have made so far."""

    disks: list[Disk] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    devices: dict[str, BlockDevice] = field(default_factory=dict)
    filesystems: dict[str, FileSystem] = field(default_factory=dict)
    unread: list[UnreadPlace] = field(default_factory=list)
    unsearched: list[UnreadPlace] = field(default_factory=list)


def scan_machine(
    paths: Sequence[str | Path], profiles: Sequence[Profile], options: ScanOptions | None = None
) -> Report:
    """Read the disks of one machine once and judge them for each profile.

    :raises UsageError: the paths do not make a machine (no path, the same file twice, a sidecar instead of disks)
    :raises ImageError: a path cannot be opened at all
    """
    facts = inspect_machine(paths, options)
    return report_on([facts], profiles)


def inspect_machine(paths: Sequence[str | Path], options: ScanOptions | None = None) -> MachineFacts:
    """Read the facts of one machine; raises as `scan_machine`."""
    with open_machine(paths, options) as machine:
        return machine.facts


def judge_facts(facts: MachineFacts, profiles: Sequence[Profile]) -> Report:
    """Judge facts that were read before; no image is touched."""
    return report_on([facts], profiles)


def report_on(machines: Sequence[MachineFacts], profiles: Sequence[Profile]) -> Report:
    """Return the report on machines whose facts are read."""
    return Report(
        tool=this_tool(),
        profiles=tuple(ProfileStamp(p.name, p.version, p.digest) for p in profiles),
        machines=tuple(
            MachineReport(
                **{name: getattr(facts, name) for name in MachineFacts.__struct_fields__},
                verdicts=tuple(judge(facts, profile) for profile in profiles),
            )
            for facts in machines
        ),
    )


@contextmanager
def open_machine(paths: Sequence[str | Path], options: ScanOptions | None = None) -> Iterator[OpenMachine]:
    """Open the disks of one machine, read its facts, and keep everything open inside the block."""
    options = options or ScanOptions()
    counter = IoCounter()
    hosts: list[LocalHostFiles] = []
    try:
        scan = _Scan()
        with counter.stage("containers"):
            _open_disks(paths, options, counter, hosts, scan)
        with counter.stage("partitions"):
            _read_partition_tables(scan)
        with counter.stage("filesystems"):
            _open_volumes(scan)
        with counter.stage("boot"):
            boot_facts = boot.inspect_boot(scan.disks, scan.devices, scan.volumes, scan.filesystems)
        with counter.stage("systems"):
            found, trees = _inspect_systems(scan)
        facts = MachineFacts(
            name=scan.disks[0].files[0].name.rsplit(".", 1)[0] if scan.disks[0].files else Path(paths[0]).stem,
            disks=tuple(scan.disks),
            volumes=tuple(scan.volumes),
            boot=boot_facts,
            systems=tuple(found),
            systems_searched=_systems_searched(scan, boot_facts, found),
            unread=tuple(scan.unread),
            io=counter.result(),
        )
        images = frozenset(identity for host in hosts for identity in host.identities())
        yield OpenMachine(facts, scan.devices, scan.filesystems, trees, images, _referred_paths(scan.disks, paths))
    finally:
        for host in hosts:
            host.close()


class OpenDisk(NamedDevice):
    """One virtual disk as a `BlockDevice`, open until `close`; `facts` is what its container says."""

    def __init__(self, device: BlockDevice, facts: ImageFacts, host: LocalHostFiles) -> None:
        super().__init__(device, device.name)
        self.facts = facts
        self._host = host

    def close(self) -> None:
        """Close the files; reading afterwards is a programming error."""
        self._host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_disk(path: str | Path, options: ScanOptions | None = None) -> OpenDisk:
    """Open one virtual disk for reading by position.

    :raises UsageError: there is no such file
    :raises ImageError: the file cannot be opened, or nothing of its content can be read
    """
    options = options or ScanOptions()
    file, host = open_given(Path(path), options.search, IoCounter())
    opened = containers.open_image(file, host, options.input_format)
    if opened.device is None:
        host.close()
        lost = _why_no_device(opened.facts, str(path))
        raise ERRORS.get(str(lost.unread), ImageError)(str(lost.detail))
    return OpenDisk(opened.device, opened.facts, host)


def _referred_paths(disks: Sequence[Disk], paths: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the paths at which an output would stand in for an extent or parent that an image names."""
    names = {file.name for disk in disks for file in disk.files}
    names |= {parent.hint.replace("\\", "/").rsplit("/", 1)[-1] for disk in disks for parent in disk.parents}
    folders = {Path(path).resolve().parent for path in paths}
    return tuple(
        folder / name for folder in folders for name in names if name not in {"", ".", ".."} and "\0" not in name
    )


def _open_disks(
    paths: Sequence[str | Path], options: ScanOptions, counter: IoCounter, hosts: list[LocalHostFiles], scan: _Scan
) -> None:
    """Open every given path; a file that turns out to be an extent or parent of another given one is no disk itself."""
    if not paths:
        raise UsageError("no disk image given")
    search = tuple(dict.fromkeys((*options.search, *(Path(path).resolve().parent for path in paths))))
    given: list[tuple[str, FileDevice, LocalHostFiles]] = []
    for path in map(str, paths):
        file, host = open_given(Path(path), search, counter)
        hosts.append(host)
        for earlier, earlier_file, _ in given:
            if earlier_file.identity == file.identity:
                raise UsageError(f"it is the same file as {earlier}; give each disk once", where=path)
        named = containers.sidecar_disks(file)
        if named is not None:
            advice = f"; give its disks instead: {' '.join(named)}" if named else "; give the disk images instead"
            raise UsageError(f"a sidecar file is not read yet{advice}", where=path)
        given.append((path, file, host))
    opened = [containers.open_image(file, host, options.input_format) for _, file, host in given]
    part_of: dict[int, int] = {}
    for index, (_, file, _) in enumerate(given):
        for other, (_, _, other_host) in enumerate(given):
            if other != index and other not in part_of and file.identity in other_host.identities():
                part_of[index] = other
                break
    for index, (path, _, _) in enumerate(given):
        if index in part_of:
            continue
        name = f"disk{len(scan.disks)}"
        notes = tuple(
            Problem("also-given", "note", f"{shown(given[part][0])} was given too; it belongs to this disk")
            for part, owner in part_of.items()
            if owner == index
        )
        facts, device = opened[index].facts, opened[index].device
        fields = {key: getattr(facts, key) for key in ImageFacts.__struct_fields__}
        fields["problems"] = (*facts.problems, *notes)
        scan.disks.append(Disk(**fields, name=name, path=shown(path)))
        if device is not None:
            scan.devices[name] = NamedDevice(device, name)


def _read_partition_tables(scan: _Scan) -> None:
    for index, disk in enumerate(scan.disks):
        device = scan.devices.get(disk.name)
        if device is None:
            lost = _why_no_device(disk, disk.name)
            scan.disks[index] = msgspec.structs.replace(disk, partitioning=lost)
            scan.unread.append(_unread_place(disk.name, lost))
            continue
        try:
            table = partitions.read_table(device, disk.name)
        except ImageError as error:
            failed: Fact[str] = unread_because(error)
            scan.disks[index] = msgspec.structs.replace(disk, partitioning=failed)
            scan.unread.append(_unread_place(disk.name, failed))
            continue
        evidence = AtOffset(disk.name, 0, device.sector_size, "partition table")
        scan.disks[index] = msgspec.structs.replace(
            disk, partition_table=table, partitioning=known(str(table.scheme), evidence)
        )


def _open_volumes(scan: _Scan) -> None:
    """Name what each partition (or the whole disk) holds, and open the filesystems that imgscan reads."""
    for disk in scan.disks:
        device, table = scan.devices.get(disk.name), disk.partition_table
        if device is None or table is None:
            continue
        if table.scheme == "none":
            _open_volume(scan, disk.name, "disk", (), device)
        for partition in table.partitions:
            if partition.type in EXTENDED_TYPES:
                continue
            part = SliceDevice(device, partition.start, partition.size, partition.name)
            scan.devices[partition.name] = part
            _open_volume(scan, partition.name, "partition", (disk.name,), part)


def _open_volume(scan: _Scan, name: str, kind: VolumeKind, on: tuple[str, ...], device: BlockDevice) -> None:
    try:
        signature = signatures.identify(device)
    except ImageError as error:
        nothing: Fact[str | None] = unread_because(error)
        scan.volumes.append(Volume(name=name, kind=kind, on=on, size=device.size, content=None, signature=nothing))
        scan.unread.append(_unread_place(name, nothing))
        return
    volume = Volume(
        name=name,
        kind=kind,
        on=on,
        size=device.size,
        content=signature.content,
        signature=known(signature.content, *signature.evidence),
        label=None if signature.label is None else known(signature.label, *signature.evidence),
        uuid=None if signature.uuid is None else known(signature.uuid, *signature.evidence),
    )
    if signature.content is not None and signature.content not in NO_FILES:
        readable, free = _open_filesystem(scan, name, device, signature.content)
        volume = msgspec.structs.replace(volume, readable=readable, free=free)
        if not readable.is_known:
            scan.unread.append(_unread_place(name, readable))
    scan.volumes.append(volume)


def _open_filesystem(scan: _Scan, name: str, device: BlockDevice, content: str) -> tuple[Fact[bool], Fact[Free]]:
    try:
        if len(scan.filesystems) >= FILESYSTEMS:
            raise LimitExceeded(f"a filesystem beyond the first {FILESYSTEMS}", where=name)
        filesystem = filesystems.open_filesystem(device, name, content)
    except ImageError as error:
        return unread_because(error), unread_because(error)
    scan.filesystems[name] = filesystem
    try:
        cost = filesystem.free_cost()
        if cost > FREE_SPACE_BYTES:
            free: Fact[Free] = unread("not-collected", f"{name}: counting its free space would read {cost} bytes")
            return known(True), free
        return known(True), known(filesystem.free())
    except ImageError as error:
        return known(True), unread_because(error)


def _inspect_systems(scan: _Scan) -> tuple[list[System], list[GuestTree]]:
    """Find the installed systems on the readable filesystems and ask each who it is."""
    found: list[System] = []
    trees: list[GuestTree] = []
    places = systems.find_systems(scan.filesystems, scan.unsearched)
    scan.unsearched += [
        UnreadPlace(p.volume, "limit", f"a system beyond the first {SYSTEMS}") for p in places[SYSTEMS:]
    ]
    for place in places[:SYSTEMS]:
        inspected = _inspector(place.family)(place, scan.filesystems, scan.volumes, scan.disks)
        found.append(inspected.system)
        trees.append(inspected.tree)
        scan.unread.extend(inspected.unread)
    scan.unread.extend(scan.unsearched)
    return found, trees


def _inspector(family: str) -> Inspector:
    """Return what inspects a family of systems; only the modules of families that are there are loaded."""
    if family == "linux":
        from imgscan.guests.linux import inspect_linux  # noqa: PLC0415 - start-up time

        return inspect_linux
    if family == "windows":
        from imgscan.guests.windows import inspect_windows  # noqa: PLC0415 - start-up time, and construct with it

        return inspect_windows
    return systems.inspect_other


def _systems_searched(scan: _Scan, boot_facts: Boot, found: Sequence[System]) -> Fact[tuple[str, ...]]:
    """Say where systems were looked for; unread when one may be hidden in what could not be read.

    That is a volume on a boot disk, or any volume while no system was found. A disk that could not be opened, or
    whose table could not be read, counts like such a volume.
    """
    boot_disks = set(boot_facts.disk.value or ()) if isinstance(boot_facts.disk.value, tuple) else None
    hidden = [
        _about(disk.name, disk.partitioning)
        for disk in scan.disks
        if not disk.partitioning.is_known and (not found or boot_disks is None or disk.name in boot_disks)
    ]
    for volume in scan.volumes:
        lost = volume.readable if volume.signature.is_known else volume.signature
        if lost is None or lost.is_known or volume.content in NEVER_A_SYSTEM:
            continue
        disk_name = volume.name.partition("/")[0]
        if not found or boot_disks is None or disk_name in boot_disks:
            hidden.append(_about(volume.name, lost))
    hidden.extend(
        unread(place.why, f"{place.where}: {place.detail}")
        for place in scan.unsearched
        if not found or boot_disks is None or place.where.partition("/")[0] in boot_disks
    )
    if hidden:
        return Fact(
            unread=hidden[0].unread,
            detail="; ".join(str(lost.detail) for lost in hidden),
            evidence=tuple(piece for lost in hidden for piece in lost.evidence),
        )
    return known(tuple(sorted(scan.filesystems)))


def _about(name: str, lost: Fact[bool] | Fact[str] | Fact[str | None]) -> Fact[str]:
    detail = str(lost.detail)
    return Fact(unread=lost.unread, detail=detail if name in detail else f"{name}: {detail}", evidence=lost.evidence)


def _unread_place(where: str, lost: Fact[str] | Fact[bool] | Fact[str | None]) -> UnreadPlace:
    why: Why = "internal" if isinstance(lost.unread, msgspec.UnsetType) else lost.unread
    return UnreadPlace(where, why, str(lost.detail))


KIND_TO_WHY: dict[str, Why] = {
    "encrypted": "encrypted",
    "unsupported": "unsupported",
    "missing": "missing",
    "refused": "denied",
    "truncated": "truncated",
    "changed": "changed",
    "io-error": "io-error",
}


def _why_no_device(image: ImageFacts, name: str) -> Fact[str]:
    """Return why nothing of a disk's content can be read, from the problems its container reader reported."""
    serious = [problem for problem in image.problems if problem.kind not in {"note", "unclean"}]
    if not serious:
        return unread("unsupported", f"{name}: nothing of this disk can be read")
    first = serious[0]
    return unread(KIND_TO_WHY.get(first.kind, "corrupt"), f"{name}: {first.detail}", *first.evidence)
