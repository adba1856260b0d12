"""imgscan: will this exported virtual machine import and boot on the target, and if not, why?.

Read `imgscan.scan` first, then `imgscan.model`. From Python::

    with imgscan.open_disk("disk.vmdk") as disk:        # a BlockDevice
        disk.read_at(0, 512)
    facts = imgscan.inspect_machine(["disk.vmdk"])
    report = imgscan.scan_machine(["disk.vmdk"], [imgscan.load_profile("aws-sms")])
    report = imgscan.judge_facts(facts, [imgscan.load_profile("aws-sms")])

Images are parsed in a process of their own that can open no file, unless ``ReadOptions(isolated=False)`` is given.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgscan.batch.isolated import ReadOptions, inspect_machine, open_disk, scan_machine
    from imgscan.judge import judge_facts
    from imgscan.profiles import load as load_profile

__all__ = ["ReadOptions", "inspect_machine", "judge_facts", "load_profile", "open_disk", "scan_machine"]
_FROM = {
    "ReadOptions": ("imgscan.batch.isolated", "ReadOptions"),
    "inspect_machine": ("imgscan.batch.isolated", "inspect_machine"),
    "judge_facts": ("imgscan.judge", "judge_facts"),
    "load_profile": ("imgscan.profiles", "load"),
    "open_disk": ("imgscan.batch.isolated", "open_disk"),
    "scan_machine": ("imgscan.batch.isolated", "scan_machine"),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is first asked for: `imgscan --version` needs none of it."""
    if name not in _FROM:
        raise AttributeError(name)
    module, attribute = _FROM[name]
    return getattr(importlib.import_module(module), attribute)
