"""Which images lie below which: extents and parents belong to the disk on top of them.

What an image says of other files is looked up as the host-file policy does it (`imgscan.devices.host_files`): extents
are bare names of its own folder, parents are looked up there by their last component. A name that differs in capitals
is taken when no file has the very name, since that is what it means on the system it comes from; so is the shown form
of a name that is not valid text.

An image can claim anything. A claim holds only when the other file can be what it is said to be: an extent is raw data
or a part of a VMDK, a parent is an image of the same format (of any, below a qcow2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from imgscan.batch.names import (
    GENERAL_SUFFIXES,
    IMAGE_SUFFIXES,
    image_suffix,
    natural_path_key,
    split,
    suffix_of,
)
from imgscan.batch.share import FoundFile, Identified
from imgscan.devices.limits import CHAIN_DEPTH, KIB
from imgscan.errors import Why
from imgscan.model.text import shown

EMPTY = Identified(why="truncated", detail="the file is empty")
NOT_ASKED = Identified(why="not-collected", detail="its content was not looked at")
UNTOLD: frozenset[Why] = frozenset(
    {"io-error", "denied", "missing", "changed", "limit", "timed-out", "crashed", "internal", "not-collected"}
)
"""Reasons for which nobody knows what a file is."""
TEXT_DESCRIPTOR_BYTES = 64 * KIB
"""A VMDK below this size is a text descriptor: the tables of the smallest sparse disk take as much."""
SHARED_FILES = 1_000_000
"""Paths that machines list in all of what lies below a shared parent; beyond, the shared parent alone is listed."""
_COMPANION = re.compile(r"(.+)-(flat|delta|sesparse|ctk|rdmp?|digest|s[0-9]{3,5}|f[0-9]{3,5})\.vmdk", re.IGNORECASE)
_PIECE = re.compile(r"[sf][0-9]+", re.IGNORECASE)

Kind = Literal["image", "suspect", "sidecar", "other"]
"""`suspect` is a file whose name says that it is an image, and whose content does not."""


class ShareFile(msgspec.Struct, eq=False):
    """A file while it is grouped.

    `number` is its place in natural order. `parts` are extents and companions, `parent` what lies below; `owners`
    counts the images that this file is a part or the parent of. `parent_missing` is a parent's name that led nowhere.
    """

    path: str
    folder: str
    name: str
    size: int
    identified: Identified
    number: int
    kind: Kind
    parts: list[ShareFile] = msgspec.field(default_factory=list)
    parent: ShareFile | None = None
    owner: ShareFile | None = None
    owners: int = 0
    parent_missing: str = ""

    @property
    def family(self) -> str:
        """The format, or the one that its name says; disks of one machine have the same."""
        return self.identified.format or IMAGE_SUFFIXES.get(image_suffix(self.name).partition(".")[0], "")


class Folder:
    """The files of a folder by name."""

    def __init__(self) -> None:
        self.files: dict[str, ShareFile] = {}
        self._folded: dict[str, ShareFile | None] | None = None

    def find(self, name: str) -> ShareFile | None:
        """Return the file of that name; of the only one that differs from it in capitals, or in how it is shown."""
        exact = self.files.get(name)
        if exact is not None:
            return exact
        if self._folded is None:
            self._folded = {}
            for file in self.files.values():
                key = shown(file.name).casefold()
                self._folded[key] = None if key in self._folded else file
        return self._folded.get(shown(name).casefold())


Folders = dict[str, Folder]


def read_files(
    files: Iterable[FoundFile], identified: Mapping[str, Identified]
) -> tuple[list[ShareFile], dict[str, Folder]]:
    """Return the files in natural order, and by folder and name."""
    result: list[ShareFile] = []
    folders: Folders = {}
    for number, found in enumerate(sorted(files, key=lambda file: natural_path_key(file.path))):
        folder, name = split(found.path)
        what = identified.get(found.path, NOT_ASKED if found.stamp.size else EMPTY)
        file = ShareFile(found.path, folder, name, found.stamp.size, what, number, _kind(name, what))
        result.append(file)
        folders.setdefault(folder, Folder()).files[name] = file
    return result, folders


def _kind(name: str, what: Identified) -> Kind:
    if what.format is not None:
        return "image"
    suffix = image_suffix(name)
    if what.sidecar is not None:  # a guest can write one to the front of its raw disk
        return "suspect" if suffix else "sidecar"
    if not suffix or (what.what is not None and suffix_of(name) in GENERAL_SUFFIXES):
        return "other"
    companion = _COMPANION.fullmatch(name)
    return "other" if companion is not None and companion[2].lower() in {"ctk", "digest"} else "suspect"


def link(files: Iterable[ShareFile], folders: Folders) -> list[ShareFile]:
    """Put every extent and parent below the image it belongs to; return the tops, in natural order.

    Images that lie below each other in a circle have the first of them for their top, so that none is lost.
    """
    ordered = list(files)
    for file in ordered:
        if file.kind == "image":
            _link_references(file, folders[file.folder])
    for file in ordered:
        if file.owners == 0 and file.name[-5:].lower() == ".vmdk":
            _link_companion(file, folders[file.folder])
    images = [file for file in ordered if file.kind in {"image", "suspect"}]
    tops = [file for file in images if file.owners == 0]
    reached: set[ShareFile] = set()
    for top in tops:
        _reach(top, reached)
    for file in images:
        if file not in reached:
            tops.append(file)
            _reach(file, reached)
    return sorted(tops, key=lambda file: file.number)


def _link_references(file: ShareFile, folder: Folder) -> None:
    for name in dict.fromkeys(file.identified.extents):
        part = folder.find(name)
        if part is not None and part is not file and _can_be_extent(part):
            _own(file, part)
    for name in file.identified.parents:
        parent = folder.find(name)
        if parent is not None and parent is not file and _can_be_parent(parent, file):
            file.parent = parent
            parent.owners += 1
            return
    file.parent_missing = next(iter(file.identified.parents), "")


def _own(file: ShareFile, part: ShareFile) -> None:
    file.parts.append(part)
    part.owner = part.owner or file
    part.owners += 1


def _can_be_extent(part: ShareFile) -> bool:
    what = part.identified
    return what.sidecar is None and what.format in {None, "raw", "vmdk"} and not what.extents and not what.parents


def _can_be_parent(parent: ShareFile, child: ShareFile) -> bool:
    if parent.kind == "suspect":
        return True
    return parent.kind == "image" and (child.identified.format in {"qcow2", parent.identified.format})


def _link_companion(file: ShareFile, folder: Folder) -> None:
    """Put what VMware's names say to be a part of a disk below that disk, where no descriptor can say it."""
    match = _COMPANION.fullmatch(file.name)
    if match is None or not _can_be_extent(file):
        return
    base, what = match[1], match[2].lower()
    owner = folder.find(f"{base}.vmdk")
    if owner is file or (owner is not None and owner.kind not in {"image", "suspect"}):
        return
    if what in {"ctk", "digest"}:
        if owner is not None:
            _own(owner, file)
    elif owner is not None:
        unread = owner.identified.format is None or (
            owner.identified.format == "vmdk" and not owner.identified.extents and owner.size < TEXT_DESCRIPTOR_BYTES
        )
        if unread:
            _own(owner, file)
    elif _PIECE.fullmatch(what):
        # pieces of a split disk without its descriptor: one disk, which the first of them stands for
        first = next(
            (
                found
                for number in (1, 0)
                if (found := folder.find(f"{base}-{what[0]}{number:0{len(what) - 1}}.vmdk")) is not None
            ),
            None,
        )
        if first is not None and first is not file and first.kind in {"image", "suspect"} and _can_be_extent(first):
            _own(first, file)


