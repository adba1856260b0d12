# ruff: noqa: S104, S105, S106 - addresses and keywords of sshd_config, no secrets
from __future__ import annotations

from collections.abc import Mapping

import pytest
from memory_filesystem import Content, Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, ReadFailed
from imgscan.guests.linux.services import Services
from imgscan.guests.linux.ssh_server import SshServer, read_ssh_server
from imgscan.guests.linux.sshd_config import SshdConfig, read_sshd_config
from imgscan.model.access import SshSettings

Files = dict[str, Content]
CONFIG = "/etc/ssh/sshd_config"


def config(text: str, **included: str) -> SshdConfig:
    files = {f"/etc/ssh/sshd_config.d/{name}.conf": each for name, each in included.items()}
    found = read_sshd_config(GuestTree({"/": MemoryFileSystem({CONFIG: text, **files})}))
    assert found is not None
    return found


def settings(text: str, **included: str) -> SshSettings:
    return config(text, **included).settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SshSettings()),
        ("#Port 2222\n", SshSettings()),
        ("Port 2222\n", SshSettings(ports=(2222,))),
        ("port=2222 # not 22\n", SshSettings(ports=(2222,))),
        ('\tPort "2222"\n', SshSettings(ports=(2222,))),
        ("Port 22\nPort 2222\nPort 22\n", SshSettings(ports=(22, 2222))),
        ("ListenAddress 0.0.0.0\nListenAddress ::\n", SshSettings(listen_addresses=("0.0.0.0", "::"))),
        ("Port 2222\nListenAddress 10.0.0.5\n", SshSettings(ports=(2222,), listen_addresses=("10.0.0.5",))),
        ("ListenAddress 10.0.0.5:2022\n", SshSettings(ports=(2022,), listen_addresses=("10.0.0.5",))),
        (
            "ListenAddress [::]:2022\nListenAddress 0.0.0.0\n",
            SshSettings(ports=(2022, 22), listen_addresses=("::", "0.0.0.0")),
        ),
        ("PermitRootLogin no\nPermitRootLogin yes\n", SshSettings(permit_root_login="no")),
        ("PasswordAuthentication No\n", SshSettings(password_authentication="no")),
        ("AllowUsers alice bob@10.*\nAllowUsers carol\n", SshSettings(allow_users=("alice", "bob@10.*", "carol"))),
        (
            "DenyUsers root\nDenyGroups wheel\nAllowGroups ssh\n",
            SshSettings(deny_users=("root",), deny_groups=("wheel",), allow_groups=("ssh",)),
        ),
        ("Match User alice\n  PasswordAuthentication no\n", SshSettings()),
        (
            "Match User alice\n  PermitRootLogin no\nMatch all\n  PermitRootLogin yes\n",
            SshSettings(permit_root_login="yes"),
        ),
        ("X11Forwarding yes\nSubsystem sftp internal-sftp\nAcceptEnv LANG LC_*\n", SshSettings()),
    ],
)
def test_settings(text: str, expected: SshSettings) -> None:
    assert settings(text) == expected


INCLUDE = "Include /etc/ssh/sshd_config.d/*.conf\nPort 22\nPasswordAuthentication yes\n"


def test_included_files_come_where_they_are_included() -> None:
    found = settings(
        INCLUDE, b="PasswordAuthentication no\nPort 2222\n", a="PermitRootLogin no\n", c="PermitRootLogin yes\n"
    )
    assert found == SshSettings(ports=(2222, 22), password_authentication="no", permit_root_login="no")
    last = settings("PasswordAuthentication yes\nInclude sshd_config.d/*.conf\n", a="PasswordAuthentication no\n")
    assert last.password_authentication == "yes"


def test_a_match_block_ends_with_its_file() -> None:
    found = settings(INCLUDE, a="Match User x\nPasswordAuthentication no\n")
    assert found.password_authentication == "yes"
    inside = settings("Match User x\nInclude sshd_config.d/*.conf\n", a="PasswordAuthentication no\n")
    assert inside.password_authentication is None


def test_the_lines_are_named() -> None:
    found = config(INCLUDE, a="\n\nPort 2222\n").wheres
    places = [(getattr(piece, "path", ""), getattr(piece, "line", 0)) for piece in found["port"]]
    assert places == [("/etc/ssh/sshd_config.d/a.conf", 3), (CONFIG, 2)]


def test_the_vendors_file_counts_without_the_administrators() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/usr/etc/ssh/sshd_config": "Port 2222\n"})})
    found = read_sshd_config(tree)
    assert found is not None
    assert found.settings.ports == (2222,)
    assert read_sshd_config(GuestTree({"/": MemoryFileSystem({"/etc/ssh": None})})) is None


@pytest.mark.parametrize(
    "text", ["Port\n", "Port none\n", "Port 0\n", "Port 65536\n", "Port 123456789012\n", "{}\n", b"\0" * 9]
)
def test_what_the_server_refuses_is_damage(text: str | bytes) -> None:
    with pytest.raises(CorruptStructure):
        read_sshd_config(GuestTree({"/": MemoryFileSystem({CONFIG: text})}))


