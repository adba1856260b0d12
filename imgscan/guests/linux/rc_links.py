"""Services that links start: the runlevels of System V init, and those of OpenRC.

Sources: inittab(5), Linux Standard Base 5.0 Core, "System Initialization"; OpenRC's rc-update(8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final, Literal

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure
from imgscan.guests.linux.config_file import Configs, Line, read_config
from imgscan.model.access import ServiceStart
from imgscan.model.evidence import AtPath, Evidence, at_path
from imgscan.model.text import shown

_RC_FOLDERS: Final = ("/etc/rc{}.d", "/etc/rc.d/rc{}.d", "/etc/init.d/rc{}.d")
"""Debian, Red Hat and SUSE; the first that is there is the one that is used."""
_BOOT_FOLDERS: Final = ("/etc/rcS.d", "/etc/init.d/boot.d")
_LINK: Final = re.compile(r"S\d\d(.+)")
_DEFAULT_LEVEL: Final = re.compile(r"[^:#]*:([0-9S]):initdefault:")


class Link(msgspec.Struct, frozen=True):
    """A link that starts a service: its folder and name."""

    folder: str
    name: str

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"{self.folder}/{self.name}"


class Started(msgspec.Struct, frozen=True):
    """What a boot starts: `name` of the service, and what reads the lines that run then."""

    name: str
    lines: Callable[[], Sequence[Line]]


class RunlevelLinks:
    """The start links of runlevels."""

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree
        self._configs = Configs(tree)
        self._levels: dict[str, list[Link]] = {}

    def started(self, *levels: str) -> Iterator[Started]:
        """Yield the scripts that links start in runlevels, with all their lines."""
        for link in (link for level in levels for link in self.links(level)):
            match = _LINK.fullmatch(link.name)
            if match is not None:
                yield Started(match[1], lambda path=link.path: script_lines(self._configs, path))  # type: ignore[misc]

    def links(self, level: str) -> list[Link]:
        """Return the start links of a runlevel, and those of the folders that every boot starts for `S`."""
        if level not in self._levels:
            folders = _BOOT_FOLDERS if level == "S" else [folder.format(level) for folder in _RC_FOLDERS]
            folder = next((folder for folder in folders if self._tree.exists(folder)), None)
            names = self._configs.names(folder) if folder is not None else []
            self._levels[level] = [Link(folder or "", name) for name in names if _LINK.fullmatch(name)]
        return self._levels[level]

    def find(self, level: str, names: tuple[str, ...]) -> Link | None:
        """Return the link that starts a service; one that leads nowhere starts nothing."""
        for link in self.links(level):
            match = _LINK.fullmatch(link.name)
            if match is not None and match[1] in names and self._tree.exists(link.path):
                return link
        return None

    def script(self, names: tuple[str, ...]) -> str | None:
        """Return the path of a service's init script."""
        paths = (f"{folder}/{name}" for name in names for folder in ("/etc/init.d", "/etc/rc.d/init.d"))
        return next((path for path in paths if self._tree.exists(path)), None)


def script_lines(configs: Configs, path: str) -> list[Line]:
    """Return the lines of a script; none when it is no text."""
    try:
        file = configs.read(path)
    except CorruptStructure:  # a program
        return []
    return [Line(line, file, number) for number, line in file.lines() if line] if file is not None else []


def _evidence(tree: GuestTree, path: str) -> AtPath:
    place = tree.find(path, follow=False)
    return at_path(tree.mounts["/"].volume, path) if place is None else place.evidence()


class SysVinit:
    """System V init."""

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree
        self._links = RunlevelLinks(tree)

    @cached_property
    def _default(self) -> tuple[str, Evidence]:
        """The default runlevel, and the line of inittab that says so."""
        inittab = read_config(self._tree, "/etc/inittab")
        if inittab is not None:
            for number, line in inittab.lines():
                match = _DEFAULT_LEVEL.match(line)
                if match is not None:
                    return match[1], inittab.at(number)
        raise CorruptStructure("/etc/inittab names no default runlevel", where=self._tree.mounts["/"].volume)

    def started(self) -> Iterator[Started]:
        """Yield the scripts that a boot starts."""
        return self._links.started("S", self._default[0])

    def start(self, *names: str) -> ServiceStart:
        """Say whether a service starts in the default runlevel."""
        level, where = self._default
        return start_by_links(self._tree, self._links, "sysvinit", level, where, names)


def start_by_links(
    tree: GuestTree,
    links: RunlevelLinks,
    manager: Literal["sysvinit", "upstart"],
    level: str,
    where: Evidence,
    names: tuple[str, ...],
) -> ServiceStart:
    """Say whether links start a service in a runlevel; `where` is what names that level."""
    link = links.find(level, names) or links.find("S", names)
    if link is not None:
        detail = shown(f"{link.folder}/{link.name} starts it in runlevel {level}")
        return ServiceStart(
            starts=True,
            manager=manager,
            unit=shown(link.name),
            detail=detail,
            evidence=(_evidence(tree, link.path), where),
        )
    script = links.script(names)
    if script is None:
        return ServiceStart(
            starts=False, manager=manager, unit=None, detail=f"there is no init script {names[0]}", evidence=(where,)
        )
    return ServiceStart(
        starts=False,
        manager=manager,
        unit=shown(script),
        detail=f"no link starts {shown(script)} in the default runlevel {level}",
        evidence=(where, _evidence(tree, script)),
    )


class OpenRc:
    """OpenRC: links in /etc/runlevels to scripts of /etc/init.d."""

    LEVELS: Final = ("sysinit", "boot", "default")

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree

    def started(self) -> Iterator[Started]:
        """Yield the scripts of the runlevels that every boot enters."""
        configs = Configs(self._tree)
        for level in self.LEVELS:
            for name in configs.names(f"/etc/runlevels/{level}"):
                yield Started(name, lambda name=name: script_lines(configs, f"/etc/init.d/{name}"))  # type: ignore[misc]

    def start(self, *names: str) -> ServiceStart:
        """Say whether a service is in one of the runlevels that every boot enters."""
        for name in names:
            for level in self.LEVELS:
                path = f"/etc/runlevels/{level}/{name}"
                if self._tree.exists(path):
                    return ServiceStart(
                        starts=True,
                        manager="openrc",
                        unit=name,
                        detail=f"{name} is in the runlevel {level}",
                        evidence=(_evidence(self._tree, path),),
                    )
        folder = _evidence(self._tree, "/etc/runlevels/default")
        script = next((name for name in names if self._tree.exists(f"/etc/init.d/{name}")), None)
        detail = "it is in no runlevel that starts" if script else f"there is no init script {names[0]}"
        return ServiceStart(starts=False, manager="openrc", unit=script, detail=detail, evidence=(folder,))
