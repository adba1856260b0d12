"""The whole flow, in order. Read this first.

::

    paths -> containers -> partitions -> volumes and filesystems -> boot and systems -> MachineFacts
                                                                                     (-> judge -> Report)

Every stage takes what the one before it made and knows no other stage; this file alone puts them together. A stage
that cannot read something says so in its facts, and the scan goes on with what is left.

All of this runs in a process that can open no file (`imgscan.batch.worker`), unless it is called from Python directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Protocol, Self

import msgspec

from imgscan import containers, filesystems, partitions, volumes
from imgscan.devices.counters import IoCounter
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.filesystem import FileSystem, SeveralDevices
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.host_files import GivenFiles, HostFiles, LocalGivenFiles
from imgscan.devices.limits import FILESYSTEMS, FREE_SPACE_BYTES, SYSTEMS
from imgscan.devices.named import NamedDevice
from imgscan.devices.parts import Parts, watched
from imgscan.devices.slice import SliceDevice
from imgscan.errors import ERRORS, ImageError, LimitExceeded, UsageError, Why
from imgscan.filesystems import signatures
from imgscan.guests import boot, systems
from imgscan.layouts.superblocks.firmware_raid import VENDORS
from imgscan.layouts.superblocks.superblock import Superblock
from imgscan.model.boot import Boot
from imgscan.model.disk import Disk, ImageFacts, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.machine import MachineFacts, UnreadPlace, disks_below
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.model.volume import Free, Volume, VolumeKind
from imgscan.volumes import ldm, raid_disks
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.described import describe
from imgscan.volumes.stack import Stack

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
    """What the user may set: `search` are further folders for parents; `input_format` overrides the detection.

    `left_out` are parts (`imgscan.devices.parts`) that are not read, with why and a sentence: they failed before.
    """

    search: tuple[Path, ...] = ()
    input_format: str | None = None
    left_out: Mapping[str, tuple[Why, str]] = field(default_factory=dict)


class Watch(Protocol):
    """Who follows a scan: told each part as it begins, and what was learnt after each stage."""

    def part(self, name: str) -> None:
        """Take note that a part is being read now; empty for none."""
        ...

    def learnt(self, facts: MachineFacts) -> None:
        """Take note of the facts so far; what was not reached yet is unread in them (`not-collected`)."""
        ...


@dataclass(slots=True)
class OpenMachine:
    """A machine while its files are open.

    `devices` and `filesystems` are by volume name, `trees` in the order of the systems. `failures` are bugs of
    imgscan's own that were contained, each in one line.
    """

    facts: MachineFacts
    devices: dict[str, BlockDevice]
    filesystems: dict[str, FileSystem]
    trees: list[GuestTree]
    failures: list[str]


@dataclass(slots=True)
class _Scan:
    """What the stages have made so far."""

    paths: Sequence[str]
    parts: Parts
    counter: IoCounter
    disks: list[Disk] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    devices: dict[str, BlockDevice] = field(default_factory=dict)
    filesystems: dict[str, FileSystem] = field(default_factory=dict)
    members: dict[tuple[str, str], dict[str, BlockDevice]] = field(default_factory=dict)
    unread: list[UnreadPlace] = field(default_factory=list)
    unsearched: list[UnreadPlace] = field(default_factory=list)


NOT_REACHED = "the scan did not get that far"


def inspect_machine(paths: Sequence[str | Path], options: ScanOptions | None = None) -> MachineFacts:
    """Read the facts of one machine in this process (`imgscan.inspect_machine` does it in a process of its own).

    :raises UsageError: the paths do not make a machine (no path, the same file twice, a sidecar instead of disks)
    :raises ImageError: a path cannot be opened at all
    """
    with open_machine(paths, options) as machine:
        return machine.facts


@contextmanager
def open_machine(
    paths: Sequence[str | Path],
    options: ScanOptions | None = None,
    *,
    given: GivenFiles | None = None,
    watch: Watch | None = None,
    counter: IoCounter | None = None,
) -> Iterator[OpenMachine]:
    """Open the disks of one machine, read its facts, and keep everything open inside the block.

    `given` opens the paths, as local files unless told otherwise. Raises as `inspect_machine`.
    """
    options = options or ScanOptions()
    names = [str(path) for path in paths]
    with ExitStack() as files:
        if given is None:
            given = files.enter_context(LocalGivenFiles(names, options.search))
        parts = Parts(watch.part if watch else None, options.left_out)
        scan = _Scan(names, parts, counter or IoCounter())
        count = scan.counter.stage
        with count("containers"):
            _open_disks(options, given, scan)
        with count("partitions"):
            _read_partition_tables(scan)
        if watch:
            watch.learnt(_facts(scan))
        with count("filesystems"):
            _open_volumes(scan)
        if watch:
            watch.learnt(_facts(scan))
        with count("boot"):
            boot_facts = _inspect_boot(scan)
        if watch:
            watch.learnt(_facts(scan, boot_facts))
        with count("systems"):
            found, trees = _inspect_systems(scan)
        facts = _facts(scan, boot_facts, found)
        yield OpenMachine(facts, scan.devices, scan.filesystems, trees, parts.failures)


def _facts(scan: _Scan, boot_facts: Boot | None = None, found: Sequence[System] | None = None) -> MachineFacts:
    """Return the facts so far; `boot_facts` and `found` are None while they were not reached."""
    reached = boot_facts is not None and found is not None
    return MachineFacts(
        name=scan.disks[0].files[0].name.rsplit(".", 1)[0] if scan.disks[0].files else PurePath(scan.paths[0]).stem,
        disks=tuple(scan.disks),
        volumes=tuple(scan.volumes),
        boot=boot_facts
        or Boot(firmware=unread("not-collected", NOT_REACHED), disk=unread("not-collected", NOT_REACHED)),
        systems=tuple(found or ()),
        systems_searched=_systems_searched(scan, boot_facts, found or ())
        if boot_facts is not None and reached
        else unread("not-collected", NOT_REACHED),
        unread=tuple(scan.unread),
        io=scan.counter.result(),
    )


class OpenDisk(NamedDevice):
    """One virtual disk as a `BlockDevice`, open until `close`; `facts` is what its container says."""

    def __init__(self, device: BlockDevice, facts: ImageFacts, files: ExitStack) -> None:
        super().__init__(device, device.name)
        self.facts = facts
        self._files = files

    def close(self) -> None:
        """Close the files; reading afterwards is a programming error."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_disk(path: str | Path, options: ScanOptions | None = None, *, given: GivenFiles | None = None) -> OpenDisk:
    """Open one virtual disk for reading by position, in this process.

    :raises UsageError: there is no such file
    :raises ImageError: the file cannot be opened, or nothing of its content can be read
    """
    options = options or ScanOptions()
    with ExitStack() as files:
        if given is None:
            given = files.enter_context(LocalGivenFiles([str(path)], options.search))
        file, host = given.open(str(path), IoCounter())
        opened = containers.open_image(file, host, options.input_format)
        if opened.device is None:
            lost = _why_no_device(opened.facts, str(path))
            raise ERRORS.get(str(lost.unread), ImageError)(str(lost.detail))
        return OpenDisk(opened.device, opened.facts, files.pop_all())


