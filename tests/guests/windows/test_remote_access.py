"""Remote Desktop and Windows Firewall; rule texts are those of real hives, with fields changed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data
from windows_builder import (
    REMOTE_DESKTOP_RULE,
    WINDOWS_7_X86,
    WINDOWS_8,
    WINDOWS_2003,
    WINDOWS_2019,
    RegistryData,
    Windows,
    windows_files,
)

from imgscan.guests.systems import FoundSystem
from imgscan.guests.windows import inspect_windows
from imgscan.guests.windows.firewall_rule import parse_rule
from imgscan.model.access import Firewall
from imgscan.model.evidence import AtRegistry
from imgscan.model.system import System

pytestmark = requires_tool("hivexregedit")
SERVICES = "CurrentControlSet\\Services"
SERVER = "CurrentControlSet\\Control\\Terminal Server"
LISTENER = f"{SERVER}\\WinStations\\RDP-Tcp"
TS_POLICY = "Policies\\Microsoft\\Windows NT\\Terminal Services"
LOCAL = f"{SERVICES}\\SharedAccess\\Parameters\\FirewallPolicy"
POLICY = "Policies\\Microsoft\\WindowsFirewall"
Setting = tuple[str, str, str, RegistryData | None]


def inspect(windows: Windows, files: dict[str, bytes] | None = None) -> System:
    filesystem = MemoryFileSystem(files or windows_files(windows))
    found = FoundSystem("windows", "disk0/p1", f"/{windows.directory}")
    return inspect_windows(found, {"disk0/p1": filesystem}, [], []).system


def changed(windows: Windows, *settings: Setting) -> Windows:
    for hive, key, name, value in settings:
        windows = windows.changed(hive, key, name, value)  # type: ignore[arg-type] # a hive's name
    return windows


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        ([("SYSTEM", SERVER, "fDenyTSConnections", 1)], "connections are denied (fDenyTSConnections)"),
        ([("SOFTWARE", TS_POLICY, "fDenyTSConnections", 1)], "a policy denies connections (fDenyTSConnections)"),
        ([("SYSTEM", f"{SERVICES}\\TermService", "Start", 4)], "the service TermService is disabled"),
        ([("SYSTEM", f"{SERVICES}\\TermService", "Start", None)], "the service TermService is not installed"),
        ([("SYSTEM", LISTENER, "fEnableWinStation", 0)], "the listener RDP-Tcp is disabled"),
    ],
)
def test_remote_desktop_off(settings: list[Setting], detail: str) -> None:
    found = inspect(changed(WINDOWS_2019, *settings)).remote_desktop
    assert (found.get().starts, found.get().detail) == (False, detail)
    assert isinstance(found.evidence[0], AtRegistry)


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ([], 3389),
        ([("SYSTEM", LISTENER, "PortNumber", 13389)], 13389),
        ([("SYSTEM", LISTENER, "PortNumber", None)], 3389),
        ([("SYSTEM", SERVER, "fDenyTSConnections", 1), ("SOFTWARE", TS_POLICY, "fDenyTSConnections", 0)], 3389),
        ([("SYSTEM", SERVER, "fDenyTSConnections", "one"), ("SOFTWARE", TS_POLICY, "fDenyTSConnections", 0)], 3389),
    ],
)
def test_remote_desktop_on(settings: list[Setting], port: int) -> None:
    found = inspect(changed(WINDOWS_2019, *settings)).remote_desktop.get()
    assert (found.starts, found.port) == (True, port)


@pytest.mark.parametrize(
    "setting",
    [
        ("SYSTEM", SERVER, "fDenyTSConnections", None),
        ("SYSTEM", SERVER, "fDenyTSConnections", "0"),
        ("SOFTWARE", TS_POLICY, "fDenyTSConnections", b"\0"),
        ("SYSTEM", f"{SERVICES}\\TermService", "Start", "2"),
        ("SYSTEM", LISTENER, "PortNumber", "3389"),
    ],
)
def test_remote_desktop_in_a_form_that_is_not_understood_is_unread(setting: Setting) -> None:
    system = inspect(changed(WINDOWS_2019, setting))
    assert not system.remote_desktop.is_known
    assert not system.firewalls.is_known


def test_home_editions_are_no_host() -> None:
    system = inspect(replace(WINDOWS_8, edition="CoreN"))
    assert system.remote_desktop.get().detail == "the edition CoreN takes no connections"


# --- rules -----------------------------------------------------------------------------------------------------------

IN_KERNEL = (
    "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|Profile=Domain|Profile=Private|LPort=3389|App=System|Name=x|"
)


@pytest.mark.parametrize(
    ("text", "action", "profiles", "addresses", "conditions"),
    [
        (REMOTE_DESKTOP_RULE, "allow", (), False, ()),
        (IN_KERNEL, "allow", ("domain", "private"), False, ()),
        ("v2.0|Action=Block|Active=TRUE|Dir=In|", "block", (), False, ()),
        ("v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=80|LPort=3389|", "allow", (), False, ()),
        ("v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort2_10=3000-4000|", "allow", (), False, ()),
        ("v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=256|RA4=LocalSubnet|RA6=LocalSubnet|", "allow", (), True, ()),
        ("v2.10|Action=Allow|Active=TRUE|Dir=In|RA42=10.0.0.0-10.255.255.255|", "allow", (), True, ()),
        ("v2.10|Action=Allow|Active=TRUE|Dir=In|Security=Authenticate|", "allow", (), False, ("Security",)),
        ("v2.10|Action=Bypass|Active=TRUE|Dir=In|", "allow", (), False, ("Bypass",)),
        (
            "v2.30|Action=Block|Active=TRUE|Dir=In|NewField=1|Profile=Public|",
            "block",
            ("public",),
            False,
            ("NewField",),
        ),
    ],
)
def test_rules_about_the_port(
    text: str, action: str, profiles: tuple[str, ...], addresses: bool, conditions: tuple[str, ...]
) -> None:
    rule = parse_rule(text, 3389, in_kernel=True)
    assert rule is not None
    assert msgspec.structs.astuple(rule) == (action, profiles, addresses, conditions)


@pytest.mark.parametrize(
    "text",
    [
        REMOTE_DESKTOP_RULE.replace("TRUE", "FALSE"),
        REMOTE_DESKTOP_RULE.replace("Dir=In", "Dir=Out"),
        REMOTE_DESKTOP_RULE.replace("Protocol=6", "Protocol=17"),
        REMOTE_DESKTOP_RULE.replace("3389", "3390"),
        REMOTE_DESKTOP_RULE.replace("3389", "RPC"),
        REMOTE_DESKTOP_RULE.replace("LPort=3389", "LPort2_10=1-3388"),
        REMOTE_DESKTOP_RULE.replace("svchost.exe", "RdpSa.exe"),
        REMOTE_DESKTOP_RULE.replace("%SystemRoot%\\system32", "C:\\temp"),
        REMOTE_DESKTOP_RULE.replace("termservice", "dhcp"),
        REMOTE_DESKTOP_RULE + "AppPkgId=S-1-15-2-1|",
    ],
)
def test_rules_about_something_else(text: str) -> None:
    assert parse_rule(text, 3389, in_kernel=True) is None


@pytest.mark.parametrize(
    ("addresses", "limited"),
    [
        ("", False),
        ("RA4=*|", False),
        ("RA4=0.0.0.0-255.255.255.255|", False),
        ("RA4=0.0.0.0/0.0.0.0|RA6=fe80::/64|", False),
        ("RA4=128.0.0.0/1|RA42=LocalSubnet|RA42=0.0.0.0/128.0.0.0|", False),
        ("RA4=0.0.0.0/0|", False),
        ("RA4=128.0.0.0/1|RA4=0.0.0.0-127.255.255.254|", True),
        ("RA4=0.0.0.0/255.0.255.0|", True),
        ("RA4=0.0.0.0-255.255.255.256|", True),
        ("RA4=0.0.0.0/33|", True),
        ("RA4=1.2.3.4-|", True),
        ("RA6=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff|", True),
        ("RA6=*|", False),
    ],
)
def test_rules_about_all_addresses(addresses: str, limited: bool) -> None:
    rule = parse_rule(f"v2.28|Action=Block|Active=TRUE|Dir=In|{addresses}", 3389, in_kernel=False)
    assert rule is not None
    assert rule.addresses is limited


def test_up_to_windows_7_the_kernel_listens() -> None:
    assert parse_rule(IN_KERNEL, 3389, in_kernel=False) is None


@pytest.mark.parametrize("text", ["", "v2.10|", "Action=Allow|Dir=In|", "v2.10|Action=Maybe|Active=TRUE|Dir=In|"])
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match=r"v2|maybe|Action|^$"):
        parse_rule(text, 3389, in_kernel=False)


# --- Windows Firewall ------------------------------------------------------------------------------------------------


def rule(name: str, text: str | None, where: str = "local") -> Setting:
    places = {"local": ("SYSTEM", LOCAL), "policy": ("SOFTWARE", POLICY), "Mdm": ("SYSTEM", f"{LOCAL}\\Mdm")}
    hive, key = places[where]
    return (hive, f"{key}\\FirewallRules", name, text)


def firewall(windows: Windows, *settings: Setting) -> Firewall | None:
    found = inspect(changed(windows, *settings)).firewalls.get()
    return found[0] if found else None


BLOCKING = REMOTE_DESKTOP_RULE.replace("Allow", "Block")
NO_RULE = rule("RemoteDesktop-UserMode-In-TCP", None)
PUBLIC, BY_POLICY = f"{LOCAL}\\PublicProfile", f"{POLICY}\\PublicProfile"
BY_DEVICE = f"{LOCAL}\\Mdm\\PublicProfile"


@pytest.mark.parametrize(
    ("settings", "decision", "detail"),
    [
        ([], "allow", "a rule allows the port"),
        ([NO_RULE], "block", "no rule allows the port in the public profile"),
        ([rule("x", BLOCKING)], "block", "a rule blocks the port"),
        ([rule("x", BLOCKING, "policy")], "block", "a rule blocks the port"),
        ([rule("x", BLOCKING + "Profile=Domain|")], "allow", "a rule allows the port"),
        ([rule("x", BLOCKING + "RA4=10.0.0.1|")], None, "blocked for certain addresses"),
        ([rule("x", BLOCKING + "RA4=10.0.0.0/255.0.0.0|RA6=LocalSubnet|")], None, "blocked for certain addresses"),
        ([rule("x", BLOCKING + "RA6=fe80::/64|")], None, "blocked for certain addresses"),
        ([rule("x", BLOCKING + "RA4=10.0.0.1|"), NO_RULE], "block", "no rule allows the port in the public profile"),
        ([rule("x", BLOCKING + "RA4=0.0.0.0-255.255.255.255|")], "block", "a rule blocks the port"),
        ([rule("x", BLOCKING + "RA4=10.0.0.1|", "Mdm")], None, "blocked for certain addresses"),
        ([rule("x", BLOCKING, "Mdm")], "block", "a rule blocks the port"),
        ([NO_RULE, rule("x", REMOTE_DESKTOP_RULE, "Mdm")], "allow", "a rule allows the port"),
        ([("SYSTEM", BY_DEVICE, "EnableFirewall", 0), NO_RULE], "allow", "it is off in the public profile"),
        ([("SYSTEM", BY_DEVICE, "EnableFirewall", "0")], None, "not a number"),
        ([("SYSTEM", BY_DEVICE, "AllowLocalPolicyMerge", 0)], "block", "no rule allows the port"),
        (
            [("SYSTEM", BY_DEVICE, "EnableFirewall", 0), ("SOFTWARE", BY_POLICY, "EnableFirewall", 1)],
            None,
            "group policy and device management disagree about EnableFirewall",
        ),
        (
            [
                ("SYSTEM", PUBLIC, "DefaultInboundAction", 0),
                NO_RULE,
                rule("x", BLOCKING + "RA4=10.0.0.1|"),
            ],
            None,
            "blocked for certain addresses",
        ),
        (
            [rule("RemoteDesktop-UserMode-In-TCP", REMOTE_DESKTOP_RULE + "Profile=Domain|Profile=Private|")],
            "block",
            "no rule allows the port in the public profile, only in domain and private",
        ),
        ([rule("RemoteDesktop-UserMode-In-TCP", REMOTE_DESKTOP_RULE + "RA4=LocalSubnet|")], None, "certain addresses"),
        ([rule("RemoteDesktop-UserMode-In-TCP", REMOTE_DESKTOP_RULE + "Security=Authenticate|")], None, "Security"),
        ([rule("x", BLOCKING + "IFType=LAN|")], None, "IFType"),
        ([rule("x", "something else")], None, "cannot be read"),
        ([rule("x", "something else"), rule("y", BLOCKING)], "block", "a rule blocks the port"),
        ([NO_RULE, rule("x", REMOTE_DESKTOP_RULE, "policy")], "allow", "a rule allows the port"),
        ([("SYSTEM", PUBLIC, "EnableFirewall", 0), NO_RULE], "allow", "it is off in the public profile"),
        ([("SYSTEM", PUBLIC, "EnableFirewall", None)], "allow", "a rule allows the port"),
        ([("SYSTEM", PUBLIC, "EnableFirewall", "0")], None, "not a number"),
        (
            [("SYSTEM", PUBLIC, "EnableFirewall", 0), ("SOFTWARE", BY_POLICY, "EnableFirewall", 1), NO_RULE],
            "block",
            "no rule allows the port in the public profile",
        ),
        ([("SYSTEM", PUBLIC, "DoNotAllowExceptions", 1)], "block", "the public profile allows no exceptions"),
        ([("SYSTEM", PUBLIC, "DefaultInboundAction", 0), NO_RULE], "allow", "the public profile allows what no rule"),
        (
            [("SOFTWARE", BY_POLICY, "AllowLocalPolicyMerge", 0)],
            "block",
            "no rule allows the port in the public profile",
        ),
        ([("SYSTEM", f"{SERVICES}\\MpsSvc", "Start", 4)], "none", ""),
        ([("SYSTEM", f"{SERVICES}\\MpsSvc", "Start", None)], "none", ""),
        ([("SYSTEM", LISTENER, "PortNumber", 3390)], "block", "no rule allows the port in the public profile"),
    ],
)
def test_windows_firewall(settings: list[Setting], decision: str | None, detail: str) -> None:
    found = firewall(WINDOWS_2019, *settings)
    if decision == "none":
        assert found is None
        return
    assert found is not None
    assert found.name == "Windows Firewall"
    if decision is None:
        assert not found.decision.is_known
        assert detail in str(found.decision.detail)
    else:
        assert (found.decision.get(), found.detail[: len(detail)]) == (decision, detail)
        assert found.decision.evidence


def test_the_firewall_of_windows_7_knows_the_kernel() -> None:
    allowing = rule("x", IN_KERNEL.replace("Profile=Domain", "Profile=Public"))
    for windows, decision in ((WINDOWS_7_X86, "allow"), (WINDOWS_2019, "block")):
        found = firewall(windows, NO_RULE, allowing)
        assert found is not None
        assert found.decision.get() == decision


STANDARD = f"{LOCAL}\\StandardProfile"
OPEN_PORTS = f"{STANDARD}\\GloballyOpenPorts\\List"
OLD_POLICY = f"{POLICY}\\StandardProfile"


@pytest.mark.parametrize(
    ("settings", "decision"),
    [
        ([], "allow"),
        ([("SYSTEM", OPEN_PORTS, "3389:TCP", None)], "block"),
        ([("SYSTEM", OPEN_PORTS, "3389:TCP", "3389:TCP:*:Disabled:x")], "block"),
        ([("SYSTEM", OPEN_PORTS, "3389:TCP", "3389:TCP:LocalSubNet:Enabled:x")], None),
        ([("SYSTEM", OPEN_PORTS, "3389:TCP", 1)], None),
        ([("SYSTEM", STANDARD, "EnableFirewall", 0), ("SYSTEM", OPEN_PORTS, "3389:TCP", None)], "allow"),
        ([("SYSTEM", STANDARD, "EnableFirewall", None)], None),
        ([("SYSTEM", STANDARD, "DoNotAllowExceptions", 1)], "block"),
        ([("SOFTWARE", OLD_POLICY, "EnableFirewall", 0), ("SYSTEM", OPEN_PORTS, "3389:TCP", None)], "allow"),
        ([("SOFTWARE", f"{OLD_POLICY}\\GloballyOpenPorts\\List", "3389:TCP", "3389:TCP:*:disabled:x")], "block"),
        (
            [
                ("SYSTEM", OPEN_PORTS, "3389:TCP", None),
                ("SOFTWARE", f"{OLD_POLICY}\\Services\\RemoteDesktop", "Enabled", 1),
                ("SOFTWARE", f"{OLD_POLICY}\\Services\\RemoteDesktop", "RemoteAddresses", "*"),
            ],
            "allow",
        ),
        ([("SYSTEM", f"{SERVICES}\\SharedAccess", "Start", 4)], "none"),
    ],
)
def test_the_firewall_of_windows_server_2003(settings: list[Setting], decision: str | None) -> None:
    found = firewall(WINDOWS_2003, *settings)
    if decision == "none":
        assert found is None
        return
    assert found is not None
    assert (found.decision.get() if found.decision.is_known else None) == decision


def test_another_firewall_leaves_it_open() -> None:
    system = inspect(changed(WINDOWS_2019, ("SYSTEM", f"{SERVICES}\\mfefire", "Start", 2)))
    assert [(each.name, each.decision.is_known) for each in system.firewalls.get()] == [
        ("Windows Firewall", True),
        ("McAfee Firewall", False),
    ]
    system = inspect(changed(WINDOWS_2019, ("SYSTEM", f"{SERVICES}\\mfefire", "Start", 4)))
    assert [each.name for each in system.firewalls.get()] == ["Windows Firewall"]


def test_a_real_windows_7() -> None:
    """Its rule for Remote Desktop is for the domain and private profiles, and it has a product of McAfee."""
    config = "/Windows/System32/config"
    hives = {"SOFTWARE": "SOFTWARE_WIN7", "SYSTEM": "SYSTEM"}
    files = {f"{config}/{name}": shared_data(f"hives/{data}.xz") for name, data in hives.items()}
    system = inspect(WINDOWS_7_X86, files)
    assert system.remote_desktop.get().starts
    first, second = system.firewalls.get()
    assert first.detail == "no rule allows the port in the public profile, only in domain and private"
    assert second.name == "McAfee Firewall"
