"""The GPT scheme: the primary table behind the first sector, its backup at the end of the disk.

UEFI specification 5.3. A table counts as good when header and entries have their checksums and contradict nothing, as
firmware and Linux decide; the primary is used when it is good, else the backup, else whatever is the least damaged.
"""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.gpt import (
    LEGACY_BOOT_ATTRIBUTE,
    SIGNATURE,
    TYPE_NAMES,
    GptEntry,
    GptHeader,
    parse_entries,
    parse_header,
)
from imgscan.layouts.mbr import GPT_PROTECTIVE, TABLE_OFFSET
from imgscan.layouts.mbr import parse_entries as parse_mbr_entries
from imgscan.model.disk import Partition, PartitionTable, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.text import shown
from imgscan.partitions.problems import beyond_end, cannot_read, capped, overlaps


class _Copy(msgspec.Struct, frozen=True):
    """One of the two tables: `entries` is None when they were not readable; `good` when nothing is wrong with it."""

    which: str
    lba: int
    header: GptHeader
    entries: tuple[tuple[int, GptEntry], ...] | None
    problems: tuple[Problem, ...]

    @property
    def good(self) -> bool:
        return self.entries is not None and not self.problems

    @property
    def rank(self) -> int:
        """How far it can be trusted: 2 good, 1 readable with a damage, 0 not readable."""
        return 2 if self.good else 1 if self.entries is not None else 0


