"""The MBR scheme: four primary entries, and logical partitions in a chain of extended boot records.

UEFI specification 5.2.1; the chain as Linux and libblkid walk it (util-linux, libblkid/src/partitions/dos.c).
"""

from __future__ import annotations

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import LOGICAL_PARTITIONS
from imgscan.errors import ImageError
from imgscan.layouts.mbr import (
    EXTENDED_TYPES,
    GPT_PROTECTIVE,
    TABLE_OFFSET,
    TYPE_NAMES,
    MbrEntry,
    disk_signature,
    has_boot_signature,
    parse_entries,
)
from imgscan.layouts.volume_boot_record import volume_boot_record
from imgscan.model.disk import Partition, PartitionTable, Problem
from imgscan.model.evidence import AtOffset
from imgscan.partitions.problems import beyond_end, cannot_read, capped, overlaps

_NESTED = {
    0x63: "a UnixWare divvy table",
    0x81: "Minix subpartitions",
    0xA5: "a BSD disklabel",
    0xA6: "a BSD disklabel",
    0xA9: "a BSD disklabel",
    0xBE: "a Solaris label",
    0xBF: "a Solaris label",
}
"""Types whose partitions hold a table of their own, which is not read."""

_FILESYSTEM_AT_0 = (b"LUKS\xba\xbe", b"SKUL\xba\xbe", b"XFSB", b"hsqs", b"\xe2\xe1\xf5\xe0")


def is_mbr(sector: bytes) -> bool:
    """Whether a 512-byte first sector ends in 55 AA and is a partition table and no volume's boot sector.

    Decided as libblkid does: every boot indicator is 00 or 80, and there is no plausible BPB. An empty table counts.
    """
    return (
        has_boot_signature(sector)
        and all(entry.boot_indicator in {0, 0x80} for entry in parse_entries(sector))
        and volume_boot_record(sector) is None
        and not sector.startswith(_FILESYSTEM_AT_0)
    )


def looks_like_entries(sector: bytes, sectors: int, bad_indicators: int = 0) -> bool:
    """Whether a first sector holds entries that can only be a table on a disk of `sectors` sectors.

    Asked of one without 55 AA, and of one in which as many boot indicators as `bad_indicators` are not 00 or 80.
    """
    entries = parse_entries(sector)
    used = [entry for entry in entries if not entry.is_empty]
    return (
        bool(used)
        and not sector.startswith(_FILESYSTEM_AT_0)
        and volume_boot_record(sector) is None
        and sum(entry.boot_indicator not in {0, 0x80} for entry in used) <= bad_indicators
        and all(entry.type and entry.size and 0 < entry.start < sectors for entry in used)
    )


def misses_one_boot_indicator(sector: bytes, sectors: int) -> bool:
    """Whether a first sector is a table but for one boot indicator, on a disk of `sectors` sectors.

    libblkid sees no table then, firmware may not either, and fdisk lists it. Every entry has to be possible: boot code
    or a volume's text where the entries would be is none.
    """
    entries = parse_entries(sector)
    return (
        has_boot_signature(sector)
        and looks_like_entries(sector, sectors, bad_indicators=1)
        and all(entry.start + entry.size <= sectors for entry in entries if not entry.is_empty)
    )


class _Found(msgspec.Struct, frozen=True):
    partition: Partition
    evidence: AtOffset


