"""Installed software that a migration has to know of, and traces of the machine that a system came from."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.model.evidence import Evidence

ProductKind = Literal["antivirus", "intrusion-detection", "snapshot-backup"]
TraceKind = Literal[
    "conversion-tool",
    "hardware-at-installation",
    "virtual-at-installation",
    "network-card",
    "driver",
    "management-software",
    "disk-name",
    "device",
    "oem-licence",
]


class StartingProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product that runs by itself: `detail` says what starts it, in one sentence."""

    name: str
    kind: ProductKind
    detail: str
    evidence: tuple[Evidence, ...] = ()


class HardwareTrace(msgspec.Struct, frozen=True):
    """What speaks for a physical machine (or, `virtual-at-installation`, against one); `text` says it as a clause."""

    kind: TraceKind
    text: str
    evidence: Evidence
