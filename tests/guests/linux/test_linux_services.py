from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from memory_filesystem import Content, Link, MemoryFileSystem
from tools import require_tool, requires_tool

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.services import Services
from imgscan.model.access import ServiceStart

Files = dict[str, Content]

# --- systemd ---------------------------------------------------------------------------------------------------------

SSH = (
    "[Unit]\nDescription=OpenBSD Secure Shell server\nConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n\n"
    "[Service]\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n\n[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n"
)
SOCKET = "[Socket]\nListenStream=22\nAccept=no\n\n[Install]\nWantedBy=sockets.target\n"
WANTS = "/etc/systemd/system/multi-user.target.wants/ssh.service"
UNIT = "/lib/systemd/system/ssh.service"
SYSTEMD: Files = {
    "/sbin/init": Link("/lib/systemd/systemd"),
    "/lib/systemd/systemd": b"\x7fELF",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    UNIT: SSH,
}
ENABLED: Files = {WANTS: Link(UNIT), "/etc/systemd/system/sshd.service": Link(UNIT)}


def services_of(files: Mapping[str, Content]) -> Services:
    return Services(GuestTree({"/": MemoryFileSystem(files)}))


def start(files: Mapping[str, Content], *names: str) -> ServiceStart:
    return services_of(files).start(*(names or ("sshd", "ssh")))


@pytest.mark.parametrize(
    ("files", "starts", "words"),
    [
        ({}, False, "not enabled"),
        (ENABLED, True, "ssh.service is enabled"),
        ({WANTS: Link("../ssh.service")}, True, "enabled"),
        ({"/etc/systemd/system/multi-user.target.requires/ssh.service": Link(UNIT)}, True, "enabled"),
        ({"/usr/lib/systemd/system/multi-user.target.wants/ssh.service": Link("../ssh.service")}, True, "enabled"),
        ({"/etc/systemd/system/graphical.target.wants/ssh.service": Link(UNIT)}, True, "enabled"),
        ({"/etc/systemd/system/default.target.wants/ssh.service": Link(UNIT)}, True, "enabled"),
        (
            {
                "/etc/systemd/system/default.target.wants/ssh.service": Link(UNIT),
                "/etc/systemd/system/default.target": Link("/lib/systemd/system/multi-user.target"),
            },
            True,
            "enabled",
        ),
        (
            {
                "/etc/systemd/system/runlevel3.target.wants/ssh.service": Link(UNIT),
                "/lib/systemd/system/runlevel3.target": Link("multi-user.target"),
                "/lib/systemd/system/multi-user.target": "[Unit]\nDescription=x\n",
            },
            True,
            "enabled",
        ),
        (
            {
                "/etc/systemd/system/runlevel1.target.wants/ssh.service": Link(UNIT),
                "/lib/systemd/system/runlevel1.target": Link("rescue.target"),
                "/lib/systemd/system/rescue.target": "[Unit]\nDescription=x\n",
            },
            False,
            "not enabled",
        ),
        ({**ENABLED, "/etc/systemd/system/ssh.service": Link("/dev/null")}, False, "masked"),
        ({**ENABLED, "/etc/systemd/system/ssh.service": ""}, False, "masked"),
        # what masks the alias leaves the unit itself, and what it is wanted as
        ({WANTS: Link(UNIT), "/etc/systemd/system/sshd.service": Link("/dev/null")}, True, "enabled"),
        ({WANTS: Link("/dev/null")}, False, "not enabled"),
        ({**ENABLED, UNIT: None, "/lib/systemd/system/other.service": ""}, False, "no unit"),
        ({**ENABLED, "/etc/ssh/sshd_not_to_be_run": ""}, False, "sshd_not_to_be_run is there"),
        # the target that starts
        ({**ENABLED, "/etc/systemd/system/default.target": Link("/lib/systemd/system/rescue.target")}, False, ""),
        ({**ENABLED, "/etc/systemd/system/default.target": Link("/lib/systemd/system/runlevel3.target")}, True, ""),
        ({**ENABLED, "/lib/systemd/system/default.target": Link("graphical.target")}, True, ""),
        (
            {"/etc/systemd/system/graphical.target.wants/ssh.service": Link(UNIT),
             "/etc/systemd/system/default.target": Link("/lib/systemd/system/multi-user.target")}, False, "",
        ),
        (
            {**ENABLED, "/etc/systemd/system/default.target": Link("/etc/systemd/system/mine.target"),
             "/etc/systemd/system/mine.target": "[Unit]\nRequires=multi-user.target\n"}, True, "",
        ),
        # a target of its own
        ({**ENABLED, "/etc/systemd/system/default.target": "[Unit]\nDescription=x\n"}, False, ""),
        ({**ENABLED, "/etc/systemd/system/default.target": "[Unit]\nRequires=multi-user.target\n"}, True, ""),
        (
            {"/lib/systemd/system/multi-user.target": "[Unit]\nRequires=basic.target\n",
             "/etc/systemd/system/multi-user.target.d/a.conf": "[Unit]\nWants=ssh.service\n"}, True, "",
        ),
        # asked for by a service that starts
        (
            {"/etc/systemd/system/cloud.service": "[Unit]\nWants=ssh.service\n",
             "/etc/systemd/system/multi-user.target.wants/cloud.service": Link("../cloud.service")}, True, "",
        ),
        # a unit of its own that hides the package's
        ({**ENABLED, "/etc/systemd/system/ssh.service": "[Service]\nExecStart=/usr/sbin/sshd -D\n"}, True, ""),
        # wanted by a service that starts
        (
            {"/etc/systemd/system/multi-user.target.wants/web.service": Link("/lib/systemd/system/web.service"),
             "/etc/systemd/system/web.service.wants/ssh.service": Link(UNIT)}, True, "",
        ),
        ({"/etc/systemd/system/web.service.wants/ssh.service": Link(UNIT)}, False, ""),
    ],
)  # fmt: skip
def test_systemd(files: Files, starts: bool, words: str) -> None:
    found = start({**SYSTEMD, **files})
    assert (found.starts, found.manager) == (starts, "systemd"), found.detail
    assert words in found.detail
    assert found.evidence