def _open_disks(options: ScanOptions, given: GivenFiles, scan: _Scan) -> None:
    """Open every given path; a file that turns out to be an extent or parent of another given one is no disk itself."""
    if not scan.paths:
        raise UsageError("no disk image given")
    files: list[tuple[str, FileDevice, HostFiles]] = []
    for path in scan.paths:
        file, host = given.open(path, scan.counter)
        for earlier, earlier_file, _ in files:
            if earlier_file.identity == file.identity:
                raise UsageError(f"it is the same file as {earlier}; give each disk once", where=path)
        named = containers.sidecar_disks(file)
        if named is not None:
            advice = f"; give its disks instead: {' '.join(named)}" if named else "; give the disk images instead"
            raise UsageError(f"a sidecar file is not read yet{advice}", where=path)
        files.append((path, file, host))
    opened = [_open_image(scan, index, options, file, host) for index, (_, file, host) in enumerate(files)]
    part_of: dict[int, int] = {}
    for index, (_, file, _) in enumerate(files):
        for other, (_, _, other_host) in enumerate(files):
            if other != index and other not in part_of and file.identity in other_host.identities():
                part_of[index] = other
                break
    for index, (path, _, _) in enumerate(files):
        if index in part_of:
            continue
        name = f"disk{len(scan.disks)}"
        notes = tuple(
            Problem("also-given", "note", f"{shown(files[part][0])} was given too; it belongs to this disk")
            for part, owner in part_of.items()
            if owner == index
        )
        facts, device = opened[index].facts, opened[index].device
        fields = {key: getattr(facts, key) for key in ImageFacts.__struct_fields__}
        fields["problems"] = (*facts.problems, *notes)
        scan.disks.append(Disk(**fields, name=name, path=shown(path)))
        if device is not None:
            scan.devices[name] = NamedDevice(device, name)


