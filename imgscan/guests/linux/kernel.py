"""Which kernel starts by default: the image that the boot menu's default entry names, and what it says of itself.

Sources: Documentation/arch/x86/boot.rst (set-up header); System V ABI (ELF notes); Xen, public/elfnote.h and the older
``__xen_guest`` section ("GUEST_OS=linux").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import KIB, MIB
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.devices import Devices
from imgscan.layouts.linux_kernel import SETUP_BYTES, parse_kernel_image
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread
from imgscan.model.linux_boot import DefaultKernel, KernelFormat, NamedVolume
from imgscan.model.text import shown

_KERNELS: Final = 256
"""Kernels looked at below /boot."""
_IMAGE: Final = "vmlinuz-"
_GRUB_DEVICE: Final = r"^\([^)]*\)"
_IMAGE_BYTES: Final = 32 * MIB
"""A kernel image that is searched for its version because it has no set-up header."""
_UNPACKED_BYTES: Final = 128 * MIB
_PIECE: Final = 256 * KIB
_BANNER: Final = b"Linux version "
_XEN: Final = (b"GUEST_OS=linux", b"\x04\0\0\0\x06\0\0\0\x06\0\0\0Xen\0linux")
"""The older section, and the note XEN_ELFNOTE_GUEST_OS (6): name size 4, 6 bytes, type 6, name and text."""


class NamedKernel(msgspec.Struct, frozen=True):
    """A kernel as a boot menu's entry names it: `path` as it stands there, `evidence` is the line.

    `initrds` are the files loaded with it, `arguments` the words of its command line.
    """

    path: str
    evidence: AtPath
    initrds: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


def read_default_kernel(
    tree: GuestTree, named: Sequence[NamedKernel], devices: Devices | None = None
) -> Fact[DefaultKernel | None]:
    """Return the kernel that `named`, the default entries of all menus, start.

    Without any it is the only kernel below /boot, None when there is none there. Of an image with a set-up header
    nothing else is read. Entries that start different kernels leave it open. `devices` resolves what root= names.

    :raises ImageError: /boot cannot be read
    """
    if not named:
        images = _images(tree)
        if len(images) > 1:
            return unread("missing", f"no boot menu chooses one of the {len(images)} kernels in /boot", *_at(images))
        return _read(images[0], None, devices) if images else known(None)
    facts: list[Fact[DefaultKernel | None]] = []
    for kernel in named:
        if "${" in kernel.path:
            detail = f"the default entry names its kernel by a variable: {shown(kernel.path)}"
            return unread("unsupported", detail, kernel.evidence)
        place = find_in_boot(tree, kernel.path)
        if place is None:
            lost = _described(DefaultKernel(path=shown(kernel.path), volume=None), kernel, devices)
            facts.append(known(lost, kernel.evidence))
            continue
        fact = _read(place, kernel, devices)
        if not fact.is_known:
            return fact
        facts.append(fact)
    kernels = [fact.get() for fact in facts]
    if len({(each.volume, each.path, each.version) for each in kernels if each is not None}) > 1:
        names = ", ".join(dict.fromkeys(str(each.version or each.path) for each in kernels if each is not None))
        evidence = (piece for fact in facts for piece in fact.evidence)
        return unread("missing", f"the boot menus start different kernels: {names}", *evidence)
    return facts[0]


def version_of(kernel: Fact[DefaultKernel | None]) -> Fact[str | None]:
    """Return the version of the default kernel, as `uname -r` will print it; unread where its file is not there."""
    if not kernel.is_known:
        return kernel.map(lambda _: None)
    found = kernel.get()
    if found is None:
        return known(None, *kernel.evidence)
    if found.volume is None:
        return unread("missing", f"the default entry starts {found.path}, which is not there", *kernel.evidence)
    if found.version is None:
        return unread("unsupported", f"{found.path} is of a form that names no version", *kernel.evidence)
    return known(found.version, *kernel.evidence)


def find_in_boot(tree: GuestTree, path: str) -> Location | None:
    """Return a file of the menu, a kernel or initrd; a menu's path is from the top of the volume that /boot is on.

    :raises ImageError: a folder on the way cannot be read
    """
    name = re.sub(_GRUB_DEVICE, "", path)
    in_boot = f"/boot/{name.rpartition('/')[2]}"
    for candidate in (f"/boot/{name}" if "/boot" in tree.mounts else name, in_boot):
        place = tree.find(candidate)
        if place is not None and place.entry.kind == "file":
            return place
    return None


def _images(tree: GuestTree) -> list[Location]:
    folder = tree.find("/boot")
    if folder is None or folder.entry.kind != "directory":
        return []
    names = sorted(
        entry.name for entry in tree.list("/boot") if entry.name.startswith(_IMAGE) and "rescue" not in entry.name
    )
    places = (tree.find(f"/boot/{name}") for name in names[:_KERNELS])
    return [place for place in places if place is not None and place.entry.kind == "file"]


def _at(places: Sequence[Location]) -> list[AtPath]:
    return [place.evidence() for place in places]


def _read(place: Location, named: NamedKernel | None, devices: Devices | None) -> Fact[DefaultKernel | None]:
    """Return what a kernel image says of itself."""
    evidence = (place.evidence(), *(() if named is None else (named.evidence,)))
    kernel = DefaultKernel(path=shown(place.path), volume=place.filesystem.volume)
    try:
        data = place.filesystem.read(place.entry.node, 0, min(SETUP_BYTES, place.entry.size))
        try:
            image = parse_kernel_image(data)
        except UnsupportedFormat:
            kernel = _without_header(kernel, place, data)
        else:
            kernel = _replaced(kernel, "bzImage", image.version, image.is_64_bit)
    except ImageError as error:
        return unread(error.why, f"{place.path}: {error}", *evidence)
    return known(kernel if named is None else _described(kernel, named, devices), *evidence)


def _replaced(
    kernel: DefaultKernel, format_: KernelFormat, version: str | None, is_64_bit: bool | None, xen: bool | None = None
) -> DefaultKernel:
    return replace(
        kernel,
        format=format_,
        version=None if version is None else shown(version),
        is_64_bit=is_64_bit,
        has_xen_notes=xen,
    )


def _described(kernel: DefaultKernel, named: NamedKernel, devices: Devices | None) -> DefaultKernel:
    return replace(
        kernel,
        initrds=tuple(map(shown, named.initrds)),
        arguments=shown(" ".join(named.arguments)),
        root=_named_volume(named.arguments, "root=", devices),
        resume=_named_volume(named.arguments, "resume=", devices),
        evidence=(named.evidence,),
    )


def _named_volume(arguments: Sequence[str], option: str, devices: Devices | None) -> NamedVolume | None:
    """Return what the last such word of a command line names."""
    words = [word.removeprefix(option).strip("\"'") for word in arguments if word.startswith(option)]
    if not words or not words[-1] or devices is None:
        return None
    source = words[-1].removeprefix("block:")
    found = devices.resolve(source)
    return NamedVolume(
        source=shown(source),
        volume=found.volume,
        candidates=found.candidates,
        is_understood=found.volume is not None or _is_understood(source),
    )


def _is_understood(source: str) -> bool:
    """Whether volumes of the machine can answer to a name."""
    if source.startswith(("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=")):
        return "/PARTNROFF=" not in source
    # names after the hardware are not told by the disks; nor are numbers of device-mapper's, memory and the network
    unknown = ("/dev/disk/by-id/", "/dev/disk/by-path/", "/dev/dm-", "/dev/ram", "/dev/nfs", "/dev/mapper/mpath")
    return source.startswith("/dev/") and not source.startswith(unknown)


def _without_header(kernel: DefaultKernel, place: Location, head: bytes) -> DefaultKernel:
    """Return what an image says that has no set-up header: ELF, plain or compressed (Xen, other architectures).

    :raises UnsupportedFormat: it is none of these
    """
    if head[:2] == b"MZ":
        return _replaced(kernel, "pe", _version_in(place.entry.name), None)
    if head[:4] == b"\x7fELF":
        format_: KernelFormat = "elf"
    elif head[:2] == b"\x1f\x8b":
        format_ = "compressed-elf"
    else:
        raise UnsupportedFormat("it has no header of a Linux kernel image")
    version: str | None = None
    is_64_bit: bool | None = None
    has_xen = False
    before = b""
    is_first = True
    for piece in _pieces(place, is_compressed=format_ == "compressed-elf"):
        data = before + piece
        if is_first:
            if data[:4] != b"\x7fELF":
                raise UnsupportedFormat("it is compressed, and no ELF program is inside")
            is_64_bit, is_first = data[4:5] == b"\x02", False
        at = data.find(_BANNER) if version is None else -1
        if at >= 0 and at + 128 <= len(data):
            word = data[at + len(_BANNER) : at + 128].split(b" ", 1)[0]
            version = word.decode("ascii", "replace") if word[:1].isdigit() else None
        has_xen = has_xen or any(mark in data for mark in _XEN)
        before = data[-128:]
    if is_first:
        raise CorruptStructure("the kernel image is empty")
    return _replaced(kernel, format_, version or _version_in(place.entry.name), is_64_bit, has_xen)


def _version_in(name: str) -> str | None:
    """Return the version in a kernel's file name."""
    stem, dash, version = name.partition("-")
    return version.removesuffix(".gz") if dash and stem in {"vmlinuz", "vmlinux", "Image"} else None


def _pieces(place: Location, *, is_compressed: bool) -> Iterator[bytes]:
    """Yield a kernel image's content, unpacked."""
    import zlib  # noqa: PLC0415 - few kernels need it

    if place.entry.size > _IMAGE_BYTES:
        raise LimitExceeded(f"the kernel image is {place.entry.size} bytes large", where=place.filesystem.volume)
    unpacked = 0
    inflate = zlib.decompressobj(31)
    for offset in range(0, place.entry.size, _PIECE):
        data = place.filesystem.read(place.entry.node, offset, _PIECE)
        if not is_compressed:
            yield data
            continue
        while data and not inflate.eof:
            try:
                piece = inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise CorruptStructure(f"the kernel image cannot be unpacked: {error}") from error
            data = inflate.unconsumed_tail
            unpacked += len(piece)
            if unpacked > _UNPACKED_BYTES:
                raise LimitExceeded(f"the kernel image has more than {_UNPACKED_BYTES} bytes unpacked")
            yield piece
    if is_compressed and not inflate.eof:
        raise CorruptStructure("the compressed kernel image is cut off")
