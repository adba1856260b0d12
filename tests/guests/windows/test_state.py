"""Page files, .NET, updates, hibernation, driver signing, and products that start."""

from __future__ import annotations

import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import WINDOWS_2003, WINDOWS_2019, RegistryData, Windows, windows_files
from windows_builder import hive as build_hive

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import LimitExceeded
from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.guests.windows.registry import Hive
from imgscan.model.system import System

pytestmark = requires_tool("hivexregedit")
MEMORY = "CurrentControlSet\\Control\\Session Manager\\Memory Management"
NDP = "Microsoft\\NET Framework Setup\\NDP"
PACKAGES = "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\Packages"


def inspect(windows: Windows, files: dict[str, bytes] | None = None, unreadable: tuple[str, ...] = ()) -> System:
    filesystem = MemoryFileSystem(windows_files(windows) | (files or {}), unreadable=unreadable)
    found = FoundSystem("windows", "disk0/p1", f"/{windows.directory}")
    return inspect_windows(found, {"disk0/p1": filesystem}, [], []).system


@pytest.mark.parametrize(
    ("value", "files"),
    [
        (["C:\\pagefile.sys 4096 4096"], [("C:\\pagefile.sys", 4096, 4096)]),
        (["?:\\pagefile.sys"], [("?:\\pagefile.sys", None, None)]),
        (["C:\\pagefile.sys 0 0"], [("C:\\pagefile.sys", None, None)]),
        (["C:\\pagefile.sys"], [("C:\\pagefile.sys", None, None)]),
        (["C:\\pagefile.sys 0 4096"], [("C:\\pagefile.sys", 0, 4096)]),
        (
            ["C:\\page file.sys 1 2", "D:\\pagefile.sys 3 3"],
            [("C:\\page file.sys", 1, 2), ("D:\\pagefile.sys", 3, 3)],
        ),
        ([], []),
        ("C:\\pagefile.sys 5 6", [("C:\\pagefile.sys", 5, 6)]),
        (["C:\\pagefile.sys 4096"], None),
        (["C:\\pagefile.sys x y"], None),
        (["4096 4096"], None),
        (1, None),
        (None, None),
    ],
)
def test_page_files(value: RegistryData | None, files: list[tuple[str, int | None, int | None]] | None) -> None:
    found = inspect(WINDOWS_2019.changed("SYSTEM", MEMORY, "PagingFiles", value)).page_files
    if files is None:
        assert not found.is_known
        return
    assert [(file.path, file.minimum, file.maximum) for file in found.get()] == files


@pytest.mark.parametrize(
    ("release", "version"),
    [
        (378388, "4.0"),
        (378389, "4.5"),
        (378758, "4.5.1"),
        (379893, "4.5.2"),
        (393297, "4.6"),
        (394806, "4.6.2"),
        (460805, "4.7"),
        (461814, "4.7.2"),
        (528049, "4.8"),
        (533325, "4.8.1"),
        (999999, "4.8.1"),
        (None, "4.0"),
    ],
)
def test_net_framework_4(release: int | None, version: str) -> None:
    found = inspect(WINDOWS_2019.changed("SOFTWARE", f"{NDP}\\v4\\Full", "Release", release)).frameworks.get()
    assert [each.version for each in found] == ["3.5", version]


def test_net_framework_that_is_not_there_or_not_read() -> None:
    windows = WINDOWS_2019.changed("SOFTWARE", f"{NDP}\\v4\\Full", "Install", 0)
    assert inspect(windows.changed("SOFTWARE", f"{NDP}\\v3.5", "Install", 0)).frameworks.get() == ()
    assert not inspect(windows.changed("SOFTWARE", f"{NDP}\\v3.5", "Install", "1")).frameworks.is_known


@pytest.mark.parametrize(
    ("packages", "states"),
    [
        ({}, ["absent", "absent"]),
        ({"Package_for_KB2922223~31bf~x86~~6.1.1.0": 0x70}, ["installed", "absent"]),
        ({"Package_for_KB2922223_SP1~31bf~x86~~6.1.1.0": 0x50}, ["installed", "absent"]),
        ({"Package_for_KB2922223~31bf~x86~~6.1.1.0": 0x20}, ["absent", "absent"]),
        ({"Package_for_KB2922224~31bf~x86~~6.1.1.0": 0x70}, ["absent", "absent"]),
        ({"Package_for_RollupFix~31bf~amd64~~7601.1.1": 0x70}, ["superseded", "superseded"]),
        (
            {"Package_for_RollupFix~31bf~amd64~~7601.1.1": 0x70, "Package_for_KB2800213~31bf": 0x70},
            ["superseded", "installed"],
        ),
    ],
)
def test_updates(packages: dict[str, int], states: list[str]) -> None:
    windows = WINDOWS_2019
    for name, state in packages.items():
        windows = windows.changed("SOFTWARE", f"{PACKAGES}\\{name}", "CurrentState", state)
    assert [update.state for update in inspect(windows).updates.get()] == states
    assert inspect(WINDOWS_2003).updates.get() == ()


