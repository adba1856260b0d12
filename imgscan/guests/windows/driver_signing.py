"""What a Windows 2000 to 2003 does with drivers that are not signed; later ones have no such setting.

Source: Microsoft, "Code signing for device drivers" (policy of 2003) and the policy template of Windows 2000.
"""

from __future__ import annotations

from typing import Final

from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.registry_value import REG_BINARY, Value
from imgscan.model.fact import Fact, known, unread

_KEY: Final = "Microsoft\\Driver Signing"
_POLICY: Final = "Policies\\Microsoft\\Windows NT\\Driver Signing"
_NAMES: Final = {0: "ignore", 1: "warn", 2: "block"}


def read_driver_signing(software: HiveFile, version: Fact[str | None]) -> Fact[str | None]:
    """Return `ignore`, `warn` or `block`, None for a Windows that has no such setting."""
    if not isinstance(version.value, str):
        return version if not version.is_known else unread("missing", "Windows does not say its version")
    if not version.value.startswith("5."):
        return known(None, *version.evidence)
    policy = software.fact(_POLICY, "BehaviorOnFailedVerify", Value.number)
    local = software.fact(_KEY, "Policy", _setting)
    for fact in (policy, local):
        if not fact.is_known:
            return fact.map(lambda _: None)
    numbers = [fact.value for fact in (policy, local) if isinstance(fact.value, int)]
    if not numbers:
        return unread("missing", "Windows does not say what it does with unsigned drivers", *local.evidence)
    strictest = max(numbers)
    if strictest not in _NAMES:
        return unread("unsupported", f"the setting for unsigned drivers is {strictest}", *local.evidence)
    return known(_NAMES[strictest], *policy.evidence, *local.evidence)


def _setting(value: Value) -> int:
    """Return the number, which is one byte of binary data there."""
    return int.from_bytes(value.data(), "little") if value.type == REG_BINARY and value.size == 1 else value.number()