def test_a_damaged_unit_leaves_open_what_it_asks_for() -> None:
    damaged: Files = {
        "/etc/systemd/system/cloud.service": b"\0" * 64,
        "/etc/systemd/system/multi-user.target.wants/cloud.service": Link("../cloud.service"),
    }
    assert start({**SYSTEMD, **ENABLED, **damaged}).starts
    with pytest.raises(CorruptStructure):
        start({**SYSTEMD, **damaged})


@pytest.mark.parametrize(
    "files",
    [
        {UNIT: SSH.replace("[Service]", "ConditionPathExists=/\n" * 40_000 + "[Service]")},
        {UNIT: SSH + "a=\\\n" + "aaaaaa\\\n" * 130_000},
        {
            **{f"/etc/systemd/system-preset/l{number:04}.preset": Link("/etc/large") for number in range(1000)},
            "/etc/large": "disable qqqqqqqqqqqq*\n" * 45_000,
            "/etc/machine-id": "uninitialized\n",
            WANTS: None,
        },
        {"/sbin/init": b"", "/etc/init/rc.conf": "", "/etc/init/ssh.conf": "start on (\n" + "((((((\n" * 149_000},
    ],
)
def test_hostile_files_end_soon(files: Files) -> None:
    started = time.process_time()
    with contextlib.suppress(LimitExceeded):
        start({**SYSTEMD, **ENABLED, **files})
    assert time.process_time() - started < 8  # below 1 s as a rule; what is not linear takes minutes


def test_presets_count_at_the_first_boot_only() -> None:
    unborn = {path: content for path, content in SYSTEMD.items() if path != "/etc/machine-id"}
    preset = "/usr/lib/systemd/system-preset/"
    assert start(unborn).starts  # systemd.preset(5): without a line, a unit is enabled
    assert start({**unborn, "/etc/machine-id": "uninitialized\n"}).starts
    assert not start({**unborn, "/etc/machine-id": ""}).starts  # machine-id(5): an empty file is no first boot
    assert not start({**unborn, f"{preset}99-default.preset": "disable *\n"}).starts
    rules: Files = {f"{preset}90-default.preset": "# ssh\nenable ssh*.service\n", f"{preset}99-x.preset": "disable *\n"}
    found = start({**unborn, **rules})
    assert found.starts
    assert [(getattr(e, "path", ""), getattr(e, "line", 0)) for e in found.evidence] == [
        (f"{preset}90-default.preset", 2)
    ]
    by_default = {**unborn, **rules, UNIT: SSH.replace("WantedBy=multi-user.target", "WantedBy=default.target")}
    assert start(by_default).starts
    hidden: Files = {"/etc/systemd/system-preset/90-default.preset": ""}
    assert not start({**unborn, **rules, **hidden}).starts


