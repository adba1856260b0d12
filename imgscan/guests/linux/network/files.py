"""All files that configure a network, whichever program reads them.

What is installed and not used counts as well: the importer looks at the files. A file that cannot be read, or has a
form that is not known, is unread by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.limits import KIB
from imgscan.errors import ImageError, LimitExceeded, MissingPart
from imgscan.guests.linux.config_file import ConfigFile, is_empty_device, names_in
from imgscan.guests.linux.text_file import read_text
from imgscan.model.evidence import AtPath, at_path
from imgscan.model.fact import Fact, known, unread_because
from imgscan.model.network import Interface, NetworkFile, NetworkSystem
from imgscan.model.text import shown

FILE_BYTES: Final = 64 * KIB
"""One file of network configuration."""
ALL_BYTES: Final = 512 * KIB
"""All files of network configuration of one system."""
FILES: Final = 256
"""Files of network configuration of one system."""
INTERFACES: Final = 512
"""Interfaces that one file describes."""
_LEFT_OVER: Final = (".bak", ".orig", ".old", ".save", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".rpmnew", ".rpmsave",
                     ".rpmorig", ".swp", "~")  # fmt: skip
"""Ends of names that no program reads."""
_NETWORKD_FOLDERS: Final = ("/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network",
                            "/usr/lib/systemd/network", "/lib/systemd/network")  # fmt: skip
"""Where networkd looks, the first in force before the next (systemd.network(5))."""
_SYSTEMDS_OWN: Final = frozenset(
    {f"80-{name}.network" for name in ("6rd-tunnel", "container-host0", "container-vb", "container-ve", "container-vz",
     "namespace-ns", "namespace-ns-tun", "vm-vb", "vm-vt", "wifi-adhoc", "container-host0-tun")}
)  # fmt: skip
"""Files that systemd brings for interfaces of containers and tunnels, which no adapter of the machine has."""

Reader = Callable[[ConfigFile], tuple[Interface, ...]]


class Budget:
    """What is left to read of one system."""

    def __init__(self, tree: GuestTree) -> None:
        self.tree = tree
        self._bytes = ALL_BYTES
        self._files = FILES
        self.sourced = 0

    def read(self, path: str) -> ConfigFile | None:
        """Return a file, None when it is not there or a link to /dev/null.

        :raises ImageError: it cannot be read, or is more than is read
        """
        place = self.tree.find(path)
        if place is None or is_empty_device(place):
            return None
        if place.entry.kind != "file":
            raise MissingPart(f"{shown(path)} is a {place.entry.kind}, not a file", where=place.filesystem.volume)
        self._files -= 1
        self._bytes -= min(place.entry.size, FILE_BYTES)
        if self._files < 0 or self._bytes < 0:
            detail = f"more than {FILES} files, or {ALL_BYTES} bytes, of network configuration"
            raise LimitExceeded(detail, where=place.filesystem.volume)
        return ConfigFile(path, place, read_text(place, FILE_BYTES))


def read_network(tree: GuestTree) -> Fact[tuple[NetworkFile, ...]]:
    """Return every file of network configuration.

    :raises ImageError: a folder cannot be listed
    """
    budget = Budget(tree)
    found: list[NetworkFile] = []
    if tree.exists("/etc/network/interfaces"):
        from imgscan.guests.linux.network.ifupdown import read_ifupdown  # noqa: PLC0415 - start-up time

        found += read_ifupdown(budget)
    if tree.exists("/etc/dhcpcd.conf"):
        dhcpcd = _read(budget, "dhcpcd", "/etc/dhcpcd.conf", _dhcpcd)
        found += [file for file in dhcpcd if not file.interfaces.is_known or file.interfaces.get()]
    for by, folder, is_read, reader in _folders(budget):
        for name in names_in(tree, folder):
            if not is_read(name) or name.endswith(_LEFT_OVER):
                continue
            if len(found) >= FILES:
                raise LimitExceeded(f"more than {FILES} files of network configuration", where=_volume(tree))
            found += _read(budget, by, f"{folder}/{name}", reader)
    return known(tuple(found), at_path(_volume(tree), "/etc"))


def _folders(budget: Budget) -> Iterator[tuple[NetworkSystem, str, Callable[[str], bool], Callable[[], Reader]]]:
    """Yield where each system keeps its files, which of them it reads, and what returns their reader."""
    yield "ifcfg", "/etc/sysconfig/network-scripts", _is_ifcfg, _red_hat
    yield "ifcfg", "/etc/sysconfig/network", _is_ifcfg, _suse
    yield "netplan", "/etc/netplan", lambda name: name.endswith(".yaml"), _netplan
    yield "networkmanager", "/etc/NetworkManager/system-connections", lambda name: name[:1] != ".", _keyfile
    yield from _networkd_folders(budget)
    yield "wicked", "/etc/wicked/ifconfig", lambda name: name.endswith(".xml"), _wicked


def _networkd_folders(
    budget: Budget,
) -> Iterator[tuple[NetworkSystem, str, Callable[[str], bool], Callable[[], Reader]]]:
    """Yield the folders of networkd: of files of one name the first counts, wherever it leads to."""
    first: dict[str, str] = {}
    for folder in _NETWORKD_FOLDERS:
        for name in names_in(budget.tree, folder):
            first.setdefault(name, folder)
    for folder in dict.fromkeys(first.values()):
        is_own = folder.startswith("/etc/")
        yield (
            "networkd",
            folder,
            lambda name, folder=folder, is_own=is_own: (  # type: ignore[misc] # bound now
                name.endswith((".network", ".netdev"))
                and first[name] == folder
                and (is_own or name not in _SYSTEMDS_OWN)
            ),
            lambda: _networkd(budget),
        )


def _is_ifcfg(name: str) -> bool:
    return name.startswith("ifcfg-") and name not in {"ifcfg-lo", "ifcfg.template"}


def _red_hat() -> Reader:
    from imgscan.guests.linux.network.ifcfg import read_red_hat  # noqa: PLC0415 - start-up time

    return read_red_hat


def _suse() -> Reader:
    from imgscan.guests.linux.network.ifcfg import read_suse  # noqa: PLC0415 - start-up time

    return read_suse


def _netplan() -> Reader:
    from imgscan.guests.linux.network.netplan import read_netplan  # noqa: PLC0415 - start-up time

    return read_netplan


def _keyfile() -> Reader:
    from imgscan.guests.linux.network.keyfile import read_keyfile  # noqa: PLC0415 - start-up time

    return read_keyfile


def _networkd(budget: Budget) -> Reader:
    from imgscan.guests.linux.network.networkd import read_networkd  # noqa: PLC0415 - start-up time

    def read(file: ConfigFile) -> tuple[Interface, ...]:
        own = file.path.rpartition("/")[2]
        first: dict[str, str] = {}
        for folder in _NETWORKD_FOLDERS:
            for name in names_in(budget.tree, f"{folder}/{own}.d"):
                if name.endswith(".conf"):
                    first.setdefault(name, f"{folder}/{own}.d/{name}")
        found = (budget.read(first[name]) for name in sorted(first))
        return read_networkd(file, [each for each in found if each is not None])

    return read


def _dhcpcd() -> Reader:
    from imgscan.guests.linux.network.dhcpcd import read_dhcpcd  # noqa: PLC0415 - start-up time

    return read_dhcpcd


def _wicked() -> Reader:
    from imgscan.guests.linux.network.wicked import read_wicked  # noqa: PLC0415 - start-up time

    return read_wicked


def _read(budget: Budget, by: NetworkSystem, path: str, reader: Callable[[], Reader]) -> list[NetworkFile]:
    """Return what a file says, or why it cannot be told; nothing for a link that leads nowhere."""
    where: AtPath = at_path(_volume(budget.tree), path)
    try:
        file = budget.read(path)
        if file is None:
            return []
        where = file.at()
        interfaces = limited(reader()(file), file)
    except ImageError as error:
        return [NetworkFile(by=by, evidence=where, interfaces=unread_because(error, where))]
    return [NetworkFile(by=by, evidence=where, interfaces=known(interfaces, where))]


def limited(interfaces: tuple[Interface, ...], file: ConfigFile) -> tuple[Interface, ...]:
    """Return the interfaces of a file.

    :raises LimitExceeded: there are more than any real file has
    """
    if len(interfaces) > INTERFACES:
        raise LimitExceeded(f"{shown(file.path)} has more than {INTERFACES} interfaces", where=file.place.path)
    return interfaces


def _volume(tree: GuestTree) -> str:
    return tree.mounts["/"].volume
