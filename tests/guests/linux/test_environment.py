"""Products that start, hibernated swap files, and traces of hardware."""

from __future__ import annotations

from typing import Any

import pytest
from memory_filesystem import Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, UnsupportedFormat
from imgscan.guests.linux.hardware_traces import read_hardware_traces
from imgscan.guests.linux.hibernation import read_hibernated_files
from imgscan.guests.linux.products import PRODUCTS, read_products
from imgscan.guests.linux.services import Services
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known
from imgscan.model.network import InterfaceName
from imgscan.model.system import Mount

Files = dict[str, Any]
SYSTEMD: Files = {"/lib/systemd/systemd": "", "/etc/machine-id": "01\n"}
WANTS = "/etc/systemd/system/multi-user.target.wants"
UNIT = "[Service]\nExecStart=/usr/sbin/x\n[Install]\nWantedBy=multi-user.target\n"


def tree_of(files: Files) -> GuestTree:
    return GuestTree({"/": MemoryFileSystem({"/etc/passwd": "", **files})})


def products_of(files: Files) -> list[tuple[str, str]]:
    tree = tree_of(files)
    return [(each.name, each.kind) for each in read_products(tree, Services(tree)).get()]


def enabled(name: str) -> Files:
    template = f"{name.partition('@')[0]}@" if "@" in name else name
    path = f"/usr/lib/systemd/system/{template}.service"
    return {
        path: UNIT,
        f"/usr/lib/systemd/system/{name}.service": UNIT,
        f"{WANTS}/{name}.service": Link(path),
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, []),
        (enabled("clamav-daemon"), [("ClamAV", "antivirus")]),
        (enabled("clamd@scan"), [("ClamAV", "antivirus")]),  # EL7
        (enabled("clamav-freshclam"), []),  # it fetches signatures only
        ({"/usr/lib/systemd/system/clamav-daemon.service": UNIT}, []),
        ({**enabled("falcon-sensor"), "/etc/systemd/system/falcon-sensor.service": Link("/dev/null")}, []),
        ({**enabled("mdatp"), **enabled("wazuh-agent")}, [("Microsoft Defender", "antivirus"),
                                                         ("OSSEC or Wazuh", "intrusion-detection")]),
        (enabled("veeamservice"), [("Veeam Agent", "snapshot-backup")]),
        (enabled("fail2ban"), []),
    ],
)  # fmt: skip
def test_what_systemd_starts(files: Files, expected: list[tuple[str, str]]) -> None:
    assert products_of({**SYSTEMD, **files}) == expected


def test_what_system_v_and_upstart_start() -> None:
    links: Files = {"/etc/init.d/ossec": "#!/bin/sh\n", "/etc/rc3.d/S85ossec": Link("../init.d/ossec")}
    assert products_of({"/etc/inittab": "id:3:initdefault:\n", **links}) == [("OSSEC or Wazuh", "intrusion-detection")]
    assert products_of({"/etc/inittab": "id:5:initdefault:\n", **links}) == []
    job = "start on runlevel [2345]\nexec /opt/falcon\n"
    upstart: Files = {"/etc/init/rc-sysinit.conf": "", "/etc/init/falcon-sensor.conf": job}
    assert products_of(upstart) == [("CrowdStrike Falcon", "antivirus")]
    assert products_of({**upstart, "/etc/init/falcon-sensor.override": "manual\n"}) == []


def test_an_unknown_init_system_leaves_it_open() -> None:
    with pytest.raises(UnsupportedFormat):
        products_of({})


@pytest.mark.parametrize(
    ("unit", "name", "kind"),
    [  # as the vendors' packages and installation guides call them
        ("clamav-daemon", "ClamAV", "antivirus"),
        ("sav-protect", "Sophos", "antivirus"),
        ("eea", "ESET", "antivirus"),
        ("mfetpd", "McAfee or Trellix", "antivirus"),
        ("ds_agent", "Trend Micro", "antivirus"),
        ("sisamdagent", "Symantec Endpoint Protection", "antivirus"),
        ("falcon-sensor", "CrowdStrike Falcon", "antivirus"),
        ("sentinelone", "SentinelOne", "antivirus"),
        ("cbagentd", "Carbon Black", "antivirus"),
        ("cylancesvc", "Cylance", "antivirus"),
        ("bdsec", "Bitdefender", "antivirus"),
        ("kesl", "Kaspersky", "antivirus"),
        ("f-secure-linuxsecurity-lspmd", "F-Secure or WithSecure", "antivirus"),
        ("mdatp", "Microsoft Defender", "antivirus"),
        ("ElasticEndpoint", "Elastic Defend", "antivirus"),
        ("wazuh-agent", "OSSEC or Wazuh", "intrusion-detection"),
        ("samhain", "Samhain", "intrusion-detection"),
        ("snort", "Snort", "intrusion-detection"),
        ("suricata", "Suricata", "intrusion-detection"),
        ("falco-modern-bpf", "Falco", "intrusion-detection"),
    ],
)
def test_a_product_by_the_unit_that_its_package_installs(unit: str, name: str, kind: str) -> None:
    assert products_of({**SYSTEMD, **enabled(unit)}) == [(name, kind)]


