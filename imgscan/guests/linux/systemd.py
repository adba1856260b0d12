"""Which units systemd starts at boot: links in *.wants and *.requires, masks, aliases, conditions and presets.

Sources: systemd.unit(5) ("Unit File Load Path", "[Install] Section Options"), systemd.special(7), bootup(7),
systemd.preset(5), systemd-sysv-generator(8), machine-id(5). What /run holds is not on a disk.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from imgscan.devices.filesystem import Entry
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import SYMLINKS
from imgscan.errors import LimitExceeded
from imgscan.guests.linux.config_file import ConfigFile, names_in, read_config
from imgscan.guests.linux.rc_links import RunlevelLinks
from imgscan.model.access import ServiceStart
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.text import shown

FOLDERS: Final = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Where units lie, the first in force before the next."""
UNITS: Final = 8192
"""Units that one boot starts."""
TARGETS: Final = 256
"""Targets whose files are read: those that systemd brings are known."""
_PRESETS: Final = ("/etc/systemd/system-preset", "/usr/local/lib/systemd/system-preset",
                   "/usr/lib/systemd/system-preset", "/lib/systemd/system-preset")  # fmt: skip
_WANTED: Final = {
    "graphical.target": ("multi-user.target",),
    "multi-user.target": ("basic.target", "getty.target", "remote-fs.target"),
    "basic.target": ("sysinit.target", "sockets.target", "timers.target", "paths.target", "slices.target"),
    "sysinit.target": ("local-fs.target", "swap.target", "cryptsetup.target", "network-pre.target"),
    "rescue.target": ("sysinit.target",),
    "emergency.target": (),
}
"""What the targets pull in that systemd brings itself."""
_BY_RUNLEVEL: Final = {
    "runlevel1.target": "rescue.target",
    "runlevel2.target": "multi-user.target",
    "runlevel3.target": "multi-user.target",
    "runlevel4.target": "multi-user.target",
    "runlevel5.target": "graphical.target",
}


class Unit(NamedTuple):
    """A unit file: `name` with aliases followed; `file` is None when it is masked, `where` then names the mask."""

    name: str
    file: ConfigFile | None
    where: Evidence

    def values(self, section: str, key: str) -> list[tuple[int, str]]:
        """Return the values of a key with their lines; an empty value clears those before it."""
        return values(self.file, section, key) if self.file is not None else []


def values(file: ConfigFile, section: str, key: str) -> list[tuple[int, str]]:
    """Return the values of a key of a unit file with their lines; an empty value clears those before it."""
    found: list[tuple[int, str]] = []
    now, continued = "", ""
    for number, line in file.lines():
        if line.startswith(("#", ";")):
            continue
        text = f"{continued} {line}".strip()
        continued = text[:-1] if text.endswith("\\") else ""
        if continued:
            continue
        if text.startswith("["):
            now = text.strip("[]")
        name, equals, value = text.partition("=")
        if equals and now == section and name.strip() == key:
            found = [*found, (number, value.strip())] if value.strip() else []
    return found


