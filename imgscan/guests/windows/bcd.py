"""Boot menus since Windows Vista: the boot configuration store (`BCD`), which is a registry hive.

Source: Microsoft, "BCD Reference" (object types, BcdBootMgr, BcdLibrary and BcdOSLoader element types).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from imgscan.devices.limits import BOOT_ENTRIES
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded
from imgscan.guests.windows.bcd_device import BcdDevice, decode_bcd_device
from imgscan.guests.windows.boot_entry import BootEntry, EntryMeaning, guest_directory
from imgscan.guests.windows.boot_options import TIMEOUT, options_of_bcd
from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.partitions import PartitionName, Partitions
from imgscan.guests.windows.registry import Key
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtRegistry
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.text import shown
from imgscan.model.windows import BootOptions

ENTRIES_WITH_OPTIONS: Final = 32
"""Entries of which all options are read."""
INHERITED_OBJECTS: Final = 32
"""Objects that one inherits elements from; a store of Windows has five."""
BOOT_MANAGER: Final = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"

_DEVICE, _PATH, _DESCRIPTION, _RECOVERY_SEQUENCE = "11000001", "12000002", "12000004", "14000008"
_INHERITED: Final = "14000006"
_OS_DEVICE, _SYSTEM_ROOT, _WINDOWS_PE = "21000001", "22000002", "26000022"
_DISPLAY_ORDER, _BOOT_SEQUENCE, _DEFAULT, _TOOLS_DISPLAY_ORDER = "24000001", "24000002", "23000003", "24000010"

# an object's type: 1 (an application), 0, what starts it (one digit), which application it is
_STARTER: Final = 0xFFF00000
_BY_FIRMWARE, _IN_REAL_MODE = 0x10100000, 0x10400000
_OS_LOADER, _RESUME, _MEMORY_TEST = 0x10200003, 0x10200004, 0x10200005
_LEGACY_LOADERS: Final = (0x10300006, 0x10300007)


class BcdStore(msgspec.Struct, frozen=True):
    """A store's menu: entries in its order, then tools and recovery; `shows_ntldr` is whether it offers NTLDR."""

    entries: tuple[BootEntry, ...]
    shows_ntldr: bool


class _Object(msgspec.Struct, frozen=True):
    """One object of the store."""

    identifier: str
    type: int
    elements: Key | None


def read_bcd(store: HiveFile, partitions: Partitions) -> BcdStore:
    """Read the menu of a store.

    An entry that cannot be read is an entry of unknown meaning. The device `boot` is the volume of the store.

    :raises ImageError: the store, or its boot manager, cannot be read
    """
    return _Reader(store, partitions).menu()


