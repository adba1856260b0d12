"""Subvolumes as parts of paths and mounts (Btrfs).

On a volume with subvolumes `/etc/fstab` is a file of the default subvolume, and `/subvol:@home/file` one of another:
after the colon the path leads from the top level. `/subvol:/` is the top level itself.
"""

from __future__ import annotations

from typing import Final

from imgscan.devices.filesystem import FileSystem, Subvolume, SubvolumeFileSystem
from imgscan.devices.guest_tree import GuestTree, Subtree
from imgscan.devices.limits import PATH_DEPTH
from imgscan.errors import LimitExceeded, MissingPart
from imgscan.model.text import shown

PREFIX: Final = "/subvol:"


def subtree(filesystem: SubvolumeFileSystem, subvolume: Subvolume) -> Subtree:
    """Return a subvolume as something that can be mounted."""
    return Subtree(filesystem, subvolume.root, f"{PREFIX}{subvolume.path}")


def split_path(filesystem: FileSystem, path: str) -> tuple[FileSystem | Subtree, str]:
    """Return what a path on a volume begins in, and the rest of it: the deepest subvolume that it names.

    :raises MissingPart: it begins with `/subvol:`, and the volume has no subvolumes
    :raises LimitExceeded: it has too many components
    """
    if not path.startswith(PREFIX):
        return filesystem, path
    if not isinstance(filesystem, SubvolumeFileSystem):
        raise MissingPart(f"{filesystem.type} has no subvolumes", where=filesystem.volume)
    parts = [part for part in path.removeprefix(PREFIX).split("/") if part not in {"", "."}]
    if len(parts) > PATH_DEPTH:
        raise LimitExceeded(f"the path has more than {PATH_DEPTH} components", where=shown(path))
    for count in range(len(parts), -1, -1):
        found = filesystem.subvolume("/".join(parts[:count]))
        if found is not None:
            return subtree(filesystem, found), "/" + "/".join(parts[count:])
    raise MissingPart("there is no top-level subvolume", where=filesystem.volume)


def mounted(filesystem: FileSystem, options: str) -> FileSystem | Subtree:
    """Return what mount(8) shows of a filesystem with options as in fstab or rootflags=: `subvol=`, `subvolid=`.

    :raises MissingPart: there is no such subvolume
    """
    wanted = subvolume_option(options)
    if wanted is None or not isinstance(filesystem, SubvolumeFileSystem):
        return filesystem
    found = filesystem.subvolume(wanted)
    if found is None:
        name = shown(wanted) if isinstance(wanted, str) else f"with the number {wanted}"
        raise MissingPart(f"there is no subvolume {name}", where=filesystem.volume)
    return subtree(filesystem, found)


def root_subvolume(tree: GuestTree) -> Subvolume | None:
    """Return the subvolume that a tree's root is, None when that has none."""
    top = tree.mounts["/"]
    if isinstance(top, Subtree) and isinstance(top.filesystem, SubvolumeFileSystem):
        return top.filesystem.subvolume(top.path.removeprefix(PREFIX))
    return top.subvolume(top.default_subvolume) if isinstance(top, SubvolumeFileSystem) else None


def is_named(subvolume: Subvolume, wanted: str | int) -> bool:
    """Whether mount options that name `wanted` (a path, or a number) mean this subvolume; 0 is the top level."""
    if isinstance(wanted, int):
        return wanted == subvolume.id or (not wanted and not subvolume.path)
    return wanted == subvolume.path


def loader_roots(filesystem: FileSystem) -> tuple[int, ...]:
    """Return the directories (nodes) from which a boot loader's paths lead on a filesystem.

    GRUB begins at the top level of a Btrfs; as SUSE ships it, at the default subvolume.
    """
    if not isinstance(filesystem, SubvolumeFileSystem):
        return (filesystem.root,)
    top = filesystem.subvolume("")
    return tuple(dict.fromkeys((filesystem.root,) if top is None else (top.root, filesystem.root)))


def subvolume_option(options: str) -> str | int | None:
    """Return the path or number of the subvolume that mount options name, None when they name none.

    A path counts before a number: a number is lost when a snapshot is put in the place of its origin.
    """
    path: str | None = None
    number: int | None = None
    for option in options.split(","):
        name, _, value = option.strip().partition("=")
        if name == "subvol":
            path = value.strip("\"'").strip("/")
        elif name == "subvolid":
            number = _number(value)
    return number if path is None else path


def _number(text: str) -> int | None:
    if len(text) > 20:
        return None
    try:
        return int(text, 8) if text.startswith("0") and text.isdigit() else int(text, 0)
    except ValueError:
        return None
