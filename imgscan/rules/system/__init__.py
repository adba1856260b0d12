"""Which operating system is installed, and on what."""

from imgscan.model.rule import Rule
from imgscan.rules.system import (
    custom_kernel,
    rhel5_on_vhdx,
    unsupported_architecture,
    unsupported_kernel,
    unsupported_operating_system,
)

RULES: tuple[Rule, ...] = (
    unsupported_operating_system.RULE,
    unsupported_kernel.RULE,
    unsupported_architecture.RULE,
    custom_kernel.RULE,
    rhel5_on_vhdx.RULE,
)
