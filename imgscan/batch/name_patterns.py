r"""Which disks of one folder are one machine by their names, when no sidecar says so. Pure, and knows only names.

Only disks of one folder and one format are compared, by their *stem*: the name without its ending, and without what
marks a snapshot (``-000002``, ``_<GUID>``) or an extent (``-flat``). Stems are compared without regard to capitals.

Decision table
--------------
A *base* is what is left of a stem without the mark. Disks with the same base are one machine when

=========  ===================================================  ====================================================
mark       names                                                one machine when
=========  ===================================================  ====================================================
disk word  ``web-disk1``, ``web-disk2``; ``vm-100-disk-0``,     there are two of them, or one and the disk that has
           ``vm-100-disk-1``; ``disk0``, ``disk1``;             the base for its whole name: nobody calls a machine
           ``web_OsDisk_1_<32 hex>``, ``web_DataDisk_0``        "disk 2"
role       ``web-os``, ``web-data``; ``web``, ``web_data``;     the same; only words that no machine is called by
           ``disk``, ``swap``                                   (`ROLES`): ``web`` and ``web-db`` are two machines
added      ``web``, ``web_1``, ``web_2`` (ESX); ``web``,        the disk with the bare name is there, the numbers
           ``web-0``, ``web-1`` (Workstation, virt-manager)     have no leading zeros, begin at 0, 1 or 2, and at
                                                                most half of the series is missing
numbered   ``web1``, ``web2``, ``web3``; ``web-0``, ``web-1``   never, but for one case: the folder is called like
           without ``web``; ``web``, ``web1``                   the base, holds nothing else, and the numbers run
                                                                from 0 or 1 without gaps and leading zeros
=========  ===================================================  ====================================================

The reasons for the last line: ``web1`` and ``web2`` are as likely two machines as two disks. A folder full of
``web01`` to ``web99`` holds many machines; leading zeros are what people give to machines, and no product to disks. A
folder ``web`` with nothing but ``web1`` and ``web2`` was made for one machine.

Against every pattern: more than `MOST_DISKS` disks, two that have the same place (``web-disk1`` and ``web_disk1``),
and two that lie on the same parent (two states of one disk, or two clones) are no machine; each is one of its own.

The order of a machine's disks: the one with the bare name, or what its role says is the system's; then by number; then
data, then swap, then what configures the system (cloud-init); for the rest natural order of the names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

MOST_DISKS = 32
"""Disks that names alone make one machine."""
MOST_NUMBERED = 16
"""The same for the doubtful case, a folder called like its disks."""

_SYSTEM_ROLES = ("os", "system", "boot", "root", "disk", "osdisk", "systemdisk", "bootdisk", "rootdisk")
_DATA_ROLES = ("data", "datadisk")
_SWAP_ROLES = ("swap", "pagefile", "swapdisk")
_SEED_ROLES = ("cloudinit", "cidata", "seed")
ROLES = {
    **dict.fromkeys(_SYSTEM_ROLES, 0),
    **dict.fromkeys(_DATA_ROLES, 2),
    **dict.fromkeys(_SWAP_ROLES, 3),
    **dict.fromkeys(_SEED_ROLES, 4),
}
"""Words for what a disk is for, and their rank in the order of a machine's disks."""
# Every pattern is anchored at both ends and has one unbounded part: names have 255 bytes, and hostile ones too.
_DISK_WORD = re.compile(
    r"(?P<base>.*?)(?P<mark>(?:\A|[-_. ])(?:osdisk|datadisk|disk|hdd|drive|volume|vol|lun)[-_ ]?)"
    r"(?P<number>[0-9]{1,4})(?:(?:[-_][0-9]{1,4})?[-_][0-9a-f]{32})?",
    re.DOTALL,
)
_GLUED_DISK = re.compile(r"(?P<base>.*[^-_. ])(?P<mark>disk)(?P<number>[0-9]{1,3})", re.DOTALL)
_ROLE = re.compile(
    rf"(?P<base>.*?)(?:\A|[-_. ])(?:(?P<role>{'|'.join(ROLES)})|(?P<counted>data|swap)(?P<number>[0-9]{{1,2}}))",
    re.DOTALL,
)
_ADDED = re.compile(r"(?P<base>.*[^-_])[-_](?P<number>0|[1-9][0-9]?)", re.DOTALL)
_NUMBERED = re.compile(r"(?P<base>.*?)[-_. ]?(?P<number>[0-9]{1,6})", re.DOTALL)
_SNAPSHOT = re.compile(r"-[0-9]{6}\Z")
_GUID = re.compile(r"[-_]\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?\Z", re.IGNORECASE)
_FLAT = re.compile(r"-flat\Z", re.IGNORECASE)
_SEPARATORS = re.compile(r"[-_. ]+")


