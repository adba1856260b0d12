"""What a Windows still shows of physical machines."""

from __future__ import annotations

from dataclasses import replace

import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import WINDOWS_2003, WINDOWS_2019, Windows, windows_files

from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.model.evidence import AtRegistry
from imgscan.model.software import HardwareTrace
from imgscan.model.system import System

pytestmark = requires_tool("hivexregedit")
ENUM, SERVICES = "CurrentControlSet\\Enum", "CurrentControlSet\\Services"
MACHINES = "HardwareConfig\\{4c4c4544-0042-3210-804d-c4c04f4e323%d}"
CARDS = "Microsoft\\Windows NT\\CurrentVersion\\NetworkCards"
INFORMATION = "CurrentControlSet\\Control\\SystemInformation"


def inspect(windows: Windows, files: dict[str, bytes] | None = None) -> System:
    filesystem = MemoryFileSystem(windows_files(windows) | (files or {}))
    return inspect_windows(FoundSystem("windows", "disk0/p1", "/Windows"), {"disk0/p1": filesystem}, [], []).system


def traces(windows: Windows, files: dict[str, bytes] | None = None) -> list[tuple[str, str]]:
    return [(trace.kind, trace.text) for trace in inspect(windows, files).hardware_traces.get()]


def machine(number: int, maker: str, product: str, windows: Windows = WINDOWS_2019) -> Windows:
    key = MACHINES % number
    windows = windows.changed("SYSTEM", key, "SystemManufacturer", maker)
    return windows.changed("SYSTEM", key, "SystemProductName", product)


def test_a_windows_without_traces() -> None:
    assert traces(WINDOWS_2019) == []
    assert traces(replace(WINDOWS_2003, directory="Windows")) == []


def test_the_machines_that_it_ran_on() -> None:
    dell = machine(1, "Dell Inc.", "PowerEdge R710")
    assert traces(dell) == [("hardware-at-installation", "it ran on Dell Inc. PowerEdge R710")]
    both = machine(2, "VMware, Inc.", "VMware Virtual Platform", dell)
    assert traces(both) == traces(dell)
    (found,) = inspect(both).hardware_traces.get()
    assert isinstance(found.evidence, AtRegistry)
    assert (found.evidence.key, found.evidence.value) == (MACHINES % 1, "SystemManufacturer")
    virtual = machine(1, "Microsoft Corporation", "Virtual Machine", machine(2, "VMware, Inc.", "VMware7,1"))
    assert traces(virtual) == [("virtual-at-installation", "all machines that it ran on are virtual")]
    for maker, product in (("Microsoft Corporation", "Surface Pro"), ("HPE", "Cloudline CL2200 G3")):
        assert traces(machine(1, maker, product))[0][0] == "hardware-at-installation"


def test_the_last_machine() -> None:
    """Before Windows 8 the last machine alone is kept: a virtual one says nothing about those before it."""
    for maker, expected in (("VMware, Inc.", []), ("HP", [("hardware-at-installation", "it ran on HP")])):
        assert traces(WINDOWS_2019.changed("SYSTEM", INFORMATION, "SystemManufacturer", maker)) == expected
    last = machine(1, "VMware, Inc.", "VMware7,1").changed("SYSTEM", INFORMATION, "SystemManufacturer", "HP")
    assert traces(last) == [("hardware-at-installation", "it ran on HP")]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("PCI\\VEN_14E4&DEV_1639&SUBSYS_02351028&REV_20", "device"),
        ("PCI\\VEN_103C&DEV_323A&SUBSYS_3243103C&REV_01", "device"),
        ("SCSI\\Disk&Ven_HP______&Prod_LOGICAL_VOLUME", "disk-name"),
        ("SCSI\\Disk&Ven_DELL&Prod_PERC_6/i", "disk-name"),
        ("SCSI\\Disk&Ven_&Prod_ST1000DM003-1CH1", "disk-name"),
        ("SCSI\\Disk&Ven_ATA&Prod_ST1000DM003-1CH1", "disk-name"),
        ("IDE\\DiskWDC_WD1003FBYX-01Y7B0_________________01.01V01", "disk-name"),
        ("IDE\\DiskST3250410AS_____________________________3.AAC___", "disk-name"),
    ],
)
def test_devices(device: str, expected: str) -> None:
    found = traces(WINDOWS_2019.changed("SYSTEM", f"{ENUM}\\{device}\\3&1", "Class", "x"))
    assert [kind for kind, _ in found] == [expected]


