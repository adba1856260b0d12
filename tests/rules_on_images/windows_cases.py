"""Faults of which Windows it is, and of its registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from rules_on_images.case import Case, Outcomes, windows_outcomes
from rules_on_images.machines import one_disk, windows_bios
from windows_builder import WINDOWS_8, WINDOWS_2003, WINDOWS_2019, Windows

SERVER: Outcomes = windows_outcomes("vhd")
CLIENT: Outcomes = windows_outcomes("vhd", client_not_us_english="pass")
OLD: Outcomes = windows_outcomes("vhd", non_english_language_pack="pass")
WINDOWS_2012 = replace(WINDOWS_2019, product="Windows Server 2012 Standard", version="6.2", build="9200", release=None)

TERMINAL_SERVER = "CurrentControlSet\\Control\\Terminal Server"
STANDARD = "CurrentControlSet\\Services\\SharedAccess\\Parameters\\FirewallPolicy\\StandardProfile"


def installed(windows: Windows) -> Callable[[], Path]:
    return lambda: windows_bios(windows)


def case(
    finding: str,
    fault: str,
    healthy: Windows,
    faulty: Windows,
    expected: Outcomes,
    readiness: Literal["not-ready", "ready-with-warnings", "ready"] = "not-ready",
) -> Case:
    """Return a case of two Windows installations on a VHD."""
    makes = [one_disk(installed(windows), "vhd") for windows in (healthy, faulty)]
    return Case(f"{finding}/0", fault, makes[0], makes[1], expected, readiness)


CASES = (
    case(
        "unsupported-operating-system",
        "a later build, which is Windows Server 2022",
        WINDOWS_2019,
        replace(WINDOWS_2019, build="20348"),
        SERVER,
    ),
    case(
        "unsupported-operating-system",
        "Windows Server 2003 without a service pack",
        WINDOWS_2003,
        replace(WINDOWS_2003, service_pack=None),
        OLD,
    ),
    case(
        "unsupported-operating-system",
        "Essentials instead of Standard",
        WINDOWS_2019,
        replace(WINDOWS_2019, edition="ServerSolution"),
        SERVER,
    ),
    case(
        "unsupported-operating-system",
        "a Nano Server",
        WINDOWS_2019,
        replace(WINDOWS_2019, installation_type="Nano Server"),
        SERVER,
    ),
    case(
        "unsupported-operating-system",
        "Windows Server 2019 for 32 bit, which there never was",
        WINDOWS_2019,
        replace(WINDOWS_2019, architecture="x86"),
        SERVER,
    ),
    case(
        "unsupported-architecture",
        "Windows for ARM",
        WINDOWS_2019,
        replace(WINDOWS_2019, architecture="aarch64"),
        SERVER,
    ),
    case(
        "client-not-us-english",
        "installed in British English",
        WINDOWS_8,
        replace(WINDOWS_8, language="en-GB"),
        CLIENT,
    ),
    case(
        "non-ascii-language-pack",
        "a Japanese server",
        WINDOWS_2019,
        replace(WINDOWS_2019, language="ja-JP"),
        SERVER,
    ),
    case(
        "non-english-language-pack",
        "an Indonesian Windows Server 2012",
        WINDOWS_2012,
        replace(WINDOWS_2012, language="id-ID"),
        OLD,
        readiness="ready",
    ),
    case(
        "rdp-disabled",
        "fDenyTSConnections",
        WINDOWS_2019,
        WINDOWS_2019.changed("SYSTEM", TERMINAL_SERVER, "fDenyTSConnections", 1),
        SERVER,
        readiness="ready-with-warnings",
    ),
    case(
        "firewall-blocks-rdp",
        "another port than the one that is open",
        WINDOWS_2019,
        WINDOWS_2019.changed("SYSTEM", f"{TERMINAL_SERVER}\\WinStations\\RDP-Tcp", "PortNumber", 3390),
        SERVER,
        readiness="ready-with-warnings",
    ),
    case(
        "firewall-blocks-rdp",
        "Windows Server 2003 with no open port",
        WINDOWS_2003,
        WINDOWS_2003.changed("SYSTEM", f"{STANDARD}\\GloballyOpenPorts\\List", "3389:TCP", None),
        OLD,
        readiness="ready-with-warnings",
    ),
)
