"""The text descriptor of a VMDK: what kind of disk it is, its extents, its parent.

Source: VMware Virtual Disk Format 1.1, "The Descriptor File".
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from imgscan.devices.limits import EXTENTS
from imgscan.errors import CorruptStructure, LimitExceeded

NO_PARENT = "ffffffff"
SPARSE_TYPES = frozenset({"SPARSE", "VMFSSPARSE", "SESPARSE"})
FLAT_TYPES = frozenset({"FLAT", "VMFS"})
RAW_EXTENTS = frozenset({"VMFSRDM", "VMFSRAW"})
RAW_DISKS = frozenset(
    {
        "vmfsrdm",
        "vmfsrdmp",
        "vmfsrawdevicemap",
        "vmfspassthroughrawdevicemap",
        "vmfsraw",
        "fulldevice",
        "partitioneddevice",
    }
)
"""Values of createType, in lower case, of disks whose data lies on a device of the host."""
_ENCODING = re.compile(rb'^\s*encoding\s*=\s*"?([A-Za-z0-9_\-]{1,40})"?\s*$', re.IGNORECASE | re.MULTILINE)
_EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS)\s+(\d{1,20})\s+([A-Za-z0-9]+)(?:\s+"([^"]*)"(?:\s+(\d{1,20}))?)?')
_SETTING = re.compile(r'^([A-Za-z0-9_.:\-]+)\s*=\s*(?:"(.*)"|(.*?))\s*$')
_TEXT_CODECS = re.compile(r"utf|ascii|latin|iso8859|cp\d|gb|big5|shift|euc|koi8|mac", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Extent:
    """A line of the extent section: `sectors` long, `offset` (sectors) within the file for flat extents.

    `other_name` is the file's name in the other reading of its bytes, for images that were renamed on the way.
    """

    access: str
    sectors: int
    type: str
    name: str
    offset: int = 0
    other_name: str = ""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """`settings` by key in lower case, first one wins; `extents` in the order of the disk."""

    settings: dict[str, str]
    extents: tuple[Extent, ...]

    @property
    def create_type(self) -> str:
        """What the disk calls itself, empty when it does not say."""
        return self.settings.get("createtype", "")

    @property
    def cid(self) -> str:
        """The content identifier, as eight lower-case hexadecimal digits; empty when there is none."""
        return _identifier(self.settings.get("cid", ""))

    @property
    def parent_cid(self) -> str:
        """The parent's content identifier, empty when there is no parent."""
        found = _identifier(self.settings.get("parentcid", ""))
        return "" if found == NO_PARENT else found

    @property
    def encryption(self) -> str | None:
        """The key of the line that says the disk is encrypted, None when none does."""
        return next((key for key in self.settings if key.startswith("encryption.") or key == "keysafe"), None)

    @property
    def raw_device(self) -> str | None:
        """What maps a device of the host into the disk, None when nothing does."""
        if self.create_type.lower() in RAW_DISKS:
            return self.create_type
        raw = next((extent.type for extent in self.extents if extent.type in RAW_EXTENTS), None)
        device = next((extent.name for extent in self.extents if _is_device(extent)), None)
        return raw or device


def parse_descriptor(data: bytes, where: str) -> Descriptor:
    """Read a descriptor; NUL bytes and what follows them are padding.

    :raises CorruptStructure: an extent line cannot be understood
    :raises LimitExceeded: more extents than `EXTENTS`
    """
    data = data.split(b"\0", 1)[0]
    text = _decode(data)
    plain = data.decode("utf-8", "surrogateescape").splitlines()
    settings: dict[str, str] = {}
    extents: list[Extent] = []
    lines = text.splitlines()
    for number, line in enumerate(map(str.strip, lines)):
        if not line or line.startswith("#"):
            continue
        if re.match(r"(RW|RDONLY|NOACCESS)\s", line):
            found = _EXTENT.match(line)
            if found is None:
                raise CorruptStructure(f"line {number + 1} of the descriptor is no extent: {line[:80]!r}", where=where)
            if len(extents) >= EXTENTS:
                raise LimitExceeded(f"the descriptor has more than {EXTENTS} extents", where=where)
            access, sectors, kind, name, offset = found.groups()
            other = _EXTENT.match(plain[number].strip()) if len(plain) == len(lines) else None
            other_name = (other.group(4) or "") if other is not None else ""
            extents.append(
                Extent(
                    access,
                    int(sectors),
                    kind.upper(),
                    name or "",
                    int(offset or 0),
                    other_name if other_name != (name or "") else "",
                )
            )
            continue
        setting = _SETTING.match(line)
        if setting is not None:
            key, quoted, bare = setting.groups()
            settings.setdefault(key.lower(), quoted if quoted is not None else bare)
    return Descriptor(settings, tuple(extents))


def _decode(data: bytes) -> str:
    """Decode by the descriptor's own encoding line; what does not fit it keeps its bytes."""
    named = _ENCODING.search(data)
    if named is not None:
        name = named.group(1).decode("ascii")
        name = re.sub(r"^windows-(\d+)$", r"cp\1", name, flags=re.IGNORECASE)
        try:
            codec = codecs.lookup(name)
            if _TEXT_CODECS.match(codec.name):
                return codec.decode(data)[0]
        except (LookupError, UnicodeError):
            pass
    return data.decode("utf-8", "surrogateescape")


def _identifier(text: str) -> str:
    try:
        return f"{int(text, 16) & 0xFFFFFFFF:08x}"
    except ValueError:
        return ""


def _is_device(extent: Extent) -> bool:
    """Whether a flat extent names a device of the host."""
    name = extent.name.replace("\\", "/").lower()
    return name.startswith(("/dev/", "//./physicaldrive", "//?/physicaldrive", "/vmfs/devices/"))