def _open_image(
    scan: _Scan, index: int, options: ScanOptions, file: FileDevice, host: HostFiles
) -> containers.OpenedImage:
    try:
        with scan.parts.reading(f"image {index}"):
            return containers.open_image(file, host, options.input_format)
    except ImageError as error:  # what an image's content does is in the facts; this is a part that is left out
        return containers.unreadable(file, options.input_format, error)


def _read_partition_tables(scan: _Scan) -> None:
    for index, disk in enumerate(scan.disks):
        device = scan.devices.get(disk.name)
        if device is None:
            lost = _why_no_device(disk, disk.name)
            scan.disks[index] = msgspec.structs.replace(disk, partitioning=lost)
            scan.unread.append(_unread_place(disk.name, lost))
            continue
        try:
            with scan.parts.reading(f"partitions {disk.name}"):
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
    """Name what each volume holds, and open the filesystems that imgscan reads.

    First the partitions (or whole disks), then the volumes that are made of them, layer by layer.
    """
    stack = Stack()
    for disk in scan.disks:
        device, table = scan.devices.get(disk.name), disk.partition_table
        if device is None or table is None:
            continue
        raid = raid_disks.look_at_end(device, table) if table.partitions else None
        if table.scheme == "none" or (raid is not None and raid.is_array_member):
            _open_volume(scan, stack, _volume(disk.name, "disk", (), device.size), device)
            continue
        if raid is not None and raid.firmware is not None:
            _note_raid_by_firmware(scan, disk, raid.firmware)
        dynamic = ldm.describe_disk(device, table)
        for partition in table.partitions:
            if partition.type in EXTENDED_TYPES:
                continue
            part = SliceDevice(device, partition.start, partition.size, partition.name)
            volume = _volume(partition.name, "partition", (disk.name,), part.size)
            if partition.type in ldm.TYPES:
                volume = msgspec.structs.replace(volume, metadata=dynamic)
            content = _open_volume(scan, stack, volume, part)
            if content is None and partition.type in ldm.DATA_TYPES:
                _refuse_dynamic_disk(scan, partition.name)
    _open_layers(scan, stack)
    _open_members(scan)


def _note_raid_by_firmware(scan: _Scan, disk: Disk, found: Superblock) -> None:
    """Say that a disk is a member of a RAID that a controller's firmware made: its partitions may be stripes."""
    problem = Problem(
        "firmware-raid-member",
        "note",
        f"the disk is a member of a RAID by {VENDORS[found.content]} ({found.content}), and read as if it were alone",
        (AtOffset(disk.name, found.offset, found.length, f"{found.content} metadata"),),
    )
    index = scan.disks.index(disk)
    scan.disks[index] = msgspec.structs.replace(disk, problems=(*disk.problems, problem))


def _refuse_dynamic_disk(scan: _Scan, name: str) -> None:
    """Say that the volumes of a dynamic disk are not assembled."""
    lost: Fact[bool] = unread("unsupported", f"{name}: volumes of dynamic disks (LDM) are not read")
    _set_filesystem(scan, name, lost, None)


def _volume(name: str, kind: VolumeKind, on: tuple[str, ...], size: int) -> Volume:
    """Return a volume of which nothing is known yet."""
    return Volume(name=name, kind=kind, on=on, size=size, content=None, signature=known(None))


def _open_layers(scan: _Scan, stack: Stack) -> None:
    """Open the volumes that the layers make of members, and what those hold in turn, until nothing is left."""
    while True:
        layer = stack.due()
        if layer is None:
            made = stack.give_up()
            if not made:
                break
        else:
            try:
                with scan.parts.reading(f"layer {layer.name}"):
                    made = stack.assemble(layer)
            except ImageError as error:
                stack.refuse(layer, error)
                continue
        for assembled in made:
            _open_assembled(scan, stack, assembled)
    for name, refusal in stack.refused.items():
        lost: Fact[bool] = unread_because(refusal)
        members = {member.name for member in stack.members_of(name)}
        for index, volume in enumerate(scan.volumes):
            if volume.name in members:
                scan.volumes[index] = msgspec.structs.replace(volume, readable=lost)
                scan.unread.append(_unread_place(volume.name, lost))


