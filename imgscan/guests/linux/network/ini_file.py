"""Files of sections, keys and values, as systemd and NetworkManager write them.

Sources: systemd.syntax(7), nm-settings-keyfile(5) (GLib's "Key-value file parser").
"""

from __future__ import annotations

import msgspec

from imgscan.errors import CorruptStructure
from imgscan.guests.linux.config_file import ConfigFile
from imgscan.model.evidence import AtPath
from imgscan.model.text import shown


class Entry(msgspec.Struct, frozen=True):
    """A line: its section, how many sections began before that one, key, value, number from 1, and file."""

    section: str
    part: int
    key: str
    value: str
    line: int
    file: ConfigFile

    @property
    def where(self) -> AtPath:
        """The line as evidence."""
        return self.file.at(self.line)


def entries(file: ConfigFile) -> list[Entry]:
    """Return the lines of a file in their order.

    :raises CorruptStructure: a line is none of that form
    """
    found: list[Entry] = []
    section, part = "", 0
    for number, line in file.lines():
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            section, part = line[1:-1].strip(), part + 1
            continue
        key, equals, value = line.partition("=")
        if not equals or not section:
            raise CorruptStructure(f"line {number} is no key and value", where=shown(file.path))
        found.append(Entry(section, part, key.strip(), value.strip(), number, file))
    return found
