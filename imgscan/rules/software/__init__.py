"""What runs on the installed system and gets in the way of a migration, and where the system comes from."""

from imgscan.model.rule import Rule
from imgscan.rules.software import (
    antivirus_enabled,
    converted_from_physical,
    intrusion_detection_enabled,
    physical_origin_to_confirm,
    snapshot_backup_software,
)

RULES: tuple[Rule, ...] = (
    antivirus_enabled.RULE,
    intrusion_detection_enabled.RULE,
    snapshot_backup_software.RULE,
    converted_from_physical.RULE,
    physical_origin_to_confirm.RULE,
)
