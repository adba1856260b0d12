"""Layers between partitions and filesystems: volume groups, arrays, encryption."""

from imgscan.model.rule import Rule
from imgscan.rules.volume import (
    degraded_array,
    encrypted_volume,
    incomplete_data_volume_group,
    incomplete_volume_group,
)

RULES: tuple[Rule, ...] = (
    encrypted_volume.RULE,
    incomplete_volume_group.RULE,
    incomplete_data_volume_group.RULE,
    degraded_array.RULE,
)
