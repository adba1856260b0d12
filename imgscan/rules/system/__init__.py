"""Which operating system is installed, and on what."""

from imgscan.model.rule import Rule
from imgscan.rules.system import (
    rhel5_on_vhdx,
)

RULES: tuple[Rule, ...] = (rhel5_on_vhdx.RULE,)
