"""Whether the imported system can be reached."""

from imgscan.model.rule import Rule
from imgscan.rules.access import (
    firewall_blocks_rdp,
    firewall_blocks_ssh,
    rdp_disabled,
    ssh_disabled,
)

RULES: tuple[Rule, ...] = (
    ssh_disabled.RULE,
    firewall_blocks_ssh.RULE,
    rdp_disabled.RULE,
    firewall_blocks_rdp.RULE,
)
