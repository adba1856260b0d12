"""The name that the system gives itself at boot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from imgscan.devices.guest_tree import GuestTree, decode, read_file
from imgscan.devices.limits import KIB
from imgscan.guests.linux.shell_file import Assignment, assignments
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

HOSTNAME_BYTES: Final = 64 * KIB


def read_hostname(tree: GuestTree) -> Fact[str | None]:
    """Return the host name, None when no file sets one.

    :raises ImageError: a file that may set it cannot be read
    """
    for path, parse in _FILES:
        place = tree.find(path)
        if place is None or place.entry.kind != "file":
            continue
        found = parse(decode(read_file(place, HOSTNAME_BYTES)))
        if found is not None and found.value:
            return known(shown(found.value), place.evidence(found.line))
    return known(None)


def _first_line(text: str) -> Assignment | None:
    for number, line in enumerate(text.split("\n"), 1):
        name = line.strip()
        if name and not name.startswith("#"):
            return Assignment(name, number)
    return None


def _set_in_shell(variable: str) -> Callable[[str], Assignment | None]:
    return lambda text: assignments(text).get(variable)


_FILES: Final[tuple[tuple[str, Callable[[str], Assignment | None]], ...]] = (
    ("/etc/hostname", _first_line),
    ("/etc/HOSTNAME", _first_line),  # SUSE before 12
    ("/etc/sysconfig/network", _set_in_shell("HOSTNAME")),  # Red Hat before 7
    ("/etc/conf.d/hostname", _set_in_shell("hostname")),  # Gentoo
)