def test_no_service_stands_for_two_products() -> None:
    services = [name for product in PRODUCTS for name in product.services]
    assert len(services) == len(set(services))


def swap(source: str) -> Mount:
    return Mount(source=source, point="none", type="swap", how="file")


@pytest.mark.parametrize(
    ("mark", "expected"), [(b"SWAPSPACE2", ()), (b"S1SUSPEND\0", ("/swap.img",)), (b"LINHIB0001", ("/swap.img",))]
)
def test_swap_files(mark: bytes, expected: tuple[str, ...]) -> None:
    tree = tree_of({"/swap.img": bytes(4086) + mark + bytes(4096)})
    mounts: Fact[tuple[Mount, ...]] = known(
        (swap("/swap.img"), swap("/gone"), Mount(source="/dev/sda2", point="none", type="swap"))
    )
    assert read_hibernated_files(tree, mounts).get() == expected


def traces_of(files: Files, *names: InterfaceName, mounts: tuple[Mount, ...] = ()) -> list[tuple[str, str]]:
    found = read_hardware_traces(tree_of(files), known(mounts), known(names)).get()
    return [(each.kind, each.text) for each in found]


def name(mac: str, driver: str | None) -> InterfaceName:
    return InterfaceName("eth0", mac, driver, AtPath("disk0/p1", "/etc/udev/rules.d/70-persistent-net.rules", 5))


@pytest.mark.parametrize(
    ("mac", "driver", "expected"),
    [
        ("00:22:19:aa:bb:cc", "bnx2", [("network-card", "eth0 was a bnx2 card")]),
        ("00:22:19:aa:bb:cc", None, [("network-card", "eth0 was the card 00:22:19:aa:bb:cc")]),
        ("00:50:56:aa:bb:cc", "vmxnet3", []),
        ("00:50:56:AA:BB:CC", None, []),
        ("52:54:00:12:34:56", "virtio-pci", []),
        ("02:11:22:33:44:55", None, []),
        ("00:0c:29:aa:bb:cc", "e1000", []),
    ],
)
def test_network_cards(mac: str, driver: str | None, expected: list[tuple[str, str]]) -> None:
    assert traces_of({}, name(mac, driver)) == expected


@pytest.mark.parametrize(
    ("path", "machine", "kind"),
    [
        ("/var/log/anaconda/syslog", "Dell Inc. PowerEdge R710/0YDJK3, BIOS 6.4.0", "hardware-at-installation"),
        ("/var/log/anaconda.syslog", "HP ProLiant DL380 G7, BIOS P67", "hardware-at-installation"),
        ("/var/log/installer/syslog", "VMware, Inc. VMware Virtual Platform/440BX Desktop", "virtual-at-installation"),
        ("/var/log/installer/syslog", "Microsoft Corporation Virtual Machine", "virtual-at-installation"),
        ("/var/log/installer/syslog", "QEMU Standard PC (i440FX + PIIX, 1996)", "virtual-at-installation"),
        ("/var/log/installer/syslog", "Xen HVM domU, BIOS 4.2.amazon", "virtual-at-installation"),
    ],
)  # fmt: skip
def test_what_the_installer_ran_on(path: str, machine: str, kind: str) -> None:
    log = f"10:00:00,1 INFO kernel:DMI 2.6 present.\n10:00:00,1 INFO kernel:[    0.000000] DMI: {machine}\nmore\n"
    assert [found for found, _ in traces_of({path: log})] == [kind]


def test_drivers_management_software_and_disks() -> None:
    files: Files = {
        "/etc/modprobe.conf": "alias eth0 bnx2\nalias scsi_hostadapter megaraid_sas\nalias scsi_hostadapter1 mptspi\n",
        "/opt/dell/srvadmin/x": "",
    }
    mounts = (Mount(source="/dev/cciss/c0d0p1", point="/boot", type="ext3"),)
    assert [kind for kind, _ in traces_of(files, mounts=mounts)] == [
        "management-software", "driver", "driver", "disk-name",
    ]  # fmt: skip
    with pytest.raises(CorruptStructure):
        traces_of({"/etc/modprobe.d/x.conf": CorruptStructure("bad block", where="disk0/p1")})