class _Reader:
    """Reads one table; what it finds and what is wrong accumulate in `primary`, `logical`, `problems`."""

    def __init__(self, device: BlockDevice, disk: str, sector: bytes) -> None:
        self.device = device
        self.disk = disk
        self.signature = disk_signature(sector)
        self.entries = parse_entries(sector)
        self.unit = device.sector_size
        self.primary: list[_Found] = []
        self.logical: list[_Found] = []
        self.problems: list[Problem] = []

    def read(self) -> None:
        for index, entry in enumerate(self.entries):
            if entry.size:
                self.primary.append(self._partition(entry, index + 1, entry.start, 0, index))
        for entry in self.entries:
            if entry.size and entry.type in EXTENDED_TYPES:
                self._chain(entry)
        self._check_primary()
        self._check_nested()

    def _partition(self, entry: MbrEntry, number: int, start: int, table: int, index: int) -> _Found:
        """Return the partition of an entry of the table in sector `table`, `start` in sectors of the disk."""
        partition = Partition(
            name=f"{self.disk}/p{number}",
            number=number,
            start=start * self.unit,
            size=entry.size * self.unit,
            type=f"0x{entry.type:02x}",
            active=entry.boot_indicator == 0x80,
            label=None,
            type_name=TYPE_NAMES.get(entry.type),
            uuid=f"{self.signature:08x}-{number:02x}" if self.signature else None,
        )
        return _Found(partition, self._at(table, index))

    def _at(self, table: int, index: int | None = None) -> AtOffset:
        name = "extended boot record" if table else "master boot record"
        if index is None:
            return AtOffset(self.disk, table * self.unit, 512, name)
        return AtOffset(self.disk, table * self.unit + TABLE_OFFSET + 16 * index, 16, f"{name} entry {index + 1}")

    def _chain(self, extended: MbrEntry) -> None:
        seen: set[int] = set()
        table, size = extended.start, extended.size
        while True:
            if table in seen:
                self.problems.append(
                    Problem(
                        "extended-chain-loop",
                        "damage",
                        f"the chain of extended boot records returns to sector {table}",
                        (self._at(table),),
                    )
                )
                return
            if len(seen) >= LOGICAL_PARTITIONS:
                self.problems.append(
                    Problem(
                        "extended-chain-too-long",
                        "damage",
                        f"the chain has more than {LOGICAL_PARTITIONS} links; the rest was not followed",
                        (self._at(table),),
                    )
                )
                return
            seen.add(table)
            link = self._link(extended, table, size)
            if link is None:
                return
            table, size = extended.start + link.start, link.size

    def _link(self, extended: MbrEntry, table: int, size: int) -> MbrEntry | None:
        """Read one extended boot record and return the entry of the next one."""
        try:
            sector = self.device.read_at(table * self.unit, 512)
        except ImageError as error:
            what = f"the extended boot record in sector {table}"
            self.problems.append(cannot_read("extended-chain-broken", what, error, self._at(table)))
            return None
        if not has_boot_signature(sector):
            self.problems.append(
                Problem(
                    "extended-chain-broken",
                    "damage",
                    f"sector {table} should hold an extended boot record and does not end in 55 AA; "
                    "logical partitions from there on are not found",
                    (self._at(table),),
                )
            )
            return None
        following: MbrEntry | None = None
        for index, entry in enumerate(parse_entries(sector)):
            if not entry.size:
                continue
            if entry.type in EXTENDED_TYPES:
                following = following or entry
                continue
            start = table + entry.start
            inside = entry.start + entry.size <= size and start + entry.size <= extended.start + extended.size
            if index >= 2 and not inside:
                continue  # Linux: the third and fourth entry are seldom used, and often garbage
            found = self._partition(entry, 5 + len(self.logical), start, table, index)
            self.logical.append(found)
            if start + entry.size > extended.start + extended.size:
                self.problems.append(
                    Problem(
                        "logical-outside-extended",
                        "damage",
                        f"{found.partition.name} reaches beyond its extended partition",
                        (found.evidence,),
                    )
                )
        return following

    def _check_primary(self) -> None:
        for group in (self.primary, self.logical):
            partitions, evidence = [found.partition for found in group], [found.evidence for found in group]
            self.problems += beyond_end(partitions, evidence, self.device)
            self.problems += overlaps(partitions, evidence)
        extended = [f for f in self.primary if f.partition.type in {f"0x{kind:02x}" for kind in EXTENDED_TYPES}]
        for first, second in ((a, b) for a in self.logical for b in self.primary if b not in extended):
            self.problems += overlaps([first.partition, second.partition], [first.evidence, second.evidence])
        if len(extended) > 1:
            self.problems.append(
                Problem(
                    "several-extended-partitions",
                    "damage",
                    "more than one primary entry is an extended partition",
                    tuple(found.evidence for found in extended),
                )
            )
        active = [found for found in self.primary if found.partition.active]
        if len(active) > 1:
            names = ", ".join(found.partition.name for found in active)
            self.problems.append(
                Problem(
                    "several-active-partitions",
                    "damage",
                    f"{names} are all marked active; boot code that looks for the active partition stops",
                    tuple(found.evidence for found in active),
                )
            )

    def _check_nested(self) -> None:
        for found in self.primary:
            inner = _NESTED.get(int(found.partition.type, 16))
            if inner is None:
                continue
            try:
                label = self.device.read_at(found.partition.start, 1024)
            except ImageError:
                continue  # a reader of the volume will say so
            if found.partition.type in {"0xa5", "0xa6", "0xa9"} and label[512:516] != b"WEV\x82":
                continue
            self.problems.append(
                Problem(
                    "nested-table",
                    "unsupported",
                    f"{found.partition.name} holds {inner} of its own; its partitions are not read",
                    (AtOffset(self.disk, found.partition.start + 512, 4, inner.split(" ", 1)[1]),),
                )
            )


def read_mbr(device: BlockDevice, disk: str, sector: bytes) -> PartitionTable:
    """Read the table that begins in `sector` (512 bytes)."""
    reader = _Reader(device, disk, sector)
    reader.read()
    problems = reader.problems
    signature = has_boot_signature(sector)
    if not signature:
        problems.insert(
            0,
            Problem(
                "no-boot-signature",
                "damage",
                "the first sector holds partition entries and does not end in 55 AA: firmware and systems see no table",
                (AtOffset(disk, 510, 2, "boot signature"),),
            ),
        )
    for index, entry in enumerate(reader.entries):
        if signature and entry.boot_indicator not in {0, 0x80}:
            detail = (
                f"entry {index + 1} has the boot indicator {entry.boot_indicator:#04x}, which is neither 00 nor 80: "
                "fdisk lists the partitions, and other systems and firmware may see no table"
            )
            evidence = AtOffset(disk, TABLE_OFFSET + 16 * index, 1, f"master boot record entry {index + 1}")
            problems.insert(0, Problem("bad-boot-indicator", "damage", detail, (evidence,)))
    partitions = tuple(found.partition for found in (*reader.primary, *reader.logical))
    return PartitionTable(
        scheme="mbr",
        partitions=partitions,
        problems=capped(problems),
        identifier=f"0x{reader.signature:08x}",
        boot_signature=signature,
    )


def protective_entries(sector: bytes) -> tuple[MbrEntry, ...]:
    """Return the entries of type EE, none when the sector is no MBR."""
    if not has_boot_signature(sector):
        return ()
    return tuple(entry for entry in parse_entries(sector) if entry.type == GPT_PROTECTIVE)