def test_scripts_below_systemd_start_by_their_links() -> None:
    files: Files = {**SYSTEMD, "/etc/init.d/old": "#!/bin/sh\n"}
    assert not start(files, "old").starts
    assert start({**files, "/etc/rc3.d/S20old": Link("../init.d/old")}, "old").starts
    assert not start({**files, "/etc/rc3.d/K20old": Link("../init.d/old")}, "old").starts
    masked: Files = {"/etc/rc3.d/S20old": Link("../init.d/old"), "/etc/systemd/system/old.service": Link("/dev/null")}
    assert not start({**files, **masked}, "old").starts


def test_sockets_are_units_like_others() -> None:
    units = services_of(
        {
            **SYSTEMD,
            "/lib/systemd/system/ssh.socket": SOCKET,
            "/etc/systemd/system/sockets.target.wants/ssh.socket": Link("/lib/systemd/system/ssh.socket"),
        }
    ).systemd
    assert units is not None
    assert units.start_unit("ssh.socket").starts
    assert not units.start_unit("ssh.service").starts


def test_links_in_circles_end() -> None:
    circle: Files = {
        "/etc/systemd/system/a.service": Link("b.service"),
        "/etc/systemd/system/b.service": Link("a.service"),
        "/etc/systemd/system/multi-user.target.wants/a.service": Link("../a.service"),
        "/etc/systemd/system/a.service.wants/b.service": Link("../b.service"),
        "/etc/systemd/system/b.service.wants/a.service": Link("../a.service"),
    }
    assert not start({**SYSTEMD, **circle}, "a").starts
    assert not start({**SYSTEMD, **circle}).starts


@requires_tool("systemctl")
@pytest.mark.parametrize(
    ("commands", "starts"),
    [
        ([], False),
        (["enable ssh.service"], True),
        (["enable ssh.service", "disable ssh.service"], False),
        (["enable ssh.service", "mask ssh.service"], False),
        (["enable ssh.service", "mask ssh.service", "unmask ssh.service"], True),
        (["enable ssh.service", "set-default rescue.target"], False),
        (["enable ssh.service", "set-default multi-user.target"], True),
        (["preset ssh.service"], False),
        (["add-wants graphical.target ssh.service"], True),
        (["add-wants graphical.target ssh.service", "set-default multi-user.target"], False),
    ],
)
def test_links_as_systemctl_makes_them(commands: list[str], starts: bool, tmp_path: Path) -> None:
    tool = require_tool("systemctl")
    for path, content in SYSTEMD.items():
        if not isinstance(content, Link):
            file = tmp_path / path.strip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else b"")
    for target in ("rescue", "multi-user", "graphical"):
        (tmp_path / f"lib/systemd/system/{target}.target").write_text("[Unit]\nAllowIsolate=yes\n")
    presets = tmp_path / "usr/lib/systemd/system-preset"
    presets.mkdir(parents=True)
    (presets / "99-default.preset").write_text("disable *\n")
    for command in commands:
        subprocess.run([tool, f"--root={tmp_path}", *command.split()], check=True, capture_output=True)
    files: Files = {"/sbin/init": Link("/lib/systemd/systemd")}
    for each in sorted(tmp_path.rglob("*")):
        path = f"/{each.relative_to(tmp_path)}"
        if each.is_symlink():
            files[path] = Link(str(each.readlink()).removeprefix(str(tmp_path)))
        elif each.is_file():
            files[path] = each.read_bytes()
    assert start(files).starts == starts


# --- System V init ---------------------------------------------------------------------------------------------------

SYSV: Files = {
    "/sbin/init": b"\x7fELF",
    "/etc/inittab": "# comment\n# id:5:initdefault:\nid:3:initdefault:\nsi::sysinit:/etc/rc.d/rc.sysinit\n",
    "/etc/rc.d/init.d/sshd": "#!/bin/bash\n",
}


