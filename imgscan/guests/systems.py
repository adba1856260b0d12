"""Installed systems: where their roots are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from imgscan.devices.filesystem import FileSystem, SubvolumeFileSystem
from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.model.disk import Disk
from imgscan.model.evidence import at_path
from imgscan.model.fact import Fact, known
from imgscan.model.machine import UnreadPlace
from imgscan.model.system import System
from imgscan.model.text import shown
from imgscan.model.volume import Volume

LINUX_RELEASES: Final = (
    "os-release",
    "redhat-release",
    "centos-release",
    "oracle-release",
    "enterprise-release",
    "fedora-release",
    "system-release",
    "SuSE-release",
    "lsb-release",
    "debian_version",
    "gentoo-release",
    "arch-release",
    "alpine-release",
    "slackware-version",
)
"""Files of /etc that only an installed Linux has."""
_INITS: Final = ("/sbin/init", "/usr/sbin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd")
WINDOWS_FOLDERS: Final = ("Windows", "WINNT")
_ROOT_FOLDERS: Final = 64
"""Folders of a volume's root that are looked into for a Windows under another name."""


class FoundSystem(msgspec.Struct, frozen=True):
    """A root: `directory` is the path of the root, or of the Windows folder, on its volume (`/subvol:@` on Btrfs)."""

    family: Literal["linux", "windows", "other"]
    volume: str
    directory: str = "/"


class Inspected(msgspec.Struct, frozen=True):
    """What was read of a system, its files by path, and `unread`: what the facts had to do without."""

    system: System
    tree: GuestTree
    unread: tuple[UnreadPlace, ...] = ()


class _Other(msgspec.Struct, frozen=True):
    """How another system is recognised: all these paths are there."""

    id: str
    product: str
    paths: tuple[str, ...]
    case_sensitive: bool


_OTHERS: Final = (
    _Other("freebsd", "FreeBSD", ("/bin/freebsd-version",), True),
    _Other("freebsd", "FreeBSD", ("/etc/rc.conf", "/boot/loader", "/boot/kernel"), True),
    _Other("macos", "macOS", ("/System/Library/CoreServices/SystemVersion.plist",), True),
    _Other("solaris", "Solaris", ("/etc/release", "/kernel", "/platform"), True),
    _Other("esxi", "VMware ESXi", ("/boot.cfg", "/b.b00", "/s.v00"), False),
    _Other("msdos", "DOS", ("/IO.SYS", "/MSDOS.SYS", "/COMMAND.COM"), False),
    _Other("freedos", "FreeDOS", ("/KERNEL.SYS", "/COMMAND.COM"), False),
)
"""Systems that imgscan names and asks nothing more."""


def find_systems(filesystems: Mapping[str, FileSystem], unread: list[UnreadPlace] | None = None) -> list[FoundSystem]:
    """Return the roots of installed systems on the readable filesystems (by volume name), in the order of the names.

    A volume that could not be searched is appended to `unread`. A separate /boot or /usr, a rescue or installation
    environment (Windows PE) is no system.
    """
    found: list[FoundSystem] = []
    for volume, filesystem in filesystems.items():
        tree = GuestTree({"/": filesystem})
        try:
            if isinstance(filesystem, SubvolumeFileSystem):
                found.extend(_in_subvolumes(volume, filesystem, filesystems, unread))
            # Linux also runs from FAT (UMSDOS) and NTFS; Cygwin looks alike there, but has no init
            elif _is_linux_root(tree) and (filesystem.case_sensitive or _has_init(tree)):
                found.append(FoundSystem("linux", volume))
            if not filesystem.case_sensitive:
                found.extend(FoundSystem("windows", volume, folder) for folder in _windows_folders(tree))
            if not any(system.volume == volume for system in found) and _other(tree) is not None:
                found.append(FoundSystem("other", volume))
        except ImageError as error:
            if unread is not None:
                unread.append(UnreadPlace(volume, error.why, shown(f"it could not be searched for systems: {error}")))
    return _without_second_bootbanks(found, filesystems)


