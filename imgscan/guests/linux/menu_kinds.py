"""What a boot menu's entry is for: this system, another one, recovery, a tool."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from imgscan.devices.filesystem import Subvolume
from imgscan.devices.subvolumes import is_named, subvolume_option
from imgscan.guests.linux.boot_entry import BootEntry, Command
from imgscan.guests.linux.devices import Devices, Resolution
from imgscan.model.system import MenuEntryKind

_LINUX: Final = ("linux", "linux16", "linuxefi", "kernel", "module", "module2")
_INITRD: Final = frozenset({"initrd", "initrd16", "initrdefi"})
_HANDS_OVER: Final = ("chainloader", "ntldr", "appleloader", "legacy_configfile", "multiboot_loader")
_OTHER_KERNELS: Final = ("kfreebsd", "knetbsd", "kopenbsd", "xnu_kernel", "xnu_kernel64", "xnu_resume")
_CONFIGURATIONS: Final = ("configfile", "extract_entries_configfile", "extract_legacy_entries_configfile")

_OTHER_CLASSES: Final = frozenset(
    {"windows", "osx", "darwin", "macosx", "dos", "freebsd", "netbsd", "openbsd", "solaris"}
)
_OTHER_TITLE: Final = re.compile(
    r"\b(windows|microsoft|ms-?dos|dos|mac os|os x|macos|freebsd|solaris)\b", re.IGNORECASE
)
_TOOL: Final = re.compile(r"memtest|memdisk|ipxe|fwupd|fwup|hdt\.c32|netboot", re.IGNORECASE)
_RECOVERY_TITLE: Final = re.compile(
    r"recovery|rescue|failsafe|fail-safe|single[- ]user|emergency|safe mode|snapshot", re.IGNORECASE
)
_RECOVERY_WORDS: Final = frozenset(
    {
        "single", "1", "s", "emergency", "rescue", "systemd.unit=rescue.target", "systemd.unit=emergency.target",
        "rd.break", "boot=live", "boot=casper",
    }
)  # fmt: skip
_LIVE: Final = re.compile(r"^(findiso|iso-scan/filename|img_loop|root=live)[:=]")
_FOUND_BY_PROBER: Final = re.compile(r"\(on /dev/([^)]+)\)")


class Place(msgspec.Struct, frozen=True):
    """A volume that an entry names: the text it uses, what that means, and the line."""

    source: str
    resolution: Resolution
    line: int


class Judged(msgspec.Struct, frozen=True):
    """An entry with what it is for: `root` and `boot` are where it looks for the root and for its kernel."""

    kind: MenuEntryKind
    target: str | None
    root: Place | None
    boot: Place | None


class Surroundings(msgspec.Struct, frozen=True):
    """The system whose menu it is: the volume of its root, all volumes that it mounts, and its id (`debian`).

    `loader` are those that hold its root and /boot: other mounts may well hold another system. `subvolume` is the one
    of the root, where there are any.
    """

    devices: Devices
    root: str
    own: frozenset[str]
    loader: frozenset[str]
    id: str | None
    is_legacy: bool
    subvolume: Subvolume | None = None

    def is_of_the_loader(self, name: str | None) -> bool:
        """Whether a volume, or a whole disk, holds the system's root or /boot."""
        return name is not None and any(f"{volume}/".startswith(f"{name}/") for volume in self.loader)


def judge_entry(entry: BootEntry, about: Surroundings) -> Judged:
    """Say what an entry is for."""
    boot = find_boot(entry.commands, about)
    kernel = kernel_command(entry)
    root = _root(kernel, about) if kernel is not None else None
    kind, target = _kind(entry, kernel, root, boot, about)
    return Judged(kind, target, root, boot)


def _kind(
    entry: BootEntry, kernel: Command | None, root: Place | None, boot: Place | None, about: Surroundings
) -> tuple[MenuEntryKind, str | None]:
    boot_volume = boot.resolution.volume if boot else None
    hand_over = entry.first(*_HANDS_OVER)
    program = " ".join((kernel or hand_over or Command(("",), 0)).words[1:2])
    is_probed = "osprober" in entry.id or _FOUND_BY_PROBER.search(entry.title) is not None
    if _TOOL.search(program) or re.search(r"memory test|memtest", entry.title, re.IGNORECASE):
        return "tool", None
    if entry.first(*_OTHER_KERNELS):
        return "other-system", boot_volume
    if kernel is not None:
        return _linux_kind(entry, kernel, root, boot, about, is_probed=is_probed)
    if hand_over is not None:
        return _hand_over_kind(entry, hand_over, boot, about, is_probed=is_probed)
    configuration = entry.first(*_CONFIGURATIONS)
    if configuration is not None:
        if boot_volume is None or boot_volume in about.own:
            return "own", boot_volume
        return "other-system", boot_volume
    return "tool", None  # firmware set-up, power off, a heading


