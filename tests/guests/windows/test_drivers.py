"""Drivers that a Windows starts with, filters of storage devices, and drivers for network devices of targets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import (
    DISK_CLASS,
    VOLUME_CLASS,
    WINDOWS_2003,
    WINDOWS_2019,
    RegistryData,
    Windows,
    windows_files,
)

from imgscan.devices import limits
from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import drivers, inspect_windows, services
from imgscan.model.evidence import AtRegistry
from imgscan.model.system import System
from imgscan.model.windows import BootDriver

pytestmark = requires_tool("hivexregedit")
CONTROL, SERVICES = "CurrentControlSet\\Control", "CurrentControlSet\\Services"
STORE = "/Windows/System32/DriverStore/FileRepository"
VXN = f"{STORE}/vxn65x64.inf_amd64_1234567890abcdef/vxn65x64.inf"


def inspect(windows: Windows, unreadable: tuple[str, ...] = ()) -> System:
    filesystem = MemoryFileSystem(windows_files(windows), unreadable=unreadable)
    found = FoundSystem("windows", "disk0/p1", f"/{windows.directory}")
    return inspect_windows(found, {"disk0/p1": filesystem}, [], []).system


def service(windows: Windows, name: str, **values: RegistryData) -> Windows:
    for value, data in values.items():
        windows = windows.changed("SYSTEM", f"{SERVICES}\\{name}", value, data)
    return windows


def boot_drivers(windows: Windows, unreadable: tuple[str, ...] = ()) -> dict[str, BootDriver]:
    return {driver.name: driver for driver in inspect(windows, unreadable).boot_drivers.get()}


def states(windows: Windows, unreadable: tuple[str, ...] = ()) -> dict[str, str]:
    return {driver.name: driver.state for driver in inspect(windows, unreadable).network_drivers.get()}


def test_drivers_that_start_with_windows() -> None:
    found = boot_drivers(WINDOWS_2019)
    assert {name: (each.start, each.file) for name, each in found.items()} == dict.fromkeys(
        ("disk", "PartMgr", "VolSnap", "xenvbd"), ("boot", "present")
    )
    assert [str(place) for place in found["PartMgr"].filters] == ["upper filter of the class disk"]
    assert found["xenvbd"].group == "SCSI miniport"
    place = found["disk"].evidence[0]
    assert isinstance(place, AtRegistry)
    assert (place.key, place.value, place.raw) == ("ControlSet001\\Services\\disk", "Start", bytes(4))


def test_which_services_count() -> None:
    windows = service(WINDOWS_2019, "svchost", Start=0, Type=0x20)
    windows = service(windows, "cdrom", Start=1, Type=1, Group="SCSI CDROM Class")
    windows = service(windows, "LSI_SAS", Start=1, Type=1, Group="SCSI Miniport")
    windows = service(windows, "atapi", Start=3, Type=1)
    windows = service(windows, "FltMgr", Start=0, Type=2)
    assert set(boot_drivers(windows)) - set(boot_drivers(WINDOWS_2019)) == {"LSI_SAS", "FltMgr"}


def test_a_start_override_counts() -> None:
    windows = WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\xenvbd\\StartOverride", "0", 3)
    found = boot_drivers(windows)["xenvbd"]
    assert (found.start, found.configured, found.file) == ("manual", "boot", None)
    assert [place.key for place in found.evidence if isinstance(place, AtRegistry)] == [
        "ControlSet001\\Services\\xenvbd",
        "ControlSet001\\Services\\xenvbd\\StartOverride",
    ]


def test_filters_and_those_without_a_driver() -> None:
    windows = WINDOWS_2019.changed(
        "SYSTEM", f"{CONTROL}\\Class\\{DISK_CLASS}", "LowerFilters", ["stdcfltn", "gone"]
    ).changed("SYSTEM", f"{CONTROL}\\Class\\{VOLUME_CLASS}", "LowerFilters", "stdcfltn")
    found = boot_drivers(service(windows, "stdcfltn", Start=3, Type=1))
    assert [str(place) for place in found["stdcfltn"].filters] == [
        "lower filter of the class disk",
        "lower filter of the class volume",
    ]
    assert (found["stdcfltn"].start, found["stdcfltn"].file) == ("manual", "missing")
    assert (found["gone"].start, found["gone"].file) == (None, None)


def test_the_critical_device_database() -> None:
    windows = service(WINDOWS_2003, "intelide", Start=4, Type=1)
    for device in ("pci#ven_8086&dev_7010", "pci#ven_8086&dev_7111"):
        windows = windows.changed("SYSTEM", f"{CONTROL}\\CriticalDeviceDatabase\\{device}", "Service", "intelide")
    found = boot_drivers(windows)["intelide"]
    assert (found.start, found.hardware) == ("disabled", ("pci#ven_8086&dev_7010", "pci#ven_8086&dev_7111"))


def test_where_a_driver_lies() -> None:
    images = {
        "System32\\Drivers\\a.sys": "/Windows/System32/Drivers/a.sys",
        "\\SystemRoot\\System32\\a.sys": "/Windows/System32/a.sys",
        "%SystemRoot%\\a.sys": "/Windows/a.sys",
        "\\??\\C:\\Windows\\b.sys": "/Windows/b.sys",
        '"D:\\WINDOWS\\Sub\\a.sys"': "/WINDOWS/Sub/a.sys",
        "C:\\Drivers\\a.sys": None,
        "\\Device\\HarddiskVolume1\\a.sys": None,
        "": "/Windows/System32/drivers/name7.sys",
    }
    windows = WINDOWS_2019
    for number, image in enumerate(images):
        windows = service(windows, f"name{number}", Start=0, Type=1, ImagePath=image)
    names = [f"name{number}" for number in range(len(images))]
    found = boot_drivers(windows)
    assert [found[name].path for name in names] == list(images.values())
    assert [found[name].file for name in names] == ["missing" if path else "unread" for path in images.values()]
    files = tuple((path.upper().replace("WINDOWS", "Windows"), b"MZ") for path in images.values() if path)
    found = boot_drivers(replace(windows, files=files))
    assert [found[name].file for name in names] == ["present" if path else "unread" for path in images.values()]


def test_a_folder_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable = ("/Windows/System32/drivers", STORE)
    system = inspect(WINDOWS_2019, unreadable)
    assert {driver.file for driver in system.boot_drivers.get()} == {"unread"}
    assert not system.network_drivers.is_known
    windows = service(WINDOWS_2019, "vxn", Start=3, Type=1, ImagePath="System32\\vxn.sys")
    windows = replace(windows, files=(("/Windows/System32/vxn.sys", b"MZ"),))
    assert states(windows, unreadable[1:]) == {"ena": "installed", "ixgbevf": "installed"}
    monkeypatch.setattr(drivers, "WINDOWS_DRIVER_NAMES", 0)
    assert inspect(WINDOWS_2019).network_drivers.unread == "limit"


def test_network_drivers() -> None:
    assert states(WINDOWS_2019) == {"ena": "installed", "ixgbevf": "staged"}
    without = replace(WINDOWS_2019, lacks=("/Windows/System32/drivers/ena.sys", VXN))
    assert states(without) == {"ena": "broken", "ixgbevf": "absent"}
    again = replace(without, files=((f"{STORE}/ENA.inf_amd64_0123456789abcdef/ena.sys", b"MZ"),))
    assert states(again) == {"ena": "staged", "ixgbevf": "absent"}
    other = replace(WINDOWS_2019, lacks=(VXN,), files=((f"{STORE}/vxnet.inf.de_amd64/x", b""),))
    assert states(other)["ixgbevf"] == "absent"


def test_too_many_services(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.WINDOWS_SERVICES > 4000  # a large one has a thousand
    monkeypatch.setattr(services, "WINDOWS_SERVICES", 3)
    system = inspect(WINDOWS_2019)
    assert (system.boot_drivers.unread, system.network_drivers.unread) == ("limit", "limit")
    assert system.products.unread == "limit"  # a driver that was not looked at may filter files for viruses
    assert system.remote_desktop.is_known


def test_too_many_filters() -> None:
    key = f"{CONTROL}\\Class\\{DISK_CLASS}"
    assert boot_drivers(WINDOWS_2019.changed("SYSTEM", key, "UpperFilters", ["PartMgr"] * 63 + ["last"]))[
        "last"
    ].filters
    many = WINDOWS_2019.changed("SYSTEM", key, "UpperFilters", ["PartMgr"] * 64 + ["last"])
    assert inspect(many).boot_drivers.unread == "limit"


def test_values_of_a_wrong_type_lose_only_the_fact_that_needs_them() -> None:
    system = inspect(service(WINDOWS_2019, "ena", ImagePath=7))
    assert (system.network_drivers.unread, system.boot_drivers.is_known) == ("corrupt", True)
    system = inspect(service(WINDOWS_2019, "disk", Start="0"))
    assert system.network_drivers.is_known


@pytest.mark.parametrize("values", [{"Start": "2"}, {"Start": 0, "Type": 1, "Group": ["a", "b"]}])
def test_a_service_of_a_wrong_form_loses_only_itself(values: dict[str, RegistryData]) -> None:
    found = boot_drivers(service(WINDOWS_2019, "Weird", **values))
    odd = found.pop("Weird")
    assert (odd.start, odd.file) == ("unread", "unread")
    assert odd.evidence
    assert found == boot_drivers(WINDOWS_2019)
    named = WINDOWS_2019.changed("SYSTEM", f"{CONTROL}\\Class\\{DISK_CLASS}", "LowerFilters", ["Weird"])
    assert boot_drivers(service(named, "Weird", **values))["Weird"].filters


def test_real_hives() -> None:
    """Expected is what hivexget says of these keys."""
    config = "/Windows/System32/config/SYSTEM"
    filesystem = MemoryFileSystem(windows_files(WINDOWS_2019) | {config: shared_data("hives/SYSTEM_B.xz")})
    found = FoundSystem("windows", "disk0/p1", "/Windows")
    named = {
        driver.name: driver
        for driver in inspect_windows(found, {"disk0/p1": filesystem}, [], []).system.boot_drivers.get()
    }
    assert (named["storahci"].configured, named["storahci"].start) == ("boot", "manual")
    assert (named["iaStorAV"].start, named["iaStorAV"].group) == ("boot", "SCSI miniport")
    assert [str(place) for place in named["stdcfltn"].filters] == ["lower filter of the class disk"]
    assert {name for name, driver in named.items() if driver.filters} == {
        *("partmgr", "EhStorClass", "stdcfltn"),
        *("volsnap", "fvevol", "rdyboost", "iorate"),
    }
