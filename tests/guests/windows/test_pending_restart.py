"""What a Windows still has to do when it starts next."""

from __future__ import annotations

import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import WINDOWS_2019, RegistryData, Windows, windows_files

from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.model.fact import Fact
from imgscan.model.windows import PendingWork

pytestmark = requires_tool("hivexregedit")
SERVICING = "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing"
AUTO_UPDATE = "Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update"
MANAGER = "CurrentControlSet\\Control\\Session Manager"


def pending(
    windows: Windows, files: dict[str, bytes] | None = None, unreadable: tuple[str, ...] = ()
) -> Fact[tuple[PendingWork, ...]]:
    filesystem = MemoryFileSystem(windows_files(windows) | (files or {}), unreadable=unreadable)
    found = FoundSystem("windows", "disk0/p1", "/Windows")
    return inspect_windows(found, {"disk0/p1": filesystem}, [], []).system.pending_restart


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        (f"{SERVICING}\\RebootPending", "x", 1),
        (f"{SERVICING}\\RebootInProgress", "x", 1),
        (f"{SERVICING}\\PackagesPending\\30187189_1", "x", 1),
        (f"{SERVICING}\\SessionsPending", "Exclusive", 5),
        (f"{AUTO_UPDATE}\\RebootRequired", "x", 1),
    ],
)
def test_marks_of_servicing(key: str, name: str, value: RegistryData) -> None:
    found = pending(WINDOWS_2019.changed("SOFTWARE", key, name, value)).get()
    assert [each.kind for each in found] == ["updates"]


def test_marks_that_say_nothing() -> None:
    windows = WINDOWS_2019.changed("SOFTWARE", f"{SERVICING}\\PackagesPending", "x", 1)
    windows = windows.changed("SOFTWARE", f"{SERVICING}\\SessionsPending", "Exclusive", 0)
    windows = windows.changed("SOFTWARE", AUTO_UPDATE, "AUOptions", 4)
    for name in ("SetupExecute", "PendingFileRenameOperations"):
        windows = windows.changed("SYSTEM", MANAGER, name, [])
    assert pending(windows).get() == ()


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("SetupExecute", ["C:\\Windows\\System32\\poqexec.exe /noreboot /transaction 1"], "updates"),
        ("PendingFileRenameOperations", ["\\??\\C:\\a", "!\\??\\C:\\b"], "files"),
        ("PendingFileRenameOperations2", ["\\??\\C:\\a"], "files"),
    ],
)
def test_what_the_session_manager_does(name: str, value: RegistryData, kind: str) -> None:
    found = pending(WINDOWS_2019.changed("SYSTEM", MANAGER, name, value)).get()
    assert [each.kind for each in found] == [kind]


def test_the_list_of_changes_and_what_cannot_be_read() -> None:
    assert pending(WINDOWS_2019).get() == ()
    (found,) = pending(WINDOWS_2019, {"/Windows/WinSxS/pending.xml": b"<x/>"}).get()
    assert found.kind == "updates"
    assert pending(WINDOWS_2019, {"/Windows/WinSxS/a": b""}, ("/Windows/WinSxS",)).unread == "corrupt"
    for hive in ("SOFTWARE", "SYSTEM"):
        assert not pending(WINDOWS_2019, {f"/Windows/System32/config/{hive}": bytes(8192)}).is_known


def test_real_hives() -> None:
    """The Windows 7 waits for nothing; the Windows 10 has files of an installer to delete."""
    config = "/Windows/System32/config"
    assert pending(WINDOWS_2019, {f"{config}/SOFTWARE": shared_data("hives/SOFTWARE_WIN7.xz")}).get() == ()
    found = pending(WINDOWS_2019, {f"{config}/SYSTEM": shared_data("hives/SYSTEM_B.xz")}).get()
    assert [each.kind for each in found] == ["files"]
