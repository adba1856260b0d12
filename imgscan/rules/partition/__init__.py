"""Partition tables, whatever boots from them."""

from imgscan.model.rule import Rule
from imgscan.rules.partition import (
    damaged_partition_table,
)

RULES: tuple[Rule, ...] = (damaged_partition_table.RULE,)
