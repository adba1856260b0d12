r"""Boot menus up to Windows Server 2003: `boot.ini`, which NTLDR reads.

Source: Microsoft, "Boot options in a Boot.ini file", and KB102873 "BOOT.INI and ARC path naming conventions".
"""

from __future__ import annotations

import re
from typing import Final

from imgscan.devices.guest_tree import Location, read_file
from imgscan.devices.limits import BOOT_ENTRIES, BOOT_INI_BYTES
from imgscan.errors import LimitExceeded
from imgscan.guests.windows.boot_entry import BootEntry, EntryMeaning, guest_directory
from imgscan.guests.windows.boot_options import options_of_boot_ini
from imgscan.guests.windows.partitions import PartitionName, Partitions
from imgscan.model.fact import known
from imgscan.model.text import shown

_ENTRY: Final = re.compile(r'\s*(?P<path>[^="]+?)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<plain>[^/"]*))(?P<options>.*)')
_ARC: Final = re.compile(
    r"(?:(?P<adapter>multi|scsi)\(\d*\)|signature\((?P<signature>[0-9a-f]{1,8})\))"
    r"disk\(\d{0,4}\)rdisk\((?P<disk>\d{0,4})\)partition\((?P<partition>\d{1,4})\)(?P<directory>.*)",
    re.IGNORECASE,
)
_LETTER: Final = re.compile(r"[a-z]:(?P<file>\\.*)?", re.IGNORECASE)


def read_boot_ini(place: Location, partitions: Partitions) -> tuple[BootEntry, ...]:
    """Return the entries of a boot.ini in their order; lines that are none are passed over, as NTLDR does.

    :raises ImageError: it cannot be read
    """
    text = read_file(place, BOOT_INI_BYTES).split(b"\x1a")[0].decode("cp437")
    section = ""
    default = ""
    timeout: str | None = None
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line_text = line.strip()
        if line_text.startswith("["):
            section = line_text.lower()
        elif section == "[boot loader]" and line_text.lower().partition("=")[0].strip() == "default":
            default = line_text.partition("=")[2].strip().lower()
        elif section == "[boot loader]" and line_text.lower().partition("=")[0].strip() == "timeout":
            timeout = line_text.partition("=")[2]
        elif section == "[operating systems]" and line_text and not line_text.startswith(";"):
            lines.append((number, line_text))
    if len(lines) > BOOT_ENTRIES:
        raise LimitExceeded(f"boot.ini has more than {BOOT_ENTRIES} entries", where=place.filesystem.volume)
    found = [entry for number, line in lines if (entry := _entry(place, number, line, timeout, partitions)) is not None]
    chosen = next((i for i, (path, _) in enumerate(found) if path.rstrip("\\") == default.rstrip("\\")), 0)
    return tuple(
        BootEntry(
            title=entry.title,
            meaning=entry.meaning,
            target=entry.target,
            device=entry.device,
            root=entry.root,
            directory=entry.directory,
            default=index == chosen,
            options=entry.options,
            evidence=entry.evidence,
        )
        for index, (_, entry) in enumerate(found)
    )


def _entry(
    place: Location, number: int, line: str, timeout: str | None, partitions: Partitions
) -> tuple[str, BootEntry] | None:
    parts = _ENTRY.fullmatch(line)
    if parts is None:
        return None
    path, options = parts["path"], parts["options"].lower()
    title = (parts["quoted"] if parts["quoted"] is not None else parts["plain"]).strip()
    volume = place.filesystem.volume
    root: PartitionName | None = None
    directory: str | None = None
    meaning: EntryMeaning = "unknown"
    arc = _ARC.fullmatch(path)
    letter = _LETTER.fullmatch(path)
    if arc is not None:
        meaning = "windows"
        root = PartitionName(path[: arc.start("directory")].lower(), _volume(arc, volume, partitions))
        directory = guest_directory(arc["directory"])
    elif letter is not None:
        # C:\ alone starts the boot sector that NTLDR replaced (bootsect.dos); else the file is a boot sector
        is_sector_of_dos = (letter["file"] or "\\") == "\\"
        meaning = "other-system" if is_sector_of_dos else "chainload"
    if "/cmdcons" in options or "\\cmdcons\\" in path.lower():
        meaning = "recovery"
    evidence = (place.evidence(number),)
    return path.lower(), BootEntry(
        title=shown(title) or shown(path),
        meaning=meaning,
        target=shown(path),
        root=root,
        directory=directory,
        options=known(options_of_boot_ini(options, timeout), *evidence) if meaning == "windows" else None,
        evidence=evidence,
    )


def _volume(arc: re.Match[str], volume: str, partitions: Partitions) -> str | None:
    number = int(arc["partition"])
    if arc["signature"] is not None:
        return partitions.by_signature(int(arc["signature"], 16), number)
    if arc["adapter"].lower() == "multi":  # the BIOS numbers the disks
        return partitions.by_arc(partitions.disk_of(volume), int(arc["disk"] or 0), number)
    # scsi() names the disk by its address on the bus, which an image does not tell
    return partitions.by_arc(partitions.disk_of(volume), 0, number) if partitions.disk_count == 1 else None
