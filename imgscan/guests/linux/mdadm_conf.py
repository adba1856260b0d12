"""mdadm.conf: which MD array a guest calls /dev/md0, /dev/md/root, ...

Source: mdadm.conf(5). Debian keeps it in /etc/mdadm, others in /etc.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from imgscan.model.volume import Volume

PATHS: Final = ("/etc/mdadm/mdadm.conf", "/etc/mdadm.conf")
_MOST_LINES: Final = 1024


class ArrayLine(msgspec.Struct, frozen=True):
    """An ARRAY line: the device's name as in /dev, and what tells the array (None: not said)."""

    device: str
    uuid: str | None
    name: str | None
    minor: str | None


def parse_arrays(text: str) -> tuple[ArrayLine, ...]:
    """Return the ARRAY lines; a line that begins with white space goes on with the one before."""
    joined = re.sub(r"\n[ \t]+", " ", "\n".join(line.split("#", 1)[0].rstrip() for line in text.splitlines()))
    found = []
    for line in joined.splitlines()[:_MOST_LINES]:
        words = line.split()
        if len(words) < 2 or words[0].upper() != "ARRAY":
            continue
        device = words[1] if "=" not in words[1] else ""
        if device and not device.startswith(("/dev/", "<")):
            device = f"/dev/md/{device}"
        said = {key.lower(): value for key, equals, value in (word.partition("=") for word in words[1:]) if equals}
        if not device.startswith("<"):  # <ignore>: not to be assembled
            found.append(ArrayLine(device, said.get("uuid"), said.get("name"), said.get("super-minor")))
    return tuple(found)


def array_devices(text: str, volumes: Iterable[Volume]) -> dict[str, str]:
    """Return the volumes' names by the device names that mdadm.conf gives to their arrays, where it names just one."""
    arrays = [volume for volume in volumes if volume.kind == "raid-array"]
    devices: dict[str, str] = {}
    for line in parse_arrays(text):
        named = [volume.name for volume in arrays if _is_meant(line, volume.metadata)]
        if line.device and len(named) == 1:
            devices.setdefault(line.device, named[0])
    return devices


def _is_meant(line: ArrayLine, metadata: dict[str, str]) -> bool:
    """Whether all that a line says of its array is so."""
    told = [
        (line.uuid and _digits(line.uuid), _digits(metadata.get("array_uuid", ""))),
        (line.name, metadata.get("array_name")),
        (line.minor, metadata.get("preferred_minor")),
    ]
    said = [(wanted, found) for wanted, found in told if wanted]
    return bool(said) and all(wanted == found for wanted, found in said)


def _digits(uuid: str) -> str:
    return re.sub(r"[^0-9a-f]", "", uuid.lower())