class NamedDisk(msgspec.Struct, frozen=True):
    """A disk as the patterns see it: its `stem`, its `family` of formats, and what it lies on (`root`, any value)."""

    stem: str
    family: str
    root: object


class Series(msgspec.Struct, frozen=True):
    """Disks (places in the sequence that was given) that belong together, or that only look like it.

    `together` says which; `why` is half a sentence: "VMware adds disks to web in this way".
    """

    members: tuple[int, ...]
    together: bool
    why: str


class _Mark(msgspec.Struct, frozen=True):
    base: str
    rank: int
    number: int
    kind: str


def plain_stem(stem: str, *, delta: bool) -> str:
    """Return a stem without the mark of a snapshot (when the image is one) or an extent."""
    bare = _FLAT.sub("", stem)
    if delta:
        bare = _GUID.sub("", _SNAPSHOT.sub("", bare))
    return bare or stem


def find_series(disks: Sequence[NamedDisk], folder: str, *, alone: bool) -> list[Series]:
    """Return the machines that names make of disks of one folder; disks in no series stand for themselves.

    The disks are in natural order. `folder` is the folder's own name, empty for the root; `alone` is whether it holds
    no other disks than these.
    """
    names = [disk.stem.casefold() for disk in disks]
    found = _marked(disks, names)
    taken = {place for series in found for place in series.members}
    return found + _numbered(disks, names, taken, folder.casefold(), alone=alone)


def _marked(disks: Sequence[NamedDisk], names: Sequence[str]) -> list[Series]:
    """Find the series of disk words, roles and added disks."""
    marks = [_mark(name) for name in names]
    bare: dict[tuple[str, str], list[int]] = {}
    for place, disk in enumerate(disks):
        bare.setdefault((disk.family, names[place]), []).append(place)
    by_base: dict[tuple[str, str], list[int]] = {}
    for place, mark in enumerate(marks):
        if mark is not None:
            by_base.setdefault((disks[place].family, mark.base), []).append(place)
    leader = list(range(len(disks)))
    kinds: dict[int, str] = {}
    for key, places in by_base.items():
        mains = bare.get(key, []) if key[1] else []
        counted = places if mains and _is_series_of_added(marks, places) else _without_added(marks, places)
        members = [*mains, *counted]
        if len(members) > 1 and counted:
            for member in members[1:]:
                _join(leader, members[0], member)
            kinds[members[0]] = _words(marks, counted)
    groups: dict[int, list[int]] = {}
    for place in range(len(disks)):
        groups.setdefault(_find(leader, place), []).append(place)
    result: list[Series] = []
    for members in groups.values():
        if len(members) > 1:
            why = next(words for place in members if (words := kinds.get(place)) is not None)
            result.append(_checked(disks, marks, members, why))
    return result


def _mark(name: str) -> _Mark | None:
    word = _DISK_WORD.fullmatch(name) or _GLUED_DISK.fullmatch(name)
    if word is not None:
        mark = word["mark"]
        rank = 0 if "osdisk" in mark else 2 if "datadisk" in mark or "lun" in mark else 1
        return _Mark(word["base"], rank, int(word["number"]), "disk")
    role = _ROLE.fullmatch(name)
    if role is not None:
        return _Mark(role["base"], ROLES[role["role"] or role["counted"]], int(role["number"] or -1), "role")
    added = _ADDED.fullmatch(name)
    if added is not None:
        return _Mark(added["base"], 1, int(added["number"]), "added")
    return None


