"""/etc/fstab as mount(8) reads it. Source: fstab(5) and getmntent(3)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from imgscan.errors import LimitExceeded

LINES: Final = 65536
"""Lines of one fstab."""
ENTRIES: Final = 4096
"""Entries of one fstab."""


class FstabEntry(msgspec.Struct, frozen=True):
    """A line that is no comment; a field that is missing is empty, `line` counts from 1."""

    line: int
    source: str
    point: str
    type: str
    options: str
    frequency: str
    pass_number: str

    @property
    def is_automatic(self) -> bool:
        """Whether it is mounted at boot, or its volume waited for: the last of `auto` and `noauto` counts."""
        said = [option for option in self.options.split(",") if option in {"auto", "noauto"}]
        return (said or ["auto"])[-1] == "auto"

    @property
    def may_fail(self) -> bool:
        """Whether the system starts without it (systemd.mount(5); `nobootwait` is Ubuntu's mountall)."""
        return bool(self.option_names & {"nofail", "nobootwait", "x-systemd.automount"})

    @property
    def flaw(self) -> str | None:
        """Why libmount or systemd refuse the line, None when they take it; options may be missing, type may not."""
        if not self.point:
            return "it names no mount point"
        if not self.type:
            return "it names no type of filesystem"
        if self.type != "swap" and not self.point.startswith("/"):
            return f"its mount point {self.point} is no absolute path"
        for number, what in ((self.frequency, "fifth"), (self.pass_number, "sixth")):
            if number.startswith("#"):
                break
            if number and not (number.isascii() and number.lstrip("+-").isdigit()):
                return f"its {what} field is {number}, not a number"
        return None

    @property
    def option_names(self) -> frozenset[str]:
        """The options, those with a value without it."""
        return frozenset(option.partition("=")[0] for option in self.options.split(","))


def parse_fstab(text: str) -> list[FstabEntry]:
    """Return the entries in their order; there is no way to continue a line.

    :raises LimitExceeded: there are more lines or entries than any real file has
    """
    lines = text.split("\n")
    if len(lines) > LINES:
        raise LimitExceeded(f"fstab has {len(lines)} lines")
    entries: list[FstabEntry] = []
    for number, line in enumerate(lines, 1):
        fields = [unescape(field) for field in re.split(r"[ \t\r]+", line.strip(" \t\r"))]
        if not fields[0] or fields[0].startswith("#"):
            continue
        if len(entries) >= ENTRIES:
            raise LimitExceeded(f"fstab has more than {ENTRIES} entries")
        source, point, type_, options, frequency, pass_number = (*fields[:6], *[""] * (6 - len(fields[:6])))
        entries.append(FstabEntry(number, source, point, type_, options, frequency, pass_number))
    return entries


def unescape(field: str) -> str:
    r"""Replace the octal escapes that stand for blanks and backslashes, as in ``/mnt/my\\040disk``."""
    if "\\" not in field:
        return field
    data = field.encode("utf-8", "surrogateescape")
    return re.sub(rb"\\([0-3][0-7]{2})", _octal, data).decode("utf-8", "surrogateescape")


def _octal(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])
