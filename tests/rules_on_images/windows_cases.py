"""Faults of which Windows it is, and of its registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from disk_builder import MIB
from rules_on_images.case import Case, Outcomes, windows_outcomes
from rules_on_images.machines import one_disk, windows_bios
from windows_builder import DISK_CLASS, WINDOWS_8, WINDOWS_2003, WINDOWS_2019, Windows

PACKAGES = "Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\Packages"
SERVICES = "CurrentControlSet\\Services"
SERVER: Outcomes = windows_outcomes("vhd")
CLIENT: Outcomes = windows_outcomes("vhd", client_not_us_english="pass", hotfix_missing="pass")
OLD: Outcomes = windows_outcomes("vhd", non_english_language_pack="pass", driver_signing_enforced="pass")
OF_2012: Outcomes = windows_outcomes("vhd", non_english_language_pack="pass", hotfix_missing="pass")
OF_2008_R2: Outcomes = windows_outcomes("vhd", hotfix_missing="pass")
WINDOWS_2008_R2 = replace(
    WINDOWS_2019, product="Windows Server 2008 R2 Standard", version="6.1", build="7601", release=None
).changed("SOFTWARE", f"{PACKAGES}\\Package_for_KB2800213~31bf3856ad364e35~amd64~~6.1.1.1", "CurrentState", 0x70)
WINDOWS_2012 = replace(WINDOWS_2019, product="Windows Server 2012 Standard", version="6.2", build="9200", release=None)

TERMINAL_SERVER = "CurrentControlSet\\Control\\Terminal Server"
CLASS_OF_DISKS = f"CurrentControlSet\\Control\\Class\\{DISK_CLASS}"
VXN = "/Windows/System32/DriverStore/FileRepository/vxn65x64.inf_amd64_1234567890abcdef/vxn65x64.inf"
SESSION_MANAGER = "CurrentControlSet\\Control\\Session Manager"
RENAMES = ["\\??\\C:\\Windows\\Temp\\a.tmp"]
MEMORY = "CurrentControlSet\\Control\\Session Manager\\Memory Management"


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
        OF_2012,
        readiness="ready",
    ),
    Case(
        "too-little-free-space/0",
        "a volume of 6 GiB, of which less is free",
        one_disk(installed(WINDOWS_2019), "vhd"),
        one_disk(lambda: windows_bios(WINDOWS_2019, size=6144 * MIB), "vhd"),
        SERVER,
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
        "pagefile-not-fixed",
        "a page file that grows",
        WINDOWS_2019,
        WINDOWS_2019.changed("SYSTEM", MEMORY, "PagingFiles", ["C:\\pagefile.sys 1024 4096"]),
        SERVER,
        readiness="ready-with-warnings",
    ),
    case(
        "dotnet-missing",
        "no .NET Framework but 3.5",
        WINDOWS_2019,
        WINDOWS_2019.changed("SOFTWARE", "Microsoft\\NET Framework Setup\\NDP\\v4\\Full", "Install", 0),
        SERVER,
        readiness="ready-with-warnings",
    ),
    case(
        "hotfix-missing",
        "a clock in UTC without the hotfix for it",
        WINDOWS_2008_R2,
        WINDOWS_2008_R2.changed("SYSTEM", "CurrentControlSet\\Control\\TimeZoneInformation", "RealTimeIsUniversal", 1),
        OF_2008_R2,
        readiness="ready-with-warnings",
    ),
    case(
        "hibernated-system",
        "hiberfil.sys of a system that sleeps, against that of one that woke up",
        replace(WINDOWS_2019, files=(("/hiberfil.sys", b"WAKE".ljust(8192, b"\0")),)),
        replace(WINDOWS_2019, files=(("/hiberfil.sys", b"HIBR".ljust(8192, b"\0")),)),
        SERVER,
        readiness="ready-with-warnings",
    ),
    case(
        "driver-signing-enforced",
        "Windows Server 2003 that warns",
        WINDOWS_2003,
        WINDOWS_2003.changed("SOFTWARE", "Microsoft\\Driver Signing", "Policy", b"\1"),
        OLD,
        readiness="ready-with-warnings",
    ),
    case(
        "updates-pending",
        "a list of changes that servicing makes at the next start, against files that are renamed then",
        WINDOWS_2019.changed("SYSTEM", SESSION_MANAGER, "PendingFileRenameOperations", RENAMES),
        replace(
            WINDOWS_2019.changed("SYSTEM", SESSION_MANAGER, "PendingFileRenameOperations", RENAMES),
            files=(("/Windows/WinSxS/pending.xml", b"<PendingTransaction/>"),),
        ),
        SERVER,
        readiness="ready-with-warnings",
    ),
    case(
        "enhanced-networking-driver-missing",
        "no driver for the virtual function of an 82599 in the driver store",
        WINDOWS_2019,
        replace(WINDOWS_2019, lacks=(VXN,)),
        SERVER,
        readiness="ready",
    ),
    *(
        case("boot-drivers-changed-on-import", fault, WINDOWS_2019, faulty, SERVER, readiness="ready")
        for fault, faulty in (
            (
                "Xen's driver for disks held back by StartOverride",
                WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\xenvbd\\StartOverride", "0", 3),
            ),
            (
                "a filter of disks whose driver was removed",
                WINDOWS_2019.changed("SYSTEM", CLASS_OF_DISKS, "LowerFilters", ["stdcfltn"]),
            ),
            (
                "the file of a filter of volumes is gone",
                replace(WINDOWS_2019, lacks=("/Windows/System32/drivers/volsnap.sys",)),
            ),
        )
    ),
    *(
        case(
            finding,
            f"the service {service} starts by itself, against by hand",
            WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\{service}", "Start", 3),
            WINDOWS_2019.changed("SYSTEM", f"{SERVICES}\\{service}", "Start", 2),
            SERVER,
            readiness="ready-with-warnings",
        )
        for finding, service in (
            ("antivirus-enabled", "WinDefend"),
            ("intrusion-detection-enabled", "OssecSvc"),
            ("snapshot-backup-software", "VeeamVssSupport"),
        )
    ),
)