def _open_assembled(scan: _Scan, stack: Stack, made: Assembled) -> None:
    """Open a volume that a layer made: a filesystem, a member of another layer, or a disk with partitions."""
    volume = msgspec.structs.replace(
        _volume(made.name, made.kind, made.on, made.size), problems=made.problems, metadata=made.metadata
    )
    if made.device is None:
        if made.error is not None:
            lost: Fact[str | None] = unread_because(made.error)
            scan.unread.append(_unread_place(made.name, lost))
            volume = msgspec.structs.replace(volume, signature=lost)
        scan.volumes.append(volume)
        return
    device = NamedDevice(made.device, made.name)
    content = _open_volume(scan, stack, volume, device)
    if made.error is not None:  # only a part of it can be read
        place = UnreadPlace(made.name, made.error.why, shown(str(made.error)))
        scan.unread += [place] if place not in scan.unread else []
    if content is not None:
        return
    try:
        with scan.parts.reading(f"partitions {made.name}"):
            table = partitions.read_table(device, made.name)
    except ImageError:  # then it holds no known content either, and that is said
        return
    if table.scheme == "none":
        return
    scan.volumes[-1] = msgspec.structs.replace(
        scan.volumes[-1],
        problems=(*made.problems, *table.problems),
        metadata={**made.metadata, "partition_table": table.scheme},
    )
    for partition in table.partitions:
        if partition.type not in EXTENDED_TYPES:
            part = SliceDevice(device, partition.start, partition.size, partition.name)
            facts = {"partition_type": partition.type, **({"partition_uuid": partition.uuid} if partition.uuid else {})}
            inner = _volume(partition.name, "partition", (made.name,), part.size)
            _open_volume(scan, stack, msgspec.structs.replace(inner, metadata=facts), part)


def _open_volume(scan: _Scan, stack: Stack, volume: Volume, device: BlockDevice) -> str | None:
    """Add a volume with what its device holds; return that content."""
    name = volume.name
    scan.devices[name] = device
    try:
        with scan.parts.reading(f"signature {name}"):
            signature = signatures.identify(device)
    except ImageError as error:
        nothing: Fact[str | None] = unread_because(error)
        scan.volumes.append(msgspec.structs.replace(volume, signature=nothing))
        scan.unread.append(_unread_place(name, nothing))
        return None
    volume = msgspec.structs.replace(
        volume,
        content=signature.content,
        signature=known(signature.content, *signature.evidence),
        label=None if signature.label is None else known(signature.label, *signature.evidence),
        uuid=None if signature.uuid is None else known(signature.uuid, *signature.evidence),
        metadata=volume.metadata | describe(device, signature.content),
    )
    scan.volumes.append(volume)
    if signature.content in volumes.MEMBERS:
        stack.add(Member(name, device, str(signature.content)))
    elif signature.content in filesystems.ON_SEVERAL:  # opened when all members are known
        scan.members.setdefault((signature.content, signature.uuid or name), {})[name] = device
    elif signature.content is not None and signature.content not in NO_FILES:
        _set_filesystem(scan, name, *_open_filesystem(scan, name, device, signature.content))
    return signature.content


def _open_members(scan: _Scan) -> None:
    """Open the filesystems that may lie on several volumes.

    Each goes by the name of its first member, which lies on the others too; those are readable through it.
    """
    for (content, uuid), devices in scan.members.items():
        try:
            with scan.parts.reading(f"members {content} {uuid}"):
                groups = filesystems.group_members(devices)
        except ImageError as error:
            for name in devices:
                _set_filesystem(scan, name, unread_because(error), None)
            continue
        for first, *others in groups:
            further = [devices[name] for name in others]
            _set_filesystem(scan, first, *_open_filesystem(scan, first, devices[first], content, further))
            index = _volume_index(scan, first)
            whole = scan.volumes[index] = msgspec.structs.replace(
                scan.volumes[index], on=(*scan.volumes[index].on, *others)
            )
            for name in others:
                _set_filesystem(scan, name, whole.readable, None)
                index = _volume_index(scan, name)
                part = scan.volumes[index]
                scan.volumes[index] = msgspec.structs.replace(part, metadata={**part.metadata, "part_of": first})
    scan.filesystems = {
        volume.name: scan.filesystems[volume.name] for volume in scan.volumes if volume.name in scan.filesystems
    }


def _set_filesystem(
    scan: _Scan,
    name: str,
    readable: Fact[bool] | None,
    free: Fact[Free] | None,
    condition: Fact[str | None] | None = None,
) -> None:
    index = _volume_index(scan, name)
    scan.volumes[index] = msgspec.structs.replace(
        scan.volumes[index], readable=readable, free=free, condition=condition
    )
    if readable is not None and not readable.is_known:
        scan.unread.append(_unread_place(name, readable))


def _volume_index(scan: _Scan, name: str) -> int:
    return next(index for index, volume in enumerate(scan.volumes) if volume.name == name)