class _Reader:
    def __init__(self, store: HiveFile, partitions: Partitions) -> None:
        self._store = store
        self._partitions = partitions
        self._manager: _Object | None = None
        self._options_left = ENTRIES_WITH_OPTIONS

    def menu(self) -> BcdStore:
        manager = self._object(BOOT_MANAGER)
        if manager is None:
            raise CorruptStructure(
                "the store has no boot manager object", where=f"{self._store.volume}:{self._store.path}"
            )
        self._manager = manager
        default = self._text(manager, _DEFAULT)
        shown_order = self._texts(manager, _DISPLAY_ORDER) or ((default,) if default is not None else ())
        order = dict.fromkeys(name.lower() for name in (*shown_order, *self._texts(manager, _BOOT_SEQUENCE)))
        tools = dict.fromkeys(name.lower() for name in self._texts(manager, _TOOLS_DISPLAY_ORDER))
        if len(order) + len(tools) > BOOT_ENTRIES:
            raise LimitExceeded(f"the menu has more than {BOOT_ENTRIES} entries", where=self._store.path)
        entries: list[BootEntry] = []
        recovery: dict[str, None] = {}
        for name in order:
            entries.extend(self._entries(name, is_default=default is not None and name == default.lower()))
            recovery.update(dict.fromkeys(self._recovery(name)))
        for name in tools:
            if name not in order:
                entries.extend(self._entries(name, is_default=False))
        for name in list(recovery)[:BOOT_ENTRIES]:
            if name not in order and name not in tools:
                entries.extend(self._entries(name, is_default=False, is_recovery=True))
        return BcdStore(tuple(entries), any(entry.meaning == "windows-nt5" for entry in entries))

    def _recovery(self, name: str) -> tuple[str, ...]:
        try:
            found = self._object(name)
            return tuple(one.lower() for one in self._texts(found, _RECOVERY_SEQUENCE)) if found is not None else ()
        except ImageError:  # the entry itself says that it cannot be read
            return ()

    def _entries(self, name: str, *, is_default: bool, is_recovery: bool = False) -> Iterator[BootEntry]:
        """Yield the entry for an object; none for what is no entry of a menu (or is not in the store)."""
        try:
            found = self._object(name)
            if found is not None and found.type != _RESUME:
                yield self._entry(found, is_default=is_default, is_recovery=is_recovery)
        except ImageError as error:
            yield BootEntry(
                title=shown(name),
                meaning="unknown",
                target=f"cannot be read: {error.message}",
                default=is_default,
                evidence=(self._store.at(f"Objects\\{name}"),),
            )

    def _entry(self, found: _Object, *, is_default: bool, is_recovery: bool) -> BootEntry:
        evidence: list[AtRegistry] = []
        title = self._text(found, _DESCRIPTION, evidence) or found.identifier
        path = self._text(found, _PATH)
        root = self._device(found, _OS_DEVICE, evidence) if found.type == _OS_LOADER else None
        device = self._device(found, _DEVICE, evidence if root is None else [])
        directory = self._text(found, _SYSTEM_ROOT, evidence) if found.type == _OS_LOADER else None
        meaning = self._meaning(found, root, is_recovery=is_recovery)
        place = root or device
        target = " ".join(part for part in (place.shown if place is not None else "", directory or path or "") if part)
        return BootEntry(
            title=shown(title),
            meaning=meaning,
            target=shown(target) or None,
            device=self._partition(device),
            root=self._partition(root),
            directory=guest_directory(directory) if directory else None,
            anywhere=root is not None and root.kind == "locate",
            default=is_default,
            options=self._options(found) if meaning == "windows" else None,
            evidence=tuple(evidence) or (self._store.at(f"Objects\\{found.identifier}"),),
        )

    def _options(self, found: _Object) -> Fact[BootOptions]:
        where = self._store.at(f"Objects\\{found.identifier}")
        self._options_left -= 1
        try:
            if self._options_left < 0:
                raise LimitExceeded(
                    f"the menu has more than {ENTRIES_WITH_OPTIONS} entries of Windows", where=where.hive
                )
            timeout = self._element(self._manager, TIMEOUT) if self._manager is not None else None
            objects = self._with_inherited(found)

            def element(name: str) -> Value | None:
                return next((value for each in objects if (value := self._element(each, name)) is not None), None)

            return known(options_of_bcd(element, timeout), where)
        except ImageError as error:
            return unread_because(error, where)

    def _with_inherited(self, found: _Object) -> list[_Object]:
        """Return an object, and those that it inherits elements from, nearest first."""
        objects, seen = [found], {found.identifier.lower()}
        for each in objects:  # which grows
            for name in self._texts(each, _INHERITED):
                inherited = self._object(name) if name.lower() not in seen else None
                seen.add(name.lower())
                if len(seen) > INHERITED_OBJECTS:
                    raise LimitExceeded(f"an entry inherits from more than {INHERITED_OBJECTS} objects")
                if inherited is not None:
                    objects.append(inherited)
        return objects

    def _meaning(self, found: _Object, root: BcdDevice | None, *, is_recovery: bool) -> EntryMeaning:
        if found.type == _MEMORY_TEST:
            return "tool"
        if found.type in _LEGACY_LOADERS:
            return "windows-nt5"
        if found.type == _OS_LOADER:
            if is_recovery or (root is not None and root.kind == "ramdisk") or self._flag(found, _WINDOWS_PE):
                return "recovery"
            # a Windows in a virtual disk file is not the one that this volume holds
            return "other-system" if root is not None and root.kind in {"file", "virtual-disk"} else "windows"
        if is_recovery:
            return "recovery"
        # a boot sector (Linux, MS-DOS), or another program of the firmware
        return "chainload" if found.type & _STARTER in {_BY_FIRMWARE, _IN_REAL_MODE} else "unknown"

    def _partition(self, device: BcdDevice | None) -> PartitionName | None:
        if device is not None and device.kind == "boot":
            return PartitionName("boot", self._store.volume)
        return device.partition if device is not None else None

    def _object(self, name: str) -> _Object | None:
        key = self._store.key(f"Objects\\{name}")
        if key is None:
            return None
        description = key.subkey("Description")
        type_ = description.value("Type") if description is not None else None
        return _Object(key.name, type_.number() if type_ is not None else 0, key.subkey("Elements"))

    def _element(self, found: _Object, name: str, evidence: list[AtRegistry] | None = None) -> Value | None:
        key = found.elements.subkey(name) if found.elements is not None else None
        value = key.value("Element") if key is not None else None
        if key is not None and value is not None and evidence is not None:
            evidence.append(self._store.at(key.path, value))
        return value

    def _text(self, found: _Object, name: str, evidence: list[AtRegistry] | None = None) -> str | None:
        value = self._element(found, name, evidence)
        return value.text() if value is not None else None

    def _texts(self, found: _Object, name: str) -> tuple[str, ...]:
        value = self._element(found, name)
        return value.texts() if value is not None else ()

    def _flag(self, found: _Object, name: str) -> bool:
        value = self._element(found, name)
        return value is not None and any(value.data())

    def _device(self, found: _Object, name: str, evidence: list[AtRegistry]) -> BcdDevice | None:
        value = self._element(found, name, evidence)
        return decode_bcd_device(value.data(), self._partitions) if value is not None else None
