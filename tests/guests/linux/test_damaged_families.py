"""One file of a system that cannot be read: what rests on it is unread, and no fact becomes another one."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import pytest
from disk_builder import UUIDS
from disk_builder import Link as DiskLink
from linux_families.family import Family
from linux_families.table import FAMILIES
from memory_filesystem import Content, Link, MemoryFileSystem
from tools import requires_tool

from imgscan.errors import CorruptStructure
from imgscan.guests.attempt import attempt
from imgscan.guests.linux import Services, inspect_linux, read_access, read_environment
from imgscan.guests.linux.initramfs import read_initramfs
from imgscan.guests.linux.kernel_drivers import read_kernel_drivers
from imgscan.guests.linux.kernel_package import read_kernel_package
from imgscan.guests.systems import FoundSystem
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, known
from imgscan.model.system import System
from imgscan.model.volume import Volume

TOOLS = ("cpio", "gzip", "xz", "db5.3_load")
QUICK = frozenset({"rhel8", "sles11"})
WHERE = AtPath("disk0/p2", "/boot")
DAMAGED = CorruptStructure("bad block", where="disk0")


def volume(number: int, role: str, content: str) -> Volume:
    return Volume(
        name=f"disk0/p{number}", kind="partition", on=("disk0",), size=1 << 30, content=content,
        signature=known(content), uuid=known(UUIDS[role]), label=known(f"/{'' if role == 'root' else role}"),
    )  # fmt: skip


def system_of(family: Family, damaged: str | None = None) -> System:
    """Return the facts of a family's system, with one file that cannot be read."""
    root: dict[str, Content] = {"/boot": None}
    boot: dict[str, Content] = {}
    for path, content in family.files.items():
        on_boot = family.boot is not None and path.startswith("boot/")
        readable = Link(content.decode()) if isinstance(content, DiskLink) else content
        (boot if on_boot else root)[f"/{path.removeprefix('boot/') if on_boot else path}"] = (
            DAMAGED if path == damaged else readable
        )
    volumes = [volume(1, "boot", "ext4"), volume(2, "root", family.root), volume(3, "swap", "swap")]
    filesystems = {"disk0/p2": MemoryFileSystem(root, "disk0/p2", family.root)}
    if family.boot is not None:
        filesystems["disk0/p1"] = MemoryFileSystem(boot, "disk0/p1", family.boot)
    found = inspect_linux(FoundSystem("linux", "disk0/p2"), filesystems, volumes, [])
    tree, services = found.tree, Services(found.tree)
    system = read_access(read_environment(found.system, tree, services), tree, services)
    kernel = system.default_kernel
    if kernel.is_known and (value := kernel.get()) is not None:
        system = msgspec.structs.replace(
            system,
            kernel_package=attempt(lambda: read_kernel_package(tree, value), WHERE),
            initramfs=attempt(lambda: read_initramfs(tree, value), WHERE),
            kernel_drivers=attempt(lambda: read_kernel_drivers(tree, str(value.version)), WHERE),
        )
    return system


FACTS = (
    *("id", "version", "service_pack", "variant", "architecture", "hostname", "kernel", "bootloader"),
    *("mounts", "network", "dhcp_client", "interface_names", "products", "ssh_server", "ssh_start", "ssh_settings"),
    *("firewalls", "kernel_package", "initramfs", "kernel_drivers"),
)


def said(system: System) -> dict[str, Any]:
    """Return each fact's value without its evidence, None where it, or a part of it, was not read.

    Of the menu that is what each entry is for; which one is the default, the kernel says.
    """
    menu = system.menu.map(lambda entries: [(entry.title, entry.kind) for entry in entries])
    return {name: _said(getattr(system, name)) for name in FACTS} | {"menu": menu.value if menu.is_known else None}


def _said(fact: Fact[Any]) -> Any:
    if not fact.is_known:
        return None
    value = fact.get()
    parts = value if isinstance(value, tuple) else ()
    inner = [getattr(part, name) for part in parts for name in ("decision", "interfaces") if hasattr(part, name)]
    if any(not each.is_known for each in inner):
        return None
    return msgspec.to_builtins(value)


def _stands_for(fact: str, whole: Any, found: Any) -> bool:
    """Whether a value says less than the whole one, and nothing else.

    The major version is no point release to the list of systems; a DHCP client beside NetworkManager is one as well.
    """
    if fact == "version":
        return str(whole).startswith(f"{found}.")
    return fact == "dhcp_client" and (whole, found) == ("NetworkManager.service", "/sbin/dhclient")


@cache
def family_of(name: str) -> Family:
    return FAMILIES[name]()


@requires_tool(*TOOLS)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in FAMILIES]
)
def test_no_fact_becomes_another_one(name: str) -> None:
    family = family_of(name)
    whole = said(system_of(family))
    wrong: list[tuple[str, str, Any, Any]] = []
    for path, content in family.files.items():
        if isinstance(content, DiskLink):
            continue
        found = said(system_of(family, path))
        wrong += [
            (path, fact, whole[fact], value)
            for fact, value in found.items()
            if value != whole[fact] and value is not None and not _stands_for(fact, whole[fact], value)
        ]
    assert not wrong, "\n".join(map(str, wrong))


@requires_tool(*TOOLS)
@pytest.mark.parametrize(
    ("name", "path", "lost"),
    [
        ("rhel8", "etc/os-release", {"id", "version", "service_pack", "variant"}),
        ("rhel8", "etc/hostname", {"hostname"}),
        ("rhel8", "etc/fstab", {"mounts", "menu", "kernel", "bootloader"}),
        ("rhel8", "boot/grub2/grubenv", {"kernel"}),
        ("rhel8", "boot/grub2/grub.cfg", {"menu", "kernel"}),
        ("rhel8", "etc/ssh/sshd_config", {"ssh_settings", "firewalls"}),
        ("rhel8", "usr/lib/systemd/system/sshd.service", {"ssh_start", "ssh_settings"}),
        ("rhel8", "etc/firewalld/firewalld.conf", {"firewalls"}),
        ("rhel8", "usr/lib/firewalld/zones/public.xml", {"firewalls"}),
        ("rhel8", "var/lib/rpm/Packages", {"kernel_package"}),
        ("rhel8", "etc/sysconfig/network-scripts/ifcfg-ens192", {"network"}),
        ("sles11", "etc/inittab", {"ssh_start", "firewalls", "products"}),
        ("sles11", "etc/sysconfig/SuSEfirewall2", {"firewalls"}),
        ("sles11", "boot/grub/menu.lst", {"menu", "kernel"}),
        ("sles11", "etc/udev/rules.d/70-persistent-net.rules", {"interface_names"}),
        ("sles11", "etc/sysconfig/network/ifcfg-eth0", {"network"}),
    ],
)
def test_what_rests_on_a_file_is_unread_with_it(name: str, path: str, lost: set[str]) -> None:
    assert path in family_of(name).files
    found = said(system_of(family_of(name), path))
    assert lost <= {fact for fact, value in found.items() if value is None}
