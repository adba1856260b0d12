"""Adapters with their addresses, DHCP, IPv6, routes and proxies; real hives of Windows 7 and 10 among them."""

from __future__ import annotations

import struct

import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import WINDOWS_2003, WINDOWS_2019, RegistryData, Windows, windows_files
from windows_network import (
    CLASS,
    CONNECTIONS,
    FIRST,
    HIDDEN,
    INTERFACES,
    IPV6_ADDRESSES,
    SECOND,
    WIRELESS,
    Adapter,
)

from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.guests.windows.network import ipv6_text
from imgscan.model.evidence import AtRegistry
from imgscan.model.network import Interface
from imgscan.model.system import System

pytestmark = requires_tool("hivexregedit")
SYSTEM = "/Windows/System32/config/SYSTEM"
CURRENT = "CurrentControlSet"
SETTINGS = "Microsoft\\Windows\\CurrentVersion\\Internet Settings"


def inspect(windows: Windows = WINDOWS_2019, files: dict[str, bytes] | None = None) -> System:
    filesystem = MemoryFileSystem(windows_files(windows) | (files or {}))
    found = FoundSystem("windows", "disk0/p1", f"/{windows.directory}")
    return inspect_windows(found, {"disk0/p1": filesystem}, [], []).system


def with_adapter(adapter: Adapter, windows: Windows = WINDOWS_2019) -> Windows:
    for key, values in adapter.keys().items():
        for name, value in values.items():
            windows = windows.changed("SYSTEM", f"{CURRENT}\\{key}", name, value)
    return windows


def interfaces(system: System) -> list[Interface]:
    return [each for file in system.network.get() for each in file.interfaces.get()]


def short(system: System) -> list[tuple[str | None, str, bool, list[str]]]:
    return [
        (each.name, each.kind, each.dhcp4, [address.address for address in each.addresses])
        for each in interfaces(system)
    ]


DHCP = ("Ethernet0", "ethernet", True, list[str]())


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [
        (SECOND, ("Ethernet1", "ethernet", True, [])),
        (Adapter(2, "Wi-Fi", type=WIRELESS), ("Wi-Fi", "wireless", True, [])),
        (Adapter(2, "LAN", fixed="10.1.2.3"), ("LAN", "ethernet", False, ["10.1.2.3"])),
        (Adapter(2, "ethernet0"), (f"ethernet0 {SECOND.guid}", "ethernet", True, [])),
        (Adapter(2, "Team", "ms_implat_mp", 0x81, fixed="10.1.2.3"), ("Team", "other", False, ["10.1.2.3"])),
        (Adapter(2, "Loop", "*MSLOOP", 0x81, fixed="10.1.2.3"), ("Loop", "loopback", False, ["10.1.2.3"])),
        (Adapter(2, "ISATAP", "*ISATAP", HIDDEN, fixed="10.1.2.3"), None),
        (Adapter(2, "", fixed="0.0.0.0"), ("A network adapter", "ethernet", False, [])),  # noqa: S104
    ],
)
def test_adapters(adapter: Adapter, expected: tuple[str, str, bool, list[str]] | None) -> None:
    assert short(inspect(with_adapter(adapter))) == [DHCP, *([expected] if expected else [])]


def test_the_values_are_shown() -> None:
    fixed = inspect(with_adapter(Adapter(2, "LAN", fixed="10.1.2.3")))
    first, second = interfaces(fixed)
    (address,) = second.addresses
    assert address.text == "IPAddress 10.1.2.3, SubnetMask 255.255.255.0, NameServer 192.168.10.2"
    data = "10.1.2.3\0\0".encode("utf-16-le")
    key = f"ControlSet001\\{INTERFACES}\\{SECOND.guid}"
    assert address.evidence == AtRegistry("disk0/p1", SYSTEM, key, "IPAddress", data)
    assert (first.lease, second.lease) == ("192.168.10.77", None)
    assert fixed.dhcp_client.get() == "the service Dhcp"
    assert (fixed.routes.get(), fixed.proxies.get(), fixed.ipv6_disabled.get()) == ((), (), False)


def test_a_name_that_is_no_text_loses_only_itself() -> None:
    connection = f"{CURRENT}\\{CONNECTIONS}\\{FIRST.guid}\\Connection"
    windows = WINDOWS_2019.changed("SYSTEM", connection, "Name", b"\0\xd8")
    assert short(inspect(windows)) == [("A network adapter", *DHCP[1:])]
    windows = windows.changed("SYSTEM", f"{CURRENT}\\{CLASS}\\0001", "DriverDesc", 7)
    assert short(inspect(windows)) == [(FIRST.guid, *DHCP[1:])]


def test_a_disabled_adapter() -> None:
    windows = WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\Enum\\{FIRST.instance}", "ConfigFlags", 1)
    assert [each.at_boot for each in interfaces(inspect(windows))] == [False]


DATES = f"{CURRENT}\\Enum\\{FIRST.instance}\\Properties\\{{83da6326-97a6-4088-9453-a1923f573b29}}"


def date(number: int) -> bytes:
    return struct.pack("<Q", number)


