"""Which kernel starts by default: the version in the image that the boot menu's default entry names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.errors import ImageError
from imgscan.layouts.linux_kernel import SETUP_BYTES, parse_kernel_image
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread
from imgscan.model.text import shown

_KERNELS: Final = 256
"""Kernels looked at below /boot."""
_IMAGE: Final = "vmlinuz-"
_GRUB_DEVICE: Final = re.compile(r"^\([^)]*\)")


class NamedKernel(NamedTuple):
    """A kernel as a boot menu's entry names it: `path` as it stands there, `evidence` is the line."""

    path: str
    evidence: AtPath


def read_kernel(tree: GuestTree, named: Sequence[NamedKernel]) -> Fact[str | None]:
    """Return the version of the kernel that `named`, the default entries of all menus, start.

    Without any it is that of the only kernel below /boot, None when there is none there. Only the image's set-up header
    is read. Entries that start different kernels leave it open.

    :raises ImageError: /boot cannot be read
    """
    if not named:
        images = _images(tree)
        if len(images) > 1:
            return unread("missing", f"no boot menu chooses one of the {len(images)} kernels in /boot", *_at(images))
        return _version(images[0]) if images else known(None)
    facts = []
    for kernel in named:
        place = _find(tree, kernel.path)
        if place is None:
            detail = f"the default entry starts {shown(kernel.path)}, which is not there"
            return unread("missing", detail, kernel.evidence)
        fact = _version(place, kernel.evidence)
        if not fact.is_known:
            return fact
        facts.append(fact)
    if len({fact.value for fact in facts}) > 1:
        versions = ", ".join(dict.fromkeys(str(fact.value) for fact in facts))
        evidence = (piece for fact in facts for piece in fact.evidence)
        return unread("missing", f"the boot menus start different kernels: {versions}", *evidence)
    return facts[0]


def _find(tree: GuestTree, path: str) -> Location | None:
    """Return the kernel's file; a menu's path is from the top of the volume that /boot is on."""
    name = _GRUB_DEVICE.sub("", path)
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


def _version(place: Location, *named: AtPath) -> Fact[str | None]:
    """Return the version in a kernel image."""
    evidence = (place.evidence(), *named)
    try:
        data = place.filesystem.read(place.entry.node, 0, min(SETUP_BYTES, place.entry.size))
        image = parse_kernel_image(data)
    except ImageError as error:
        return unread(error.why, f"{place.path}: {error}", *evidence)
    return known(shown(image.version), *evidence)
