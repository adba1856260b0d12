"""What is known of volumes that imgscan recognises and does not open: the table of who describes which content.

A description is for the report: keys in snake_case, values as text, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from imgscan.devices.device import BlockDevice
from imgscan.errors import ImageError
from imgscan.layouts.superblocks.firmware_raid import VENDORS
from imgscan.model.text import shown

Describe = Callable[[BlockDevice], dict[str, str]]
_LONGEST: Final = 1024
"""Characters of one value that are shown."""


def describe(device: BlockDevice, content: str | None) -> dict[str, str]:
    """Return what is known of a content by libblkid's name; nothing of contents that imgscan reads or does not know.

    What cannot be read is told in `description_error`.
    """
    if content in VENDORS:
        return {"firmware_raid": VENDORS[content]}
    describer = _describer(content)
    if describer is None:
        return {}
    try:
        facts = describer(device)
    except ImageError as error:
        facts = {"description_error": str(error)}
    return {key: shown(value)[:_LONGEST] for key, value in facts.items() if value}


def _describer(content: str | None) -> Describe | None:
    """Return who describes a content; only the modules of contents that are there are loaded."""
    if content == "crypto_LUKS":
        from imgscan.volumes import luks  # noqa: PLC0415 - see above

        return luks.describe
    if content == "BitLocker":
        from imgscan.volumes import bitlocker  # noqa: PLC0415 - see above

        return bitlocker.describe
    from imgscan.volumes import foreign  # noqa: PLC0415 - see above

    table: dict[str | None, Describe] = {
        "ReFS": foreign.describe_refs,
        "apfs": foreign.describe_apfs,
        "hfsplus": foreign.describe_hfs,
        "VMFS": foreign.describe_vmfs,
        "VMFS_volume_member": foreign.describe_vmfs,
        "zfs_member": foreign.describe_zfs,
        "storage_spaces": foreign.describe_storage_spaces,
    }
    return table.get(content)