@pytest.mark.parametrize(
    ("removed", "kind"), [(date(200), "stale"), (date(50), "ethernet"), (b"", "ethernet"), (None, "ethernet")]
)
def test_an_adapter_that_was_taken_out(removed: bytes | None, kind: str) -> None:
    windows = WINDOWS_2019.changed("SYSTEM", f"{DATES}\\0066", "", date(100))
    windows = windows.changed("SYSTEM", f"{DATES}\\0067", "", removed)
    assert [each.kind for each in interfaces(inspect(windows))] == [kind]


def test_a_device_that_was_uninstalled() -> None:
    windows = WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\{CLASS}\\0001", "DeviceInstanceID", "PCI\\GONE\\1")
    assert [each.kind for each in interfaces(inspect(windows))] == ["stale"]
    windows = WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\{CLASS}\\0001", "DeviceInstanceID", None)
    assert [each.kind for each in interfaces(inspect(windows))] == ["ethernet"]
    connection = f"{CURRENT}\\{CONNECTIONS}\\{FIRST.guid}\\Connection"
    windows = windows.changed("SYSTEM", connection, "PnPInstanceId", None)
    assert [each.kind for each in interfaces(inspect(windows))] == ["ethernet"]


def test_settings_without_an_adapter() -> None:
    key = f"{CURRENT}\\{INTERFACES}\\{SECOND.guid}"
    windows = WINDOWS_2019.changed("SYSTEM", key, "EnableDHCP", 0)
    assert short(inspect(windows)) == [DHCP]
    windows = windows.changed("SYSTEM", key, "IPAddress", ["10.1.2.3"])
    assert short(inspect(windows)) == [DHCP, (SECOND.guid, "stale", False, ["10.1.2.3"])]


@pytest.mark.parametrize(
    ("key", "name", "value"),
    [
        (f"{CLASS}\\0001", "Characteristics", None),
        (f"{CLASS}\\0001", "Characteristics", "4"),
        (f"{INTERFACES}\\{FIRST.guid}", "EnableDHCP", "1"),
        (IPV6_ADDRESSES, "no hexadecimal", b""),
        (IPV6_ADDRESSES, "0000000180000600", b""),
    ],
)
def test_what_is_not_understood_is_unread_and_hides_no_other(key: str, name: str, value: RegistryData | None) -> None:
    other = Adapter(2, "LAN", fixed="10.1.2.3")
    files = inspect(with_adapter(other).changed("SYSTEM", f"{CURRENT}\\{key}", name, value)).network.get()
    assert [file.interfaces.unread for file in files if not file.interfaces.is_known] == ["corrupt"]
    known = [each.name for file in files if file.interfaces.is_known for each in file.interfaces.get()]
    assert "LAN" in known


def test_fixed_ipv6_addresses() -> None:
    other = Adapter(9, "none such")
    windows = WINDOWS_2019
    for adapter, address in (
        (FIRST, "20010db8000000000000000000000005"),
        (FIRST, "fe80" + 24 * "0" + "0001"),
        (other, "fd" + 28 * "0" + "01"),
    ):
        windows = windows.changed("SYSTEM", f"{CURRENT}\\{IPV6_ADDRESSES}", f"{adapter.luid}{address}", bytes(48))
    interface, gone = interfaces(inspect(windows))
    assert {address.address for address in interface.addresses} == {"2001:db8::5", "fe80::1"}
    assert (gone.kind, [address.address for address in gone.addresses]) == ("stale", ["fd00::1"])


@pytest.mark.parametrize("name", ["NetLuidIndex", "*IfType"])
def test_a_fixed_ipv6_address_where_an_adapter_does_not_say_its_luid(name: str) -> None:
    """The address may be this adapter's; without one, nothing is lost."""
    windows = WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\{CLASS}\\0001", name, None)
    assert short(inspect(windows)) == [DHCP]
    address = f"{FIRST.luid}20010db8000000000000000000000005"
    windows = windows.changed("SYSTEM", f"{CURRENT}\\{IPV6_ADDRESSES}", address, bytes(48))
    files = inspect(windows).network.get()
    assert [file.interfaces.is_known for file in files] == [True, False]
    assert "2001:db8::5" in str(files[1].interfaces.detail)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("00000000000000000000000000000001", "::1"),
        ("00000000000000000000000000000000", "::"),
        ("20010db8000100000000000100000000", "2001:db8:1::1:0:0"),
        ("20010db8000100020003000400050006", "2001:db8:1:2:3:4:5:6"),
        ("fe800000000000000000000000000000", "fe80::"),
        ("20010db80000000100020003000a0006", "2001:db8:0:1:2:3:a:6"),
    ],
)
def test_ipv6_in_words(address: str, text: str) -> None:
    assert ipv6_text(bytes.fromhex(address)) == text