def _is_series_of_added(marks: Sequence[_Mark | None], places: Sequence[int]) -> bool:
    numbers = [mark.number for place in places if (mark := marks[place]) is not None and mark.kind == "added"]
    return not numbers or (min(numbers) <= 2 and max(numbers) <= 2 * len(numbers))


def _without_added(marks: Sequence[_Mark | None], places: Sequence[int]) -> list[int]:
    return [place for place in places if (mark := marks[place]) is not None and mark.kind != "added"]


def _words(marks: Sequence[_Mark | None], places: Sequence[int]) -> str:
    kinds = {mark.kind for place in places if (mark := marks[place]) is not None}
    if "disk" in kinds:
        return "their names number disks"
    return "their names say what each disk is for" if "role" in kinds else "added disks are named in this way"


def _checked(disks: Sequence[NamedDisk], marks: Sequence[_Mark | None], members: list[int], why: str) -> Series:
    """Refuse what no machine has, and put the rest in order."""
    if len(members) > MOST_DISKS:
        return Series(tuple(members), together=False, why=f"{len(members)} disks are more than names alone can say")
    if len({disks[place].root for place in members}) < len(members):
        return Series(tuple(members), together=False, why="some of them have the same parent")
    places = {
        disks[place].stem.casefold() if (mark := marks[place]) is None else (mark.base, mark.rank, mark.number)
        for place in members
    }
    if len(places) < len(members):
        return Series(tuple(members), together=False, why="two of them have the same number")
    members.sort(key=lambda place: _order(place, marks[place]))
    return Series(tuple(members), together=True, why=why)


def _order(place: int, mark: _Mark | None) -> tuple[int, int, int]:
    rank, number = (0, -2) if mark is None else (mark.rank, mark.number)
    return rank, number, place


def _numbered(
    disks: Sequence[NamedDisk], names: Sequence[str], taken: set[int], folder: str, *, alone: bool
) -> list[Series]:
    """Find what is only numbered: one machine in a folder of its name, else a reason to tell why it is not."""
    by_base: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for place, name in enumerate(names):
        if place not in taken:
            match = _NUMBERED.fullmatch(name)
            if match is not None and match["base"]:
                key = disks[place].family, match["base"].rstrip("-_. ")
                by_base.setdefault(key, []).append((match["number"], place))
    bare = {(disk.family, names[place]): place for place, disk in enumerate(disks) if place not in taken}
    result: list[Series] = []
    for key, numbered in by_base.items():
        main = bare.get(key)
        members = [place for _, place in numbered] + ([] if main is None else [main])
        if len(members) < 2:
            continue
        members.sort()
        numbers = sorted(int(number) for number, _ in numbered)
        first = numbers[0]
        whole = (
            alone
            and len(members) == len(disks) <= MOST_NUMBERED
            and not any(len(number) > 1 and number.startswith("0") for number, _ in numbered)
            and numbers == list(range(first, first + len(numbers)))
            and first in ({0, 1} if main is None else {0, 1, 2})
            and len({disks[place].root for place in members}) == len(members)
        )
        if whole and _SEPARATORS.sub("", folder) == _SEPARATORS.sub("", key[1]) != "":
            if main is not None:
                members.sort(key=lambda place: place != main)
            result.append(Series(tuple(members), together=True, why="they are numbered, and alone in their folder"))
        else:
            result.append(Series(tuple(members), together=False, why="a number alone may count machines as well"))
    return result


def _find(leader: list[int], place: int) -> int:
    while leader[place] != place:
        leader[place] = leader[leader[place]]
        place = leader[place]
    return place


def _join(leader: list[int], one: int, other: int) -> None:
    one, other = _find(leader, one), _find(leader, other)
    leader[max(one, other)] = min(one, other)
