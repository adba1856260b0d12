"""LVM2: volume groups over any physical volumes of the machine, and their logical volumes.

Read in this order: `imgscan.layouts.lvm2` (what is on a physical volume), `lvm2_metadata` (the newest copy of a group's
metadata), `lvm2_mapping` (segments -> devices); `raid`, `lvm2_thin` and `lvm2_snapshot` are the devices.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Final

from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure, ImageError, MissingPart
from imgscan.layouts.lvm2 import string
from imgscan.model.disk import Problem, ProblemKind
from imgscan.model.evidence import AtOffset
from imgscan.model.volume import VolumeKind
from imgscan.volumes.assembly import Assembled, Member
from imgscan.volumes.lvm2_mapping import Built, GroupDevices
from imgscan.volumes.lvm2_metadata import MetadataReader, PhysicalVolume, ReadMember, VolumeGroup, brief, newest

MEMBERS: Final = ("LVM2_member",)
_NAME_LENGTH: Final = 128
_TAKEN: Final = re.compile(r"disk\d*|md|ldm")
"""How other volumes' names begin: a group of that name is told apart by its UUID."""
_MOST_OF_ONE_CODE: Final = 8
"""Problems of one code that a volume lists; a hostile group could have thousands."""
_NO_VOLUMES: Final = frozenset({"cache-pool", "vdo-pool"})
"""Types that a volume has which only serves others, though LVM may list it."""


def assemble(members: Sequence[Member]) -> tuple[Assembled, ...]:
    """Return the logical volumes of all groups that the members belong to, and members that are of no use.

    Hidden volumes (of LVM's own use) are left out. A group is named after itself; a second one of that name has the
    first characters of its UUID behind it.
    """
    reader = MetadataReader()
    read = [reader.read(member) for member in members]
    groups = newest(read)
    titles = _titles(groups)
    found: list[Assembled] = []
    used: set[str] = set()
    for uuid, group in groups.items():
        present, problems = _present(group, read)
        used |= {each.member.name for each in present.values()}
        found += _volumes(group, titles[uuid], present, problems)
    return (*found, *_without_group(read, used, found))


def _titles(groups: Mapping[str, VolumeGroup]) -> dict[str, str]:
    """Return what each group is called in the report, by its UUID."""
    titles: dict[str, str] = {}
    for uuid, group in groups.items():
        title = _safe_name(group.name)
        if _TAKEN.fullmatch(title) or title in titles.values():
            title = f"{title}~{_safe_name(uuid)[:8]}"
        number = 2
        while title in titles.values():
            title, number = f"{title.partition('~')[0]}~{_safe_name(uuid)[:8]}~{number}", number + 1
        titles[uuid] = title
    return titles


def _safe_name(name: str) -> str:
    r"""Return a group's or volume's name with all that LVM does not allow in one written as ``\xNN``."""
    safe = re.sub(
        r"[^A-Za-z0-9+_.-]",
        lambda match: "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape")),
        name,
    )
    safe = {"": "\\x", ".": "\\x2e", "..": "\\x2e\\x2e"}.get(safe, safe)
    if len(safe) < _NAME_LENGTH:  # as long as LVM allows
        return safe
    checksum = zlib.crc32(name.encode("utf-8", "surrogateescape"))
    return f"{safe[: _NAME_LENGTH - 11]}\\x{checksum:08x}"


