"""Real systems of several releases as folders: debootstrap once each, cached like debian_tree.py's under .cache/guests.

Each is a whole system of its release, installed from its own archive: what its packages and tools wrote is there as
they wrote it. Needs root and the archives of Debian and Ubuntu.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from debian_tree import CACHE, UNUSED, recipe_key, run

UBUNTU = "http://archive.ubuntu.com/ubuntu"
KEYRING = f"{UBUNTU}/pool/main/u/ubuntu-keyring/ubuntu-keyring_2021.03.26_all.deb"
KEYRING_SHA256 = "0d0e7ed6b112f5d03eabf3c7eb01ebdacf9c57714b279e90495cfc58c8c4520f"
"""The keys of Ubuntu's archive, which Debian 12 has in no package."""
USUAL = ("systemd-sysv", "udev", "kmod", "openssh-server", "iproute2", "grub-common", "grub2-common", "grub-pc-bin")

INSTALL = """
set -eu
tree=$1
shift
mount -t proc proc "$tree/proc"
printf '#!/bin/sh\\nexit 101\\n' >"$tree/usr/sbin/policy-rc.d"
chmod 755 "$tree/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
chroot "$tree" apt-get -qq update
chroot "$tree" apt-get -qq -y --no-install-recommends install "$@"
rm "$tree/usr/sbin/policy-rc.d"
"""
"""Installs packages without starting anything, in a mount namespace of its own."""


@dataclass(frozen=True)
class Recipe:
    """`suite` and `packages` as debootstrap takes them; `mirror` is None for Debian's own.

    `more` are packages that need the others to be there when they are installed.
    """

    suite: str
    packages: tuple[str, ...]
    mirror: str | None = None
    more: tuple[str, ...] = ()


RECIPES = {
    # Everything whose tools write configuration: each test takes one of them into use.
    "debian12-tools": Recipe(
        "bookworm",
        (
            *(*USUAL, "linux-image-cloud-amd64", "initramfs-tools", "ifupdown", "isc-dhcp-client", "busybox"),
            *("xz-utils", "zstd", "lz4", "bzip2", "dracut-core", "cryptsetup-bin"),
        ),
        more=("firewalld", "ufw", "nftables", "network-manager", "netplan.io", "rpm"),
    ),
    # dracut in place of initramfs-tools; an rpm that writes Berkeley DB.
    "debian11": Recipe(
        "bullseye",
        (*USUAL, "ifupdown", "isc-dhcp-client", "rpm"),
        more=("dracut", "linux-image-cloud-amd64"),
    ),
    "debian13": Recipe(
        "trixie",
        (*USUAL, "linux-image-cloud-amd64", "initramfs-tools", "zstd", "ifupdown", "dhcpcd-base", "rpm"),
    ),
    "ubuntu16.04": Recipe(
        "xenial",
        (*USUAL, "linux-image-virtual", "initramfs-tools", "ifupdown", "isc-dhcp-client", "ufw"),
        UBUNTU,
    ),
    "ubuntu18.04": Recipe(
        "bionic",
        (*USUAL, "linux-image-virtual", "initramfs-tools", "netplan.io", "ufw"),
        UBUNTU,
    ),
}

SERVICES_ONLY = {
    # Without systemd: System V init with its own links, and with OpenRC in their place.
    "debian12-sysvinit": Recipe("bookworm", ("sysvinit-core", "openssh-server", "ifupdown", "isc-dhcp-client", "cron")),
    "debian12-openrc": Recipe(
        "bookworm", ("sysvinit-core", "openssh-server", "ifupdown", "isc-dhcp-client", "cron"), more=("openrc",)
    ),
}
"""Small ones without a kernel, for other init systems."""


def system_tree(name: str) -> Path:
    """Return the folder of the installed system called `name` above: two to four minutes on the first call.

    The folder is read-only by agreement: copy from it.
    """
    recipe = (RECIPES | SERVICES_ONLY)[name]
    target = CACHE / f"{name}-{recipe_key(recipe, KEYRING_SHA256, UNUSED)}"
    if target.is_dir():
        return target
    if os.geteuid() != 0:
        raise PermissionError("debootstrap needs root: run scripts/fixtures with sudo")
    CACHE.mkdir(parents=True, exist_ok=True)
    building = CACHE / f"{target.name}.building-{os.getpid()}"
    options = ["--variant=minbase", f"--include={','.join(recipe.packages)}"]
    if recipe.mirror is not None:
        options += ["--components=main,universe", f"--keyring={_ubuntu_keyring()}"]
    mirror = recipe.mirror or os.environ.get("DEBIAN_MIRROR")
    try:
        # Its own mount namespace: what debootstrap mounts inside never outlives it, so removing is safe.
        run(
            ["unshare", "--mount", "debootstrap", *options, recipe.suite, building, *filter(None, [mirror])],
            timeout=1800,
        )
        if recipe.more:
            run(["unshare", "--mount", "sh", "-c", INSTALL, "install", building, *recipe.more], timeout=1800)
        (building / "etc/resolv.conf").write_text("")
        (building / "etc/hostname").write_text(f"{name.replace('.', '')}\n")
        (building / "etc/machine-id").write_text("")
        for unused in UNUSED:
            shutil.rmtree(building / unused, ignore_errors=True)
        building.rename(target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return target


def _ubuntu_keyring() -> Path:
    folder = CACHE / "ubuntu-keyring"
    keys = folder / "usr/share/keyrings/ubuntu-archive-keyring.gpg"
    if not keys.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(KEYRING, timeout=60) as answer:  # noqa: S310 - the address above
            package = answer.read()
        digest = hashlib.sha256(package).hexdigest()
        if digest != KEYRING_SHA256:
            raise RuntimeError(f"{KEYRING} has the SHA-256 {digest}")
        (folder / "keyring.deb").write_bytes(package)
        run(["dpkg", "-x", folder / "keyring.deb", folder])
    return keys
