"""What the default kernel finds before its root: the initramfs, and the drivers that are built in or lie beside it."""

from __future__ import annotations

from typing import Literal

import msgspec

Flaw = Literal["missing", "damaged"]


class InitramfsFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that the boot menu loads: `path` in the guest, or as the menu has it where `volume` is None.

    `size` and `unpacked` are in bytes; `forms` are the archives in it, in their order (`cpio`, `gzip`, `xz`, ...).
    `flaw` is what is wrong with it, `detail` says it in a sentence.
    """

    path: str
    volume: str | None
    size: int = 0
    unpacked: int = 0
    forms: tuple[str, ...] = ()
    flaw: Flaw | None = None
    detail: str = ""


class Initramfs(msgspec.Struct, frozen=True, kw_only=True):
    """All that is loaded with the default kernel.

    `modules` are the kernel modules inside, by name with `_` for `-`, in the order of the alphabet. `is_nested` is
    whether a filesystem inside may hold more of them (dracut's squash module).
    """

    files: tuple[InitramfsFile, ...]
    modules: tuple[str, ...] = ()
    is_nested: bool = False


class KernelDrivers(msgspec.Struct, frozen=True, kw_only=True):
    """Drivers of a kernel, by name with `_` for `-`: `builtin` are in its image (None where no list of them is there).

    `modules` lie below /lib/modules: those for disks, networks and virtual hardware, and all that are not the kernel's.
    """

    version: str
    builtin: tuple[str, ...] | None
    modules: tuple[str, ...]
