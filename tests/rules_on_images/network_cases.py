"""Faults of the network's configuration; the files are as each tool writes them."""

from __future__ import annotations

from disk_builder import INTERFACES
from rules_on_images.case import NO_DATA_VOLUME, Case, Moved, linux_outcomes
from rules_on_images.machines import Make, linux, one_disk

Files = dict[str, "str | bytes | None"]


def machine(files: Files) -> Make:
    return one_disk(lambda: linux(files=files))


def case(finding: str, fault: str, files: Files, healthy: Make, moves: dict[str, Moved] | None = None) -> Case:
    is_advice = finding == "static-ip-address/0"
    return Case(
        finding,
        fault,
        healthy,
        machine(files),
        linux_outcomes("vmdk", **NO_DATA_VOLUME),
        "ready" if is_advice else "ready-with-warnings",
        moves or ({CHANGED: Moved("fail", "the importer replaces the address")} if is_advice else {}),
    )


CHANGED = "file-changed-on-import/0"
NETPLAN = "network:\n  version: 2\n  ethernets:\n    ens160:\n      {}\n"
NO_INTERFACES: Files = {"etc/network/interfaces": None}
BY_NETPLAN = machine({**NO_INTERFACES, "etc/netplan/50-cloud-init.yaml": NETPLAN.format("dhcp4: true")})
DEBIAN = one_disk(linux)
CASES = (
    case(
        "static-ip-address/0",
        "an address in /etc/network/interfaces",
        {
            "etc/network/interfaces": "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n"
            "\taddress 192.168.10.5\n\tnetmask 255.255.255.0\n\tgateway 192.168.10.1\n"
        },
        DEBIAN,
    ),
    case(
        "ipv6-configured/0",
        "an address in netplan",
        {
            **NO_INTERFACES,
            "etc/netplan/50-cloud-init.yaml": NETPLAN.format('dhcp4: true\n      addresses: ["fd00::5/64"]'),
        },
        BY_NETPLAN,
    ),
    case(
        "multiple-network-interfaces/0",
        "two interfaces with DHCP",
        {"etc/network/interfaces": f"{INTERFACES}auto eth1\niface eth1 inet dhcp\n"},
        DEBIAN,
    ),
    case("dhcp-client-disabled/0", "no DHCP client", {"sbin/dhclient": None}, DEBIAN),
    case(
        "static-ip-address/0",
        "a netplan file that is cut off",
        {**NO_INTERFACES, "etc/netplan/50-cloud-init.yaml": NETPLAN.format("addresses: [192.168.1.5/24, ")},
        BY_NETPLAN,
        {
            f"{rule}/0": Moved("unknown", "the only file is damaged")
            for rule in (
                CHANGED[:-2],
                "static-ip-address",
                "ipv6-configured",
                "multiple-network-interfaces",
                "dhcp-client-disabled",
            )
        },
    ),
)
