"""menu.lst or grub.conf: the menu of GRUB legacy. Source: GNU GRUB 0.97 manual, "Configuration"."""

from __future__ import annotations

import re

from imgscan.errors import LimitExceeded
from imgscan.guests.linux.boot_entry import ENTRIES, BootConfiguration, BootEntry, Command, seconds


def parse_grub_legacy(text: str, path: str, saved: str | None) -> BootConfiguration:
    """Parse a menu that lies at `path`; `saved` is what the file `default` beside it holds.

    :raises LimitExceeded: the menu has more entries than `ENTRIES`
    """
    configuration = BootConfiguration()
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        words = tuple(re.split(r"[ \t=]+" if not configuration.entries else r"[ \t]+", line))
        name = words[0].lower()
        if name == "title":
            if len(configuration.entries) >= ENTRIES:
                raise LimitExceeded(f"the menu has more than {ENTRIES} entries", where=path)
            configuration.entries.append(BootEntry(line[5:].strip(), number, path))
        elif configuration.entries:
            configuration.entries[-1].commands.append(Command((name, *words[1:]), number))
        elif name == "default" and len(words) > 1:
            # without a file `default` GRUB legacy starts the first entry, as it does without this line
            configuration.default = (saved or "0") if words[1] == "saved" else words[1]
        elif name == "fallback" and len(words) > 1:
            configuration.fallback = " ".join(words[1:])
        elif name == "timeout" and len(words) > 1:
            configuration.timeout = seconds(words[1])
    return configuration
