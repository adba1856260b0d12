r"""Where the files of drivers lie (`ImagePath`), and whether they are there.

Source: Microsoft, "ServiceBinary" of the INF AddService directive: a path from the Windows folder, or one that begins
with ``\SystemRoot``; a driver without one is ``System32\drivers\NAME.sys``.
"""

from __future__ import annotations

import re
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import WINDOWS_DRIVER_FOLDERS, WINDOWS_DRIVER_NAMES
from imgscan.errors import ImageError
from imgscan.model.windows import DriverFile

_ROOT: Final = re.compile(r"(\\?systemroot|%systemroot%|%windir%)\\", re.IGNORECASE)
_DRIVE: Final = re.compile(r"(\\\?\?\\)?[a-z]:(?=\\)", re.IGNORECASE)


class DriverFiles:
    """Files of drivers of one Windows. Each folder is listed once: looking up every file would read all their nodes."""

    def __init__(self, tree: GuestTree, directory: str) -> None:
        """Look in a guest whose Windows folder is `directory`."""
        self._tree = tree
        self._windows = directory.rstrip("/")
        self._folders: dict[str, frozenset[str] | None] = {}

    def path(self, image: str | None, service: str) -> str | None:
        """Return the guest path that an `ImagePath` stands for, None when it is on a drive that is not known."""
        text = (image or f"System32\\drivers\\{service}.sys").strip().strip('"')
        drive = _DRIVE.match(text)
        if drive is not None:
            path = text[drive.end() :].replace("\\", "/")
            # the drive of Windows has any letter; the folder shows that it is meant
            return path if path.lower().startswith(f"{self._windows.lower()}/") else None
        rooted = _ROOT.match(text)
        if rooted is None and text.startswith("\\"):
            return None
        return f"{self._windows}/{text[rooted.end() if rooted else 0 :]}".replace("\\", "/")

    def state(self, path: str | None) -> DriverFile:
        """Say whether a file is there; a folder that cannot be read, or one of too many, leaves it unread."""
        if path is None:
            return "unread"
        folder, _, name = path.lower().rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._listed(folder) if len(self._folders) < WINDOWS_DRIVER_FOLDERS else None
        names = self._folders[folder]
        return "unread" if names is None else "present" if name in names else "missing"

    def _listed(self, folder: str) -> frozenset[str] | None:
        try:
            if self._tree.find(folder) is None:
                return frozenset()
            names = self._tree.names(folder)
        except ImageError:
            return None
        return frozenset(name.lower() for name in names) if len(names) <= WINDOWS_DRIVER_NAMES else None
