r"""Where the files of drivers lie (`ImagePath`), and whether they are there.

Source: Microsoft, "ServiceBinary" of the INF AddService directive: a path from the Windows folder, or one that begins
with ``\SystemRoot``; a driver without one is ``System32\drivers\NAME.sys``.
"""

from __future__ import annotations

import re
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import WINDOWS_DRIVER_NAMES
from imgscan.errors import ImageError, LimitExceeded
from imgscan.model.windows import DriverFile

_ROOT: Final = re.compile(r"(\\?systemroot|%systemroot%|%windir%)\\", re.IGNORECASE)
_DRIVE: Final = re.compile(r"(\\\?\?\\)?[a-z]:(?=\\)", re.IGNORECASE)


class DriverFiles:
    """Files of one Windows' drivers. Their usual folder is listed once: looking each up would read all their nodes."""

    def __init__(self, tree: GuestTree, directory: str) -> None:
        """Look in a guest whose Windows folder is `directory`."""
        self._tree = tree
        self._windows = directory.rstrip("/")
        self._usual = f"{self._windows}/System32/drivers"
        self._names: frozenset[str] | None = None
        self._failed: ImageError | None = None

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
        """Say whether a file is there; a folder that cannot be read leaves it unread."""
        if path is None:
            return "unread"
        folder, _, name = path.rpartition("/")
        try:
            if folder.lower() == self._usual.lower():
                return "present" if name.lower() in self._listed() else "missing"
            return "missing" if self._tree.find(path) is None else "present"
        except ImageError:
            return "unread"

    def _listed(self) -> frozenset[str]:
        """Return the names in the usual folder in lower case; what fails is kept, and fails again."""
        if self._failed is not None:
            raise self._failed
        if self._names is None:
            try:
                names = self._tree.names(self._usual) if self._tree.find(self._usual) is not None else ()
                if len(names) > WINDOWS_DRIVER_NAMES:
                    raise LimitExceeded(f"{self._usual} has more than {WINDOWS_DRIVER_NAMES} names")
            except ImageError as error:
                self._failed = error
                raise
            self._names = frozenset(name.lower() for name in names)
        return self._names
