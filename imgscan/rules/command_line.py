"""What the kernel's command line of the default entry says about how the system comes up.

Sources: kernel-parameters.txt ("init="), Documentation/admin-guide/nfs/nfsroot.rst ("ip="), kernel-command-line(7)
and systemd(1) of systemd, init(8) of sysvinit, dracut.cmdline(7), initramfs-tools(7).
"""

from __future__ import annotations

from typing import Final

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import Evidence
from imgscan.model.system import System

READS = ("systems.default_kernel", "systems.menu")
"""What a rule reads that asks for it."""
_INITS: Final = frozenset(
    {"/init", "/sbin/init", "/usr/sbin/init", "/bin/systemd", "/usr/bin/systemd", "/lib/systemd/systemd",
     "/usr/lib/systemd/systemd"}
)  # fmt: skip
_SHELLS: Final = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh", "busybox", "sulogin"})
_MODES: Final = {
    **dict.fromkeys(("emergency", "-b"), "emergency.target"),
    **dict.fromkeys(("rescue", "single", "-s", "s", "S", "1"), "rescue.target"),
    **dict.fromkeys(("2", "3", "4"), "multi-user.target"),
    "5": "graphical.target",
}
"""Words that systemd takes for targets; other init systems for runlevels."""
_USUAL: Final = frozenset({"default.target", "multi-user.target", "graphical.target",
                           *(f"runlevel{level}.target" for level in "2345")})  # fmt: skip
_WITHOUT_NETWORK: Final = frozenset({"rescue.target", "emergency.target", "halt.target", "poweroff.target",
                                     "reboot.target", *(f"runlevel{level}.target" for level in "016")})  # fmt: skip
_NOT_FOLLOWED: Final = frozenset({"recovery", "break", "rd.break", "rdbreak", "systemd.run", "softlevel"})
"""Words, alone or with a value, that end in a shell or start something else."""
_SSH_UNITS: Final = frozenset({"ssh.service", "sshd.service", "ssh.socket", "sshd.socket"})


class CommandLine(msgspec.Struct, frozen=True):
    """The words of the command line, and its place."""

    words: tuple[str, ...]
    where: tuple[Evidence, ...]

    def last(self, option: str) -> str | None:
        """Return what the last such word sets, None where there is none."""
        found = [word.removeprefix(option) for word in self.words if word.startswith(option)]
        return found[-1] if found else None


def command_line(system: System) -> CommandLine:
    """Return the command line of the default entry; without words where no menu names any.

    :raises UnreadFact: it was not read
    """
    try:
        kernel = system.default_kernel.get()
    except UnreadFact:
        entries = [entry for entry in system.menu.get() if entry.default]
        if not entries or any(entry.arguments is None for entry in entries):
            raise
        words = [word for entry in entries for word in (entry.arguments or "").split()]
        return CommandLine(tuple(words), tuple(piece for entry in entries for piece in entry.evidence))
    if kernel is None or kernel.arguments is None:
        return CommandLine((), system.default_kernel.evidence)
    return CommandLine(tuple(kernel.arguments.split()), kernel.evidence or system.default_kernel.evidence)


def keeps_from_starting(line: CommandLine, manager: str, unit: str | None) -> str | None:
    """Return the word by which a server of the network does not start; None where no word does.

    `manager` is the init system, `unit` what it would start.

    :raises UnreadFact: a word is not followed that may keep it from starting
    """
    init = line.last("init=")
    if init and init not in _INITS:
        if init.rpartition("/")[2] in _SHELLS:
            return f"init={init}"
        raise _open(line, f"init={init}")
    target: tuple[str, str] | None = None  # the last word counts
    for word in line.words:
        name, _, value = word.partition("=")
        if name in _NOT_FOLLOWED:
            raise _open(line, word)
        if word in _MODES:
            target = (_MODES[word], word)
        elif manager == "systemd" and name == "systemd.unit" and value:
            target = (value, word)
        elif manager == "systemd" and name == "systemd.mask" and value:
            masked = value if "." in value else f"{value}.service"
            if masked == unit:
                return word
            if masked in _SSH_UNITS or masked.endswith(".target"):
                raise _open(line, word)
    if target is None:
        return None
    if target[0] in _WITHOUT_NETWORK:
        return target[1]
    if target[0] not in _USUAL or manager != "systemd":
        raise _open(line, target[1])
    return None


def fixed_address(line: CommandLine, *, ipv6: bool) -> str | None:
    """Return the word that gives an interface an address of a family; None where no word does."""
    for word in line.words:
        if word.startswith("ip=[") if ipv6 else word[:3] == "ip=" and _is_ipv4(word[3:].partition(":")[0]):
            return word
    return None


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdecimal() and len(part) < 4 for part in parts)


def _open(line: CommandLine, word: str) -> UnreadFact:
    return UnreadFact("unsupported", f"the kernel's command line has {word}, which is not followed", line.where)