def _linux_kind(
    entry: BootEntry, kernel: Command, root: Place | None, boot: Place | None, about: Surroundings, *, is_probed: bool
) -> tuple[MenuEntryKind, str | None]:
    words = [word.lower() for word in kernel.words[2:]]
    if any(_LIVE.match(word) for word in words) or entry.first("loopback"):
        return "recovery", None
    root_volume = root.resolution.volume if root else None
    boot_volume = boot.resolution.volume if boot else None
    is_recovery = bool(_RECOVERY_WORDS & set(words) or _RECOVERY_TITLE.search(entry.title)) or "0-rescue" in entry.id
    own: MenuEntryKind = "recovery" if is_recovery else "own"
    if root is not None and about.root in root.resolution.candidates:  # of clones with one UUID this may be either
        if _is_other_subvolume(kernel, about):
            is_snapshot = is_recovery or any("snapshot" in word for word in words)
            return ("recovery" if is_snapshot else "other-system"), about.root
        return own, about.root
    if root_volume is not None and root is not None and not root.resolution.is_guess:
        return "other-system", root_volume
    if is_probed:
        return "other-system", root_volume or boot_volume
    if root is not None and root_volume is None:
        return "unknown", None  # what it names is no volume of the given disks, or several are
    if boot_volume in about.own:
        return own, boot_volume
    if boot_volume is not None and boot is not None and not boot.resolution.is_guess:
        return "other-system", boot_volume
    if root is None:
        return own, None  # nothing names another volume: this menu starts the system that it belongs to
    return "unknown", root_volume


def _hand_over_kind(
    entry: BootEntry, command: Command, boot: Place | None, about: Surroundings, *, is_probed: bool
) -> tuple[MenuEntryKind, str | None]:
    volume = boot.resolution.volume if boot else None
    path = command.words[-1]
    lower = path.lower()
    is_other = bool(
        is_probed
        or entry.classes & _OTHER_CLASSES
        or _OTHER_TITLE.search(entry.title)
        or "/microsoft/" in lower
        or command.name in {"ntldr", "appleloader"}
    )
    if is_other:
        if re.search(r"recovery|\bwinre\b", entry.title, re.IGNORECASE):
            return "recovery", volume
        return "other-system", volume or _probed_volume(entry, about)
    if about.id and any(f"/efi/{name}/" in lower for name in _folders(about.id)):
        return "own", volume
    if re.search(r"floppy|\(fd\d\)", f"{entry.title} {path}", re.IGNORECASE) or entry.first("halt", "reboot"):
        return "tool", None
    if not lower.endswith(".efi") and (about.is_of_the_loader(volume) or (boot is None and path == "+1")):
        # the boot sector where this very menu lies: its own loader, unless a file stands in for another one
        return ("own" if volume in about.loader and path.endswith("+1") else "unknown"), volume
    return "chainload", volume or path


def _probed_volume(entry: BootEntry, about: Surroundings) -> str | None:
    match = _FOUND_BY_PROBER.search(entry.title)
    return about.devices.resolve(f"/dev/{match[1]}").volume if match else None


def _folders(name: str) -> tuple[str, ...]:
    """Return the names that a distribution's folder on the EFI system partition has."""
    return {"rhel": ("redhat",), "ol": ("redhat", "oracle"), "sles": ("sles", "sles_sap", "suse")}.get(name, (name,))


def kernel_command(entry: BootEntry) -> Command | None:
    """Return the command that loads Linux: below a hypervisor that of the module with a root."""
    found = [command for command in entry.commands if command.name in _LINUX]
    with_root = [command for command in found if any(word.startswith("root=") for word in command.words)]
    plain = [command for command in found if not command.name.startswith("module")]
    return next(iter(with_root or plain), None)


