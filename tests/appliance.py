"""The appliance of libguestfs: a Linux with every filesystem, LVM and MD, under emulation and without the host's help.

Where the host has no kernel that supermin can take (a container, or one that only root may read), it takes the one that
`scripts/install_tools --long` unpacked. Every test that starts guestfish or virt-inspector gives it `environment()`.
"""

from __future__ import annotations

import os

from tools import ROOT

FOLDER = ROOT / ".cache" / "libguestfs-kernel"


def environment() -> dict[str, str]:
    """Return the whole environment in which libguestfs' tools start their appliance."""
    chosen = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
    for kernel in sorted(FOLDER.glob("boot/vmlinuz-*")):
        modules = FOLDER / "lib" / "modules" / kernel.name.removeprefix("vmlinuz-")
        # The appliance made of it is kept apart from one that libguestfs made of another kernel.
        chosen |= {"SUPERMIN_KERNEL": str(kernel), "SUPERMIN_MODULES": str(modules), "LIBGUESTFS_CACHEDIR": str(FOLDER)}
    return {**os.environ, **chosen}
