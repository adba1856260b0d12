"""Whether the imported system can be reached."""

from imgscan.model.rule import Rule
from imgscan.rules.access import (
    firewall_blocks_ssh,
    ssh_disabled,
)

RULES: tuple[Rule, ...] = (
    ssh_disabled.RULE,
    firewall_blocks_ssh.RULE,
)
