"""Which filesystems the volumes hold, and in what state."""

from imgscan.model.rule import Rule
from imgscan.rules.filesystem import (
    damaged_filesystem,
    dirty_filesystem,
    unsupported_boot_filesystem,
    unsupported_data_filesystem,
    unsupported_root_filesystem,
)

RULES: tuple[Rule, ...] = (
    unsupported_root_filesystem.RULE,
    unsupported_boot_filesystem.RULE,
    unsupported_data_filesystem.RULE,
    dirty_filesystem.RULE,
    damaged_filesystem.RULE,
)
