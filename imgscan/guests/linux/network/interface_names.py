"""What an interface's name says of it: udev's predictable names, and those of old kernels."""

from __future__ import annotations

from imgscan.model.network import InterfaceKind

_BY_PREFIX: tuple[tuple[str, InterfaceKind], ...] = (
    ("wl", "wireless"), ("wwan", "wireless"), ("ath", "wireless"), ("bond", "bond"), ("team", "bond"), ("br", "bridge"),
    ("virbr", "bridge"), ("vlan", "vlan"), ("dummy", "other"), ("tun", "other"), ("tap", "other"), ("ppp", "other"),
    ("sit", "other"), ("gre", "other"), ("ib", "other"), ("docker", "bridge"), ("wg", "other"), ("veth", "other"),
    ("isdn", "other"), ("ippp", "other"), ("lxc", "bridge"), ("lxd", "bridge"), ("cni", "bridge"),
)  # fmt: skip


def kind_of_name(name: str) -> InterfaceKind:
    """Return the kind that a name is usually given to; what is not known is Ethernet."""
    if name == "lo":
        return "loopback"
    if "." in name:
        return "vlan"
    return next((kind for prefix, kind in _BY_PREFIX if name.startswith(prefix)), "ethernet")
