r"""How an entry of a boot menu starts Windows: safe mode, EMS, debugging, test signing, and how long the menu waits.

Source: Microsoft, "BCD Reference" (BcdLibrary, BcdOSLoader and BcdBootMgr element types; an element that an object does
not have is taken from those that it inherits), and "Boot options in a Boot.ini file".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from imgscan.errors import CorruptStructure
from imgscan.guests.windows.registry_value import Value
from imgscan.model.windows import BootOptions

TIMEOUT: Final = "25000004"
_EMS, _EMS_OF_LOADER = "16000020", "260000b0"
_SAFE_BOOT, _STATUS_POLICY = "25000080", "250000e0"
_DEBUG, _DEBUG_OF_LOADER, _TEST_SIGNING, _NO_INTEGRITY_CHECKS = "16000010", "260000a0", "16000049", "16000048"
_SAFE_BOOTS: Final = ("minimal", "network", "directory-services-repair")
_POLICIES: Final = (
    *("display-all-failures", "ignore-all-failures", "ignore-shutdown-failures", "ignore-boot-failures"),
    *("ignore-checkpoint-failures", "display-shutdown-failures", "display-boot-failures"),
    "display-checkpoint-failures",
)
_SAFE_BOOTS_OF_INI: Final = {"minimal": "minimal", "network": "network", "dsrepair": "directory-services-repair"}
_OPTION: Final = re.compile(r"/([a-z0-9]+)(?:[:=]([^\s/]+))?", re.IGNORECASE)


def options_of_bcd(element: Callable[[str], Value | None], timeout: Value | None) -> BootOptions:
    """Return the options of an entry; `element` gives its elements, inherited ones too, `timeout` is the manager's.

    :raises ImageError: one cannot be read, or is no number
    """

    def flag(*names: str) -> bool:
        return any(_number(value) for name in names if (value := element(name)) is not None)

    safe_boot, policy = element(_SAFE_BOOT), element(_STATUS_POLICY)
    return BootOptions(
        timeout=_number(timeout) if timeout is not None else None,
        safe_boot=_named(_SAFE_BOOTS, _number(safe_boot)) if safe_boot is not None else None,
        ems=flag(_EMS, _EMS_OF_LOADER),
        debug=flag(_DEBUG, _DEBUG_OF_LOADER),
        unsigned_drivers=flag(_TEST_SIGNING, _NO_INTEGRITY_CHECKS),
        status_policy=_named(_POLICIES, _number(policy)) if policy is not None else None,
    )


def options_of_boot_ini(switches: str, timeout: str | None) -> BootOptions:
    """Return the options of a line of boot.ini; `timeout` is the text of its own line."""
    found = {option[1].lower(): (option[2] or "").lower() for option in _OPTION.finditer(switches)}
    mode = re.match("[a-z]*", found.get("safeboot", ""))
    seconds = (timeout or "").strip()
    return BootOptions(
        timeout=int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 10 else None,
        safe_boot=_SAFE_BOOTS_OF_INI.get(mode[0] if mode else "", "unknown") if "safeboot" in found else None,
        ems="redirect" in found,
        debug=not {"debug", "debugport", "crashdebug"}.isdisjoint(found),
    )


def _number(value: Value) -> int:
    """Return a number or flag, which is binary data there."""
    if not 1 <= value.size <= 8:
        raise CorruptStructure(f"a number of a boot entry has {value.size} bytes")
    return int.from_bytes(value.data(), "little")


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else str(number)