def test_keys_from_a_prefix_on_are_found_without_reading_all() -> None:
    class Counting(MemoryDevice):
        reads = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.reads += 1
            return super().read_at(offset, length)

    names = [f"Package_for_KB{number:07d}~31bf3856ad364e35~amd64~~6.1.1.0" for number in range(0, 9000, 3)]
    device = Counting(build_hive({name: {"CurrentState": 112} for name in names}), "SOFTWARE")
    root = Hive(device).root
    assert [key.name for key in root.subkeys_from("package_for_kb0004500", 8)] == [names[1500]]
    assert list(root.subkeys_from("Package_for_KB0004501~", 8)) == []
    assert [key.name for key in root.subkeys_from("Package_for_KB899999", 8)] == []
    assert len(list(root.subkeys_from("Package_for_KB00000", 99))) == 34
    with pytest.raises(LimitExceeded, match="more than 8 keys"):
        list(root.subkeys_from("Package", 8))
    assert device.reads < 120


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (None, False),
        (b"", False),
        (b"hibr", True),
        (b"HIBR", True),
        (b"RSTR", True),
        (b"wake", False),
        (b"WAKE", False),
        (bytes(4), False),
        (b"what", None),
    ],
)
def test_hibernation(start: bytes | None, expected: bool | None) -> None:
    found = inspect(WINDOWS_2019, {} if start is None else {"/hiberfil.sys": start.ljust(len(start) and 4096, b"\0")})
    assert (found.hibernated.get() if found.hibernated.is_known else None) is expected
    assert not inspect(WINDOWS_2019, {"/hiberfil.sys": b"HIBR"}, ("/hiberfil.sys",)).hibernated.is_known


@pytest.mark.parametrize("files", [{"/hiberfil.sys": bytes(3)}, {"/hiberfil.sys/x": b"HIBR"}])
def test_no_hibernation_in_a_few_zeros_or_a_folder(files: dict[str, bytes]) -> None:
    assert inspect(WINDOWS_2019, files).hibernated.get() is False


@pytest.mark.parametrize(
    ("setting", "policy", "expected"),
    [
        (b"\0", None, "ignore"),
        (b"\1", None, "warn"),
        (b"\2", None, "block"),
        (0, None, "ignore"),
        (b"\0", 2, "block"),
        (b"\1", 0, "warn"),
        (b"\7", None, "unread"),
        (b"\0\0", None, "unread"),
        (None, None, "unread"),
    ],
)
def test_driver_signing(setting: bytes | int | None, policy: int | None, expected: str) -> None:
    windows = WINDOWS_2003.changed("SOFTWARE", "Microsoft\\Driver Signing", "Policy", setting)
    key = "Policies\\Microsoft\\Windows NT\\Driver Signing"
    found = inspect(windows.changed("SOFTWARE", key, "BehaviorOnFailedVerify", policy)).driver_signing
    assert (found.get() if found.is_known else "unread") == expected
    assert inspect(WINDOWS_2019).driver_signing.get() is None


def test_products_that_start() -> None:
    windows = WINDOWS_2019
    for service, start in (("ntrtscan", 2), ("TmListen", 2), ("McShield", 3), ("csagent", 1), ("WazuhSvc", 2)):
        windows = windows.changed("SYSTEM", f"CurrentControlSet\\Services\\{service}", "Start", start)
    found = inspect(windows).products
    assert {(each.kind, each.name) for each in found.get()} == {
        ("antivirus", "Trend Micro OfficeScan"),
        ("antivirus", "CrowdStrike Falcon"),
        ("intrusion-detection", "Wazuh"),
    }
    windows = windows.changed("SYSTEM", "CurrentControlSet\\Services\\AVP", "Start", "2")
    assert not inspect(windows).products.is_known


def test_a_filter_driver_for_viruses_counts_whoever_made_it() -> None:
    def named(name: str, **values: int | str) -> set[str]:
        windows = WINDOWS_2019
        for value, content in {"Type": 2, "Group": "FSFilter Anti-Virus", **values}.items():
            windows = windows.changed("SYSTEM", f"CurrentControlSet\\Services\\{name}", value, content)
        return {each.name for each in inspect(windows).products.get()}

    assert named("SYMEFA", Start=0) == {"the filter driver SYMEFA"}
    assert named("SYMEFA", Start=3) == set()
    assert named("WdFilter", Start=0) == set()
    assert named("FileInfo", Start=0, Group="FSFilter Bottom") == set()
    assert named("Weird", Start="0", Group="FSFilter Bottom") == set()


@pytest.mark.parametrize("values", [{"Start": "0", "Group": "FSFilter Anti-Virus"}, {"Start": 0, "Group": 7}])
def test_a_driver_that_cannot_be_read_may_be_a_filter_for_viruses(values: dict[str, int | str]) -> None:
    windows = WINDOWS_2019
    for value, content in {"Type": 2, **values}.items():
        windows = windows.changed("SYSTEM", "CurrentControlSet\\Services\\Weird", value, content)
    assert inspect(windows).products.unread == "corrupt"


def test_a_real_windows_7() -> None:
    config = "/Windows/System32/config"
    hives = {f"{config}/SOFTWARE": "SOFTWARE_WIN7", f"{config}/SYSTEM": "SYSTEM"}
    system = inspect(WINDOWS_2019, {path: shared_data(f"hives/{name}.xz") for path, name in hives.items()})
    assert [each.version for each in system.frameworks.get()] == ["2.0", "3.0", "3.5"]
    assert [each.state for each in system.updates.get()] == ["absent", "absent"]
    assert [each.minimum for each in system.page_files.get()] == [None]
    assert "McAfee VirusScan" in {each.name for each in system.products.get()}


@pytest.mark.parametrize("lost", ["SOFTWARE", "SYSTEM"])
def test_a_damaged_hive_leaves_open_what_it_would_say(lost: str) -> None:
    system = inspect(WINDOWS_2019, {f"/Windows/System32/config/{lost}": bytes(8192)})
    of_software = (system.frameworks, system.updates)
    of_system = (system.page_files, system.universal_clock, system.products)
    assert not any(fact.is_known for fact in (of_software if lost == "SOFTWARE" else of_system))
    assert all(fact.is_known for fact in (of_system if lost == "SOFTWARE" else of_software[:1]))
    assert not system.remote_desktop.is_known
    assert not system.firewalls.is_known
    assert system.hibernated.is_known
