"""Which filesystems the volumes hold."""

from imgscan.model.rule import Rule
from imgscan.rules.filesystem import (
    unsupported_boot_filesystem,
    unsupported_data_filesystem,
    unsupported_root_filesystem,
)

RULES: tuple[Rule, ...] = (
    unsupported_root_filesystem.RULE,
    unsupported_boot_filesystem.RULE,
    unsupported_data_filesystem.RULE,
)
