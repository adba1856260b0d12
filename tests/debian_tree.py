"""A real Debian 12 as a folder: debootstrap once, cached under .cache/guests. Needs root and a Debian mirror."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools import ROOT

CACHE = ROOT / ".cache" / "guests"
SUITE = "bookworm"
PACKAGES = (
    "systemd-sysv",
    "udev",
    "kmod",
    "ifupdown",
    "isc-dhcp-client",
    "openssh-server",
    "initramfs-tools",
    "lvm2",
    "zstd",
    "linux-image-cloud-amd64",
    "grub-common",
    "grub2-common",
    "grub-pc-bin",
    "grub-efi-amd64-bin",
)
# For roots on anything: the kernel with every driver, and the tools that its initramfs takes in.
LAYERED_PACKAGES = (
    *(name for name in PACKAGES if name != "linux-image-cloud-amd64"),
    "linux-image-amd64",
    "mdadm",
    "xfsprogs",
    "btrfs-progs",
    "jfsutils",
)
HOSTNAME = "debian12"
# What no boot and no inspection reads; the copyright files stay.
UNUSED = ("usr/share/locale", "usr/share/man", "usr/share/info", "usr/share/i18n", "var/cache/apt", "var/lib/apt/lists")
# Drivers of devices that no machine here has: two thirds of that kernel's modules.
UNUSED_DRIVERS = ("sound", *(f"drivers/{name}" for name in ("gpu", "media", "infiniband", "isdn", "staging", "iio")))
UNUSED_DRIVERS += tuple(f"drivers/net/{name}" for name in ("wireless", "ethernet", "usb", "can"))
FILES = {
    # debootstrap copies the host's name servers.
    "etc/resolv.conf": "",
    "etc/hostname": f"{HOSTNAME}\n",
    "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {HOSTNAME}\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nallow-hotplug ens3\niface ens3 inet dhcp\n",
    "etc/default/grub": (
        "GRUB_DEFAULT=0\n"
        "GRUB_TIMEOUT=1\n"
        "GRUB_DISTRIBUTOR=Debian\n"
        'GRUB_CMDLINE_LINUX_DEFAULT=""\n'
        'GRUB_CMDLINE_LINUX="console=ttyS0,115200"\n'
        'GRUB_TERMINAL="console serial"\n'
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"\n'
    ),
}


def recipe_key(*parts: object) -> str:
    """Return a short name for a recipe: the same inputs, the same name."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def run(command: Sequence[str | Path], *, timeout: float = 900, env: dict[str, str] | None = None) -> str:
    """Run a tool and return what it printed; its error output stands in the exception when it fails."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    done = subprocess.run(
        [str(c) for c in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        env={**os.environ, "PATH": path, "LC_ALL": "C", **(env or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-1000:]}")
    return done.stdout


def debian_tree() -> Path:
    """Return the folder of an installed Debian 12 with kernel, GRUB's packages and an SSH server, not yet on any disk.

    The first call takes about two minutes; the folder is read-only by agreement: copy from it.
    """
    return _tree(CACHE / f"debian12-{recipe_key(SUITE, PACKAGES, FILES, UNUSED)}", PACKAGES)


def layered_tree() -> Path:
    """Return such a folder whose initramfs finds its root on LVM, MD arrays, XFS, Btrfs and JFS."""
    key = recipe_key(SUITE, LAYERED_PACKAGES, FILES, UNUSED, UNUSED_DRIVERS)
    return _tree(CACHE / f"debian12-layered-{key}", LAYERED_PACKAGES, UNUSED_DRIVERS)


def _tree(target: Path, packages: Sequence[str], unused_drivers: Sequence[str] = ()) -> Path:
    if target.is_dir():
        return target
    if os.geteuid() != 0:
        raise PermissionError("debootstrap needs root: run scripts/fixtures with sudo")
    CACHE.mkdir(parents=True, exist_ok=True)
    building = CACHE / f"{target.name}.building-{os.getpid()}"
    try:
        run(
            [
                # Its own mount namespace: what debootstrap mounts inside never outlives it, so removing is safe.
                "unshare",
                "--mount",
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(packages)}",
                SUITE,
                building,
                *filter(None, [os.environ.get("DEBIAN_MIRROR")]),  # else debootstrap's own, which it writes down
            ],
            timeout=1800,
        )
        for name, text in FILES.items():
            (building / name).write_text(text)
        for name in UNUSED:
            shutil.rmtree(building / name, ignore_errors=True)
        (building / "etc/machine-id").write_text("")
        if unused_drivers:
            (kernel,) = (building / "usr/lib/modules").iterdir()
            for name in unused_drivers:
                shutil.rmtree(kernel / "kernel" / name)
            run(["chroot", building, "depmod", kernel.name])
            run(["chroot", building, "update-initramfs", "-u", "-k", kernel.name])
        building.rename(target)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return target
