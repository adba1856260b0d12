"""imgscan: will this exported virtual machine import and boot on the target, and if not, why?.

Read `imgscan.scan` first, then `imgscan.model`. From Python::

    with imgscan.open_disk("disk.vmdk") as disk:        # a BlockDevice
        disk.read_at(0, 512)
    facts = imgscan.inspect_machine(["disk.vmdk"])
    report = imgscan.scan_machine(["disk.vmdk"], [imgscan.load_profile("aws-sms")])
    report = imgscan.judge_facts(facts, [imgscan.load_profile("aws-sms")])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgscan.profiles import load as load_profile
    from imgscan.scan import ScanOptions, inspect_machine, judge_facts, open_disk, scan_machine

__all__ = ["ScanOptions", "inspect_machine", "judge_facts", "load_profile", "open_disk", "scan_machine"]


def __getattr__(name: str) -> Any:
    """Load the scanner when it is first asked for: `imgscan --version` needs none of it."""
    if name == "load_profile":
        from imgscan.profiles import load  # noqa: PLC0415 - see above

        return load
    if name in __all__:
        from imgscan import scan  # noqa: PLC0415 - see above

        return getattr(scan, name)
    raise AttributeError(name)
