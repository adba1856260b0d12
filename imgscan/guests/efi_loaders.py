r"""EFI executables on an EFI system partition, and what each is.

Told by content: the `.sbat` section (component names), the sections of a unified kernel image, systemd's
`.sdmagic`, the version resource of Windows, and words that only one program has. A file's name only decides
between programs of one family.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgscan.devices.filesystem import Entry, FileSystem
from imgscan.devices.limits import EFI_DEPTH, EFI_ENTRIES, EFI_LOADERS, KIB
from imgscan.errors import ImageError
from imgscan.layouts.pe import HEAD_BYTES, PeHeaders, parse_pe, version_resource
from imgscan.model.boot import Loader
from imgscan.model.text import shown

_FALLBACKS = {
    "bootx64.efi": "x86_64",
    "bootia32.efi": "x86",
    "bootaa64.efi": "aarch64",
    "bootarm.efi": "arm",
    "bootriscv64.efi": "riscv64",
    "bootloongarch64.efi": "loongarch64",
    "bootia64.efi": "ia64",
}
"""What firmware starts from \\EFI\\BOOT without a boot entry (UEFI specification 3.5.1.1)."""
_SECTION_BYTES = 4 * KIB
_DATA_BYTES = 64 * KIB
_SUBSYSTEM_APPLICATION = 10

_WORDS: tuple[tuple[str, str], ...] = (
    ("Perform MOK management", "mok-manager"),
    ("MOK management", "mok-manager"),
    ("Creating boot entry", "fallback"),
    ("rEFInd", "refind"),
    ("Limine", "limine"),
    ("Memtest86", "memtest"),
    ("LoaderInfo: systemd-boot", "systemd-boot"),
)
"""Words of programs that bear no other mark, most telling first."""
_WINDOWS = ("bootmgr.exe", "bootmgfw", "Boot Manager")
"""What the version resource of Windows' bootmgfw.efi says of its name."""


def find_loaders(filesystem: FileSystem) -> list[Loader]:
    r"""Return the EFI executables below \EFI, in the order of their paths.

    A file that cannot be read is listed with machine None. Folders that cannot be read are left out only when
    others can be.

    :raises ImageError: the root or the EFI folder cannot be read
    """
    top = filesystem.lookup(filesystem.root, "EFI")
    if top is None or top.kind != "directory":
        return []
    found = [
        _loader(filesystem, path, entry) for path, entry in _executables(filesystem, top.node, f"/{top.name or 'EFI'}")
    ]
    return sorted(found, key=lambda loader: loader.path)


def _executables(filesystem: FileSystem, directory: int, path: str) -> Iterator[tuple[str, Entry]]:
    """Yield the paths that end in .efi, folder by folder, within the limits."""
    todo, entries, loaders = [(directory, path, 1)], 0, 0
    first = True
    while todo:
        node, folder, depth = todo.pop(0)
        try:
            names = list(_first(filesystem.list(node), EFI_ENTRIES - entries))
        except ImageError:
            if first:
                raise
            continue
        first = False
        entries += len(names)
        for entry in names:
            if entry.kind == "directory" and depth < EFI_DEPTH:
                todo.append((entry.node, f"{folder}/{entry.name}", depth + 1))
            elif entry.kind == "file" and entry.name.lower().endswith(".efi"):
                loaders += 1
                if loaders > EFI_LOADERS:
                    return
                yield f"{folder}/{entry.name}", entry


def _first(entries: Iterator[Entry], most: int) -> Iterator[Entry]:
    for index, entry in enumerate(entries):
        if index >= most:
            return
        yield entry


def _loader(filesystem: FileSystem, path: str, entry: Entry) -> Loader:
    folder, _, name = path.lower().rpartition("/")
    try:
        pe = parse_pe(filesystem.read(entry.node, 0, HEAD_BYTES))
        what = "unknown" if pe is None else _what(filesystem, entry, pe, name)
    except ImageError:
        pe, what = None, "unknown"
    if pe is not None and what == "unknown" and (folder, name) == ("/efi/microsoft/boot", "bootmgfw.efi"):
        what = "windows-boot-manager"
    machine = None if pe is None else pe.machine
    fallback = folder == "/efi/boot" and machine is not None and _FALLBACKS.get(name) == machine
    return Loader(volume=filesystem.volume, path=shown(path), machine=machine, what=what, fallback=fallback)


def _what(filesystem: FileSystem, entry: Entry, pe: PeHeaders, name: str) -> str:
    if pe.subsystem != _SUBSYSTEM_APPLICATION:
        return "driver" if pe.subsystem in {11, 12} else "unknown"
    sections = {section.name: section for section in pe.sections}
    if ".linux" in sections:
        return "unified-kernel-image"

    def content(section: str, most: int = _SECTION_BYTES) -> bytes:
        place = sections.get(section)
        return b"" if place is None else filesystem.read(entry.node, place.offset, min(place.size, most))

    magic = content(".sdmagic")
    if b"systemd-boot" in magic:
        return "systemd-boot"
    if b"systemd-stub" in magic:
        return "systemd-stub"
    if filesystem.read(entry.node, 0x202, 4) == b"HdrS" and b"memtest" not in content(".sbat").lower():
        return "linux-kernel"
    components = {line.split(",", 1)[0] for line in content(".sbat").decode("utf-8", "replace").splitlines()}
    if "grub" in components or "mods" in sections:
        return "grub2"
    if "shim" in components or ".vendor_cert" in sections:
        return _shim(filesystem, entry, pe, name)
    for component, what in (
        ("systemd-boot", "systemd-boot"),
        ("refind", "refind"),
        ("limine", "limine"),
        ("memtest86+", "memtest"),
    ):
        if component in components:
            return what
    return _by_words(filesystem, entry, pe)


def _shim(filesystem: FileSystem, entry: Entry, pe: PeHeaders, name: str) -> str:
    """Tell shim from its two helpers, which carry the same SBAT entry: only shim has a vendor's certificate."""
    names = {section.name for section in pe.sections}
    if pe.strings:
        table = filesystem.read(entry.node, pe.strings, _SECTION_BYTES)
        numbers = (int(name[1:]) for name in names if name[:1] == "/" and name.isascii() and name[1:].isdigit())
        names |= {table[at : at + 32].split(b"\0", 1)[0].decode("latin-1") for at in numbers}
    if ".vendor_cert" in names:
        return "shim"
    word = _by_words(filesystem, entry, pe)
    if word in {"mok-manager", "fallback"}:
        return word
    return "mok-manager" if name.startswith("mm") else "fallback" if name.startswith("fb") else "shim"


def _by_words(filesystem: FileSystem, entry: Entry, pe: PeHeaders) -> str:
    """Look for Windows' names in the version resource, and for telling words at the start of the data."""
    version = version_resource(pe, lambda offset, length: filesystem.read(entry.node, offset, length))
    if any(word.encode("utf-16-le") in version for word in _WINDOWS):
        return "windows-boot-manager"
    for section in pe.sections:
        if section.name not in {".data", ".rdata", ".rodata"}:
            continue
        data = filesystem.read(entry.node, section.offset, min(section.size, _DATA_BYTES))
        for word, what in _WORDS:
            if word.encode("utf-16-le") in data or word.encode() in data:
                return what
    return "unknown"