def test_files_that_include_themselves_end() -> None:
    with pytest.raises(LimitExceeded):
        config(f"Include {CONFIG}\n")
    with pytest.raises(LimitExceeded):
        config("Include sshd_config.d/a.conf\n", a="Include sshd_config.d/a.conf\n" * 8)


# --- the server as a whole -------------------------------------------------------------------------------------------

SERVICE = "[Service]\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n[Install]\nWantedBy=multi-user.target\n"
SOCKET = "[Socket]\nListenStream=22\nAccept=no\n\n[Install]\nWantedBy=sockets.target\n"
BASE: Files = {
    "/sbin/init": Link("/lib/systemd/systemd"),
    "/lib/systemd/systemd": b"\x7fELF",
    "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "/usr/sbin/sshd": b"\x7fELF",
    CONFIG: "Port 2222\n",
    "/lib/systemd/system/ssh.service": SERVICE,
    "/lib/systemd/system/ssh.socket": SOCKET,
}
BY_SERVICE: Files = {"/etc/systemd/system/multi-user.target.wants/ssh.service": Link("/lib/systemd/system/ssh.service")}
BY_SOCKET: Files = {"/etc/systemd/system/sockets.target.wants/ssh.socket": Link("/lib/systemd/system/ssh.socket")}
GENERATOR = "/usr/lib/systemd/system-generators/sshd-socket-generator"


def server(*parts: Mapping[str, Content]) -> SshServer:
    files: Files = dict(BASE)
    for part in parts:
        files |= part
    tree = GuestTree({"/": MemoryFileSystem(files)})
    return read_ssh_server(tree, Services(tree))


def ports(*parts: Mapping[str, Content]) -> tuple[int, ...]:
    found = server(*parts).settings.get()
    assert found is not None
    return found.ports


def test_a_service_listens_where_its_configuration_says() -> None:
    found = server(BY_SERVICE)
    assert found.program.get() == "/usr/sbin/sshd"
    assert found.start.get().unit == "ssh.service"
    assert ports(BY_SERVICE) == (2222,)


def test_a_socket_listens_where_it_says_itself() -> None:
    assert server(BY_SOCKET).start.get().unit == "ssh.socket"
    assert ports(BY_SOCKET) == (22,)
    drop_in = "/etc/systemd/system/ssh.socket.d/port.conf"
    assert ports(
        BY_SOCKET, {drop_in: "[Socket]\nListenStream=\nListenStream=0.0.0.0:2022\nListenStream=[::]:2022\n"}
    ) == (2022,)
    assert ports(BY_SOCKET, {drop_in: "[Socket]\nListenStream=2022\n"}) == (22, 2022)
    assert ports(BY_SOCKET, {GENERATOR: b"\x7fELF"}) == (2222,)  # Ubuntu's socket follows sshd_config
    lost = server(BY_SOCKET, {drop_in: "[Socket]\nListenStream=/run/ssh.sock\n"}).settings
    assert lost.unread == "corrupt"


def test_a_socket_whose_service_is_masked_starts_nothing() -> None:
    found = server(BY_SOCKET, {"/etc/systemd/system/ssh.service": Link("/dev/null")}).start.get()
    assert not found.starts
    assert "ssh.service, which it starts, is masked" in found.detail


def test_nothing_starts_it() -> None:
    assert not server().start.get().starts
    assert server({"/etc/rc.local": "#!/bin/sh\n/usr/sbin/sshd\n"}).start.unread == "unsupported"
    assert not server({"/etc/rc.local": "#!/bin/sh\n# /usr/sbin/sshd\n"}).start.get().starts


@pytest.mark.parametrize(
    ("options", "expected"),
    [("-p 2022", (2022,)), ("-4 -p2022 -p 22", (2022, 22)), ("-4", (2222,)), ("", (2222,)), ("-f /etc/other", (443,))],
)
def test_the_command_line_has_the_last_word(options: str, expected: tuple[int, ...]) -> None:
    files: Files = {
        "/etc/default/ssh": f"# Options to pass to sshd\nSSHD_OPTS={options!r}\n",
        "/etc/other": "Port 443\n",
    }
    assert ports(BY_SERVICE, files) == expected


def test_options_that_are_not_followed_leave_it_open() -> None:
    assert server(BY_SERVICE, {"/etc/sysconfig/sshd": 'OPTIONS="-o Port=443"\n'}).settings.unread == "unsupported"


def test_other_servers_leave_it_open() -> None:
    without = {path: content for path, content in BASE.items() if path != "/usr/sbin/sshd"}

    def program(files: Files) -> SshServer:
        tree = GuestTree({"/": MemoryFileSystem(files)})
        return read_ssh_server(tree, Services(tree))

    assert program(without).program.get() is None
    assert program({**without, "/usr/sbin/dropbear": b"\x7fELF"}).program.unread == "unsupported"


@pytest.mark.parametrize("error", [ReadFailed("bad sector"), CorruptStructure("bad")])
def test_what_cannot_be_read_is_unread(error: ImageError) -> None:
    assert server(BY_SERVICE, {CONFIG: error}).settings.unread == error.why