class SystemdUnits:
    """The units of one guest; everything is read once."""

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree
        self._rc = RunlevelLinks(tree)
        self._targets = 0

    @cached_property
    def _folders(self) -> dict[str, dict[str, Entry]]:
        """What the folders of units hold, by name; a folder that is another one by a link is left out."""
        found: dict[str, dict[str, Entry]] = {}
        seen: set[tuple[int, int]] = set()
        for folder in FOLDERS:
            place = self._tree.find(folder)
            if place is None or place.entry.kind != "directory":
                continue
            key = id(place.filesystem), place.entry.node
            if key not in seen:
                seen.add(key)
                entries: dict[str, Entry] = {}
                for entry in self._tree.list(folder):
                    if len(entries) >= UNITS:
                        raise LimitExceeded(f"{folder} has more than {UNITS} entries", where=place.filesystem.volume)
                    entries[entry.name] = entry
                found[folder] = entries
        return found

    def unit(self, name: str) -> Unit | None:
        """Return the unit that a name loads, None when there is none."""
        for _ in range(SYMLINKS):
            for folder, entries in self._folders.items():
                entry = entries.get(name)
                if entry is None or entry.kind not in {"file", "symlink"}:
                    continue
                path = f"{folder}/{name}"
                link = self._tree.find(path, follow=False)
                where = link.evidence() if link is not None else at_path(self._volume, path)
                if entry.kind == "symlink":
                    target = self._tree.readlink(path)
                    if target == "/dev/null":
                        return Unit(name, None, where)
                    alias = target.rpartition("/")[2]
                    if alias != name and any(alias in names for names in self._folders.values()):
                        name = alias  # it may be masked under its own name
                        break
                    if self._tree.find(path) is None:
                        continue
                elif entry.size == 0:
                    return Unit(name, None, where)
                file = read_config(self._tree, path)
                return None if file is None else Unit(name, file, where)
            else:
                return None
        raise LimitExceeded(f"the unit {shown(name)} has more than {SYMLINKS} aliases", where=self._volume)

    def drop_ins(self, name: str) -> Iterator[ConfigFile]:
        """Yield the files of a unit's drop-in folders in the order in which they count."""
        files: dict[str, str] = {}
        for folder, entries in self._folders.items():
            if f"{name}.d" in entries:
                for each in names_in(self._tree, f"{folder}/{name}.d"):
                    if each.endswith(".conf"):
                        files.setdefault(each, f"{folder}/{name}.d/{each}")
        for each in sorted(files):
            file = read_config(self._tree, files[each])
            if file is not None:
                yield file

    def start(self, *names: str) -> ServiceStart:
        """Say whether a service starts that is called by any of these names."""
        return self.start_unit(*(f"{name}.service" for name in names))

    def start_unit(self, *names: str) -> ServiceStart:
        """Say whether any of these units starts; the first that there is says why not."""
        masked: ServiceStart | None = None
        present: ServiceStart | None = None
        for name in names:
            unit = self.unit(name)
            answer = self._scripts(name) if unit is None else self._unit(name, unit)
            if answer is None:
                continue
            if answer.starts:
                return answer
            if unit is not None and unit.file is None:
                masked = masked or answer
            present = present or answer
        return present or masked or _answer(None, f"there is no unit {names[0]}", at_path(self._volume, FOLDERS[0]))

    def _unit(self, name: str, unit: Unit) -> ServiceStart:
        if unit.file is None:
            return _answer(unit.name, f"{unit.name} is masked", unit.where)
        link = self._started.get(name) or self._started.get(unit.name)
        if link is None:
            link = self._preset(unit)
        if link is None:
            return _answer(unit.name, f"{unit.name} is not enabled: nothing that starts at boot wants it", unit.where)
        unmet = self._unmet_condition(unit)
        if unmet is not None:
            return _answer(unit.name, *unmet)
        return _answer(unit.name, f"{unit.name} is enabled", link, starts=True)

    def _unmet_condition(self, unit: Unit) -> tuple[str, Evidence] | None:
        """Return what keeps a unit from starting: files that must be there or must not (others are not asked)."""
        for key in ("ConditionPathExists", "AssertPathExists"):
            for number, value in unit.values("Unit", key):
                if unit.file is None or value.startswith("|") or "/" not in value:
                    continue
                path = value.lstrip("!")
                if path.startswith(("/run/", "/sys/", "/proc/", "/dev/")):
                    continue
                if self._tree.exists(path) == value.startswith("!"):
                    there = "there" if value.startswith("!") else "missing"
                    return f"{unit.name} does not start: {shown(path)} is {there}", unit.file.at(number)
        return None

    def _scripts(self, name: str) -> ServiceStart | None:
        """Say whether a System V script starts, where there is no unit; None when there is no script."""
        script = name.removesuffix(".service")
        if script == name or self._rc.script((script,)) is None:
            return None
        for level in "2345":
            link = self._rc.find(level, (script,))
            if link is not None and _BY_RUNLEVEL[f"runlevel{level}.target"] in self._started:
                detail = shown(f"{link.folder}/{link.name} starts it")
                return _answer(shown(link.name), detail, link.evidence, starts=True)
        return _answer(
            script, f"no link starts the init script {script}", at_path(self._volume, f"/etc/init.d/{script}")
        )

    @cached_property
    def _started(self) -> dict[str, Evidence]:
        """The units that a boot starts, by name, and the link that says so."""
        first = self._default_target
        started: dict[str, Evidence] = {first[0]: first[1]}
        todo = [first[0]]
        while todo:
            name = todo.pop()
            for wanted, where in self._wanted_by(name, started[name]):
                if len(started) >= UNITS:
                    raise LimitExceeded(f"more than {UNITS} units start", where=self._volume)
                if wanted not in started:
                    started[wanted] = where
                    todo.append(wanted)
        return started

    def _wanted_by(self, name: str, where: Evidence) -> Iterator[tuple[str, Evidence]]:
        if self._is_masked(name):
            return
        for wanted in _WANTED.get(name, ()):
            yield wanted, where
        if name.endswith(".target") and name not in _WANTED:
            self._targets += 1
            if self._targets > TARGETS:
                raise LimitExceeded(f"more than {TARGETS} targets start", where=self._volume)
            unit = self.unit(name)
            for key in ("Requires", "Wants", "BindsTo"):
                for number, value in unit.values("Unit", key) if unit is not None else ():
                    for wanted in value.split():
                        yield wanted, unit.file.at(number) if unit is not None and unit.file is not None else where
        for folder, entries in self._folders.items():
            for suffix in ("wants", "requires"):
                if f"{name}.{suffix}" not in entries:
                    continue
                for wanted in names_in(self._tree, f"{folder}/{name}.{suffix}"):
                    path = f"{folder}/{name}.{suffix}/{wanted}"
                    place = self._tree.find(path, follow=False)
                    if place is None or place.entry.kind != "symlink":
                        continue
                    if self._tree.readlink(path) != "/dev/null":
                        yield wanted, place.evidence()

    def _is_masked(self, name: str) -> bool:
        for folder, entries in self._folders.items():
            entry = entries.get(name)
            if entry is not None and entry.kind == "symlink":
                return self._tree.readlink(f"{folder}/{name}") == "/dev/null"
            if entry is not None:
                return entry.kind == "file" and entry.size == 0
        return False

    @cached_property
    def _default_target(self) -> tuple[str, Evidence]:
        for folder, entries in self._folders.items():
            entry = entries.get("default.target")
            if entry is not None and entry.kind == "symlink":
                path = f"{folder}/default.target"
                target = self._tree.readlink(path).rpartition("/")[2]
                place = self._tree.find(path, follow=False)
                where = place.evidence() if place is not None else at_path(self._volume, path)
                return _BY_RUNLEVEL.get(target, target), where
        return "graphical.target", at_path(self._volume, "/etc/systemd/system/default.target")

    def _preset(self, unit: Unit) -> Evidence | None:
        """Return what enables a unit at the first boot: presets count for a system without a machine-id."""
        if unit.file is None or not (unit.values("Install", "WantedBy") or unit.values("Install", "RequiredBy")):
            return None
        identity = self._tree.find("/etc/machine-id")
        if identity is not None:
            text = identity.filesystem.read(identity.entry.node, 0, 64) if identity.entry.kind == "file" else b""
            if text.strip() != b"uninitialized":
                return None
        wanted = [name for _, value in unit.values("Install", "WantedBy") for name in value.split()]
        if not any(name in self._started for name in wanted):
            return None
        for number, file, action, pattern in self._preset_rules():
            if fnmatch.fnmatchcase(unit.name, pattern):
                return file.at(number) if action == "enable" else None
        return unit.where  # systemd.preset(5): what no line names is enabled

    def _preset_rules(self) -> Iterator[tuple[int, ConfigFile, str, str]]:
        files: dict[str, str] = {}
        for folder in _PRESETS:
            for name in names_in(self._tree, folder):
                if name.endswith(".preset"):
                    files.setdefault(name, f"{folder}/{name}")
        for name in sorted(files):
            file = read_config(self._tree, files[name])
            for number, line in file.lines() if file is not None else ():
                match = re.match(r"(enable|disable)\s+(\S+)", line)
                if file is not None and match is not None:
                    yield number, file, match[1], match[2]

    @property
    def _volume(self) -> str:
        return self._tree.mounts["/"].volume


def _answer(unit: str | None, detail: str, where: Evidence, *, starts: bool = False) -> ServiceStart:
    return ServiceStart(
        starts=starts,
        manager="systemd",
        unit=None if unit is None else shown(unit),
        detail=shown(detail),
        evidence=(where,),
    )
