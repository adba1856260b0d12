"""Faults of a Windows' network."""

from __future__ import annotations

from rules_on_images.case import Case
from rules_on_images.windows_cases import SERVER, case
from windows_builder import WINDOWS_2019, Windows
from windows_network import FIRST, INTERFACES, IPV6_ADDRESSES, SECOND, Adapter

CURRENT = "CurrentControlSet"
KEY = f"{CURRENT}\\{INTERFACES}\\{FIRST.guid}"


def with_adapter(adapter: Adapter) -> Windows:
    windows = WINDOWS_2019
    for key, values in adapter.keys().items():
        for name, value in values.items():
            windows = windows.changed("SYSTEM", f"{CURRENT}\\{key}", name, value)
    return windows


def network_case(finding: str, fault: str, faulty: Windows, healthy: Windows = WINDOWS_2019) -> Case:
    return case(finding, fault, healthy, faulty, SERVER, "ready-with-warnings")


CASES = (
    network_case(
        "static-ip-address",
        "an adapter without DHCP",
        WINDOWS_2019.changed("SYSTEM", KEY, "EnableDHCP", 0).changed("SYSTEM", KEY, "IPAddress", ["192.168.10.5"]),
        # settings of an adapter that is no longer there
        WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\{INTERFACES}\\{SECOND.guid}", "IPAddress", ["192.168.10.5"]),
    ),
    network_case(
        "dhcp-client-disabled",
        "the service is disabled",
        WINDOWS_2019.changed("SYSTEM", f"{CURRENT}\\Services\\Dhcp", "Start", 4),
    ),
    network_case("multiple-network-interfaces", "two adapters", with_adapter(SECOND)),
    network_case(
        "ipv6-configured",
        "a fixed IPv6 address",
        WINDOWS_2019.changed(
            "SYSTEM", f"{CURRENT}\\{IPV6_ADDRESSES}", f"{FIRST.luid}20010db8000000000000000000000005", bytes(48)
        ),
    ),
)
