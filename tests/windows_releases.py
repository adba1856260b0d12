"""Every Windows from Server 2003 to 2025 and from Vista to 11, by what its registry says of itself.

The values are those of Microsoft's release information and of published registries, the names those that Microsoft
calls the releases by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from windows_builder import WINDOWS_2003, WINDOWS_2019, Windows

CURRENT_VERSION = "Microsoft\\Windows NT\\CurrentVersion"
OLD = "5.2"
PACK_1, PACK_2 = {"service_pack": "Service Pack 1"}, {"service_pack": "Service Pack 2"}
CORE = {"edition": "ServerStandardACor", "installation_type": "Server Core"}


class Release(NamedTuple):
    """`name` is the release's; `product`, and `release` (as 22H2), what the system is to be called beside it.

    `osinfo` is libosinfo's name, None where the version of libguestfs that tests use does not tell it: it knows none of
    the later servers, and tells Vista and Server 2008 apart by InstallationType alone.
    """

    name: str
    product: str
    release: str | None
    windows: Windows
    osinfo: str | None


def server(
    name: str, product: str, version: str, release: str | None = None, osinfo: str | None = None, **more: Any
) -> Release:
    """Return a Windows Server; `version` has the build in it, and a release with an H in it is a DisplayVersion."""
    number, _, build = version.rpartition(".")
    base = WINDOWS_2003 if number == OLD else WINDOWS_2019
    more = {"product": product, "version": number, "build": build, "ubr": None, "release": release, **more}
    windows = replace(base, hostname=f"HOST-{build}", **more)
    if release is not None and "H" in release:  # ReleaseId stays what it was
        windows = replace(windows, release="2009").changed("SOFTWARE", CURRENT_VERSION, "DisplayVersion", release)
    return Release(name, product, release, windows, osinfo)


def client(
    name: str, product: str, version: str, release: str | None = None, osinfo: str | None = None, **more: Any
) -> Release:
    """Return a client."""
    kind = {"edition": "Professional", "installation_type": "Client", "product_type": "WinNT"}
    return server(name, product, version, release, osinfo, **(kind | more))


def eleven(version: str, release: str) -> Release:
    """Return a Windows 11, which calls itself Windows 10."""
    return client("Windows 11", "Windows 10 Pro", version, release)._replace(product="Windows 11 Pro")


NO_KIND = {"installation_type": None}
"""InstallationType came with Windows 7."""
X86 = {"architecture": "x86"}
RELEASES = (
    server("Windows Server 2003", "Microsoft Windows Server 2003", "5.2.3790", None, "win2k3", **PACK_1),
    server("Windows Server 2003 R2", "Microsoft Windows Server 2003 R2", "5.2.3790", None, "win2k3r2", **PACK_2),
    client("Windows Vista", "Windows Vista (TM) Business", "6.0.6002", None, "winvista", **PACK_2, **NO_KIND),
    server("Windows Server 2008", "Windows Server (R) 2008 Standard", "6.0.6003", **PACK_2, **NO_KIND),
    client("Windows 7", "Windows 7 Professional", "6.1.7600", None, "win7"),
    client("Windows 7", "Windows 7 Professional", "6.1.7601", None, "win7", **PACK_1, **X86),
    server("Windows Server 2008 R2", "Windows Server 2008 R2 Standard", "6.1.7601", None, "win2k8r2", **PACK_1),
    client("Windows 8", "Windows 8 Pro", "6.2.9200", None, "win8"),
    server("Windows Server 2012", "Windows Server 2012 Standard", "6.2.9200", None, "win2k12"),
    client("Windows 8.1", "Windows 8.1 Pro", "6.3.9600", None, "win8.1"),
    server("Windows Server 2012 R2", "Windows Server 2012 R2 Standard", "6.3.9600", None, "win2k12r2"),
    client("Windows 10", "Windows 10 Pro", "10.0.10240", None, "win10"),
    client("Windows 10", "Windows 10 Pro", "10.0.14393", "1607", "win10"),
    client("Windows 10", "Windows 10 Pro", "10.0.17763", "1809", "win10"),
    client("Windows 10", "Windows 10 Pro", "10.0.19044", "21H2", "win10"),
    client("Windows 10", "Windows 10 Pro", "10.0.19045", "22H2", "win10"),
    server("Windows Server 2016", "Windows Server 2016 Standard", "10.0.14393", "1607", "win2k16"),
    server("Windows Server 1709", "Windows Server Standard", "10.0.16299", "1709", **CORE),
    server("Windows Server 1803", "Windows Server Standard", "10.0.17134", "1803", **CORE),
    server("Windows Server 2019", "Windows Server 2019 Standard", "10.0.17763", "1809", "win2k19"),
    server("Windows Server 1809", "Windows Server Standard", "10.0.17763", "1809", **CORE),
    server("Windows Server 1903", "Windows Server Standard", "10.0.18362", "1903", **CORE),
    server("Windows Server 2022", "Windows Server 2022 Standard", "10.0.20348", "21H2"),
    server("Windows Server 23H2", "Windows Server 2022 Datacenter", "10.0.25398", "23H2", **CORE),
    server("Windows Server 2025", "Windows Server 2025 Standard", "10.0.26100", "24H2"),
    eleven("10.0.22000", "21H2"),
    eleven("10.0.22621", "22H2"),
    eleven("10.0.22631", "23H2"),
    eleven("10.0.26100", "24H2"),
    eleven("10.0.26200", "25H2"),
)
