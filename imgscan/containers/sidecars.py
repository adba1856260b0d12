"""The files beside the disks (OVF, VMX, Hyper-V, ...): recognised, and asked only for the names of the disks.

They are not read yet; naming their disks is what a user needs to go on. The XML is searched, never parsed: no entity is
expanded and nothing nests, so that the cost is bounded by the bytes read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from imgscan.devices.file import FileDevice
from imgscan.devices.limits import DESCRIPTOR_BYTES
from imgscan.model.text import shown


class Sidecar(msgspec.Struct, frozen=True):
    """What a sidecar is, and the disks it names, in their order, fit to be shown.

    A name is a path with `/` relative to the sidecar, or bare where the sidecar gives one of another host; two of those
    may look the same, and are two files.
    """

    what: str
    names: tuple[str, ...]

    @property
    def disks(self) -> tuple[str, ...]:
        """The disks' bare names, each once."""
        return tuple(dict.fromkeys(name.rpartition("/")[2] for name in self.names))


_DISK_NAME = r"(?i)\.(?:vmdk|a?vhdx?|vhdpmem|vdi|qcow2?|img|raw|vmdk\.gz|hdd)\Z"
_NO_CD_OR_FLOPPY = r"(?i)(?<!\.iso)(?<!\.flp)(?<!\.vfd)\Z"
"""libvirt's disks have any name: the overlay of an external snapshot is called like the snapshot."""


class _Kind(msgspec.Struct, frozen=True):
    """`sign` must be found near the beginning; group 1 of `disk` is a disk's name if `name` is found in it.

    `machine`, found more than once, says that the file describes several machines.
    """

    what: str
    sign: str
    disk: str
    name: str = _DISK_NAME
    machine: str | None = None


_ATTRIBUTE = r"""\s{0,64}=\s{0,64}["']([^"'<>]{1,1024})["']"""
_KINDS: tuple[_Kind, ...] = (
    _Kind(
        "an OVF descriptor",
        r"<(?:\w{1,32}:)?Envelope[\s>]",
        rf"<(?:\w{{1,32}}:)?File\s[^<>]{{0,4096}}?\bhref{_ATTRIBUTE}",
        machine=r"<(?:\w{1,32}:)?VirtualSystem[\s>]",
    ),
    _Kind(
        "a VirtualBox machine file",
        r"<VirtualBox\s",
        rf"<HardDisk\s[^<>]{{0,4096}}?\blocation{_ATTRIBUTE}",
    ),
    _Kind(
        "a libvirt machine file",
        r"<domain\s[^<>]{0,1024}?\btype\s{0,64}=",
        rf"<source\s[^<>]{{0,4096}}?\bfile{_ATTRIBUTE}",
        _NO_CD_OR_FLOPPY,
    ),
    _Kind(
        "a Hyper-V machine file",
        r"<configuration>",
        r"<pathname\s[^<>]{0,256}>([^<>]{1,1024})</pathname>",
    ),
    _Kind(
        "a VMX machine file",
        r'(?im)^[ \t]{0,64}(?:config\.version|virtualHW\.version)\s{0,64}=\s{0,64}"',
        r'(?im)^[ \t]{0,64}\w{1,32}:\w{1,32}\.fileName\s{0,64}=\s{0,64}"([^"\r\n]{1,1024})"',
    ),
    _Kind(
        "a VMware snapshot list (.vmsd)",
        r"(?im)^[ \t]{0,64}snapshot\.(?:lastUID|numSnapshots|current)\s{0,64}=",
        r'(?im)^[ \t]{0,64}\w{1,32}\.\w{1,32}\.fileName\s{0,64}=\s{0,64}"([^"\r\n]{1,1024})"',
    ),
    _Kind(
        "an OVF manifest",
        r"(?m)\A(?:SHA1|SHA256|SHA512)\s?\([^()\r\n]{1,1024}\)\s{0,8}=",
        r"(?m)^(?:SHA1|SHA256|SHA512)\s?\(([^()\r\n]{1,1024})\)",
    ),
)
_VMX_DEVICE_IS_OFF = r'(?im)^[ \t]{0,64}(\w{1,32}:\w{1,32})\.present[ \t]{0,64}=[ \t]{0,64}"FALSE"'
_VMX_FILE = r"(?im)^[ \t]{0,64}(\w{1,32}:\w{1,32})\.fileName\b.*$"
_HYPERV_STORE_MAGIC = b"\x14\x20\x28\x01"
"""The header of Hyper-V's binary configuration (.vmcx, .vmrs): 0x01282014."""
_WINDOWS_DISK_END = r"(?i)\.(?:avhdx|avhd|vhdx|vhdpmem|vhd)(?![\w.])"
_NOT_IN_WINDOWS_NAME = r"[\x00-\x1f<>|\"?*\\/:\ufffd]"
_FROM_A_ROOT = r"/|\[|[^/]*:"
"""`/vmfs/volumes/...`, `[datastore1] web/web.vmdk`, `C:/...`, `file:///...`: a place on the host that wrote it."""
_HEAD_BYTES = 4096
_SIGN_WITHIN = 65536
"""How many bytes into a text its sign is looked for; comments and licences may stand in front."""


