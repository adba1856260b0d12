"""Whether a grub.cfg can be GRUB's menu at all: not what it starts, only that something is there that could.

Only its first few KiB are read. An empty file leaves GRUB at its prompt; one that is no text, or short and without any
command that starts something, is told as what it is, and not as an answer.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from imgscan.devices.filesystem import Entry, FileSystem
from imgscan.devices.limits import KIB
from imgscan.devices.subvolumes import loader_roots
from imgscan.errors import Why

CONFIG_BYTES = 4 * KIB
"""How much of a grub.cfg is looked at; that of a distribution begins with comments, then commands."""

_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_STARTS = re.compile(
    r"(?:^|[\s;{&|])(?:menuentry|submenu|bls\w*|uki|\w*configfile|\w*source|\.|normal|eval|boot|chainloader|ntldr"
    r"|linux\w*|kernel|multiboot2?|xen_\w+|k(?:free|net|open)bsd)(?=[\s;}&|]|$)",
    re.MULTILINE,
)
"""Commands that start something, or read a configuration that may (GRUB manual, "Commands")."""


class MenuProblem(msgspec.Struct, frozen=True):
    """What is wrong with a grub.cfg; `why` is set when GRUB may start something from it all the same."""

    answer: Literal["no", "unsure"]
    detail: str
    why: Why | None = None


def menu_problem(head: bytes, shown: str) -> MenuProblem | None:
    """Return what is wrong with a grub.cfg of which `head` is the first `CONFIG_BYTES`; `shown` is its name."""
    if _NO_TEXT.search(head):
        return MenuProblem("unsure", f"{shown} is no text: it is damaged", "corrupt")
    if len(head) >= CONFIG_BYTES:
        return None
    lines = [line for line in head.decode("latin-1").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return MenuProblem("no", f"GRUB's menu is empty: {shown} has no command")
    if not _STARTS.search("\n".join(lines)):
        return MenuProblem("unsure", f"{shown} has no menu entry, and no command that is known to start", "unsupported")
    return None


def problem_of_file(filesystem: FileSystem, path: str) -> MenuProblem | None:
    """Return what is wrong with the grub.cfg at `path`, None when it is not there or behind a symbolic link.

    :raises ImageError: it cannot be read
    """
    for root in loader_roots(filesystem):
        entry: Entry | None = None
        node = root
        for name in path.split("/"):
            if name:
                entry = filesystem.lookup(node, name)
                if entry is None or entry.kind == "symlink":
                    break
                node = entry.node
        if entry is not None and entry.kind == "file":
            head = filesystem.read(entry.node, 0, CONFIG_BYTES)
            return menu_problem(head, f"{path} on {filesystem.volume}")
    return None
