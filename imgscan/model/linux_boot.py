"""What an installed Linux starts: its boot menus as files, the default kernel, that kernel's package and drivers."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import Evidence


class NamedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a kernel's command line: `source` is the text, `volume` what it means over all disks.

    `volume` is None when no volume answers, or several (`candidates`). `is_understood` is whether the text is of a form
    that volumes can answer to: not the name of another host's files, or of hardware that the disks do not tell.
    """

    source: str
    volume: str | None
    candidates: tuple[str, ...] = ()
    is_understood: bool = True


class MenuFile(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration of GRUB: `path` from the top of `volume`, `size` in bytes, `digest` its SHA-256 in hexadecimal.

    `entries` counts what its menu holds (0: it only leads to another one); `default` is what it names as its default
    once variables are put in, None when it names none or that could not be read, and `default_is_there` whether the
    menu has that. `fallback` is what starts when the default cannot. `timeout` is in seconds, -1 for ever, None where
    the file does not say. `in_loader_entries` is whether the menu is made of the files of /boot/loader/entries.
    """

    volume: str
    path: str
    loader: Literal["grub2", "grub-legacy"]
    size: int
    digest: str
    entries: int
    default: str | None = None
    default_is_there: bool = True
    fallback: str | None = None
    timeout: int | None = None
    in_loader_entries: bool = False
    evidence: tuple[Evidence, ...] = ()


KernelFormat = Literal["bzImage", "elf", "compressed-elf", "pe", "unknown"]
"""`bzImage` is any image with the set-up header of x86; `pe` an EFI executable without one (arm64)."""


class DefaultKernel(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel that starts by default: `path` is its file in the guest, or as the menu has it when `volume` is None.

    `volume` is None when there is no such file. `version` is that in the image, `is_64_bit` what the set-up header says
    (XLF_KERNEL_64), None where it does not; `has_xen_notes` is whether an ELF image is made for Xen, None for others or
    when that was not found out. `initrds` are the files that the menu loads with it, as it names them; `arguments` is
    its command line, `root` and `resume` what that names.
    """

    path: str
    volume: str | None
    format: KernelFormat = "unknown"
    version: str | None = None
    is_64_bit: bool | None = None
    has_xen_notes: bool | None = None
    initrds: tuple[str, ...] = ()
    arguments: str | None = None
    root: NamedVolume | None = None
    resume: NamedVolume | None = None
    evidence: tuple[Evidence, ...] = ()
