from __future__ import annotations

import gzip
from collections.abc import Mapping

import pytest
from disk_builder import elf, kernel
from memory_filesystem import Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure
from imgscan.guests.linux import kernel as kernel_reader
from imgscan.guests.linux.boot_menu import read_boot_menu
from imgscan.guests.linux.bootloader import read_bootloader
from imgscan.guests.linux.devices import Devices
from imgscan.guests.linux.kernel import NamedKernel, read_default_kernel, version_of
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact
from imgscan.model.linux_boot import DefaultKernel, NamedVolume

SLES11 = """\
default 0
timeout 8
title SUSE Linux Enterprise Server 11 SP4 - 3.0.101-63
    root (hd0,1)
    kernel /boot/vmlinuz-3.0.101-63-default root=/dev/sda2 resume=/dev/sda1
    initrd /boot/initrd-3.0.101-63-default
"""
RHEL6 = """\
default=1
title Oracle Linux Server Unbreakable Enterprise Kernel (2.6.39-400.17.1.el6uek.x86_64)
\troot (hd0,0)
\tkernel /vmlinuz-2.6.39-400.17.1.el6uek.x86_64 ro root=/dev/mapper/vg-root
title Oracle Linux Server (2.6.32-358.el6.x86_64)
\troot (hd0,0)
\tkernel /vmlinuz-2.6.32-358.el6.x86_64 ro root=/dev/mapper/vg-root
"""
BTRFS = "menuentry 'openSUSE' {\n\tlinux /@/boot/vmlinuz-4.4.21-69-default root=UUID=1 \n}\n"


def kernels(*versions: str, folder: str = "/boot") -> dict[str, str | bytes]:
    return {f"{folder}/vmlinuz-{version}": kernel(f"{version} (builder@host) #1 SMP") for version in versions}


def read(
    files: Mapping[str, str | bytes | Link | CorruptStructure | None], **mounts: MemoryFileSystem
) -> Fact[str | None]:
    """Return the kernel of a root with these files, as the boot menu there names it."""
    root = MemoryFileSystem({"/etc/hosts": "", **files})
    tree = GuestTree({"/": root, **{f"/{name}": each for name, each in mounts.items()}})
    menu = read_boot_menu(tree, Devices((), ()), "disk0/p1", "sles", read_bootloader(tree))
    return version_of(read_default_kernel(tree, menu.kernels))


def test_the_default_entry_of_grub_legacy() -> None:
    fact = read({"/boot/grub/menu.lst": SLES11, **kernels("3.0.101-63-default", "3.0.101-100-default")})
    assert fact.get() == "3.0.101-63-default"
    image, line = fact.evidence
    assert image == AtPath("disk0/p1", "/boot/vmlinuz-3.0.101-63-default")
    assert line == AtPath("disk0/p1", "/boot/grub/menu.lst", 5)


def test_a_boot_of_its_own() -> None:
    """The menu's paths are from the top of that volume; a kernel of the root's own top is another one."""
    uek, compatible = "2.6.39-400.17.1.el6uek.x86_64", "2.6.32-358.el6.x86_64"
    boot = MemoryFileSystem({"/grub/grub.conf": RHEL6, **kernels(uek, compatible, folder="")}, "disk0/p2")
    assert read(kernels(compatible, folder=""), boot=boot).get() == compatible
    without = MemoryFileSystem({"/grub/grub.conf": RHEL6, **kernels(uek, folder="")}, "disk0/p2")
    assert read(kernels(compatible, folder=""), boot=without).unread == "missing"


def test_the_version_is_that_of_the_image_and_not_of_its_name() -> None:
    named: dict[str, str | bytes | Link] = {
        "/boot/vmlinuz": Link("vmlinuz-own"),
        "/boot/vmlinuz-own": kernel("3.0.101-63-default #1"),
    }
    menu = SLES11.replace("vmlinuz-3.0.101-63-default", "vmlinuz")
    assert read({"/boot/grub/menu.lst": menu, **named}).get() == "3.0.101-63-default"


def test_a_path_with_a_subvolume() -> None:
    files = {"/boot/grub2/grub.cfg": BTRFS, **kernels("4.4.21-69-default", "4.4.21-81-default")}
    assert read(files).get() == "4.4.21-69-default"