def _open_filesystem(
    scan: _Scan, name: str, device: BlockDevice, content: str, others: Sequence[BlockDevice] = ()
) -> tuple[Fact[bool], Fact[Free], Fact[str | None] | None]:
    try:
        if len(scan.filesystems) >= FILESYSTEMS:
            raise LimitExceeded(f"a filesystem beyond the first {FILESYSTEMS}", where=name)
        with scan.parts.reading(f"filesystem {name}"):
            opened = filesystems.open_filesystem(device, name, content, others)
    except ImageError as error:
        return unread_because(error), unread_because(error), None
    if isinstance(opened, SeveralDevices) and opened.missing_devices:
        detail = f"{opened.missing_devices} of its devices are not among the disks given"
        scan.unread.append(UnreadPlace(name, "missing", detail))
    filesystem = scan.filesystems[name] = watched(opened, scan.parts)
    return known(True), _free_space(filesystem), _condition(filesystem)


def _free_space(filesystem: FileSystem) -> Fact[Free]:
    try:
        cost = filesystem.free_cost()
        if cost > FREE_SPACE_BYTES:
            detail = f"{filesystem.volume}: counting its free space would read {cost} bytes"
            return unread("not-collected", detail)
        return known(filesystem.free())
    except ImageError as error:
        return unread_because(error)


def _condition(filesystem: FileSystem) -> Fact[str | None]:
    try:
        condition = filesystem.condition()
    except ImageError as error:
        return unread_because(error)
    return known(None if condition is None else shown(condition))


def _inspect_boot(scan: _Scan) -> Boot:
    try:
        with scan.parts.reading("boot"):
            return boot.inspect_boot(scan.disks, scan.devices, scan.volumes, scan.filesystems)
    except ImageError as error:
        scan.unread.append(UnreadPlace("boot", error.why, shown(str(error))))
        return Boot(firmware=unread_because(error), disk=unread_because(error))


def _inspect_systems(scan: _Scan) -> tuple[list[System], list[GuestTree]]:
    """Find the installed systems on the readable filesystems and ask each who it is."""
    found: list[System] = []
    trees: list[GuestTree] = []
    places: list[systems.FoundSystem] = []
    try:
        with scan.parts.reading("systems"):
            shadows = _shadows(scan)
            searched = {name: each for name, each in scan.filesystems.items() if name not in shadows}
            places = systems.find_systems(searched, scan.unsearched)
    except ImageError as error:
        scan.unsearched.append(UnreadPlace("systems", error.why, shown(str(error))))
    scan.unsearched += [
        UnreadPlace(p.volume, "limit", f"a system beyond the first {SYSTEMS}") for p in places[SYSTEMS:]
    ]
    for place in places[:SYSTEMS]:
        try:
            with scan.parts.reading(f"system {place.volume}"):
                inspected = _inspector(place.family)(place, scan.filesystems, scan.volumes, scan.disks)
        except ImageError as error:
            scan.unsearched.append(UnreadPlace(place.volume, error.why, shown(str(error))))
            continue
        found.append(inspected.system)
        trees.append(inspected.tree)
        scan.unread.extend(inspected.unread)
    scan.unread.extend(scan.unsearched)
    return found, trees


def _shadows(scan: _Scan) -> frozenset[str]:
    """Return the snapshots whose origin can be read: what is installed there is the same system once more."""
    return frozenset(
        volume.name
        for volume in scan.volumes
        if volume.kind == "snapshot" and volume.metadata.get("origin") in scan.filesystems
    )


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

    shadows = _shadows(scan)

    names = {volume.name for volume in scan.volumes}

    def matters(name: str) -> bool:
        below = disks_below(name, scan.disks, scan.volumes)
        is_elsewhere = name in names and not below  # it lies on disks that were not given, and those boot nothing
        return not found or boot_disks is None or (not below and not is_elsewhere) or bool(below & boot_disks)

    hidden = [
        _about(disk.name, disk.partitioning)
        for disk in scan.disks
        if not disk.partitioning.is_known and matters(disk.name)
    ]
    for volume in scan.volumes:
        lost = volume.readable if volume.signature.is_known else volume.signature
        if lost is None or lost.is_known or volume.content in NEVER_A_SYSTEM or volume.name in shadows:
            continue
        if matters(volume.name):
            hidden.append(_about(volume.name, lost))
    hidden.extend(
        unread(place.why, f"{place.where}: {place.detail}") for place in scan.unsearched if matters(place.where)
    )
    if hidden:
        return Fact(
            unread=hidden[0].unread,
            detail="; ".join(str(lost.detail) for lost in hidden),
            evidence=tuple(piece for lost in hidden for piece in lost.evidence),
        )
    return known(tuple(sorted(set(scan.filesystems) - shadows)))


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
