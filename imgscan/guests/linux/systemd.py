"""Which units systemd starts at boot: links in *.wants and *.requires, masks, aliases, conditions and presets.

Sources: systemd.unit(5) ("Unit File Load Path", "[Install] Section Options"), systemd.special(7), bootup(7),
systemd.preset(5), systemd-sysv-generator(8), machine-id(5). What /run holds is not on a disk.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Final

import msgspec

from imgscan.devices.filesystem import Entry
from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import SYMLINKS
from imgscan.errors import ImageError, LimitExceeded
from imgscan.guests.linux.config_file import ConfigFile, Configs, Line
from imgscan.guests.linux.rc_links import RunlevelLinks, Started
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
TARGETS: Final = 128
"""Targets that one boot starts."""
CONDITIONS: Final = 256
"""Conditions of one unit."""
PRESETS: Final = 4096
"""Lines of all presets."""
COMMANDS: Final = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost")
"""What a service runs when it starts."""
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


class Unit:
    """A unit: `name` with aliases followed; `file` is None when it is masked, `where` then names the mask."""

    def __init__(
        self, name: str, file: ConfigFile | None, where: Evidence, drop_ins: Sequence[ConfigFile] = ()
    ) -> None:
        self.name = name
        self.file = file
        self.where = where
        self._drop_ins = drop_ins

    def values(self, section: str, *keys: str) -> list[Line]:
        """Return the values of keys, those of drop-ins behind the unit's own; an empty value clears those before it."""
        return [value for key in keys for value in self._values.get((section, key), ())]

    def last(self, section: str, key: str) -> str:
        """Return the value of a key that is set once, in lower case; empty when it is not set."""
        return next((value.text.lower() for value in reversed(self.values(section, key))), "")

    @cached_property
    def _values(self) -> dict[tuple[str, str], list[Line]]:
        found: dict[tuple[str, str], list[Line]] = {}
        for file in [self.file, *self._drop_ins] if self.file is not None else []:
            section = ""
            for number, line in file.joined_lines(" ", ("#", ";")):
                if line.startswith("["):
                    section = line.strip("[]")
                    continue
                name, equals, value = line.partition("=")
                if equals and value.strip():
                    found.setdefault((section, name.strip()), []).append(Line(value.strip(), file, number))
                elif equals:
                    found[section, name.strip()] = []
        return found


class _Located(msgspec.Struct, frozen=True):
    """Where a name leads: `names` are those on the way, the unit's own last; `path` is None when it is masked."""

    names: list[str]
    path: str | None
    where: Evidence