def test_virtual_devices() -> None:
    windows = WINDOWS_2019
    for device in (
        "PCI\\VEN_1000&DEV_0054&SUBSYS_197615AD&REV_01",
        "PCI\\VEN_8086&DEV_7111&SUBSYS_00000000&REV_01",
        "PCI\\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00",
        "PCI\\VEN_5853&DEV_0001&SUBSYS_00015853&REV_01",
        "PCI\\VEN_1022&DEV_2000&SUBSYS_20001022&REV_10",
        "SCSI\\Disk&Ven_VMware_&Prod_VMware_Virtual_S",
        "SCSI\\Disk&Ven_Msft&Prod_Virtual_Disk",
        "SCSI\\CdRom&Ven_HP&Prod_DVD",
        "SCSI\\Disk&Ven_&Prod_",
        "SCSI\\Disk&Ven_&Prod_QEMU_HARDDISK",
        "IDE\\DiskVMware_Virtual_IDE_Hard_Drive___________00000001",
        "IDE\\DiskQEMU_HARDDISK__________________________0.10.2__",
        "IDE\\DiskVBOX_HARDDISK_________________________1.0_____",
        "IDE\\DiskVirtual_HD______________________________1.1.0___",
        "IDE\\CdRomTOSHIBA_DVD__________________________1.0_____",
    ):
        windows = windows.changed("SYSTEM", f"{ENUM}\\{device}\\3&1", "Class", "x")
    assert traces(windows) == []


def test_network_cards() -> None:
    windows = WINDOWS_2019
    for number, card in enumerate(
        (
            "Intel(R) PRO/1000 MT Network Connection",
            "Intel(R) 82574L Gigabit Network Connection",
            "vmxnet3 Ethernet Adapter",
            "Microsoft Hyper-V Network Adapter",
            "AMD PCNET Family PCI Ethernet Adapter",
            "Realtek RTL8139C+ Fast Ethernet NIC",
        ),
        2,
    ):
        windows = windows.changed("SOFTWARE", f"{CARDS}\\{number}", "Description", card)
    assert traces(windows) == []
    for card in (
        "Broadcom BCM5709C NetXtreme II GigE (NDIS VBD Client)",
        "HP NC373i Multifunction Gigabit Server Adapter",
        "Intel(R) Ethernet Connection I219-V",
    ):
        found = traces(windows.changed("SOFTWARE", f"{CARDS}\\12", "Description", card))
        assert found == [("network-card", f"it had a {card}")]


def test_drivers_software_converters_and_licence() -> None:
    windows = WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\megasas", "Start", 0)
    windows = windows.changed("SYSTEM", f"{SERVICES}\\megasas", "Type", 1)
    assert traces(windows) == [("driver", "it starts with megasas, a driver of disk controllers")]
    assert traces(windows.changed("SYSTEM", f"{SERVICES}\\megasas\\StartOverride", "0", 3)) == []
    windows = WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\omsad", "Start", 2)
    assert traces(windows) == [("management-software", "Dell OpenManage (omsad)")]
    windows = WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\vstor2-p2v30", "Start", 2)
    assert traces(windows) == [("conversion-tool", "VMware Converter's driver (vstor2-p2v30)")]
    assert traces(WINDOWS_2019, {"/P2VTemp/log.txt": b""}) == [
        ("conversion-tool", "a folder of PlateSpin's conversion")
    ]
    windows = WINDOWS_2019.changed("SOFTWARE", CARDS.rpartition("\\Net")[0], "ProductId", "00371-OEM-8992671-00524")
    assert traces(windows) == [("oem-licence", "its licence came with a machine (OEM)")]


def test_what_cannot_be_read_leaves_it_open() -> None:
    for name in ("SOFTWARE", "SYSTEM"):
        assert not inspect(WINDOWS_2019, {f"/Windows/System32/config/{name}": bytes(8192)}).hardware_traces.is_known
    broken = WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\megasas", "Start", "0")
    assert inspect(broken).hardware_traces.unread == "corrupt"
    for value in (3, b"H\0P\0", ["HP"]):
        broken = WINDOWS_2019.changed("SYSTEM", INFORMATION, "SystemManufacturer", value)
        assert inspect(broken).hardware_traces.unread == "corrupt"
    other = machine(1, "HP", "ProLiant").changed("SYSTEM", f"{SERVICES}\\disk", "Start", "0")
    assert traces(other) == [("hardware-at-installation", "it ran on HP ProLiant")]


@pytest.mark.parametrize(
    ("hive", "kinds"),
    [
        ("SYSTEM", set()),
        ("SYSTEM_WIN_10_1709", {"virtual-at-installation"}),
        ("SYSTEM_B", {"hardware-at-installation", "device", "disk-name", "driver"}),
    ],
)
def test_real_hives(hive: str, kinds: set[str]) -> None:
    """Two of VMware machines, and one of a Dell Latitude."""
    found: tuple[HardwareTrace, ...] = inspect(
        WINDOWS_2019, {"/Windows/System32/config/SYSTEM": shared_data(f"hives/{hive}.xz")}
    ).hardware_traces.get()
    assert {trace.kind for trace in found} == kinds
