# ruff: noqa: S104, S105, S106 - addresses and keywords of sshd_config, no secrets
from __future__ import annotations

from collections.abc import Mapping

import pytest
from memory_filesystem import Content, Link, MemoryFileSystem

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, ReadFailed, UnsupportedFormat
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


@pytest.mark.parametrize(
    "text", ["Portt 22\n", "Garbage yes\n", "Match User x\n  Gargabe yes\n", "Port 22\nLogLeve1 INFO\n"]
)
def test_a_keyword_that_is_not_known_leaves_it_open(text: str) -> None:
    with pytest.raises(UnsupportedFormat):
        settings(text)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AddressFamily inet6\n", ("::",)),
        ("AddressFamily inet\n", ("0.0.0.0",)),
        ("AddressFamily any\nListenAddress ::\n", ("::",)),
        ("AddressFamily inet6\nListenAddress server.example\n", ("server.example",)),
    ],
)
def test_families_of_addresses(text: str, expected: tuple[str, ...]) -> None:
    assert settings(text).listen_addresses == expected


@pytest.mark.parametrize("text", ["AddressFamily inet\nListenAddress ::\n", "AddressFamily ipv6\n"])
def test_addresses_of_another_family_are_damage(text: str) -> None:
    with pytest.raises(CorruptStructure):
        settings(text)


@pytest.mark.parametrize(
    "text", ["Include /etc/ssh/*/a.conf\n", "Include /etc/s[sh]h/a\n", "ListenAddress :: rdomain x\n"]
)
def test_what_is_not_followed_leaves_it_open(text: str) -> None:
    with pytest.raises(UnsupportedFormat):
        settings(text)


def test_many_patterns_end_soon() -> None:
    names = {f"n{number}": "" for number in range(1000)}
    with pytest.raises(LimitExceeded):
        config("Include " + "sshd_config.d/*x " * 60_000, **names)


def test_files_that_include_themselves_end() -> None:
    with pytest.raises(LimitExceeded):
        config(f"Include {CONFIG}\n")
    with pytest.raises(LimitExceeded):
        config("Include sshd_config.d/a.conf\n", a="Include sshd_config.d/a.conf\n" * 8)


# --- the server as a whole -------------------------------------------------------------------------------------------

SERVICE = (
    "[Service]\nEnvironmentFile=-/etc/default/ssh\nEnvironmentFile=-/etc/sysconfig/sshd\n"
    "ExecStart=/usr/sbin/sshd -D $SSHD_OPTS $OPTIONS\n[Install]\nWantedBy=multi-user.target\n"
)
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


@pytest.mark.parametrize("options", ["-o Include=/etc/other", "-x", "start"])
def test_options_that_are_not_followed_leave_it_open(options: str) -> None:
    assert server(BY_SERVICE, {"/etc/sysconfig/sshd": f'OPTIONS="{options}"\n'}).settings.unread == "unsupported"


DROP_IN = "/etc/systemd/system/ssh.service.d/own.conf"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/sbin/sshd -D -o ListenAddress=127.0.0.1", SshSettings(ports=(2222,), listen_addresses=("127.0.0.1",))),
        ("/usr/sbin/sshd -Dp 443", SshSettings(ports=(443,))),
        ("/usr/sbin/sshd -D -o Port=443", SshSettings(ports=(443, 2222))),
        ("-/usr/sbin/sshd -D -f /etc/other", SshSettings(ports=(443,))),
        ("/opt/ssh/sbin/sshd -D -f/etc/other", SshSettings(ports=(443,))),
        ("/usr/sbin/sshd -6D", SshSettings(ports=(2222,), listen_addresses=("::",))),
        ("/usr/sbin/sshd -D $MORE ${PORT}", SshSettings(ports=(8022,))),
        ("/opt/ssh/sbin/sshd -D", None),
        ("/usr/local/bin/start-ssh", None),
        ("/bin/sh -c '/usr/sbin/sshd -D'", None),
        ("", None),
    ],
)
def test_the_command_of_a_drop_in_counts(command: str, expected: SshSettings | None) -> None:
    environment = 'Environment="MORE=-E /var/log/sshd" PORT=-p8022'
    text = f"[Service]\n{environment}\nExecStart=\nExecStart={command}\n"
    for name in ("ssh", "sshd"):  # by its own name, and by its alias
        files: Files = {
            "/etc/systemd/system/sshd.service": Link("/lib/systemd/system/ssh.service"),
            f"/etc/systemd/system/{name}.service.d/own.conf": text,
            "/etc/other": "Port 443\n",
        }
        found = server(BY_SERVICE, files).settings
        if expected is None:
            assert found.unread == "unsupported"
        else:
            assert found.get() == expected
            assert found.evidence


def test_a_condition_of_a_drop_in_counts() -> None:
    assert not server(BY_SERVICE, {DROP_IN: "[Unit]\nConditionPathExists=/nope\n"}).start.get().starts
    assert server(BY_SERVICE, {DROP_IN: "[Unit]\nConditionPathExists=/nope\nConditionPathExists=\n"}).start.get().starts


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        (("127.0.0.1:22",), SshSettings(ports=(22,), listen_addresses=("127.0.0.1",))),
        (("[::]:22",), SshSettings(ports=(22,))),
        (("[::]:22", "BindIPv6Only=ipv6-only"), SshSettings(ports=(22,), listen_addresses=("::",))),
        (("[::1]:22", "22"), SshSettings(ports=(22,), listen_addresses=("::1", "0.0.0.0"))),
        ((), None),
        (("0",), None),
    ],
)
def test_where_a_socket_listens_is_where_the_server_does(
    streams: tuple[str, ...], expected: SshSettings | None
) -> None:
    lines = "".join(f"{each if '=' in each else f'ListenStream={each}'}\n" for each in streams)
    drop_in = f"[Socket]\nListenStream=\n{lines}"
    files: Files = {"/etc/systemd/system/ssh.socket.d/a.conf": drop_in, CONFIG: "ListenAddress 10.0.0.5\nPort 2222\n"}
    found = server(BY_SOCKET, files).settings
    assert (found.unread == "corrupt") if expected is None else (found.get() == expected)


def test_a_socket_beside_the_service_has_to_agree_with_it() -> None:
    assert server(BY_SERVICE, BY_SOCKET).settings.unread == "unsupported"
    assert server(BY_SERVICE, BY_SOCKET, {CONFIG: "Port 22\n"}).settings.get() == SshSettings()


def test_a_mark_keeps_the_server_of_older_systems_from_starting() -> None:
    mark: Files = {"/etc/ssh/sshd_not_to_be_run": ""}
    without = {path: content for path, content in BASE.items() if path != "/lib/systemd/systemd"}
    upstart: Files = {
        **without,
        "/sbin/init": b"\x7fELF",
        "/etc/init/rc.conf": "",
        "/etc/init/ssh.conf": "start on runlevel [2345]\nexec /usr/sbin/sshd -D\n",
    }
    sysv: Files = {
        **without,
        "/sbin/init": b"\x7fELF",
        "/etc/inittab": "id:2:initdefault:\n",
        "/etc/init.d/ssh": "#!/bin/sh\n",
        "/etc/rc2.d/S02ssh": Link("../init.d/ssh"),
    }
    for files in (upstart, sysv):
        trees = [GuestTree({"/": MemoryFileSystem({**files, **more})}) for more in ({}, mark)]
        assert [read_ssh_server(tree, Services(tree)).start.get().starts for tree in trees] == [True, False]


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
