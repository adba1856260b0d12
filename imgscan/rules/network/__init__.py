"""The network as the system configures it."""

from imgscan.model.rule import Rule
from imgscan.rules.network import (
    dhcp_client_disabled,
    ipv6_configured,
    multiple_network_interfaces,
    static_ip_address,
)

RULES: tuple[Rule, ...] = (
    static_ip_address.RULE,
    dhcp_client_disabled.RULE,
    multiple_network_interfaces.RULE,
    ipv6_configured.RULE,
)
