"""Upstart: jobs in /etc/init, with overrides, and the System V links that its rc job starts.

Source: init(5) of Upstart ("start on", "manual", "Override File Handling"), upstart-events(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import KIB
from imgscan.errors import ImageError, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, Configs, Line, read_config
from imgscan.guests.linux.rc_links import RunlevelLinks, Started, start_by_links
from imgscan.model.access import ServiceStart
from imgscan.model.evidence import Evidence, at_path
from imgscan.model.text import shown

CONDITION: Final = 64 * KIB
"""Characters of what a job waits for."""
_RUNLEVEL: Final = r"runlevel\s+(?:RUNLEVEL=)?\[(!?)([0-9S]+)\]"
_DEFAULT: Final = r"(?:env\s+)?DEFAULT_RUNLEVEL=[\"']?([0-9S])"
_INITDEFAULT: Final = r"[^:#]*:([0-9S]):initdefault:"
_EVENTS_OF_EVERY_BOOT: Final = (
    r"\b(startup|virtual-filesystems|local-filesystems|remote-filesystems|all-swaps|filesystem|mounted|rc-sysinit"
    r"|net-device-up|static-network-up|networking|network-interface|stopped\s+rc|started\s+\S+|starting\s+\S+)\b"
)


class Upstart:
    """Upstart's jobs; where a service has a job, its System V links do nothing."""

    def __init__(self, tree: GuestTree) -> None:
        self._tree = tree
        self._links = RunlevelLinks(tree)

    @cached_property
    def _default(self) -> tuple[str, Evidence]:
        """The default runlevel: inittab's, else that of the job rc-sysinit, else Ubuntu's 2."""
        for path, pattern in (("/etc/inittab", _INITDEFAULT), ("/etc/init/rc-sysinit.conf", _DEFAULT)):
            file = read_config(self._tree, path)
            for number, line in file.lines() if file is not None else ():
                match = re.match(pattern, line)
                if file is not None and match is not None:
                    return match[1], file.at(number)
        return "2", at_path(self._tree.mounts["/"].volume, "/etc/init")

    def started(self) -> Iterator[Started]:
        """Yield the jobs that a boot may start with all their lines, and the scripts that links start."""
        configs = Configs(self._tree)
        jobs = [name.removesuffix(".conf") for name in configs.names("/etc/init") if name.endswith(".conf")]
        for name in jobs:
            yield Started(name, lambda name=name: self._lines(name, configs))  # type: ignore[misc]
        yield from (each for each in self._links.started("S", self._default[0]) if each.name not in set(jobs))

    def _lines(self, name: str, configs: Configs) -> list[Line]:
        path = f"/etc/init/{name}.conf"
        job = configs.read(path)
        if job is None:
            return []
        try:
            starts = self._job(name, job, self._default[0]).starts
        except UnsupportedFormat:  # it depends on other events
            starts = True
        return [Line(line, job, number) for number, line in job.lines() if line] if starts else []

    def start(self, *names: str) -> ServiceStart:
        """Say whether a job, or a link where there is none, starts a service in the default runlevel.

        :raises UnsupportedFormat: the job waits for events that need not happen
        """
        level, where = self._default
        for name in names:
            job = read_config(self._tree, f"/etc/init/{name}.conf")
            if job is not None:
                return self._job(name, job, level)
        return start_by_links(self._tree, self._links, "upstart", level, where, names)

    def _job(self, name: str, job: ConfigFile, level: str) -> ServiceStart:
        override = read_config(self._tree, f"/etc/init/{name}.override")
        condition, where = "", job.at()
        for file in (job, override):
            for number, stanza in _stanzas(file) if file is not None else ():
                words = stanza.split(None, 2)
                if words[:2] == ["start", "on"]:
                    condition, where = words[2] if len(words) > 2 else "", (file or job).at(number)
                elif words[0] == "manual":
                    condition, where = "", (file or job).at(number)

        def answer(detail: str, *, starts: bool) -> ServiceStart:
            return ServiceStart(starts=starts, manager="upstart", unit=name, detail=detail, evidence=(where,))

        if not condition:
            return answer(f"the job {name} is started by hand only", starts=False)
        if len(condition) > CONDITION:
            raise LimitExceeded(f"what the job {shown(name)} waits for is longer than {CONDITION}", where=job.path)
        levels = [(not_in == "!") != (level in them) for not_in, them in re.findall(_RUNLEVEL, condition)]
        others = re.sub(_RUNLEVEL, " ", condition)
        if any(levels) and not re.search(r"\band\b", others):
            return answer(f"the job {name} starts in runlevel {level}", starts=True)
        if levels and not any(levels) and not re.search(r"[a-z]", re.sub(r"\b(and|or)\b", "", others)):
            return answer(f"the job {name} does not start in runlevel {level}", starts=False)
        if re.search(_EVENTS_OF_EVERY_BOOT, others) and (all(levels) or re.search(r"\bor\b", others)):
            return answer(f"the job {name} starts at boot", starts=True)
        error: ImageError = UnsupportedFormat(
            f"whether the job {name} starts depends on: {' '.join(condition.split())[:200]}", where=job.path
        )
        raise error


def _stanzas(file: ConfigFile) -> list[tuple[int, str]]:
    """Return the stanzas that are no scripts, those with open parentheses joined, by the line that they begin on."""
    found: list[tuple[int, list[str]]] = []
    in_script = False
    depth = 0
    for number, line in file.lines():
        text = line.partition("#")[0].strip()
        if in_script:
            in_script = text != "end script"
        elif depth > 0:
            found[-1][1].append(text)
            depth += text.count("(") - text.count(")")
        elif re.fullmatch(r"((pre|post)-(start|stop)\s+)?script", text):
            in_script = True
        elif text:
            found.append((number, [text]))
            depth = text.count("(") - text.count(")") if text.startswith("start on") else 0
    return [(number, " ".join(texts)) for number, texts in found]
