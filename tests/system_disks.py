"""Disks of the real systems of system_trees.py: their own GRUB installed on an MBR disk, their own update-grub's menu.

Needs root and loop devices. Cached under .cache/guests by recipe.
"""

from __future__ import annotations

import inspect
import os
import shutil
from pathlib import Path

from debian_tree import CACHE, recipe_key, run
from disk_builder import convert
from guest_builder import INSTALL_SCRIPT, ROOT_UUID, Layout, Partition, build_disks
from system_trees import system_tree

SWAP_UUID = "5a5a0f5e-3c1b-4f0e-9b0a-0c6f5d1e2a0a"
LAYOUT = Layout(
    "dos",
    ((Partition(1, 1, 1400, "root", ROOT_UUID.format(10)), Partition(2, 1401, 64, "swap", SWAP_UUID)),),
    "bios",
    1470,
)
"""One disk with room for the largest of them, and 250 MiB."""


def system_disk(name: str) -> Path:
    """Return the disk, a VMDK, of the system called `name`: 20 s on the first call, after the tree."""
    tree = system_tree(name)
    key = recipe_key(tree.name, LAYOUT, INSTALL_SCRIPT, inspect.getsource(build_disks))
    target = CACHE / f"{name}-disk-{key}"
    if not target.is_dir():
        if os.geteuid() != 0:
            raise PermissionError("loop devices need root: run scripts/fixtures with sudo")
        building = CACHE / f"{target.name}.building-{os.getpid()}"
        building.mkdir()
        try:
            copy = building / "tree"
            run(["cp", "--archive", "--reflink=auto", tree, copy])
            (raw,) = build_disks(LAYOUT, copy, building)
            convert(raw, "vmdk", building / "disk.vmdk")
            raw.unlink()
            shutil.rmtree(copy)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return target / "disk.vmdk"
