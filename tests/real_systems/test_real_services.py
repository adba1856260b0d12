"""Services that systemctl itself enabled, disabled and masked in real systems: imgscan and systemctl say the same."""

from __future__ import annotations

import pytest
from real_system import RealSystem, real_system
from system_trees import RECIPES
from tools import requires_tool

from imgscan.guests.linux.services import Services

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]
STARTS = {"enabled": True, "disabled": False, "masked": False}
"""States of a unit that say whether it starts; `static` and `alias` depend on other units."""

ENABLED_AND_NOT_STARTED = {
    "NetworkManager-dispatcher.service": "its link is a name for the message bus, which starts it when it is asked",
    "NetworkManager-wait-online.service": "network-online.target wants it, which nothing here waits for",
    "grub-common.service": "its condition is a grub.cfg, which these trees have only on a disk",
}
"""What `systemctl is-enabled` says of a unit is that it has links, not that a boot starts it."""


def is_enabled(guest: RealSystem, unit: str) -> str:
    return guest.run("systemctl", "--root=/", "is-enabled", unit, check=False).strip()


@pytest.mark.parametrize("name", RECIPES)
def test_all_services_as_their_packages_left_them(name: str) -> None:
    with real_system(name) as guest:
        services = Services(guest.tree)
        listed = guest.run("systemctl", "--root=/", "list-unit-files", "--type=service", "--no-legend").splitlines()
        units = [line.split()[:2] for line in listed if "@" not in line]
        said = {unit: STARTS[state] for unit, state in units if state in STARTS}
        assert len(said) > 15
        said |= {unit: False for unit in ENABLED_AND_NOT_STARTED if unit in said}
        assert {unit: services.start(unit.removesuffix(".service")).starts for unit in said} == said


@pytest.mark.parametrize("name", RECIPES)
def test_the_ssh_server_by_each_command(name: str) -> None:
    with real_system(name) as guest:
        before = guest.system()
        assert (before.ssh_server.get(), before.ssh_start.get().unit) == ("/usr/sbin/sshd", "ssh.service")
        for command, state, starts in (
            (("disable", "ssh.service"), "disabled", False),
            (("enable", "ssh.service"), "enabled", True),
            (("mask", "ssh.service"), "masked", False),
            (("unmask", "ssh.service"), "enabled", True),
            (("preset", "ssh.service"), "enabled", True),
        ):
            guest.run("systemctl", "--root=/", *command)
            assert is_enabled(guest, "ssh.service") == state, command
            start = guest.system().ssh_start.get()
            assert (start.starts, start.manager) == (starts, "systemd"), command
            assert start.evidence


@pytest.mark.parametrize("name", RECIPES)
def test_the_socket_in_place_of_the_service(name: str) -> None:
    with real_system(name) as guest:
        guest.run("systemctl", "--root=/", "disable", "ssh.service")
        guest.run("systemctl", "--root=/", "enable", "ssh.socket")
        assert is_enabled(guest, "ssh.socket") == "enabled"
        start = guest.system().ssh_start.get()
        assert (start.starts, start.unit) == (True, "ssh.socket")


@pytest.mark.parametrize("name", RECIPES)
def test_the_default_target(name: str) -> None:
    with real_system(name) as guest:
        for target, starts in (("rescue.target", False), ("multi-user.target", True), ("graphical.target", True)):
            guest.run("systemctl", "--root=/", "set-default", target)
            assert guest.run("systemctl", "--root=/", "get-default").strip() == target
            assert guest.system().ssh_start.get().starts == starts, target


@pytest.mark.parametrize("name", RECIPES)
def test_targets_that_are_made_to_want_it(name: str) -> None:
    with real_system(name) as guest:
        guest.run("systemctl", "--root=/", "disable", "ssh.service")
        for verb, target, starts in (
            ("add-wants", "rescue.target", False),
            ("add-wants", "graphical.target", True),
            ("add-requires", "sysinit.target", True),
        ):
            guest.run("systemctl", "--root=/", verb, target, "ssh.service", check=False)  # 229 ends with 1
            folder = guest.folder / f"etc/systemd/system/{target}.{verb.removeprefix('add-')}"
            assert (folder / "ssh.service").is_symlink()
            assert guest.system().ssh_start.get().starts == starts, target
