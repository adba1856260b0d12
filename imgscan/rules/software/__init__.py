"""What runs on the installed system and gets in the way of a migration."""

from imgscan.model.rule import Rule
from imgscan.rules.software import antivirus_enabled, intrusion_detection_enabled, snapshot_backup_software

RULES: tuple[Rule, ...] = (
    antivirus_enabled.RULE,
    intrusion_detection_enabled.RULE,
    snapshot_backup_software.RULE,
)
