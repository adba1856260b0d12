"""Faults of what a Linux starts: several menus, a default that leads nowhere, kernels and initramfs."""

from __future__ import annotations

import gzip

from disk_builder import KERNEL, MAINTAINER, MODULES_DEP, UUIDS, dpkg_status, elf, initramfs, kernel
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes
from rules_on_images.machines import Make, linux, one_disk

Files = dict[str, "str | bytes | None"]
SEVERAL, DEFAULT, ROOT = (
    "several-grub-configurations/0",
    "unresolvable-default-kernel/0",
    "unresolvable-root-device/0",
)
XEN, CUSTOM, INITRAMFS = "paravirtual-only-kernel/0", "custom-kernel/0", "unreadable-initramfs/0"
REBUILT, NETWORKING = "initramfs-rebuilt-on-import/0", "enhanced-networking-driver-missing/0"
INITRD, OWN = f"boot/initrd.img-{KERNEL}", "4.1.2-own"
NOT_READ = "it is about a kernel that is not there"
LEGACY = (
    f"default 0\ntimeout 3\ntitle Debian\n\troot (hd0,0)\n\tkernel /boot/vmlinuz-{KERNEL} root=UUID={UUIDS['root']}\n"
    f"\tinitrd /boot/initrd.img-{KERNEL}\n"
)
BLS = f"""\
title Debian GNU/Linux
version {KERNEL}
linux /boot/vmlinuz-{KERNEL}
initrd /boot/initrd.img-{KERNEL}
options root=UUID={UUIDS["root"]} ro
"""
BLS_MENU: Files = {
    "boot/grub/grub.cfg": (
        'load_env\nset default="${saved_entry}"\nset timeout=5\n'
        f"search --no-floppy --fs-uuid --set=root {UUIDS['root']}\ninsmod blscfg\nblscfg\n"
    ),
    f"boot/loader/entries/0123-{KERNEL}.conf": BLS,
    "boot/grub/grubenv": f"# GRUB Environment Block\nsaved_entry=0123-{KERNEL}\n".ljust(1024, "#"),
}
GRUB = (
    "search --no-floppy --fs-uuid --set=root {uuid}\n"
    "menuentry 'Debian' {{\n\tlinux {kernel} root={root} ro\n\tinitrd {initrd}\n}}\n"
)


def menu(kernel: str = f"/boot/vmlinuz-{KERNEL}", root: str = f"UUID={UUIDS['root']}") -> Files:
    """Return a grub.cfg of one entry."""
    text = GRUB.format(uuid=UUIDS["root"], kernel=kernel, root=root, initrd=f"/boot/initrd.img-{KERNEL}")
    return {"boot/grub/grub.cfg": text}


def xen_kernel(version: str) -> bytes:
    """Return a kernel as SUSE and Red Hat built them for Xen alone: a compressed ELF program with Xen's notes."""
    return gzip.compress(
        elf() + b"GUEST_OS=linux,GUEST_VER=2.6\0" + f"Linux version {version} (a@b)".encode() + bytes(200)
    )


def machine(files: Files) -> Make:
    return one_disk(lambda: linux(files=files))


def case(
    finding: str,
    fault: str,
    files: Files,
    healthy: Files | None = None,
    *,
    readiness: str = "not-ready",
    moves: dict[str, Moved] | None = None,
) -> Case:
    return Case(
        finding,
        fault,
        machine(healthy or {}),
        machine({**(healthy or {}), **files}),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        readiness,  # type: ignore[arg-type] # a literal of the callers
        moves or {},
    )


CASES = (
    case(
        SEVERAL,
        "a menu.lst that an upgrade left",
        {"boot/grub/menu.lst": LEGACY},
        readiness="ready-with-warnings",
    ),
    case(
        DEFAULT,
        "the kernel is not there",
        menu(kernel="/boot/vmlinuz-4.0.0-1-amd64"),
        menu(),
        moves={
            XEN: Moved("unknown", NOT_READ),
            CUSTOM: Moved("unknown", NOT_READ),
            NETWORKING: Moved("unknown", NOT_READ),
        },
    ),
    case(DEFAULT, "no saved entry", {"boot/grub/grubenv": "# GRUB Environment Block\n".ljust(1024, "#")}, BLS_MENU),
    case(
        DEFAULT,
        "a saved entry that is not there",
        {"boot/grub/grubenv": "# GRUB Environment Block\nsaved_entry=0123-4.0\n".ljust(1024, "#")},
        BLS_MENU,
    ),
    case(
        ROOT,
        "a UUID of no volume",
        menu(root="UUID=99999999-aaaa-4bbb-8ccc-000000000001"),
        menu(),
        moves={
            "root-not-on-boot-disk/0": Moved("unknown", "the root that the menu names is not there"),
            "dual-boot": Moved("unknown", "the entry may start a system on a disk that was not given"),
        },
    ),
    case(
        XEN,
        "a kernel of the xen flavour",
        {
            **menu(kernel="/boot/vmlinuz-3.0.76-0.11-xen"),
            "boot/vmlinuz-3.0.76-0.11-xen": xen_kernel("3.0.76-0.11-xen"),
            "lib/modules/3.0.76-0.11-xen/modules.dep": MODULES_DEP,
            f"var/lib/dpkg/info/linux-image-{KERNEL}.list": "/boot/vmlinuz-3.0.76-0.11-xen\n",
        },
        menu(),
    ),
    case(
        CUSTOM,
        "a kernel of no package",
        {
            **menu(kernel=f"/boot/vmlinuz-{OWN}"),
            f"boot/vmlinuz-{OWN}": kernel(f"{OWN} (root@build) #1"),
            f"lib/modules/{OWN}/modules.dep": MODULES_DEP,
            f"lib/modules/{OWN}/modules.builtin": "",
        },
        menu(),
        readiness="ready-with-warnings",
    ),
    case(
        CUSTOM,
        "a package that was built by hand",
        {"var/lib/dpkg/status": dpkg_status().replace(MAINTAINER, "root <root@build>")},
        readiness="ready-with-warnings",
    ),
    case(
        CUSTOM,
        "a package database that is no text",
        {"var/lib/dpkg/status": b"\0" * 4096},
        readiness="ready",
        moves={CUSTOM: Moved("unknown", "what owns the kernel cannot be read")},
    ),
    case(INITRAMFS, "no initramfs file", {INITRD: None}, moves={REBUILT: Moved("unknown", "nothing was read of it")}),
    case(
        INITRAMFS,
        "an initramfs that is cut off",
        {INITRD: initramfs()[:100]},
        moves={REBUILT: Moved("unknown", "not all of it was read")},
    ),
    case(
        INITRAMFS,
        "an initramfs of zeros, as a full /boot leaves it",
        {INITRD: bytes(4096)},
        moves={REBUILT: Moved("unknown", "not all of it was read")},
    ),
    case(
        INITRAMFS,
        "an initramfs of a form that is not read",
        {INITRD: b"\x89LZO\0\r\n\x1a\n" + bytes(100)},
        readiness="undecided",
        moves={INITRAMFS: Moved("unknown", "lzop is not read"), REBUILT: Moved("unknown", "the same")},
    ),
    case(
        REBUILT,
        "a name that only begins like the driver's",
        {INITRD: initramfs("lib/xen-blkfront-other.ko", drivers=("net/xen-netfront.ko",))},
        readiness="ready",
    ),
    case(
        NETWORKING,
        "no driver, but one whose name begins like it",
        {f"lib/modules/{KERNEL}/modules.dep": MODULES_DEP.replace("ena.ko", "ena_other.ko")},
        readiness="ready",
    ),
)
