"""The first two stages: the given files become disks, and disks get their partition tables."""

from __future__ import annotations

import msgspec

from imgscan import containers, partitions
from imgscan.devices.file import FileDevice
from imgscan.devices.host_files import GivenFiles, HostFiles
from imgscan.devices.named import NamedDevice
from imgscan.errors import ImageError, UsageError
from imgscan.model.disk import Disk, ImageFacts, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown
from imgscan.stages.state import ScanState, unread_place, why_no_device


def open_disks(input_format: str | None, given: GivenFiles, scan: ScanState) -> None:
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
    opened = [_open_image(scan, index, input_format, file, host) for index, (_, file, host) in enumerate(files)]
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
    scan: ScanState, index: int, input_format: str | None, file: FileDevice, host: HostFiles
) -> containers.OpenedImage:
    try:
        with scan.parts.reading(f"image {index}"):
            return containers.open_image(file, host, input_format)
    except ImageError as error:  # what an image's content does is in the facts; this is a part that is left out
        return containers.unreadable(file, input_format, error)


def read_partition_tables(scan: ScanState) -> None:
    """Read the table of each disk; why one could not be read is in its facts."""
    for index, disk in enumerate(scan.disks):
        device = scan.devices.get(disk.name)
        if device is None:
            lost = why_no_device(disk, disk.name)
            scan.disks[index] = msgspec.structs.replace(disk, partitioning=lost)
            scan.unread.append(unread_place(disk.name, lost))
            continue
        try:
            with scan.parts.reading(f"partitions {disk.name}"):
                table = partitions.read_table(device, disk.name)
        except ImageError as error:
            failed: Fact[str] = unread_because(error)
            scan.disks[index] = msgspec.structs.replace(disk, partitioning=failed)
            scan.unread.append(unread_place(disk.name, failed))
            continue
        evidence = AtOffset(disk.name, 0, device.sector_size, "partition table")
        scan.disks[index] = msgspec.structs.replace(
            disk, partition_table=table, partitioning=known(str(table.scheme), evidence)
        )
