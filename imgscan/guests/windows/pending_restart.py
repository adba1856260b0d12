r"""What a Windows still has to do when it starts next: updates half installed, files to be renamed.

Sources: Microsoft, "Component Based Servicing" in "Advanced guidance for servicing failures" (`PackagesPending`,
`SessionsPending`, `pending.xml`, `poqexec` in `SetupExecute`), "Windows Update Agent" (`RebootRequired`), and
`MoveFileEx` (`PendingFileRenameOperations`). `RebootPending` and `RebootRequired` are volatile, and seldom on a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import ImageError
from imgscan.guests.windows.hives import HiveFile, SystemHive
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.windows import PendingWork

_SERVICING: Final = "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing"
_UPDATE: Final = "Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired"
_MARKS: Final = (
    (f"{_SERVICING}\\RebootPending", "servicing asks for a restart"),
    (f"{_SERVICING}\\RebootInProgress", "servicing was in the middle of a restart"),
    (_UPDATE, "Windows Update asks for a restart"),
)
_SESSION_MANAGER: Final = "Control\\Session Manager"
_RENAMES: Final = ("PendingFileRenameOperations", "PendingFileRenameOperations2")
_QUEUE: Final = "poqexec"


def read_pending_restart(
    tree: GuestTree, directory: str, software: HiveFile, system: SystemHive
) -> Fact[tuple[PendingWork, ...]]:
    """Return what is to be done at the next start; `directory` is the Windows folder."""
    try:
        found = (*_updates(tree, directory, software), *_at_start(system))
        where = system.at(system.control(_SESSION_MANAGER))
    except ImageError as error:
        return unread_because(error, AtPath(software.volume, software.path), AtPath(system.volume, system.path))
    return known(found, software.at(_SERVICING), where)


def _updates(tree: GuestTree, directory: str, software: HiveFile) -> Iterator[PendingWork]:
    for path, text in _MARKS:
        if software.key(path) is not None:
            yield PendingWork("updates", text, software.at(path))
    packages = software.key(f"{_SERVICING}\\PackagesPending")
    if packages is not None and next(packages.subkeys(), None) is not None:
        yield PendingWork("updates", "packages are not installed to their end", software.at(packages.path))
    sessions = software.key(f"{_SERVICING}\\SessionsPending")
    exclusive = sessions.value("Exclusive") if sessions is not None else None
    if sessions is not None and exclusive is not None and exclusive.number():
        yield PendingWork("updates", "a servicing session is not finished", software.at(sessions.path, exclusive))
    place = tree.find(f"{directory.rstrip('/')}/WinSxS/pending.xml")
    if place is not None:
        yield PendingWork("updates", "a list of changes to be made waits (pending.xml)", place.evidence())


def _at_start(system: SystemHive) -> Iterator[PendingWork]:
    key = system.key(system.control(_SESSION_MANAGER))
    if key is None:
        return
    commands = key.value("SetupExecute")
    if commands is not None and any(_QUEUE in command.lower() for command in commands.texts()):
        yield PendingWork("updates", "changes of servicing are made at the next start", system.at(key.path, commands))
    for name in _RENAMES:
        value = key.value(name)
        if value is not None and value.size > 4:
            yield PendingWork("files", f"files are to be renamed or deleted ({name})", system.at(key.path, value))