@pytest.mark.parametrize(
    ("windows", "value", "expected"),
    [
        (WINDOWS_2019, None, False),
        (WINDOWS_2019, 0, False),
        (WINDOWS_2019, 0x20, False),
        (WINDOWS_2019, 0xFF, True),
        (WINDOWS_2019, 0xFFFFFFFF, True),
        (WINDOWS_2019, 0x11, True),
        (WINDOWS_2019, "255", None),
        (WINDOWS_2003, None, True),
        (WINDOWS_2003.changed("SYSTEM", f"{CURRENT}\\Services\\Tcpip6", "Start", 1), None, None),
        (WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\Services\\Tcpip6", "Start", 4), None, True),
    ],
)
def test_ipv6_that_is_off(windows: Windows, value: int | str | None, expected: bool | None) -> None:
    parameters = f"{CURRENT}\\Services\\Tcpip6\\Parameters"
    found = inspect(windows.changed("SYSTEM", parameters, "DisabledComponents", value)).ipv6_disabled
    assert (found.get() if found.is_known else None) is expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [(2, "the service Dhcp"), (3, None), (4, None), (None, None), ("2", "unread")],
)
def test_the_dhcp_client(start: RegistryData | None, expected: str | None) -> None:
    found = inspect(WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\Services\\Dhcp", "Start", start)).dhcp_client
    assert (found.get() if found.is_known else "unread") == expected


def test_routes() -> None:
    key = f"{CURRENT}\\Services\\Tcpip\\Parameters\\PersistentRoutes"
    windows = WINDOWS_2019.changed("SYSTEM", key, "10.9.0.0,255.255.0.0,192.168.10.9,1", "")
    (route,) = inspect(windows).routes.get()
    assert (route.destination, route.mask, route.gateway) == ("10.9.0.0", "255.255.0.0", "192.168.10.9")
    assert not inspect(windows.changed("SYSTEM", key, "nowhere", "")).routes.is_known


def winhttp(flags: int, proxy: bytes = b"", claimed: int | None = None) -> bytes:
    length = len(proxy) if claimed is None else claimed
    return struct.pack("<IIII", 0x28, 7, flags, length) + proxy + struct.pack("<I", 7) + b"<local>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        (bytes.fromhex("1800000000000000010000000000000000000000"), []),  # as Windows has it that uses none
        (winhttp(3, b"proxy.example:8080"), ["proxy.example:8080"]),
        (winhttp(3, b"proxy", claimed=999), None),
        (b"\x18", None),
        ("proxy", None),
    ],
)
def test_the_proxy_of_services(value: RegistryData | None, expected: list[str] | None) -> None:
    windows = WINDOWS_2019.changed("SOFTWARE", f"{SETTINGS}\\Connections", "WinHttpSettings", value)
    found = inspect(windows).proxies
    assert ([each.server for each in found.get()] if found.is_known else None) == expected


def test_the_proxy_of_programs_counts_where_it_is_not_each_users() -> None:
    windows = WINDOWS_2019.changed("SOFTWARE", SETTINGS, "ProxyServer", "proxy:3128")
    windows = windows.changed("SOFTWARE", SETTINGS, "ProxyEnable", 1)
    assert inspect(windows).proxies.get() == ()
    windows = windows.changed("SOFTWARE", f"Policies\\{SETTINGS}", "ProxySettingsPerUser", 0)
    assert [each.server for each in inspect(windows).proxies.get()] == ["proxy:3128"]
    windows = windows.changed("SOFTWARE", SETTINGS, "ProxyEnable", 0)
    windows = windows.changed("SOFTWARE", SETTINGS, "AutoConfigURL", "http://wpad/x.pac")
    assert [each.server for each in inspect(windows).proxies.get()] == ["http://wpad/x.pac"]


def test_a_real_windows_7() -> None:
    system = inspect(files={SYSTEM: shared_data("hives/SYSTEM.xz")})
    assert short(system) == [
        ("Local Area Connection", "ethernet", False, ["192.168.1.123"]),
        ("Local Area Connection 2", "ethernet", False, ["10.3.58.5"]),
    ]
    assert {route.gateway for route in system.routes.get()} == {"192.168.1.1", "10.3.58.1"}
    assert (system.dhcp_client.get(), system.ipv6_disabled.get()) == ("the service Dhcp", False)


@pytest.mark.parametrize(
    ("hive", "expected"),
    [
        (
            "SYSTEM_WIN_10_1709",
            [
                ("Bluetooth Network Connection", "other", True, []),
                ("Ethernet0", "ethernet", True, []),
            ],
        ),
        (
            "SYSTEM_B",
            [
                ("Ethernet", "ethernet", True, []),
                ("Wi-Fi", "wireless", True, []),
                ("Bluetooth Network Connection", "other", True, []),
            ],
        ),
    ],
)
def test_a_real_windows_10(hive: str, expected: list[tuple[str, str, bool, list[str]]]) -> None:
    system = inspect(files={SYSTEM: shared_data(f"hives/{hive}.xz")})
    assert short(system) == expected
    assert {each.lease for each in interfaces(system)} - {None} in ({"192.168.146.128"}, {"192.168.0.7"})


def test_a_damaged_hive_leaves_all_open() -> None:
    system = inspect(files={SYSTEM: bytes(8192)})
    for fact in (system.network, system.dhcp_client, system.ipv6_disabled, system.routes):
        assert not fact.is_known
    assert system.proxies.is_known
