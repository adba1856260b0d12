from __future__ import annotations

from typing import Any

from facts_builder import a_linux_machine, lost, use_of, with_volume

from imgscan.errors import UnreadFact
from imgscan.judge import judge
from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.network import Interface, NetworkFile, StaticAddress
from imgscan.model.profile import Profile
from imgscan.model.rule import Result
from imgscan.model.system import MenuEntry, Mount

RULE = "file-changed-on-import"
UUID = "3e6be9de-8139-4c2b-9106-a43f08d823a6"


def answers(machine: Any) -> list[tuple[str, str]]:
    use = use_of(RULE)
    found: Any = use.rule.check(machine, machine.systems[0], use.params)
    return [
        ("unknown", each.detail) if isinstance(each, UnreadFact) else (each.outcome, each.summary) for each in found
    ]


def line(number: int, **fields: Any) -> Mount:
    where = (AtPath("disk0/p1", "/etc/fstab", number),)
    return Mount(**{"source": "UUID=1", "point": "/srv", "type": "ext4", "how": "uuid", "evidence": where, **fields})


def test_each_line_of_fstab() -> None:
    mounts = (
        line(1, volume="disk0/p1", point="/"),
        line(2, source="/dev/sda2", how="device-name", volume="disk0/p2"),
        line(3, source="/dev/sdx1", how="device-name"),
        line(4, source="nas:/x", how="network", type="nfs"),
        line(5, type="", flaw="it names no type of filesystem"),
        line(6, source="proc", point="/proc", type="proc", how="virtual"),
    )
    found = answers(a_linux_machine(mounts=known(mounts)))
    assert found[0][1] == (
        f"/etc/fstab: line 2 (/dev/sda2 on /srv) is rewritten to UUID={UUID}; "
        "line 3 (/dev/sdx1 on /srv) gets nofail (no UUID was found for it); "
        "line 4 (nas:/x on /srv) is disabled (a network filesystem); "
        "line 5 (UUID=1 on /srv) is commented out (it names no type of filesystem); 2 other lines kept"
    )
    assert [outcome for outcome, _ in found] == ["fail", "manual"]


def test_one_answer_for_each_file_of_the_network() -> None:
    def file(path: str, address: str) -> NetworkFile:
        where = AtPath("disk0/p1", path)
        fixed = StaticAddress(address, f"IPADDR={address}", AtPath("disk0/p1", path, 4))
        return NetworkFile(by="ifcfg", evidence=where, interfaces=known((Interface(name="eth0", addresses=(fixed,)),)))

    unread = NetworkFile(by="netplan", evidence=AtPath("disk0/p1", "/etc/netplan/x.yaml"), interfaces=lost())
    files = (file("/a/ifcfg-eth0", "10.0.0.5"), file("/a/ifcfg-eth1", "10.0.0.6"), unread, file("/a/v6", "fd00::1"))
    found = answers(a_linux_machine(network=known(files)))
    assert found[:3] == [
        ("fail", "/a/ifcfg-eth0: line 4 (IPADDR=10.0.0.5) of eth0 is replaced by DHCP"),
        ("fail", "/a/ifcfg-eth1: line 4 (IPADDR=10.0.0.6) of eth0 is replaced by DHCP"),
        ("unknown", "it could not be read"),
    ]


def test_a_drop_in_has_its_own_answer_with_its_own_lines() -> None:
    path = "/etc/systemd/network/10.network"
    places = [AtPath("disk0/p1", path, 4), AtPath("disk0/p1", f"{path}.d/a.conf", 2)]
    addresses = tuple(StaticAddress(f"10.0.0.{at.line}/24", f"Address=10.0.0.{at.line}/24", at) for at in places)
    interface = Interface(name="eth0", addresses=addresses)
    file = NetworkFile(by="networkd", evidence=AtPath("disk0/p1", path), interfaces=known((interface,)))
    assert answers(a_linux_machine(network=known((file,)), menu=known(()))) == [
        ("fail", f"{path}: line 4 (Address=10.0.0.4/24) of eth0 is replaced by DHCP"),
        ("fail", f"{path}.d/a.conf: line 2 (Address=10.0.0.2/24) of eth0 is replaced by DHCP"),
    ]


def test_a_machine_of_which_nothing_is_changed() -> None:
    menu = (
        MenuEntry(title="Debian", kind="own", default=True, evidence=(AtPath("disk0/p1", "/boot/grub/grub.cfg", 9),)),
    )
    assert answers(a_linux_machine(menu=known(menu))) == [
        ("pass", "no line of /etc/fstab or of the network's configuration will be changed"),
        ("manual", "/boot/grub/grub.cfg: the default entry (now Debian) and the timeout may be set anew"),
    ]


def test_not_read_is_unknown_and_hides_nothing() -> None:
    assert [outcome for outcome, _ in answers(a_linux_machine(mounts=lost()))] == ["unknown", "manual"]
    assert [outcome for outcome, _ in answers(a_linux_machine(network=lost(), menu=lost()))] == ["unknown", "unknown"]
    device = line(2, source="/dev/sda2", how="device-name", volume="disk0/p2")
    machine = with_volume(a_linux_machine(mounts=known((device,))), "disk0/p2", uuid=lost())
    assert [outcome for outcome, _ in answers(machine)] == ["unknown", "manual"]


def test_the_judge_makes_one_finding_of_each() -> None:
    profile = Profile(name="p", title="P", version="1", date="2026-01-01", digest="0", uses=(use_of(RULE),))
    machine = a_linux_machine(network=lost(), mounts=known((line(3, source="/dev/sdx1", how="device-name"),)))
    findings = judge(machine, profile, strict=True).findings
    assert [finding.outcome for finding in findings] == ["fail", "unknown", "manual"]
    assert all(isinstance(finding.summary, str) for finding in findings)
    assert Result("pass", "").evidence == ()