def test_no_menu() -> None:
    beside: dict[str, str | bytes | Link] = {
        "/boot/vmlinux-3.12.28-4-default.gz": b"?",
        "/boot/vmlinuz": Link("vmlinuz-3.12.28-4-default"),
    }
    assert read({**kernels("3.12.28-4-default"), **beside}).get() == "3.12.28-4-default"
    assert (
        read({**kernels("3.10.0-957.el7.x86_64"), "/boot/vmlinuz-0-rescue-0123": b"?"}).get() == "3.10.0-957.el7.x86_64"
    )
    assert read({}).get() is None
    assert read(kernels("3.12.28-4-default", "3.12.49-11-default")).unread == "missing"


def test_menus_that_start_different_kernels() -> None:
    other = BTRFS.replace("4.4.21-69", "4.4.21-81")
    files = {
        "/boot/grub2/grub.cfg": BTRFS,
        "/boot/grub/grub.cfg": other,
        **kernels("4.4.21-69-default", "4.4.21-81-default"),
    }
    fact = read(files)
    assert fact.unread == "missing"
    assert "4.4.21-69-default, 4.4.21-81-default" in str(fact.detail)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ({}, "missing"),
        ({"/boot/vmlinuz-3.0.101-63-default": bytes(1000)}, "unsupported"),
        ({"/boot/vmlinuz-3.0.101-63-default": b"\x1f\x8b" + bytes(1000)}, "corrupt"),
        ({"/boot/vmlinuz-3.0.101-63-default": CorruptStructure("bad extent", where="disk0/p1")}, "corrupt"),
    ],
)
def test_an_image_that_says_nothing(image: dict[str, str | bytes | CorruptStructure], why: str) -> None:
    fact = read({"/boot/grub/menu.lst": SLES11, **image})
    assert fact.unread == why
    assert fact.evidence


def test_a_kernel_of_xen_alone() -> None:
    """A compressed ELF program with Xen's notes, as SUSE and Red Hat have it."""
    program = elf() + bytes(3000) + b"GUEST_OS=linux,GUEST_VER=2.6\0" + b"Linux version 3.0.76-0.11-xen (geeko@b) " * 9
    found = default({"/boot/vmlinuz-3.0.76-0.11-xen": gzip.compress(program)})
    assert (found.format, found.version, found.is_64_bit) == ("compressed-elf", "3.0.76-0.11-xen", True)
    assert found.has_xen_notes
    note = b"\x04\0\0\0\x06\0\0\0\x06\0\0\0Xen\0linux\0"
    found = default({"/boot/vmlinuz-2.6.16": elf() + note + bytes(300)})
    assert (found.format, found.version, found.has_xen_notes) == ("elf", "2.6.16", True)
    assert not default({"/boot/vmlinuz-2.6.16": elf() + bytes(300)}).has_xen_notes


def test_a_hostile_compressed_kernel_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_reader, "_UNPACKED_BYTES", 4 << 20)
    bomb = gzip.compress(elf() + bytes(8 << 20), 1)
    root = MemoryFileSystem({"/boot/vmlinuz-1": bomb})
    assert read_default_kernel(GuestTree({"/": root}), ()).unread == "limit"


def test_what_the_command_line_names() -> None:
    line = AtPath("disk0/p1", "/boot/grub/grub.cfg", 3)
    words = ("root=/dev/sdz9", "ro", "root=UUID=1", "resume=/dev/disk/by-path/x")
    root = MemoryFileSystem(kernels("4.0"))
    named = NamedKernel("/boot/vmlinuz-4.0", line, ("/initrd",), words)
    found = read_default_kernel(GuestTree({"/": root}), (named,), Devices((), ())).get()
    assert found is not None
    assert (found.arguments, found.initrds, found.evidence) == (" ".join(words), ("/initrd",), (line,))
    assert found.root == NamedVolume(source="UUID=1", volume=None)
    assert found.resume == NamedVolume(source="/dev/disk/by-path/x", volume=None, is_understood=False)
    assert found.is_64_bit is True


def default(files: Mapping[str, str | bytes]) -> DefaultKernel:
    found = read_default_kernel(GuestTree({"/": MemoryFileSystem(files)}), ()).get()
    assert found is not None
    return found