def _present(group: VolumeGroup, read: Sequence[ReadMember]) -> tuple[dict[str, ReadMember], list[Problem]]:
    """Return the members that are physical volumes of a group, by their name in its metadata, and what is wrong."""
    problems: list[Problem] = []
    present: dict[str, ReadMember] = {}
    by_uuid: dict[str, list[ReadMember]] = {}
    for each in read:
        if each.header is not None:
            by_uuid.setdefault(each.header.uuid, []).append(each)
    for physical in group.physical.values():
        same = by_uuid.get(physical.uuid)
        if not same:
            continue
        # of several with one UUID, which are copies of each other, the one that knows the newest metadata
        best = max(same, key=lambda each: max((c.sequence for _, c in each.copies if c.uuid == group.uuid), default=0))
        present[physical.name] = best
        if len(same) > 1:
            names = ", ".join(each.member.name for each in same)
            detail = f"{names} all are the physical volume {_uuid(physical.uuid)}; {best.member.name} is read"
            problems.append(Problem("duplicate-physical-volume", "damage", detail, tuple(map(_label, same))))
    evidence = tuple(_metadata(each, group) for each in present.values() if any(c is group for _, c in each.copies))[:1]
    for each in present.values():
        problems += each.problems
        for offset, copy in each.copies:
            if copy.uuid == group.uuid and copy.sequence < group.sequence:
                detail = (
                    f"{each.member.name} holds metadata number {copy.sequence} of {brief(group.name)}, "
                    f"and the newest is {group.sequence}"
                )
                where = AtOffset(each.member.name, offset, 0, "LVM2 metadata area")
                problems.append(Problem("lvm-metadata-old", "note", detail, (where,)))
    if "EXPORTED" in group.status:
        detail = f"the volume group {brief(group.name)} is exported: a system activates it after vgimport only"
        problems.append(Problem("volume-group-exported", "note", detail, evidence))
    if group.system_id:
        detail = f"the volume group {brief(group.name)} belongs to the system {brief(group.system_id)}"
        problems.append(Problem("volume-group-system-id", "note", detail, evidence))
    if "CLUSTERED" in group.status or group.lock_type not in {"", "none"}:
        detail = f"the volume group {brief(group.name)} is shared by a cluster ({brief(group.lock_type or 'clvm')})"
        problems.append(Problem("volume-group-clustered", "note", detail, evidence))
    return present, problems


def _label(read: ReadMember) -> AtOffset:
    return AtOffset(read.member.name, read.header.offset if read.header else 0, 512, "LVM2 label")


def _metadata(read: ReadMember, group: VolumeGroup) -> AtOffset:
    """Return where a member holds a group's metadata."""
    offset = next((offset for offset, copy in read.copies if copy is group), 0)
    return AtOffset(read.member.name, offset, 0, "LVM2 metadata area")


def _volumes(
    group: VolumeGroup, title: str, present: Mapping[str, ReadMember], problems: Sequence[Problem]
) -> Iterator[Assembled]:
    """Yield the volumes of a group that LVM shows, snapshots behind the others."""
    missing = {name: each for name, each in group.physical.items() if name not in present or each.is_missing}
    devices: dict[str, BlockDevice | ImageError] = {
        name: present[name].member.device if name not in missing else MissingPart(_missing(each), where=title)
        for name, each in group.physical.items()
    }
    members = {name: read.member.name for name, read in present.items() if name not in missing}
    holder = next((read for read in present.values() if any(copy is group for _, copy in read.copies)), None)
    evidence = () if holder is None else (_metadata(holder, group),)
    maker = GroupDevices(group, title, devices, members)
    shared = _capped(problems)
    for name in sorted(maker.names(), key=lambda name: maker.origin_of(name) is not None):
        built = maker.build(name)
        if _NO_VOLUMES & set(built.kinds):
            continue
        kind: ProblemKind = "missing" if built.error else "unclean"
        own = [*shared, *built.problems]
        own += [_lost(missing[each], evidence, kind) for each in islice(built.missing, _MOST_OF_ONE_CODE)]
        if len(built.missing) < len(missing):
            beside = next(each for each in missing.values() if each.name not in built.missing)
            own.append(_beside(beside, len(missing) - len(built.missing), title, evidence))
        yield _assembled(group, title, name, maker, built, own, is_complete=not missing)