class _Reader:
    """Reads both copies with one sector size, in bytes."""

    def __init__(self, device: BlockDevice, disk: str, unit: int) -> None:
        self.device = device
        self.disk = disk
        self.unit = unit
        self.last_lba = device.size // unit - 1
        self.problems: list[Problem] = []

    def at(self, lba: int, structure: str, length: int = 92) -> AtOffset:
        return AtOffset(self.disk, lba * self.unit, length, structure)

    def copy(self, which: str, lba: int) -> _Copy | None:
        """Read the copy whose header is at `lba`; None without one (or a problem, when it cannot be read)."""
        try:
            sector = self.device.read_at(lba * self.unit, self.unit)
        except ImageError as error:
            what = f"the sector of the {which} GPT header"
            self.problems.append(cannot_read(f"gpt-{which}-unread", what, error, self.at(lba, f"{which} GPT header")))
            return None
        header = parse_header(sector)
        if header is None:
            return None
        problems: list[Problem] = []
        place = self.at(lba, f"{which} GPT header")

        def damaged(code: str, detail: str, where: AtOffset = place) -> None:
            problems.append(Problem(code, "damage", f"{which} GPT: {detail}", (where,)))

        if not header.checksum_good:
            damaged("gpt-header-checksum", "the header's checksum is wrong")
        if header.flaw:
            damaged("gpt-header-invalid", header.flaw)
            return _Copy(which, lba, header, None, tuple(problems))
        if header.my_lba != lba:
            damaged("gpt-header-invalid", f"the header says that it is at sector {header.my_lba}, and is at {lba}")
        if header.last_usable > self.last_lba:
            damaged(
                "gpt-beyond-end",
                f"the usable sectors reach to {header.last_usable}, the disk only to {self.last_lba}: it was cut short",
            )
        elif header.first_usable < lba < header.last_usable:
            damaged("gpt-header-invalid", "the header lies inside the usable sectors")
        length = header.entry_count * header.entry_size
        place_of_entries = self.at(header.entries_lba, f"{which} GPT entries", length)
        try:
            array = self.device.read_at(header.entries_lba * self.unit, length)
        except ImageError as error:
            problems.append(cannot_read("gpt-entries-unread", f"{which} GPT: the entries", error, place_of_entries))
            return _Copy(which, lba, header, None, tuple(problems))
        if zlib.crc32(array) != header.entries_checksum:
            damaged("gpt-entries-checksum", "the checksum of the entries is wrong", place_of_entries)
        return _Copy(which, lba, header, tuple(parse_entries(array, header.entry_size)), tuple(problems))

    def backup(self, primary: _Copy | None) -> _Copy | None:
        """Find the backup: at the end of the disk, or where the primary says (the disk was made larger since)."""
        at_end = self.copy("backup", self.last_lba) if self.last_lba > 1 else None
        named = primary.header.alternate_lba if primary is not None and primary.header.checksum_good else self.last_lba
        if at_end is not None or named == self.last_lba or named <= 1:
            if at_end is not None and primary is not None and primary.good and named != self.last_lba:
                self._note_alternate(named)
            return at_end
        if named > self.last_lba:
            self.problems.append(
                Problem(
                    "gpt-backup-missing",
                    "damage",
                    f"the backup GPT should be at sector {named}, beyond the last sector {self.last_lba}: "
                    "the disk was cut short",
                    (self.at(1, "primary GPT header"),),
                )
            )
            return None
        found = self.copy("backup", named)
        if found is not None:
            self.problems.append(
                Problem(
                    "gpt-backup-not-at-end",
                    "note",
                    f"the backup GPT is at sector {named}, the disk's last is {self.last_lba}: it was enlarged",
                    (self.at(named, "backup GPT header"),),
                )
            )
        return found

    def _note_alternate(self, named: int) -> None:
        self.problems.append(
            Problem(
                "gpt-copies-differ",
                "damage",
                f"the primary GPT names sector {named} as its backup's, which is in the last sector {self.last_lba}",
                (self.at(1, "primary GPT header"),),
            )
        )

    def table(self, sector: bytes) -> PartitionTable | None:
        """Read the table, None when neither copy has a header; `sector` are the first 512 bytes of the disk."""
        primary = self.copy("primary", 1)
        backup = self.backup(primary)
        chosen = max((c for c in (primary, backup) if c is not None), key=lambda c: c.rank, default=None)
        if chosen is None:
            return None
        self._compare(primary, backup, chosen)
        protective = self._protective(sector)
        partitions, evidence = self._partitions(chosen)
        self.problems += beyond_end(partitions, evidence, self.device)
        self.problems += overlaps(partitions, evidence)
        return PartitionTable(
            scheme="gpt",
            partitions=tuple(partitions),
            problems=capped(self.problems),
            identifier=chosen.header.disk_guid,
            protective=protective,
            boot_signature=sector[510:512] == b"\x55\xaa",
        )

    def _compare(self, primary: _Copy | None, backup: _Copy | None, chosen: _Copy) -> None:
        for each in (primary, backup):
            if each is not None:
                self.problems += each.problems
        told = {problem.code for problem in self.problems}
        if primary is None and "gpt-primary-unread" not in told:
            self.problems.append(
                Problem(
                    "gpt-primary-missing",
                    "damage",
                    "there is no primary GPT header; the backup was used",
                    (self.at(1, "primary GPT header"),),
                )
            )
        elif primary is not None and chosen is backup:
            self.problems.append(
                Problem(
                    "gpt-backup-used",
                    "note",
                    "the primary GPT is damaged; the partitions are those of the backup",
                    (self.at(chosen.lba, "backup GPT header"),),
                )
            )
        if backup is None and not told & {"gpt-backup-unread", "gpt-backup-missing"}:
            self.problems.append(
                Problem(
                    "gpt-backup-missing",
                    "damage",
                    "there is no backup GPT header at the end of the disk",
                    (self.at(self.last_lba, "backup GPT header"),),
                )
            )
        if not chosen.good:
            self.problems.append(
                Problem(
                    "gpt-not-valid",
                    "damage",
                    "neither copy of the GPT is good; firmware and systems do not use it, but it is listed here",
                    (self.at(chosen.lba, f"{chosen.which} GPT header"),),
                )
            )
        if primary is not None and backup is not None and primary.good and backup.good:
            differing = [
                name
                for name, one, other in (
                    ("disk GUID", primary.header.disk_guid, backup.header.disk_guid),
                    ("usable sectors", primary.header.usable, backup.header.usable),
                    ("entries", primary.entries, backup.entries),
                )
                if one != other
            ]
            if differing:
                self.problems.append(
                    Problem(
                        "gpt-copies-differ",
                        "damage",
                        f"primary and backup GPT differ in {', '.join(differing)}; the primary was used",
                        (self.at(primary.lba, "primary GPT header"), self.at(backup.lba, "backup GPT header")),
                    )
                )

    def _partitions(self, chosen: _Copy) -> tuple[list[Partition], list[AtOffset]]:
        partitions: list[Partition] = []
        evidence: list[AtOffset] = []
        header = chosen.header
        for number, entry in chosen.entries or ():
            name = f"{self.disk}/p{number}"
            offset = header.entries_lba * self.unit + (number - 1) * header.entry_size
            where = AtOffset(self.disk, offset, header.entry_size, f"GPT entry {number}")
            if entry.last < entry.first:
                detail = f"{name} ends before it begins (sectors {entry.first} to {entry.last}); it is left out"
                self.problems.append(Problem("partition-out-of-range", "damage", detail, (where,)))
                continue
            if entry.first < header.first_usable or entry.last > header.last_usable:
                detail = (
                    f"{name} (sectors {entry.first} to {entry.last}) is not inside the usable sectors "
                    f"{header.first_usable} to {header.last_usable}; Linux does not show it"
                )
                self.problems.append(Problem("partition-out-of-range", "damage", detail, (where,)))
            partitions.append(
                Partition(
                    name=name,
                    number=number,
                    start=entry.first * self.unit,
                    size=(entry.last - entry.first + 1) * self.unit,
                    type=entry.type,
                    active=bool(entry.attributes & LEGACY_BOOT_ATTRIBUTE),
                    label=shown(entry.name) or None,
                    type_name=TYPE_NAMES.get(entry.type),
                    uuid=entry.guid,
                    attributes=entry.attributes,
                )
            )
            evidence.append(where)
        return partitions, evidence

    def _protective(self, sector: bytes) -> Literal["protective", "hybrid"] | None:
        entries = parse_mbr_entries(sector)
        if sector[510:512] != b"\x55\xaa" or all(entry.type != GPT_PROTECTIVE for entry in entries):
            self.problems.append(
                Problem(
                    "protective-mbr-missing",
                    "damage",
                    "the first sector is no protective MBR: systems and firmware take the disk for unpartitioned",
                    (AtOffset(self.disk, TABLE_OFFSET, 66, "master boot record"),),
                )
            )
            return None
        others = [entry for entry in entries if entry.type not in {0, GPT_PROTECTIVE} and entry.size]
        if not others:
            return "protective"
        listed = ", ".join(
            f"0x{e.type:02x} at sector {e.start}{' (active)' if e.boot_indicator else ''}" for e in others
        )
        self.problems.append(
            Problem(
                "hybrid-mbr",
                "note",
                f"the MBR in front of the GPT also lists {listed}: systems disagree about the partitions of this disk",
                (AtOffset(self.disk, TABLE_OFFSET, 64, "master boot record"),),
            )
        )
        return "hybrid"


