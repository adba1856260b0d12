"""What an image file is, as a container: its format, its health, what it depends on."""

from imgscan.model.rule import Rule
from imgscan.rules.image import (
    damaged_image,
    differencing_disk,
    encrypted_image,
    mixed_vhd_and_vhdx,
    raw_device_mapping,
    snapshot_present,
    unclean_image,
    unsupported_image_format,
)

RULES: tuple[Rule, ...] = (
    unsupported_image_format.RULE,
    damaged_image.RULE,
    unclean_image.RULE,
    encrypted_image.RULE,
    snapshot_present.RULE,
    differencing_disk.RULE,
    raw_device_mapping.RULE,
    mixed_vhd_and_vhdx.RULE,
)
