"""By which channel a Windows was licensed: retail, volume, or with the machine (OEM)."""

from __future__ import annotations

from typing import Final

from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.registry_value import Value
from imgscan.guests.windows.version import CURRENT_VERSION
from imgscan.model.fact import Fact, known
from imgscan.model.text import shown

_CHANNEL: Final = slice(0x3F8, 0x478)
"""Where DigitalProductId4 (since Vista) has the channel in words, as UTF-16: `Retail`, `Volume:GVLK`, `OEM:SLP`."""


def read_channel(software: HiveFile) -> Fact[str | None]:
    """Return the channel in Windows' own words, `OEM` where only the product id says so, None when nothing does."""
    channel = software.fact(CURRENT_VERSION, "DigitalProductId4", _channel)
    if not channel.is_known or channel.value is not None:
        return channel
    product = software.text(CURRENT_VERSION, "ProductId")
    if isinstance(product.value, str) and "OEM" in product.value.upper():
        return known("OEM", *product.evidence)
    return product.map(lambda _: None)


def _channel(value: Value) -> str | None:
    text = value.data()[_CHANNEL].decode("utf-16-le", "replace").split("\0", 1)[0].strip()
    return shown(text) if text.isascii() and text else None
