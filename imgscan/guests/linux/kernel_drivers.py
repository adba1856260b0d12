"""The drivers of a kernel: those in its image (modules.builtin), and those beside it (modules.dep).

Source: kmod's depmod(8) and modules.dep(5); Documentation/kbuild/kbuild.rst (modules.builtin).
"""

from __future__ import annotations

import re
from typing import Final

from imgscan.devices.guest_tree import GuestTree, Location
from imgscan.devices.limits import MIB
from imgscan.errors import MissingPart
from imgscan.guests.linux.initramfs import module_name
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known
from imgscan.model.initramfs import KernelDrivers
from imgscan.model.text import shown

_LIST_BYTES: Final = 8 * MIB
_FOLDERS: Final = ("block", "scsi", "ata", "nvme", "net", "virtio", "hv", "xen", "message", "md", "ide")
_DRIVER: Final = f"drivers/(?:{'|'.join(_FOLDERS)})/"


def read_kernel_drivers(tree: GuestTree, version: str) -> Fact[KernelDrivers | None]:
    """Return the drivers of a kernel; None when there is no folder of its modules.

    :raises ImageError: a list cannot be read, or that of the modules is not there
    """
    folder = next(
        (place for top in ("/lib/modules", "/usr/lib/modules") if (place := _folder(tree, f"{top}/{version}"))), None
    )
    if folder is None:
        return known(None, AtPath(tree.resolve("/").filesystem.volume, shown(f"/lib/modules/{version}")))
    listed, builtin = tree.find(f"{folder.path}/modules.dep"), tree.find(f"{folder.path}/modules.builtin")
    if listed is None:
        raise MissingPart(f"{shown(folder.path)} has no modules.dep", where=folder.filesystem.volume)
    evidence = [listed.evidence(), *(() if builtin is None else (builtin.evidence(),))]
    modules = {
        name
        for line in read_text(listed, _LIST_BYTES).split("\n")
        if _is_wanted(path := line.partition(":")[0], folder.path) and (name := module_name(path))
    }
    inside: tuple[str, ...] | None = None
    if builtin is not None:
        names = {module_name(line.strip()) for line in read_text(builtin, _LIST_BYTES).split("\n")}
        inside = tuple(sorted(shown(name) for name in names if name))
    return known(KernelDrivers(version=version, builtin=inside, modules=tuple(sorted(map(shown, modules)))), *evidence)


def _folder(tree: GuestTree, path: str) -> Location | None:
    place = tree.find(path)
    return place if place is not None and place.entry.kind == "directory" else None


def _is_wanted(path: str, folder: str) -> bool:
    """Whether a module is a driver for disks, networks or virtual hardware, or none of the kernel's own."""
    path = path.removeprefix(f"{folder}/").partition("/modules/")[2].partition("/")[2] or path.removeprefix(
        f"{folder}/"
    )
    if not path.startswith("kernel/"):
        return True
    return re.search(_DRIVER, path) is not None
