"""sshd_config as the SSH server of real systems understands it: `sshd -T` prints the settings that imgscan reads."""

from __future__ import annotations

import pytest
from real_system import RealSystem, real_system
from tools import requires_tool

pytestmark = [pytest.mark.long, requires_tool("debootstrap")]
MAIN = "etc/ssh/sshd_config"
CONFIGS: dict[str, dict[str, str]] = {
    "as installed": {},
    "empty": {MAIN: ""},
    "ports": {MAIN: "Port 2222\nPort 22\n"},
    "other spellings": {MAIN: 'PORT=2222\n  permitrootlogin "no"\n# Port 1\nPasswordAuthentication = no\n'},
    "addresses": {MAIN: "ListenAddress 10.0.0.5\nListenAddress 0.0.0.0:2222\nListenAddress [2001:db8::1]:2200\n"},
    "ports behind addresses": {MAIN: "ListenAddress 10.0.0.5\nPort 2222\n"},
    "one family": {MAIN: "AddressFamily inet\nPort 2222\n"},
    "the first value": {
        MAIN: "PermitRootLogin no\nPermitRootLogin yes\nPasswordAuthentication yes\nPasswordAuthentication no\n"
    },
    "users": {
        MAIN: "AllowUsers alice bob\nAllowUsers carol@10.0.0.0/8\nDenyUsers dave\nAllowGroups admins\nDenyGroups out\n"
    },
    "a match": {MAIN: "PermitRootLogin no\nMatch User alice\n\tPermitRootLogin yes\n\tPasswordAuthentication no\n"},
}
INCLUDES: dict[str, dict[str, str]] = {
    "a drop-in": {"etc/ssh/sshd_config.d/10-port.conf": "Port 2200\nPermitRootLogin no\n"},
    "an include behind": {
        MAIN: "PermitRootLogin no\nInclude /etc/ssh/more/*.conf\nPort 22\n",
        "etc/ssh/more/a.conf": "PermitRootLogin yes\nPort 2201\n",
        "etc/ssh/more/b.conf": "Port 2202\nInclude inner\n",
        "etc/ssh/inner": "PasswordAuthentication no\n",
    },
    "an include in a match": {
        MAIN: "Match User alice\nInclude /etc/ssh/more/a.conf\n",
        "etc/ssh/more/a.conf": "PasswordAuthentication no\n",
    },
    "a match in an include": {
        MAIN: "Include /etc/ssh/more/a.conf\nPasswordAuthentication no\n",
        "etc/ssh/more/a.conf": "Match User alice\nPasswordAuthentication yes\n",
    },
}
"""Includes are known from OpenSSH 8.2 on."""
DEFAULTS = {"permitrootlogin": "prohibit-password", "passwordauthentication": "yes"}
CASES = [
    *((name, case, files) for name in ("debian12-tools", "ubuntu16.04") for case, files in CONFIGS.items()),
    *(("debian12-tools", case, files) for case, files in INCLUDES.items()),
]


def sshd_says(guest: RealSystem) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    (guest.folder / "run/sshd").mkdir(exist_ok=True)
    for line in guest.run("/usr/sbin/sshd", "-T").splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)
    return said


@pytest.mark.parametrize(("name", "case", "files"), CASES)
def test_the_settings_are_those_of_the_server(name: str, case: str, files: dict[str, str]) -> None:
    with real_system(name) as guest:
        for path, text in files.items():
            guest.write(path, text)
        said = sshd_says(guest)
        settings = guest.system().ssh_settings.get()
        assert settings is not None
        listens = [value.rpartition(":") for value in said["listenaddress"]]
        assert set(settings.ports) == {int(port) for _, _, port in listens}, case
        addresses = {address.strip("[]") for address, _, _ in listens}
        assert set(settings.listen_addresses) in ({*addresses}, {*addresses} - {"::", "0.0.0.0"}), case  # noqa: S104
        root = (settings.permit_root_login or DEFAULTS["permitrootlogin"]).replace("without-", "prohibit-")
        assert [root] == [value.replace("without-", "prohibit-") for value in said["permitrootlogin"]], case
        assert [settings.password_authentication or "yes"] == said["passwordauthentication"], case
        for field in ("allow_users", "deny_users", "allow_groups", "deny_groups"):
            assert list(getattr(settings, field)) == said.get(field.replace("_", ""), []), (case, field)


def test_a_drop_in_that_is_switched_off_says_nothing() -> None:
    with real_system("debian12-tools") as guest:
        (guest.folder / "etc/ssh/sshd_config.d/10-port.conf").symlink_to("/dev/null")
        assert (guest.folder / "dev/null").is_char_device()
        assert sshd_says(guest)["port"] == ["22"]
        settings = guest.system().ssh_settings.get()
        assert settings is not None
        assert settings.ports == (22,)
