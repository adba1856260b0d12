"""The third stage: what each volume holds, the volumes made of volumes, and the filesystems that imgscan reads."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from imgscan import filesystems, partitions, volumes
from imgscan.devices.device import BlockDevice
from imgscan.devices.filesystem import FileSystem, SeveralDevices
from imgscan.devices.limits import FILESYSTEMS, FREE_SPACE_BYTES
from imgscan.devices.named import NamedDevice
from imgscan.devices.parts import watched
from imgscan.devices.slice import SliceDevice
from imgscan.errors import ImageError, LimitExceeded
from imgscan.filesystems import signatures
from imgscan.layouts.superblocks.firmware_raid import VENDORS
from imgscan.layouts.superblocks.superblock import Superblock
from imgscan.model.disk import Disk, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread, unread_because
from imgscan.model.machine import UnreadPlace
from imgscan.model.text import shown
from imgscan.model.volume import Free, Volume, VolumeKind
from imgscan.stages.state import ScanState, unread_place
from imgscan.volumes import ldm, raid_disks
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.described import describe
from imgscan.volumes.stack import Stack

EXTENDED_TYPES = frozenset({"0x05", "0x0f", "0x85"})
"""MBR types of extended partitions: they hold other partitions, and no filesystem of their own."""


def open_volumes(scan: ScanState) -> None:
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


def _note_raid_by_firmware(scan: ScanState, disk: Disk, found: Superblock) -> None:
    """Say that a disk is a member of a RAID that a controller's firmware made: its partitions may be stripes."""
    problem = Problem(
        "firmware-raid-member",
        "note",
        f"the disk is a member of a RAID by {VENDORS[found.content]} ({found.content}), and read as if it were alone",
        (AtOffset(disk.name, found.offset, found.length, f"{found.content} metadata"),),
    )
    index = scan.disks.index(disk)
    scan.disks[index] = msgspec.structs.replace(disk, problems=(*disk.problems, problem))


def _refuse_dynamic_disk(scan: ScanState, name: str) -> None:
    """Say that the volumes of a dynamic disk are not assembled."""
    lost: Fact[bool] = unread("unsupported", f"{name}: volumes of dynamic disks (LDM) are not read")
    _set_filesystem(scan, name, lost, None)


def _volume(name: str, kind: VolumeKind, on: tuple[str, ...], size: int) -> Volume:
    """Return a volume of which nothing is known yet."""
    return Volume(name=name, kind=kind, on=on, size=size, content=None, signature=known(None))


def _open_layers(scan: ScanState, stack: Stack) -> None:
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
                scan.unread.append(unread_place(volume.name, lost))


def _open_assembled(scan: ScanState, stack: Stack, made: Assembled) -> None:
    """Open a volume that a layer made: a filesystem, a member of another layer, or a disk with partitions."""
    volume = msgspec.structs.replace(
        _volume(made.name, made.kind, made.on, made.size), problems=made.problems, metadata=made.metadata
    )
    if made.device is None:
        if made.error is not None:
            lost: Fact[str | None] = unread_because(made.error)
            scan.unread.append(unread_place(made.name, lost))
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


def _open_volume(scan: ScanState, stack: Stack, volume: Volume, device: BlockDevice) -> str | None:
    """Add a volume with what its device holds; return that content."""
    name = volume.name
    scan.devices[name] = device
    try:
        with scan.parts.reading(f"signature {name}"):
            signature = signatures.identify(device)
    except ImageError as error:
        nothing: Fact[str | None] = unread_because(error)
        scan.volumes.append(msgspec.structs.replace(volume, signature=nothing))
        scan.unread.append(unread_place(name, nothing))
        return None
    volume = msgspec.structs.replace(
        volume,
        content=signature.content,
        signature=known(signature.content, *signature.evidence),
        label=None if signature.label is None else known(signature.label, *signature.evidence),
        uuid=None if signature.uuid is None else known(signature.uuid, *signature.evidence),
        metadata=volume.metadata | _described(scan, name, device, signature.content),
    )
    scan.volumes.append(volume)
    if signature.content in signatures.READ and (signature.on_volume or 0) > device.size:
        detail = f"{name}: the {signature.content} is {signature.on_volume} bytes large, and its volume {device.size}"
        scan.too_large[name] = unread("corrupt", detail, *signature.evidence)
    if signature.content in volumes.MEMBERS:
        stack.add(Member(name, device, str(signature.content)))
    elif signature.content in filesystems.ON_SEVERAL:  # opened when all members are known
        scan.members.setdefault((signature.content, signature.uuid or name), {})[name] = device
    elif signature.content is not None and signature.content not in signatures.NO_FILES:
        _set_filesystem(scan, name, *_open_filesystem(scan, name, device, signature.content))
    return signature.content


def _described(scan: ScanState, name: str, device: BlockDevice, content: str | None) -> dict[str, str]:
    try:
        with scan.parts.reading(f"description {name}"):
            return describe(device, content)
    except ImageError as error:
        return {"description_error": shown(str(error))}


def _open_members(scan: ScanState) -> None:
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
            for name in others:
                if name in scan.too_large:
                    scan.too_large.setdefault(first, scan.too_large[name])
            _set_filesystem(scan, first, *_open_filesystem(scan, first, devices[first], content, further))
            index = _volume_index(scan, first)
            whole = scan.volumes[index]
            lost = tuple(
                Problem("missing-device", "missing", place.detail)
                for place in scan.unread
                if (place.where, place.why) == (first, "missing")
            )
            whole = scan.volumes[index] = msgspec.structs.replace(
                whole, on=(*whole.on, *others), problems=(*whole.problems, *lost)
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
    scan: ScanState,
    name: str,
    readable: Fact[bool] | None,
    free: Fact[Free] | None,
    condition: Fact[str | None] | None = None,
) -> None:
    index = _volume_index(scan, name)
    if free is not None:
        free = scan.too_large.get(name, free)
    scan.volumes[index] = msgspec.structs.replace(
        scan.volumes[index], readable=readable, free=free, condition=condition
    )
    if readable is not None and not readable.is_known:
        scan.unread.append(unread_place(name, readable))


def _volume_index(scan: ScanState, name: str) -> int:
    return next(index for index, volume in enumerate(scan.volumes) if volume.name == name)


def _open_filesystem(
    scan: ScanState, name: str, device: BlockDevice, content: str, others: Sequence[BlockDevice] = ()
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