class Loaded(msgspec.Struct, frozen=True):
    """What an entry loads: the kernel's path as it stands there, the files with it, and the kernel's command line."""

    kernel: str
    initrds: tuple[str, ...]
    arguments: tuple[str, ...]
    line: int


def loaded(entry: BootEntry) -> Loaded | None:
    """Return what an entry loads; None for one that loads no Linux."""
    command = kernel_command(entry)
    words = [] if command is None else list(command.words[1:])
    while words and words[0].startswith("--"):  # GRUB legacy: kernel --type=..., module2 --nounzip
        words.pop(0)
    if command is None or not words:
        return None
    initrds = [word for each in entry.commands if each.name in _INITRD for word in each.words[1:]]
    if not initrds and command.name.startswith("module"):  # below a hypervisor the module after the kernel
        modules = [each for each in entry.commands if each.name.startswith("module")]
        after = modules[modules.index(command) + 1 :]
        initrds = [word for each in after for word in each.words[1:] if not word.startswith("--")][:1]
    initrds += [
        name for word in words[1:] if word.startswith("initrd=") for name in word.removeprefix("initrd=").split(",")
    ]
    known = [name for name in initrds if name and not name.startswith("${")]
    return Loaded(words[0], tuple(known), tuple(words[1:]), command.line)


def _root(kernel: Command, about: Surroundings) -> Place | None:
    """Return what root= names; of several the last counts."""
    roots = [word.removeprefix("root=") for word in kernel.words[1:] if word.startswith("root=")]
    if not roots or not roots[-1]:
        return None
    return Place(roots[-1], about.devices.resolve(roots[-1]), kernel.line)


def _is_other_subvolume(kernel: Command, about: Surroundings) -> bool:
    """Whether rootflags= names another subvolume than that of the system's root."""
    flags = [word.removeprefix("rootflags=") for word in kernel.words[2:] if word.startswith("rootflags=")]
    wanted = subvolume_option(flags[-1]) if flags else None
    if about.subvolume is None or wanted is None:
        return False
    return not is_named(about.subvolume, wanted)


def find_boot(commands: list[Command], about: Surroundings) -> Place | None:
    """Return where the commands look for their files: the last search that finds it, else the last `root`."""
    searched: Place | None = None
    named: Place | None = None
    for command in commands:
        words = command.words
        if words[0] == "search" or words[0].startswith("search."):
            searched = _searched(words, command.line, about) or searched
        elif words[0] in {"root", "rootnoverify"} and len(words) > 1:
            named = _device(words[1], command.line, about)
        elif words[0] == "uuid" and len(words) > 1:
            searched = Place(f"UUID={words[1]}", about.devices.resolve(f"UUID={words[1]}"), command.line)
        elif words[0] == "set" and len(words) > 1 and words[1].startswith("root="):
            named = _device(words[1].removeprefix("root="), command.line, about)
        elif len(words) > 1 and words[1].startswith("(hd") and words[0] in {*_LINUX, *_HANDS_OVER}:
            named = _device(words[1].partition(")")[0] + ")", command.line, about)
    return searched or named


def _device(text: str, line: int, about: Surroundings) -> Place | None:
    if "${" in text or not text:
        return None
    resolve = about.devices.resolve_grub_legacy if about.is_legacy else about.devices.resolve_grub
    return Place(text if text.startswith("(") else f"({text})", resolve(text), line)


def _searched(words: tuple[str, ...], line: int, about: Surroundings) -> Place | None:
    """Return what GRUB's search looks for; a search for a file names no volume."""
    if words[0].startswith("search."):  # search.fs_uuid UUID VARIABLE HINT...
        how, value = words[0].removeprefix("search."), words[1] if len(words) > 1 else ""
    else:
        options = words[1:]
        how = (
            "fs_uuid"
            if {"-u", "--fs-uuid"} & set(options)
            else "fs_label"
            if {"-l", "--label", "--fs-label"} & set(options)
            else ""
        )
        value = "" if options[-1:] == () or options[-1].startswith("-") else options[-1]
    tag = {"fs_uuid": "UUID", "fs_label": "LABEL"}.get(how)
    if tag is None or not value or "${" in value:
        return None
    return Place(f"{tag}={value}", about.devices.resolve(f"{tag}={value}"), line)