def _in_subvolumes(
    volume: str,
    filesystem: SubvolumeFileSystem,
    filesystems: Mapping[str, FileSystem],
    unread: list[UnreadPlace] | None,
) -> list[FoundSystem]:
    from imgscan.guests.linux import subvolumes  # noqa: PLC0415 - only a Btrfs needs it, and it imports this module

    roots, is_complete = subvolumes.find_roots(filesystem, filesystems, _is_linux_root)
    if not roots and not is_complete and unread is not None:
        detail = f"more subvolumes than the {subvolumes.SEARCHED} that were searched for systems"
        unread.append(UnreadPlace(volume, "limit", detail))
    return [FoundSystem("linux", volume, root.path) for root in roots]


def inspect_other(
    found: FoundSystem,
    filesystems: Mapping[str, FileSystem],
    volumes: Sequence[Volume],  # noqa: ARG001 - the inspection of every family is called alike
    disks: Sequence[Disk],  # noqa: ARG001 - the same
) -> Inspected:
    """Return what is known of a system that imgscan only recognises: its name."""
    tree = GuestTree({"/": filesystems[found.volume]})
    other = _other(tree)
    name: Fact[str | None] = known(None)
    product: Fact[str | None] = known(None)
    if other is not None:
        evidence = at_path(found.volume, other.paths[0])
        name, product = known(other.id, evidence), known(other.product, evidence)
    system = System(
        family="other",
        root=found.volume,
        directory=found.directory,
        id=name,
        version=known(None, *name.evidence),
        product=product,
    )
    return Inspected(system, tree)


def _is_linux_root(tree: GuestTree) -> bool:
    """Whether /etc is that of an installed Linux: a separate /usr has none, and /boot neither."""
    etc = tree.find("/etc")
    if etc is None or etc.entry.kind != "directory" or _other(tree) is not None:
        return False
    if any(tree.find(f"/etc/{name}", follow=False) for name in LINUX_RELEASES):
        return any(tree.find(path, follow=False) for path in ("/usr", "/bin", "/sbin"))
    if tree.find("/usr/lib/os-release", follow=False):
        return True
    return bool(tree.find("/etc/fstab", follow=False)) and any(
        tree.find(path, follow=False) for path in ("/bin", "/sbin", "/usr")
    )


def _has_init(tree: GuestTree) -> bool:
    return any(tree.find(path, follow=False) for path in _INITS)


def _windows_folders(tree: GuestTree) -> list[str]:
    """Return the paths of Windows folders with a SOFTWARE hive; the usual names first, others only without those."""
    usual = [path for name in WINDOWS_FOLDERS if (path := _windows_folder(tree, f"/{name}"))]
    if usual or not any(tree.find(f"/{name}") for name in ("ntldr", "bootmgr", "boot.ini", "Program Files")):
        return usual
    names = [entry.name for entry in tree.list("/") if entry.kind == "directory"][:_ROOT_FOLDERS]
    return [path for name in names if (path := _windows_folder(tree, f"/{name}"))]


def _windows_folder(tree: GuestTree, path: str) -> str | None:
    """Return the folder's real path when a Windows is installed there; Windows PE (wpeinit) is not installed."""
    hive = tree.find(f"{path}/System32/config/SOFTWARE")
    if hive is None or tree.find(f"{path}/System32/wpeinit.exe") is not None:
        return None
    return hive.path.rsplit("/", 3)[0]


def _other(tree: GuestTree) -> _Other | None:
    sensitive = tree.resolve("/").filesystem.case_sensitive
    return next(
        (
            other
            for other in _OTHERS
            if other.case_sensitive == sensitive and all(tree.find(path) for path in other.paths)
        ),
        None,
    )


def _without_second_bootbanks(found: Sequence[FoundSystem], filesystems: Mapping[str, FileSystem]) -> list[FoundSystem]:
    """Keep one of the two banks that every ESXi has."""
    kept: list[FoundSystem] = []
    has_bank = False
    for system in found:
        other = _other(GuestTree({"/": filesystems[system.volume]})) if system.family == "other" else None
        is_bank = other is not None and other.id == "esxi"
        if not (is_bank and has_bank):
            kept.append(system)
        has_bank = has_bank or is_bank
    return kept
