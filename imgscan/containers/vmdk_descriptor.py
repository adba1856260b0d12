"""The text descriptor of a VMDK: what kind of disk it is, its extents, its parent.

Source: VMware Virtual Disk Format 1.1, "The Descriptor File".
"""

from __future__ import annotations

import codecs
import re

import msgspec

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
SNAPSHOT_TYPES = frozenset({"vmfssparse", "sesparse"})
# No pattern here may take more than linear time: a descriptor can be a megabyte of anything.
_ENCODING = re.compile(
    rb'(?:^|[\r\n])[ \t]{0,64}encoding[ \t]{0,64}=[ \t]{0,64}"?([A-Za-z0-9_\-]{1,40})', re.IGNORECASE
)
_ACCESS = re.compile(r"(RW|RDONLY|NOACCESS)\s", re.IGNORECASE)
_EXTENT = re.compile(
    r'(RW|RDONLY|NOACCESS)\s+(\d{1,20})\s+([A-Za-z0-9]+)(?:\s+"([^"]*)"(?:\s+(\d{1,20}))?)?',
    re.IGNORECASE | re.ASCII,
)
_LINE = re.compile(rb"[\r\n]")
_KEY = re.compile(r"[A-Za-z0-9_.:\-]+", re.ASCII)
_LETTERS = bytes(range(0x20, 0x5C)) + bytes(range(0x5D, 0x7E))
"""What a descriptor's encoding must leave as it is; Shift_JIS is free to differ in backslash and tilde."""
CODECS = (
    *("utf_8", "utf_16", "ascii", "latin_1", "koi8_r", "koi8_u", "mac_roman", "cp437", "cp850", "cp852", "cp866"),
    *(f"iso8859_{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16)),
    *("cp874", *(f"cp{page}" for page in range(1250, 1259))),
    *("cp932", "cp949", "cp950", "shift_jis", "euc_jp", "euc_kr", "big5", "big5hkscs", "gb2312", "gbk", "gb18030"),
)
"""Python's codecs of the encodings that a descriptor may name: those of the hosts that VMware runs on."""


class Extent(msgspec.Struct, frozen=True):
    """A line of the extent section: `sectors` long, `offset` (sectors) within the file for flat extents.

    `other_name` is the file's name in the other reading of its bytes, for images that were renamed on the way.
    """

    access: str
    sectors: int
    type: str
    name: str
    offset: int = 0
    other_name: str = ""


class Descriptor(msgspec.Struct, frozen=True):
    """`settings` by key in lower case, first one wins; `extents` in the order of the disk.

    `unknown_encoding` is the encoding that it names, where that is none of `CODECS`: it was read as UTF-8 then.
    """

    settings: dict[str, str]
    extents: tuple[Extent, ...]
    unknown_encoding: str = ""

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
        for key, value in self.settings.items():
            bare = key.removeprefix("ddb.")
            if bare.startswith(("encryption", "keysafe")) and value.lower() not in {"", "none", "no", "false"}:
                return key
            if value.startswith("vmware:key/") or ("filters" in bare and "vmcrypt" in value.lower()):
                return key
        return None

    @property
    def snapshot_format(self) -> str | None:
        """The sparse format of ESX that it is in, which only snapshots and linked clones use; None when in another."""
        if self.create_type.lower() in SNAPSHOT_TYPES:
            return self.create_type
        return next((extent.type for extent in self.extents if extent.type in {"VMFSSPARSE", "SESPARSE"}), None)

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
    data = data.split(b"\0", 1)[0].removeprefix(codecs.BOM_UTF8)
    named = _ENCODING.search(data)
    encoding = "" if named is None else named.group(1).decode("ascii")
    codec = _codec(encoding) if encoding else None
    settings: dict[str, str] = {}
    extents: list[Extent] = []
    for number, raw in enumerate(_LINE.split(data.replace(b"\r\n", b"\n"))):
        line = _decode(raw, codec).strip()
        if not line or line.startswith("#"):
            continue
        if _ACCESS.match(line):
            found = _EXTENT.match(line)
            if found is None:
                raise CorruptStructure(f"line {number + 1} of the descriptor is no extent: {line[:80]!r}", where=where)
            if len(extents) >= EXTENTS:
                raise LimitExceeded(f"the descriptor has more than {EXTENTS} extents", where=where)
            extents.append(_extent(found, _EXTENT.match(_decode(raw, None).strip())))
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip()
        if equals and _KEY.fullmatch(key):
            settings.setdefault(key.lower(), _unquoted(value.strip()))
    return Descriptor(settings, tuple(extents), encoding if encoding and codec is None else "")


def _extent(found: re.Match[str], plain: re.Match[str] | None) -> Extent:
    access, sectors, kind, name, offset = found.groups(default="")
    other = plain.group(4) or "" if plain is not None else ""
    return Extent(
        access.upper(), int(sectors), kind.upper(), name, int(offset or 0), other_name=other if other != name else ""
    )


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _codec(encoding: str) -> codecs.CodecInfo | None:
    """Return the codec of the encoding that the descriptor names; None when it is none of `CODECS`."""
    name = re.sub(r"^windows-(\d+)$", r"cp\1", encoding, flags=re.IGNORECASE)
    name = "cp932" if name.lower() == "windows-31j" else name
    try:
        codec = codecs.lookup(name)
        if codec.name.replace("-", "_") in CODECS and codec.decode(_LETTERS)[0] == _LETTERS.decode("ascii"):
            return codec
    except (LookupError, UnicodeError):
        pass
    return None


def _decode(line: bytes, codec: codecs.CodecInfo | None) -> str:
    """Decode a line; one that does not fit its encoding is read as UTF-8, and keeps its bytes."""
    if codec is not None:
        try:
            return codec.decode(line)[0]
        except UnicodeError:
            pass
    return line.decode("utf-8", "surrogateescape")


def _identifier(text: str) -> str:
    try:
        return f"{int(text, 16) & 0xFFFFFFFF:08x}"
    except ValueError:
        return ""


def is_bare(name: str) -> bool:
    """Whether a name is one of a file in the descriptor's own folder."""
    return "/" not in name and "\\" not in name and name not in {"", ".", ".."}


def _is_device(extent: Extent) -> bool:
    """Whether a flat extent names a device of the host."""
    name = extent.name.replace("\\", "/").lower()
    return name.startswith(("/dev/", "//./", "//?/", "/vmfs/devices/"))
