"""How an installed system can be reached over the network."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import Evidence
from imgscan.model.fact import Fact


class ServiceStart(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a service starts at boot, and what decides that.

    `manager` starts it; `unit` is what it would start (`ssh.service`, `ssh.socket`, a link like `S55sshd`, an Upstart
    job), None when there is nothing. `detail` is one sentence.
    """

    starts: bool
    manager: Literal["systemd", "sysvinit", "upstart", "openrc"]
    unit: str | None
    detail: str
    evidence: tuple[Evidence, ...] = ()


class SshSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an OpenSSH server is configured with; None and empty where the program's own default holds.

    `ports` are TCP ports, `listen_addresses` host names and addresses without a port (empty: all addresses).
    """

    ports: tuple[int, ...] = (22,)
    listen_addresses: tuple[str, ...] = ()
    permit_root_login: str | None = None
    password_authentication: str | None = None
    allow_users: tuple[str, ...] = ()
    deny_users: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] = ()
    deny_groups: tuple[str, ...] = ()


Decision = Literal["allow", "block"]


class Firewall(msgspec.Struct, frozen=True, kw_only=True):
    """A firewall that starts with the system, and what it does with a new connection to its way in.

    That is the SSH server's port, on Windows that of Remote Desktop.
    `name`: `firewalld`, `nftables`, `iptables`, `ufw`, `SuSEfirewall2`, `tcp-wrappers`, or that of another product,
    whose decision is unread. `detail` is one sentence.
    """

    name: str
    decision: Fact[Decision]
    detail: str = ""
