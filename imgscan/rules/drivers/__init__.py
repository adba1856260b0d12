"""Whether the kernel that starts finds its drivers: initramfs, modules, what is built in."""

from imgscan.model.rule import Rule
from imgscan.rules.drivers import (
    enhanced_networking_driver_missing,
    initramfs_rebuilt_on_import,
    unreadable_initramfs,
)

RULES: tuple[Rule, ...] = (
    unreadable_initramfs.RULE,
    initramfs_rebuilt_on_import.RULE,
    enhanced_networking_driver_missing.RULE,
)