def gpt_sector_size(device: BlockDevice, head: bytes) -> int | None:
    """Return the sector size in bytes at which `head` (the disk's first bytes) has a primary GPT header, None without.

    The device's own size is tried first.
    """
    for unit in _units(device):
        if head[unit : unit + len(SIGNATURE)] == SIGNATURE:
            return unit
    return None


def _units(device: BlockDevice) -> tuple[int, ...]:
    return (device.sector_size, *(unit for unit in (512, 4096) if unit != device.sector_size))


def read_gpt(device: BlockDevice, disk: str, head: bytes) -> PartitionTable | None:
    """Read the GPT of a disk whose first bytes are `head` (at least 512); None when neither copy has a header."""
    unit = gpt_sector_size(device, head)
    if unit is None:  # the primary is gone: look for a backup
        for candidate in _units(device):
            reader = _Reader(device, disk, candidate)
            table = reader.table(head[:512])
            if table is not None:
                return _with_sector_size(table, device, disk, candidate)
        return None
    table = _Reader(device, disk, unit).table(head[:512])
    return None if table is None else _with_sector_size(table, device, disk, unit)


def _with_sector_size(table: PartitionTable, device: BlockDevice, disk: str, unit: int) -> PartitionTable:
    if unit == device.sector_size:
        return table
    problem = Problem(
        "sector-size-differs",
        "note",
        f"the GPT was written for sectors of {unit} bytes, the disk has {device.sector_size}: "
        "a system that goes by the disk's sector size does not find it",
        (AtOffset(disk, unit, 92, "primary GPT header"),),
    )
    return msgspec.structs.replace(table, problems=(*table.problems, problem))
