"""Which subvolumes of a Btrfs are the roots of installed systems, and which are their snapshots or containers.

A distribution puts its root into a subvolume (`@`, `root`, `@rootfs`, `@/.snapshots/1/snapshot`) and names it in three
places: as the default subvolume, in its own fstab's line for /, and in rootflags= of the kernel's command line. A
snapshot of it carries the fstab of its origin and so does not name itself; a container's root names nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from imgscan.devices.filesystem import FileSystem, Subvolume, SubvolumeFileSystem
from imgscan.devices.guest_tree import GuestTree, decode, read_file
from imgscan.devices.limits import KIB
from imgscan.devices.subvolumes import PREFIX, is_named, subtree, subvolume_option
from imgscan.errors import ImageError
from imgscan.guests.linux.fstab import parse_fstab

TOP_LEVEL: Final = 5
"""The number of the top level of a Btrfs."""
SEARCHED: Final = 64
"""Subvolumes that are looked into for a root, those with the shortest paths first."""
_FSTAB_BYTES: Final = 1024 * KIB
_CONFIGURATION_BYTES: Final = 512 * KIB
_CONFIGURATIONS: Final = ("grub/grub.cfg", "grub2/grub.cfg", "grub/menu.lst", "grub/grub.conf")
_ENTRY_FOLDER: Final = "loader/entries"
_ENTRIES: Final = 64
_ROOT_FLAGS: Final = re.compile(r"(?:^|\s)rootflags=[\"']?([^\s\"']+)")


class Root(msgspec.Struct, frozen=True):
    """A root of a Linux: `path` is where it lies on its volume (`/`, `/subvol:@`), `tree` shows its files."""

    path: str
    tree: GuestTree


class _Candidate(msgspec.Struct, frozen=True):
    """A root with the subvolume that its own fstab mounts as / (None: it names none)."""

    root: Root
    subvolume: Subvolume
    named: str | int | None


def find_roots(
    filesystem: SubvolumeFileSystem,
    others: Mapping[str, FileSystem],
    is_root: Callable[[GuestTree], bool],
) -> tuple[list[Root], bool]:
    """Return the roots of installed systems, and whether all subvolumes that could be one were looked into.

    `others` are all filesystems of the machine: a /boot of its own has the command line. `is_root` tells an installed
    Linux by its files.

    :raises ImageError: a subvolume cannot be read
    """
    possible = _possible(filesystem)
    candidates: list[_Candidate] = []
    for root, subvolume in possible[:SEARCHED]:
        if is_root(root.tree):
            candidates.append(_Candidate(root, subvolume, _named_by_fstab(root.tree)))
    chosen = _choose(candidates, filesystem, others) if len(candidates) > 1 else candidates
    return [candidate.root for candidate in chosen], len(possible) <= SEARCHED


def _possible(filesystem: SubvolumeFileSystem) -> list[tuple[Root, Subvolume]]:
    """Return the default subvolume, then those that lie in the top level: what lies in a root is part of it."""
    found: list[tuple[Root, Subvolume]] = []
    for subvolume in filesystem.subvolumes():
        if subvolume.id == filesystem.default_subvolume:
            found.append((Root("/", GuestTree({"/": filesystem})), subvolume))
        elif subvolume.parent in {None, TOP_LEVEL}:
            path = f"{PREFIX}{subvolume.path}"
            found.append((Root(path, GuestTree({"/": subtree(filesystem, subvolume)})), subvolume))
    return sorted(found, key=lambda each: (each[0].path != "/", each[1].path.count("/"), each[1].id))


def _choose(
    candidates: list[_Candidate], filesystem: SubvolumeFileSystem, others: Mapping[str, FileSystem]
) -> list[_Candidate]:
    """Return those of several roots that are started."""
    chosen = [each for each in candidates if each.named is not None and is_named(each.subvolume, each.named)]
    default = next((each for each in candidates if each.root.path == "/"), None)
    if default is not None and default.named is None:
        chosen = [default, *(each for each in chosen if each is not default)]
    if len(chosen) != 1 or default in chosen:  # the command line has the last word, and costs reading
        flags = _root_flags(candidates, filesystem, others)
        started = [each for each in candidates if any(is_named(each.subvolume, named) for named in flags)]
        if started and default is not None and default.named is None:
            chosen = [each for each in chosen if each is not default or each in started]
        chosen += [each for each in started if each not in chosen and not each.subvolume.is_read_only]
    return [each for each in candidates if each in chosen] or candidates[:1]


def _named_by_fstab(tree: GuestTree) -> str | int | None:
    """Return the subvolume that a root's own fstab mounts as /."""
    place = tree.find("/etc/fstab")
    if place is None or place.entry.kind != "file":
        return None
    try:
        entries = parse_fstab(decode(read_file(place, _FSTAB_BYTES)))
    except ImageError:  # it names nothing that could be followed; reading the mounts will say why
        return None
    options = [entry.options for entry in entries if entry.point == "/"]
    return subvolume_option(options[-1]) if options else None


def _root_flags(
    candidates: list[_Candidate], filesystem: SubvolumeFileSystem, others: Mapping[str, FileSystem]
) -> list[str | int]:
    """Return the subvolumes that kernels' command lines name."""
    places = [(candidate.root.tree, "/boot") for candidate in candidates]
    places += [(GuestTree({"/": other}), "") for other in others.values() if other is not filesystem]
    found: list[str | int | None] = []
    for tree, folder in places:
        for text in _command_lines(tree, folder):
            found += [subvolume_option(match[1]) for match in _ROOT_FLAGS.finditer(text)]
    return [named for named in dict.fromkeys(found) if named is not None]


def _command_lines(tree: GuestTree, folder: str) -> list[str]:
    """Return the texts that hold command lines of kernels; what cannot be read names nothing."""
    texts: list[str] = []
    try:
        names = [f"{folder}/{name}" for name in _CONFIGURATIONS]
        entries = f"{folder}/{_ENTRY_FOLDER}"
        if tree.exists(entries):
            names += [f"{entries}/{entry.name}" for entry in tree.list(entries)][:_ENTRIES]
        for name in names:
            place = tree.find(name)
            if place is not None and place.entry.kind == "file":
                texts.append(decode(read_file(place, _CONFIGURATION_BYTES)))
    except ImageError:
        return texts
    return texts
