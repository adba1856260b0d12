"""What is known of a BitLocker volume without its key: version, state, protectors, whether protection is suspended."""

from __future__ import annotations

from imgscan.devices.device import BlockDevice
from imgscan.layouts import bitlocker


def describe(device: BlockDevice) -> dict[str, str]:
    """Return what the metadata says, for the report.

    A clear key among the protectors means that protection is suspended: the key lies open on the volume.

    :raises ImageError: it cannot be read
    """
    volume = bitlocker.read_volume(device)
    protectors = [bitlocker.PROTECTORS.get(number, f"{number:#06x}") for number in volume.protectors]
    state = bitlocker.STATES.get(volume.state, f"{volume.state}")
    following = bitlocker.STATES.get(volume.next_state, f"{volume.next_state}")
    return {
        "bitlocker_version": volume.kind,
        "cipher": bitlocker.METHODS.get(volume.method, f"{volume.method:#06x}"),
        "state": state if volume.state == volume.next_state else f"{state}, then {following}",
        "protection": "suspended" if bitlocker.CLEAR_KEY in volume.protectors else "on",
        "protectors": ", ".join(dict.fromkeys(protectors)) or "none",
        "encrypted_bytes": str(volume.encrypted) if volume.version == bitlocker.SEVEN else "",
        "volume_size": str(volume.size or ""),
        "identifier": volume.identifier,
        "description": volume.description or "",
        "damaged_blocks": str(3 - volume.blocks) if volume.kind != "Windows Vista" and volume.blocks < 3 else "",
    }
