"""The guest's mount table."""

from imgscan.model.rule import Rule
from imgscan.rules.mounts import (
    fstab_device_names,
    fstab_invalid_entry,
    fstab_network_filesystems,
    fstab_unresolvable,
)

RULES: tuple[Rule, ...] = (
    fstab_device_names.RULE,
    fstab_invalid_entry.RULE,
    fstab_unresolvable.RULE,
    fstab_network_filesystems.RULE,
)