def recognise(file: FileDevice) -> Sidecar | None:
    """Return what a sidecar file names, None when it is none. Reads at most `DESCRIPTOR_BYTES`.

    :raises ImageError: the file cannot be read
    """
    head = file.read_at(0, min(file.size, _HEAD_BYTES))
    if head.startswith(_HYPERV_STORE_MAGIC):
        data = file.read_at(0, min(file.size, DESCRIPTOR_BYTES))
        names = (name for start in (0, 1) for name in _windows_disks(data[start:].decode("utf-16-le", "replace")))
        return Sidecar("a Hyper-V machine file (.vmcx or .vmrs)", _disks(names))
    encoding = _encoding(head)
    if encoding is None:
        return None
    beginning = _decoded(file.read_at(0, min(file.size, _SIGN_WITHIN)), encoding)
    for kind in _KINDS:
        if re.search(kind.sign, beginning):
            text = _decoded(file.read_at(0, min(file.size, DESCRIPTOR_BYTES)), encoding)
            if kind.what == "a VMX machine file":
                text = _of_devices_that_are_on(text)
            several = kind.machine is not None and len(re.findall(kind.machine, text)) > 1
            what = f"{kind.what} of several machines" if several else kind.what
            return Sidecar(what, _disks(re.findall(kind.disk, text), kind.name))
    return None


def sidecar_disks(file: FileDevice) -> list[str] | None:
    """Return the bare names of the disks that a sidecar names, None when the file is no sidecar.

    :raises ImageError: the file cannot be read
    """
    sidecar = recognise(file)
    return None if sidecar is None else list(sidecar.disks)


def _encoding(head: bytes) -> str | None:
    """Return the encoding of what may be text; text holds no NUL in its own encoding."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return encoding
    if head.startswith(b"<\0"):
        return "utf-16-le"
    if not head or b"\0" in head or not head.lstrip(b"\xef\xbb\xbf \t\r\n"):
        return None
    return "utf-8"


def _decoded(data: bytes, encoding: str) -> str:
    return data.decode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")


def _windows_disks(text: str) -> Iterator[str]:
    """Yield the bare file names of disks in what may be any data; a name is at most 255 characters."""
    for match in re.finditer(_WINDOWS_DISK_END, text):
        before = text[max(0, match.start() - 255) : match.start()]
        start = max((found.end() for found in re.finditer(_NOT_IN_WINDOWS_NAME, before)), default=0)
        yield before[start:] + match.group()


def _of_devices_that_are_on(text: str) -> str:
    """Return a VMX without the file names of devices that are switched off: those disks are none of the machine's."""
    off = {device.casefold() for device in re.findall(_VMX_DEVICE_IS_OFF, text)}
    if not off:
        return text
    return re.sub(_VMX_FILE, lambda line: "" if line[1].casefold() in off else line[0], text)


def _disks(names: Iterable[str], wanted: str = _DISK_NAME) -> tuple[str, ...]:
    disks: list[str] = []
    for name in dict.fromkeys(_unescaped(name).replace("\\", "/").strip() for name in names):
        bare = name.rpartition("/")[2]
        if bare and re.search(wanted, bare):
            disks.append(shown(bare if re.match(_FROM_A_ROOT, name) else name))
    return tuple(disks)


def _unescaped(text: str) -> str:
    for escape, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(escape, character)
    return text