def _reach(top: ShareFile, reached: set[ShareFile]) -> None:
    todo = [top]
    while todo:
        file = todo.pop()
        if file not in reached:
            reached.add(file)
            todo.extend(file.parts)
            if file.parent is not None:
                todo.append(file.parent)


def chain_of(top: ShareFile) -> list[ShareFile]:
    """Return the disk and its parents, nearest first; at most `CHAIN_DEPTH`, each once."""
    chain = [top]
    seen = {top}
    while len(chain) < CHAIN_DEPTH:
        parent = chain[-1].parent
        if parent is None or parent in seen:
            break
        chain.append(parent)
        seen.add(parent)
    return chain


class Shared:
    """How many more paths may be listed of what lies below shared parents (`SHARED_FILES`)."""

    def __init__(self) -> None:
        self.left = SHARED_FILES


def files_below(top: ShareFile, shared: Shared) -> list[ShareFile]:
    """Return the disk with all that belongs to it: its parts, its parents, and theirs."""
    found: list[ShareFile] = []
    is_shared = False
    for image in chain_of(top):
        if is_shared and shared.left <= 0:
            break
        found.append(image)
        is_shared = is_shared or (image is not top and image.owners > 1)
        for part in image.parts:
            if is_shared or part.owners > 1:
                shared.left -= 1 + len(part.parts)
                if shared.left < 0:
                    continue
            found.append(part)
            found += part.parts  # a part has companions of its own: the change tracking of an extent
    return found
