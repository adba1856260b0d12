"""Whether the system that starts finds its drivers: initramfs, modules, what is built in, drivers of Windows."""

from imgscan.model.rule import Rule
from imgscan.rules.drivers import (
    boot_drivers_changed_on_import,
    enhanced_networking_driver_missing,
    initramfs_rebuilt_on_import,
    unreadable_initramfs,
)

RULES: tuple[Rule, ...] = (
    unreadable_initramfs.RULE,
    initramfs_rebuilt_on_import.RULE,
    boot_drivers_changed_on_import.RULE,
    enhanced_networking_driver_missing.RULE,
)
