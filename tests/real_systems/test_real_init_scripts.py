"""Services of real Debians without systemd: update-rc.d and rc-update change the links, and list what starts."""

from __future__ import annotations

import re

import pytest
from real_system import RealSystem, real_system
from tools import requires_tool

from imgscan.guests.linux.services import Services

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]


def linked(guest: RealSystem, level: str) -> set[str]:
    """Return the services that links start in a runlevel, and at every boot."""
    listed = guest.run("sh", "-c", f"ls /etc/rc{level}.d /etc/rcS.d").splitlines()
    return {match[1] for line in listed if (match := re.fullmatch(r"S\d\d(.+)", line))}


def test_system_v_init() -> None:
    with real_system("debian12-sysvinit") as guest:
        services = Services(guest.tree)
        assert services.manager == "sysvinit"
        scripts = guest.run("ls", "/etc/init.d").split()
        started = linked(guest, "2")
        assert {"ssh", "cron", "networking"} <= started
        assert {name for name in scripts if services.start(name).starts} == started & set(scripts)
        for action, starts in (("disable", False), ("enable", True), ("remove", False), ("defaults", True)):
            force = ["-f"] if action == "remove" else []
            guest.run("update-rc.d", *force, "ssh", action)
            assert ("ssh" in linked(guest, "2")) == starts
            start = guest.system().ssh_start.get()
            assert (start.starts, start.manager) == (starts, "sysvinit"), action
        guest.write("etc/ssh/sshd_not_to_be_run", "")
        assert not guest.system().ssh_start.get().starts
        # another default runlevel
        inittab = (guest.folder / "etc/inittab").read_text()
        guest.write("etc/inittab", inittab.replace("id:2:initdefault:", "id:1:initdefault:"))
        (guest.folder / "etc/ssh/sshd_not_to_be_run").unlink()
        assert not guest.system().ssh_start.get().starts


def test_openrc() -> None:
    with real_system("debian12-openrc") as guest:
        services = Services(guest.tree)
        assert services.manager == "openrc"
        listed = guest.run("rc-update", "show", "sysinit", "boot", "default").splitlines()
        started = {line.split("|")[0].strip() for line in listed if line.split("|")[1].strip()}
        scripts = guest.run("ls", "/etc/init.d").split()
        assert started
        assert {name for name in scripts if services.start(name).starts} == started & set(scripts)
        for action, starts in (("del", False), ("add", True), ("del", False)):
            guest.run("rc-update", action, "ssh", "default", check=False)
            start = guest.system().ssh_start.get()
            assert (start.starts, start.manager) == (starts, "openrc"), action