def _assembled(
    group: VolumeGroup,
    title: str,
    name: str,
    maker: GroupDevices,
    built: Built,
    problems: Iterable[Problem],
    *,
    is_complete: bool,
) -> Assembled:
    origin, pool = maker.origin_of(name), maker.pool_of(name)
    kind: VolumeKind = "logical-volume"
    if "thin-pool" in built.kinds:
        kind = "thin-pool"
    elif origin is not None:
        kind = "snapshot"
    on = tuple(f"{title}/{_safe_name(each)}" for each in (pool, origin) if each is not None and kind != "thin-pool")
    metadata = {
        "group": brief(group.name),
        "group_uuid": _uuid(group.uuid),
        "uuid": brief(string(group.volumes[name], "id", "")),
        "segments": ", ".join(islice(built.kinds, _MOST_OF_ONE_CODE)) or "none",
    }
    if origin is not None:
        metadata["origin"] = f"{title}/{_safe_name(origin)}"
    if pool is not None:
        metadata["pool"] = f"{title}/{_safe_name(pool)}"
    device = built.device
    nothing = kind == "thin-pool"  # what is in it is read by its volumes
    return Assembled(
        name=f"{title}/{_safe_name(name)}",
        kind=kind,
        on=on if pool is not None else (*on, *built.members),
        size=built.size,
        device=None if nothing or isinstance(device, ImageError) else device,
        error=None if nothing else built.error,
        problems=tuple(dict.fromkeys(problems)),
        metadata=metadata,
        is_complete=is_complete,
    )


def _missing(physical: PhysicalVolume) -> str:
    what = "is marked as missing" if physical.is_missing else "is not among the given disks"
    return f"the physical volume {_uuid(physical.uuid)}, last seen as {physical.hint}, {what}"


def _lost(physical: PhysicalVolume, evidence: tuple[AtOffset, ...], kind: ProblemKind) -> Problem:
    """Return the problem that a physical volume is missing which a volume lies on.

    It is `missing` where a part of the volume is lost, `unclean` where the rest stands in for it.
    """
    return Problem("missing-physical-volume", kind, _missing(physical), evidence)


def _beside(physical: PhysicalVolume, count: int, title: str, evidence: tuple[AtOffset, ...]) -> Problem:
    """Return the note that physical volumes are missing which a volume does not lie on; one of them is named."""
    more = "" if count == 1 else f", and {count - 1} more"
    detail = f"{_missing(physical)}{more}; {title} is incomplete"
    return Problem("incomplete-volume-group", "note", detail, evidence)


def _capped(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems that all volumes of a group share, not too many of one code."""
    counts: dict[str, int] = {}
    kept = []
    for problem in problems:
        counts[problem.code] = counts.get(problem.code, 0) + 1
        if counts[problem.code] <= _MOST_OF_ONE_CODE:
            kept.append(problem)
    return kept


def _without_group(read: Sequence[ReadMember], used: set[str], found: Sequence[Assembled]) -> Iterator[Assembled]:
    """Yield members that are in a group, or may be, of which no metadata tells; an unused one is left out."""
    taken = used | {name for volume in found for problem in volume.problems for name in _named(problem)}
    for each in read:
        name = each.member.name
        if name in taken:
            continue
        error = each.error
        if error is None and (each.copies or not each.is_used):
            continue  # it was taken out of its group, or never put into one
        if error is None:
            detail = "it is a physical volume without metadata, whose volume group has its metadata on other disks"
            error = MissingPart(detail, where=name)
        is_damage = isinstance(error, CorruptStructure)
        yield Assembled(
            name=f"{name}/lvm",
            kind="logical-volume",
            on=(name,),
            size=each.member.device.size,
            device=None,
            error=error,
            problems=(
                *each.problems,
                Problem("no-volume-group", "damage" if is_damage else "missing", brief(str(error))),
            ),
            is_complete=False,
        )


def _named(problem: Problem) -> Iterator[str]:
    if problem.code == "duplicate-physical-volume":
        yield from (piece.where for piece in problem.evidence if isinstance(piece, AtOffset))


def _uuid(text: str) -> str:
    """Return a UUID of LVM with its dashes."""
    ends = (0, 6, 10, 14, 18, 22, 26, 32)
    if len(text) != 32:
        return brief(text)
    return brief("-".join(text[a:b] for a, b in pairwise(ends)))
