"""The hive files of an installed Windows, and facts read from their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from imgscan.devices.device import check_range
from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.errors import CorruptStructure, ImageError, MissingPart, TruncatedRead
from imgscan.guests.windows.registry import Hive, Key
from imgscan.guests.windows.registry_value import REG_DWORD, REG_DWORD_BIG_ENDIAN, REG_QWORD, Value
from imgscan.model.evidence import AtPath, AtRegistry
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.machine import UnreadPlace
from imgscan.model.system import HiveState
from imgscan.model.text import shown

T = TypeVar("T")

_LOGS: Final = (".LOG1", ".LOG2", ".LOG")
_PARTS: Final = {"control": "Control", "enum": "Enum", "services": "Services"}
"""Keys that every control set of a Windows has."""
_RAW_SHOWN: Final = 256
"""Bytes of a value's data that evidence repeats."""


class GuestFile:
    """A file of the guest as a `BlockDevice`."""

    sector_size = 512

    def __init__(self, place: Location) -> None:
        if place.entry.kind != "file":
            raise MissingPart(f"{shown(place.path)} is a {place.entry.kind}, not a file", where=place.filesystem.volume)
        self._place = place
        self.name = f"{place.filesystem.volume}:{shown(place.path)}"
        self.size = place.entry.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes.

        :raises TruncatedRead: the range is not inside the file
        """
        check_range(self, offset, length)
        data = self._place.filesystem.read(self._place.entry.node, offset, length)
        if len(data) != length:
            raise TruncatedRead(f"{length - len(data)} bytes are missing", where=self.name, offset=offset + len(data))
        return data


class HiveFile:
    """One hive of the guest, opened on first use. What fails is kept, and asked for again becomes the same error.

    `volume` and `path` are what evidence calls it.
    """

    def __init__(self, tree: GuestTree, path: str) -> None:
        self._tree = tree
        self._path = path
        self._failed: ImageError | None = None
        self._hive: Hive | None = None
        self._logs: tuple[str, ...] = ()
        self._not_completed: ImageError | None = None
        self.volume = tree.mounts["/"].volume
        self.path = shown(path)

    def open(self) -> Hive:
        """Return the hive.

        :raises MissingPart: there is no such file
        :raises ImageError: it cannot be read
        """
        if self._failed is not None:
            raise self._failed
        if self._hive is None:
            try:
                place = self._tree.resolve(self._path)
                self.path = shown(place.path)
                self._hive = self._opened(GuestFile(place))
            except ImageError as error:
                self._failed = error
                raise
        return self._hive

    def _opened(self, file: GuestFile) -> Hive:
        """Open the hive; a dirty one is completed from its logs where they belong to it."""
        hive: Hive | None = None
        failed: ImageError | None = None
        try:
            hive = Hive(file)
            if not hive.dirty:
                return hive
        except ImageError as error:  # the base block may be what was being written
            failed = error
        try:
            from imgscan.guests.windows.hive_logs import complete  # noqa: PLC0415 - only a dirty hive needs it

            places = [self._tree.find(f"{self._path}{suffix}") for suffix in _LOGS]
            completed = complete(file, [GuestFile(place) for place in places if place is not None])
            whole = Hive(completed)
        except ImageError as error:
            if hive is None:
                raise failed or error from None
            self._not_completed = error
            return hive
        self._logs = completed.logs
        return whole

    def key(self, path: str) -> Key | None:
        """Return a key, None when it is not there; raises as `open`."""
        return self.open().key(path)

    def at(self, key: str, value: Value | str | None = None) -> AtRegistry:
        """Return the evidence for a key or a value, with its data as far as it can be read."""
        raw = None
        if isinstance(value, Value):
            try:
                raw = value.data()[:_RAW_SHOWN]
            except ImageError:
                raw = None
            value = value.name
        return AtRegistry(self.volume, self.path, shown(key), None if value is None else shown(value), raw)

    def fact(self, key: str, value: str, read: Callable[[Value], T]) -> Fact[T | None]:
        """Return what `read` makes of a value; known None when the key or the value is not there."""
        try:
            found_key = self.key(key)
        except ImageError as error:
            return unread_because(error, self.at(key) if self._hive else AtPath(self.volume, self.path))
        try:
            found = found_key.value(value) if found_key is not None else None
            if found is None:
                return known(None, self.at(key, value))
            return known(read(found), self.at(key, found))
        except ImageError as error:
            return unread_because(error, self.at(key, value))

    def text(self, key: str, value: str) -> Fact[str | None]:
        """Return a text value; an empty one like none."""
        return self.fact(key, value, lambda found: shown(found.text().strip()) or None)

    def number(self, key: str, value: str) -> Fact[str | None]:
        """Return a number, or a text that stands for one, in decimal."""
        return self.fact(key, value, _decimal)

    @property
    def state(self) -> Fact[HiveState]:
        """How the hive was left, and what became of that."""
        try:
            hive = self.open()
        except ImageError as error:
            return unread_because(error, AtPath(self.volume, self.path))
        evidence = (AtPath(self.volume, self.path),)
        if self._logs:
            detail = f"completed from {', '.join(self._logs)}"
            return known(HiveState(path=self.path, state="completed", detail=detail), *evidence)
        if hive.dirty:
            return known(HiveState(path=self.path, state="dirty", detail=self._why_dirty(hive)), *evidence)
        return known(HiveState(path=self.path, state="clean"), *evidence)

    @property
    def left_out(self) -> tuple[UnreadPlace, ...]:
        """What was not taken into account: the last changes of a hive that its logs do not complete."""
        if self._hive is None or not self._hive.dirty:
            return ()
        why = self._not_completed.why if self._not_completed is not None else "missing"
        return (UnreadPlace(self.volume, why, f"{self.path}: {self._why_dirty(self._hive)}"),)

    def _why_dirty(self, hive: Hive) -> str:
        because = shown(str(self._not_completed)) if self._not_completed is not None else "it has no logs"
        return f"{hive.dirty_reason}; what was read is the state without its logs: {because}"


class SystemHive(HiveFile):
    """The SYSTEM hive, with the control set that `CurrentControlSet` stands for."""

    def __init__(self, tree: GuestTree, path: str) -> None:
        super().__init__(tree, path)
        self._lacks: dict[str, ImageError | None] = {}
        self._set: str | None = None

    def control(self, key: str) -> str:
        """Return the path of a key below `CurrentControlSet`.

        :raises CorruptStructure: there is no such control set, or it lacks one of its parts that every Windows has
        :raises ImageError: as `open`
        """
        part = key.partition("\\")[0].lower()
        if part not in self._lacks:
            try:
                self._check(part)
                self._lacks[part] = None
            except ImageError as error:
                self._lacks[part] = error
        lack = self._lacks[part]
        if lack is not None:
            raise lack
        return f"{self._set}\\{key}"

    def _check(self, part: str) -> None:
        if self._set is None:
            self._set = self._selected()
        if part in _PARTS and self.key(f"{self._set}\\{part}") is None:
            raise CorruptStructure(f"{self._set} has no key {_PARTS[part]}", where=self.path)

    def _selected(self) -> str:
        select = self.key("Select")
        for value in ("Current", "Default"):
            found = select.value(value) if select is not None else None
            if found is not None:
                name = f"ControlSet{found.number():03d}"
                if self.key(name) is None:
                    raise CorruptStructure(f"Select names {name}, which is not there", where=self.path)
                return name
        raise CorruptStructure("no key Select says which control set counts", where=self.path)


def _decimal(value: Value) -> str | None:
    if value.type in {REG_DWORD, REG_DWORD_BIG_ENDIAN, REG_QWORD}:
        return str(value.number())
    return shown(value.text().strip()) or None
