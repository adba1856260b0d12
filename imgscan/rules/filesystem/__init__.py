"""Which filesystems the volumes hold, and in what state."""

from imgscan.model.rule import Rule
from imgscan.rules.filesystem import (
    damaged_filesystem,
    dirty_filesystem,
    too_few_free_inodes,
    too_little_free_space,
    unsupported_boot_filesystem,
    unsupported_data_filesystem,
    unsupported_root_filesystem,
)

RULES: tuple[Rule, ...] = (
    unsupported_root_filesystem.RULE,
    unsupported_boot_filesystem.RULE,
    unsupported_data_filesystem.RULE,
    too_little_free_space.RULE,
    too_few_free_inodes.RULE,
    dirty_filesystem.RULE,
    damaged_filesystem.RULE,
)