class SystemdUnits:
    """The units of one guest; everything is read once."""

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree
        self._rc = RunlevelLinks(tree)
        self._configs = Configs(tree)
        self._units: dict[str, Unit | None] = {}
        self._wanted: dict[str, list[tuple[str, Evidence]]] = {}
        self._lost: ImageError | None = None

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
        if name not in self._units:
            self._units[name] = self._load(name)
        return self._units[name]

    def _load(self, name: str) -> Unit | None:
        located = self._locate(name)
        if located is None:
            return None
        if located.path is None:
            return Unit(located.names[-1], None, located.where)
        file = self._configs.read(located.path)
        return None if file is None else Unit(located.names[-1], file, located.where, self._drop_ins(located.names))

    def _locate(self, name: str) -> _Located | None:
        names = [name]
        for _ in range(SYMLINKS):
            name = names[-1]
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
                        return _Located(names, None, where)
                    alias = target.rpartition("/")[2]
                    if alias in names[:-1]:
                        return None  # links in a circle lead to no file
                    if alias != name and any(alias in names_there for names_there in self._folders.values()):
                        names.append(alias)  # it may be masked under its own name
                        break
                    if self._tree.find(path) is None:
                        continue
                elif entry.size == 0:
                    return _Located(names, None, where)
                return _Located(names, path, where)
            else:
                template = f"{name.partition('@')[0]}@.{name.rpartition('.')[2]}"
                if "@" not in name or template == name:
                    return None
                names.append(template)
        raise LimitExceeded(f"the unit {shown(names[0])} has more than {SYMLINKS} aliases", where=self._volume)

    def _drop_ins(self, names: Sequence[str]) -> list[ConfigFile]:
        """Return the files of a unit's drop-in folders in the order in which they count."""
        own = {*names, *self._aliases.get(names[-1], ())}
        for name in names:  # systemd.unit(5): foo-.service.d is for all that begin with foo-, service.d for all
            stem, _, suffix = name.rpartition(".")
            own |= {f"{stem[: at + 1]}.{suffix}" for at, letter in enumerate(stem) if letter == "-"} | {suffix}
        files: dict[str, str] = {}
        for folder, name in self._drop_in_folders:
            if name in own:
                for each in self._configs.names(f"{folder}/{name}.d"):
                    if each.endswith(".conf"):
                        files.setdefault(each, f"{folder}/{name}.d/{each}")
        found = (self._configs.read(files[each]) for each in sorted(files))
        return [file for file in found if file is not None]

    @cached_property
    def _drop_in_folders(self) -> list[tuple[str, str]]:
        """The folders of drop-ins: where they lie, and the names whose they are."""
        return [
            (folder, name.removesuffix(".d"))
            for folder, entries in self._folders.items()
            for name in entries
            if name.endswith(".d")
        ]

    @cached_property
    def _aliases(self) -> dict[str, set[str]]:
        """Other names that have drop-ins, by the name of the unit."""
        found: dict[str, set[str]] = {}
        for _, name in self._drop_in_folders:
            located = self._locate(name)
            if located is not None and len(located.names) > 1:
                found.setdefault(located.names[-1], set()).add(name)
        return found

    def started(self) -> Iterator[Started]:
        """Yield the services that a boot starts, with the commands that they run."""
        for name in self._all_started:
            service = f"{name.removesuffix('.timer')}.service" if name.endswith(".timer") else name
            if service.endswith(".service") and not self._is_systemds_own(service):
                yield Started(service.removesuffix(".service"), lambda service=service: self._commands(service))  # type: ignore[misc]
        for level in "2345":
            if _BY_RUNLEVEL[f"runlevel{level}.target"] in self._started:
                for started in self._rc.started(level):
                    if not any(f"{started.name}.service" in entries for entries in self._folders.values()):
                        yield started

    def _commands(self, name: str) -> list[Line]:
        unit = self.unit(name)
        if unit is None or unit.file is None or self._unmet_condition(unit) is not None:
            return []
        return unit.values("Service", *COMMANDS)

    def _is_systemds_own(self, name: str) -> bool:
        """Whether a service is systemd's, as it came: nobody changed it in /etc."""
        names = (name, f"{name}.d")
        return name.startswith("systemd-") and not any(each in self._folders.get(FOLDERS[0], ()) for each in names)

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
        link = self._started.get(name) or self._started.get(unit.name) or self._preset(unit)
        link = link or self._all_started.get(name) or self._all_started.get(unit.name)
        if link is None and self._lost is not None:
            raise self._lost
        if link is None:
            return _answer(unit.name, f"{unit.name} is not enabled: nothing that starts at boot wants it", unit.where)
        unmet = self._unmet_condition(unit)
        if unmet is not None:
            return _answer(unit.name, *unmet)
        return _answer(unit.name, f"{unit.name} is enabled", link, starts=True)

    def _unmet_condition(self, unit: Unit) -> tuple[str, Evidence] | None:
        """Return what keeps a unit from starting: files that must be there or must not (others are not asked)."""
        conditions = unit.values("Unit", "ConditionPathExists", "AssertPathExists")
        if len(conditions) > CONDITIONS:
            raise LimitExceeded(f"{shown(unit.name)} has more than {CONDITIONS} conditions", where=self._volume)
        for value in conditions:
            if value.text.startswith("|") or "/" not in value.text:
                continue
            path = value.text.lstrip("!")
            if path.startswith(("/run/", "/sys/", "/proc/", "/dev/")):
                continue
            if self._tree.exists(path) == value.text.startswith("!"):
                there = "there" if value.text.startswith("!") else "missing"
                return f"{unit.name} does not start: {shown(path)} is {there}", value.where
        return None

    def _scripts(self, name: str) -> ServiceStart | None:
        """Say whether a System V script starts, where there is no unit; None when there is no script."""
        script = name.removesuffix(".service")
        if script == name or self._rc.script((script,)) is None:
            return None
        for level in "2345":
            link = self._rc.find(level, (script,))
            if link is not None and _BY_RUNLEVEL[f"runlevel{level}.target"] in self._started:
                where = at_path(self._volume, link.path)
                return _answer(shown(link.name), shown(f"{link.path} starts it"), where, starts=True)
        return _answer(
            script, f"no link starts the init script {script}", at_path(self._volume, f"/etc/init.d/{script}")
        )

    @cached_property
    def _started(self) -> dict[str, Evidence]:
        """The units that links and targets start at boot, by name, and what says so."""
        return self._closure(dict([self._default_target]), read_services=False)

    @cached_property
    def _all_started(self) -> dict[str, Evidence]:
        """The same with those that started services ask for in their own files; one that cannot be read is `_lost`."""
        return self._closure(dict(self._started), read_services=True)

    def _closure(self, started: dict[str, Evidence], *, read_services: bool) -> dict[str, Evidence]:
        todo = list(started)
        targets = 0
        while todo:
            name = todo.pop()
            if self._is_masked(name):
                continue
            wants: list[tuple[str, Evidence]] = []
            if name.endswith(".target"):
                targets += 1
                if targets > TARGETS:
                    raise LimitExceeded(f"more than {TARGETS} targets start", where=self._volume)
                wants += [(wanted, started[name]) for wanted in _WANTED.get(name, ())]
                if name not in _WANTED or self._is_changed(name):
                    wants += self._asked_for(name, started)
            elif read_services and name.endswith(".service") and not self._is_systemds_own(name):
                try:
                    wants += self._asked_for(name, started)
                except ImageError as error:
                    self._lost = self._lost or error
            for wanted, where in (*wants, *self._wanted_by(name)):
                if len(started) >= UNITS:
                    raise LimitExceeded(f"more than {UNITS} units start", where=self._volume)
                if wanted not in started:
                    started[wanted] = where
                    todo.append(wanted)
        return started

    def _is_changed(self, name: str) -> bool:
        """Whether a target that systemd brings has a file or drop-ins in /etc."""
        entries = self._folders.get(FOLDERS[0], {})
        return f"{name}.d" in entries or (name in entries and entries[name].kind == "file")

    def _asked_for(self, name: str, started: Collection[str]) -> list[tuple[str, Evidence]]:
        """Return what a unit asks for in its own file and is not started yet, with the line."""
        unit = self.unit(name)
        values = unit.values("Unit", "Requires", "Wants", "BindsTo", "Upholds") if unit is not None else ()
        found = {wanted: value for value in values for wanted in value.text.split() if wanted not in started}
        return [(wanted, value.where) for wanted, value in found.items()]

    def _wanted_by(self, name: str) -> list[tuple[str, Evidence]]:
        """Return what the links in the folders of a unit ask for."""
        if name in self._wanted:
            return self._wanted[name]
        found: list[tuple[str, Evidence]] = []
        for folder in self._folders_of_links.get(name, ()):
            for wanted in self._configs.names(folder):
                path = f"{folder}/{wanted}"
                place = self._tree.find(path, follow=False)
                if place is None or place.entry.kind != "symlink":
                    continue
                if place.filesystem.readlink(place.entry.node) != "/dev/null":
                    found.append((wanted, place.evidence()))
        self._wanted[name] = found
        return found

    @cached_property
    def _folders_of_links(self) -> dict[str, list[str]]:
        """The folders whose links a unit asks for, by its name: those of its aliases too (default.target.wants)."""
        found: dict[str, list[str]] = {}
        for folder, entries in self._folders.items():
            for each in entries:
                name, _, suffix = each.rpartition(".")
                if suffix in {"wants", "requires"}:
                    found.setdefault(name, []).append(f"{folder}/{each}")
        for name, folders in list(found.items()):
            own = self._own_name(name)
            if own != name:
                found.setdefault(own, []).extend(folders)
        return found

    def _own_name(self, name: str) -> str:
        """Return the name of the unit that an alias leads to, any other name as it is."""
        if name == "default.target":
            return self._default_target[0]
        entry = next((entries[name] for entries in self._folders.values() if name in entries), None)
        located = self._locate(name) if entry is not None and entry.kind == "symlink" else None
        return name if located is None else located.names[-1]

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
            if entry is not None and entry.kind == "file":
                return "default.target", at_path(self._volume, f"{folder}/default.target")
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
        wanted = [name for value in unit.values("Install", "WantedBy") for name in value.text.split()]
        if not any(name in self._started or self._own_name(name) in self._started for name in wanted):
            return None
        for action, pattern, line in self._preset_rules:
            if fnmatch.fnmatchcase(unit.name, pattern):
                return line.where if action == "enable" else None
        return unit.where  # systemd.preset(5): what no line names is enabled

    @cached_property
    def _preset_rules(self) -> list[tuple[str, str, Line]]:
        files: dict[str, str] = {}
        configs = Configs(self._tree)
        for folder in _PRESETS:
            for name in configs.names(folder):
                if name.endswith(".preset"):
                    files.setdefault(name, f"{folder}/{name}")
        found: list[tuple[str, str, Line]] = []
        for name in sorted(files):
            file = configs.read(files[name])
            for number, line in file.lines() if file is not None else ():
                match = re.match(r"(enable|disable)\s+(\S+)", line)
                if file is None or match is None:
                    continue
                if len(found) >= PRESETS:
                    raise LimitExceeded(f"there are more than {PRESETS} lines of presets", where=file.path)
                found.append((match[1], match[2], Line(line, file, number)))
        return found

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
