"""Packet-filter commands in what runs at boot beside the known firewalls: own services, scripts, hooks and cron jobs.

Sources: systemd.service(5), interfaces(5) ("source", "pre-up"), run-parts(8), NetworkManager-dispatcher(8), crontab(5).
What such a command does is not followed: that there is one leaves the question open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import CONFIG_BYTES, Configs, Line
from imgscan.guests.linux.rc_links import Started, script_lines
from imgscan.guests.linux.services import Services
from imgscan.model.access import Firewall
from imgscan.model.evidence import Evidence
from imgscan.model.fact import unread_because

LINES: Final = 100_000
"""Lines that are looked at."""
SCRIPTS: Final = 256
"""Own scripts that others run."""
FOUND: Final = 16
"""What is reported; the rest changes nothing."""
_SCRIPTS: Final = (
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    "/etc/init.d/boot.local",
    "/etc/init.d/after.local",
    "/sbin/ifup-local",
    "/sbin/ifup-pre-local",
)
_HOOK_FOLDERS: Final = (
    "/etc/network/if-pre-up.d",
    "/etc/network/if-up.d",
    "/etc/sysconfig/network/if-up.d",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/NetworkManager/dispatcher.d/pre-up.d",
    "/etc/networkd-dispatcher/routable.d",
    "/etc/local.d",
)
_INTERFACES: Final = "/etc/network/interfaces"
_CRONTABS: Final = (
    "/etc/crontab",
    "/var/spool/cron/crontabs/root",
    "/var/spool/cron/root",
    "/var/spool/cron/tabs/root",
)
_CRON_FOLDER: Final = "/etc/cron.d"
_WORDS: Final = (
    r"(?:(?:ip6?|eb)tables(?:-legacy|-nft)?(?:-restore|-apply)?|xtables-(?:nft|legacy)-multi|nft|ipchains|ufw"
    r"|firewall-(?:offline-)?cmd|firewalld|nftables|netfilter-persistent|iptables-persistent|SuSEfirewall2|csf|apf"
    r"|shorewall6?(?:-lite)?|firehol|ferm|foomuuri|(?:\./)?[\w-]{0,32}(?:firewall|iptables|nftables)[\w-]{0,32}\.sh)"
)
_COMMAND: Final = rf"(?<![\w./$-])(?:/(?:[\w.-]+/)*)?{_WORDS}(?:\.service)?(?![\w./-])"
"""A command, with its path or without: not a part of another word or path."""
_PATH: Final = r"(?<![\w./-])(?:/[\w.+@-]+)+"
_OWN_FOLDERS: Final = ("/usr/local/", "/opt/", "/root/", "/home/", "/srv/")
_OWN_NAME: Final = r"\.sh$|fw|firewall|tables|nft|rules"
"""Scripts in the system's own folders that nobody's package has."""


def find_boot_commands(
    tree: GuestTree, services: Services, known: Collection[str], ignored: Collection[str]
) -> list[Firewall]:
    """Return what starts at boot and runs a packet-filter command; what cannot be read may run one.

    Of services that are `known` drop-ins count alone, and those that are `ignored` are left out.
    """
    search = _Search(tree)
    try:
        for started in services.started():
            if started.name not in ignored:
                search.look(lambda started=started: _without_own_file(started, known))  # type: ignore[misc]
        for read in search.places():
            search.look(read)
    except ImageError as error:
        search.found.append(Firewall(name="own script", decision=unread_because(error)))
    return search.found


def _without_own_file(started: Started, known: Collection[str]) -> Sequence[Line]:
    lines = started.lines()
    return [line for line in lines if ".service.d/" in line.file.path] if started.name in known else lines


class _Search:
    def __init__(self, tree: GuestTree) -> None:
        self.found: list[Firewall] = []
        self._tree = tree
        self._configs = Configs(tree)
        self._seen: set[str] = set()
        self._lines = 0

    def places(self) -> Iterator[Callable[[], Sequence[Line]]]:
        """Yield what reads each place beside the services."""
        paths = [*_SCRIPTS, *(f"{folder}/{name}" for folder in _HOOK_FOLDERS for name in self._configs.names(folder))]
        for path in paths:
            place = self._tree.find(path)
            if place is not None and place.entry.kind == "file":
                yield lambda path=path: script_lines(self._configs, path)  # type: ignore[misc]
        yield self._interfaces
        for path in (*_CRONTABS, *(f"{_CRON_FOLDER}/{name}" for name in self._configs.names(_CRON_FOLDER))):
            yield lambda path=path: script_lines(self._configs, path)  # type: ignore[misc]

    def look(self, read: Callable[[], Sequence[Line]]) -> None:
        """Look for a command in what `read` returns, and in the own scripts that it runs."""
        if len(self.found) >= FOUND:
            return
        try:
            found = self._first_command(read())
        except LimitExceeded:
            raise
        except ImageError as error:
            self.found.append(Firewall(name="own script", decision=unread_because(error)))
            return
        if found:
            lost = UnsupportedFormat("it runs firewall commands, which are not followed", where=found[0].file.path)
            evidence: list[Evidence] = [line.where for line in found]
            self.found.append(Firewall(name="own script", decision=unread_because(lost, *evidence)))

    def _first_command(self, lines: Sequence[Line]) -> list[Line]:
        """Return the line with a command, and those that lead to its script; none when there is no command."""
        todo: list[tuple[Sequence[Line], list[Line]]] = [(lines, [])]
        while todo:
            lines, way = todo.pop()
            for line in lines:
                self._lines += 1
                if self._lines > LINES:
                    raise LimitExceeded(f"more than {LINES} lines run at boot", where=line.file.path)
                text = "" if line.text.startswith("#") else line.text.partition(" #")[0]
                if re.search(_COMMAND, text):
                    return [line, *way]
                if "/" in text:
                    todo += [(self._script(path), [line, *way]) for path in re.findall(_PATH, text)]
        return []

    def _script(self, path: str) -> Sequence[Line]:
        """Return the lines of an own script, each script once."""
        folder, _, name = path.rpartition("/")
        is_own = path.startswith(_OWN_FOLDERS) or re.search(_OWN_NAME, name)
        if not is_own or path in self._seen or folder.startswith(("/dev", "/proc", "/sys", "/run")):
            return []
        self._seen.add(path)
        if len(self._seen) > SCRIPTS:
            raise LimitExceeded(f"more than {SCRIPTS} scripts run at boot", where=path)
        place = self._tree.find(path)
        if place is None or place.entry.kind != "file":
            return []
        head = place.filesystem.read(place.entry.node, 0, 4)
        if head == b"\x7fELF" or (place.entry.size > CONFIG_BYTES and not head.startswith(b"#!")):
            return []  # a program, or what one works on
        return script_lines(self._configs, path)

    def _interfaces(self) -> Sequence[Line]:
        """Return the lines of the interfaces file and those that it includes."""
        lines: list[Line] = []
        todo, seen = [_INTERFACES], set[str]()
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            for line in script_lines(self._configs, path):
                word, _, value = line.text.partition(" ")
                if word in {"source", "source-directory"} and value:
                    pattern = value.strip() if value.strip().startswith("/") else f"/etc/network/{value.strip()}"
                    todo += self._configs.matching(f"{pattern}/*" if word == "source-directory" else pattern)
                else:
                    lines.append(line)
        return lines
