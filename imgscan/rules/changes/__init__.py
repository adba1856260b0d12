"""What the importer will change."""

from imgscan.model.rule import Rule
from imgscan.rules.changes import file_changed_on_import

RULES: tuple[Rule, ...] = (file_changed_on_import.RULE,)