@pytest.mark.parametrize(
    ("files", "starts"),
    [
        ({}, False),
        ({"/etc/rc.d/rc3.d/S55sshd": Link("../init.d/sshd")}, True),
        ({"/etc/rc.d/rc3.d/K25sshd": Link("../init.d/sshd")}, False),
        ({"/etc/rc.d/rc5.d/S55sshd": Link("../init.d/sshd")}, False),
        ({"/etc/rc.d/rc3.d/S55sshd": Link("../init.d/gone")}, False),
        ({"/etc/rc3.d/S55sshd": Link("/etc/rc.d/init.d/sshd")}, True),
        ({"/etc/init.d/rc3.d/S12sshd": Link("/etc/rc.d/init.d/sshd")}, True),
        ({"/etc/rcS.d/S10sshd": Link("/etc/rc.d/init.d/sshd")}, True),
        ({"/etc/rc.d/rc3.d/S55sshd-keygen": Link("../init.d/sshd")}, False),
    ],
)
def test_system_v_init(files: Files, starts: bool) -> None:
    found = start({**SYSV, **files})
    assert (found.starts, found.manager) == (starts, "sysvinit"), found.detail
    assert ("/etc/inittab", 3) in [(getattr(e, "path", ""), getattr(e, "line", 0)) for e in found.evidence]


def test_an_inittab_without_a_default_is_no_answer() -> None:
    with pytest.raises(CorruptStructure):
        start({**SYSV, "/etc/inittab": "si::sysinit:/etc/rc.d/rc.sysinit\n"})


# --- Upstart ---------------------------------------------------------------------------------------------------------

JOB = (
    '# ssh - OpenBSD Secure Shell server\n\ndescription "OpenSSH server"\n\n{}\nstop on runlevel [!2345]\n\n'
    "respawn\n\npre-start script\n    start on nothing\n    manual\nend script\n\nexec /usr/sbin/sshd -D\n"
)
UPSTART: Files = {
    "/sbin/init": b"\x7fELF",
    "/etc/init/rc-sysinit.conf": "start on filesystem and static-network-up\nenv DEFAULT_RUNLEVEL=2\n",
    "/etc/init/rc.conf": "start on runlevel [0123456]\n",
}


@pytest.mark.parametrize(
    ("stanzas", "override", "starts"),
    [
        ("start on runlevel [2345]", None, True),
        ("start on filesystem or runlevel [2345]", None, True),
        ("start on (filesystem\n    or runlevel [2345])", None, True),
        ("start on runlevel [!2345]", None, False),
        ("start on runlevel [345]", None, False),
        ("start on runlevel [!016]", None, True),
        ("start on (local-filesystems and net-device-up IFACE!=lo)", None, True),
        ("start on runlevel [2345]", "manual\n", False),
        ("start on runlevel [2345]", "manual\nstart on runlevel [2345]\n", True),
        ("start on runlevel [2345]\nmanual", None, False),
        ("manual\nstart on runlevel [2345]", None, True),
        ("", None, False),
    ],
)
def test_upstart(stanzas: str, override: str | None, starts: bool) -> None:
    files: Files = {**UPSTART, "/etc/init/ssh.conf": JOB.format(stanzas)}
    if override is not None:
        files["/etc/init/ssh.override"] = override
    found = start(files)
    assert (found.starts, found.manager, found.unit) == (starts, "upstart", "ssh"), found.detail


def test_upstart_events_of_other_jobs_leave_it_open() -> None:
    with pytest.raises(UnsupportedFormat):
        start({**UPSTART, "/etc/init/ssh.conf": JOB.format("start on my-event")})


def test_upstart_starts_links_where_there_is_no_job() -> None:
    links: Files = {"/etc/init.d/ssh": "#!/bin/sh\n", "/etc/rc2.d/S16ssh": Link("../init.d/ssh")}
    assert start({**UPSTART, **links}).starts
    assert not start({**UPSTART, **links, "/etc/inittab": "id:3:initdefault:\n"}).starts
    assert not start({**UPSTART, **links, "/etc/init/ssh.conf": JOB.format("manual")}).starts


# --- OpenRC, and none ------------------------------------------------------------------------------------------------


def test_openrc() -> None:
    files: Files = {
        "/sbin/init": b"\x7fELF",
        "/etc/runlevels/default": None,
        "/etc/init.d/sshd": "#!/sbin/openrc-run\n",
    }
    assert not start(files).starts
    assert start({**files, "/etc/runlevels/default/sshd": Link("/etc/init.d/sshd")}).starts
    assert start(files).manager == "openrc"


def test_an_init_that_is_not_known_is_no_answer() -> None:
    with pytest.raises(UnsupportedFormat):
        start({"/sbin/init": b"\x7fELF"})
