"""No SSH server starts that can be reached from outside.

What it checks
--------------
Whether an OpenSSH server is installed, has a configuration, starts at boot (systemd units, sockets, masks, aliases,
conditions and presets; start links of the default runlevel; Upstart jobs with their overrides; OpenRC runlevels; on the
default entry's command line no `single`, `systemd.unit=rescue.target`, `systemd.mask=`, `init=/bin/sh` or the like),
and listens on more than the loopback interface, one fixed address, or IPv6. Other SSH servers, other ways to start one,
a keyword of sshd_config that is not known, and a host name to listen on leave the question open. Who may log in is not
judged, unless it is nobody (`DenyUsers *`).

Why it matters
--------------
An imported Linux has no console to log in at: without SSH nobody gets in. An address that the server is told to listen
on belongs to the old network, and the server ends when no interface has it.

How to fix
----------
Install an SSH server and enable it (`systemctl enable --now sshd`, on Debian and Ubuntu `ssh`; `systemctl unmask` first
where it is masked; `chkconfig sshd on` or `update-rc.d ssh enable` before systemd), and remove `ListenAddress` lines
from `/etc/ssh/sshd_config`.
"""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import NoParams, Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.command_line import READS, command_line, keeps_from_starting
from imgscan.rules.explanation import how_to_fix, title

_NOBODY = (("none",), ("nobody",))
"""Names that are alone allowed where nobody is meant."""


def check(_machine: MachineFacts, system: System, _params: NoParams) -> Result:
    """Ask for the program, then what starts it, then where it listens."""
    program = system.ssh_server.get()
    if program is None:
        return failed(f"no SSH server is installed on {system.root}", *_or_root(system, system.ssh_server.evidence))
    start = system.ssh_start.get()
    if not start.starts:
        return failed(
            f"the SSH server does not start at boot: {start.detail}",
            *_or_root(system, (*start.evidence, *system.ssh_start.evidence)),
        )
    line = command_line(system)
    word = keeps_from_starting(line, start.manager, start.unit)
    if word is not None:
        said = f"the SSH server does not start: the kernel's command line has {word}"
        return failed(said, *_or_root(system, line.where))
    settings = system.ssh_settings.get()
    where = _or_root(system, system.ssh_settings.evidence)
    if settings is None:
        return failed("the SSH server has no sshd_config, without which it ends", *where)
    if "*" in settings.deny_users or "*" in settings.deny_groups:
        return failed("the SSH server lets nobody in: it denies *", *where)
    if settings.allow_users in _NOBODY or settings.allow_groups in _NOBODY:
        raise UnreadFact("unsupported", "whether the only user or group let in by SSH exists was not asked", where)
    addresses = settings.listen_addresses
    if addresses and not any(_stays(address) for address in addresses):
        said = ", ".join(addresses)
        if any(_stays(address) is None for address in addresses):
            raise UnreadFact("unsupported", f"which address the SSH server listens on is not known: {said}", where)
        only = " (IPv6 only)" if any(_is_ipv6_wildcard(address) for address in addresses) else ""
        return failed(f"the SSH server listens on {said} only{only}", *where)
    ports = ", ".join(str(port) for port in settings.ports)
    return passed(
        f"an SSH server starts ({start.detail}) and listens on port {ports}",
        *_or_root(system, (*start.evidence, *system.ssh_start.evidence, *system.ssh_settings.evidence)),
    )


def _stays(address: str) -> bool | None:
    """Whether the imported machine still has an IPv4 address; None for a name, which may be given anew."""
    import ipaddress  # noqa: PLC0415 - start-up time

    try:
        return address.count(":") == 0 and ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False if address.lower().startswith(("localhost", "ip6-")) else None


def _is_ipv6_wildcard(address: str) -> bool:
    return ":" in address and not address.strip("0:")


def _or_root(system: System, evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(evidence)) or (AtOffset(system.root, 0, 0, "installed system"),)


RULE = Rule(
    name="ssh-disabled",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.ssh_server", "systems.ssh_start", "systems.ssh_settings", *READS),
    remedy=how_to_fix(__doc__),
    check=check,
)
