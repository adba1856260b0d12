"""The system seems to come from a physical machine.

What it checks
--------------
Traces of hardware that the profile scores. Linux: the machine that the installer's log names, network cards in udev's
persistent names with drivers or addresses that no hypervisor has, drivers of hardware controllers in modprobe's
configuration, disks of HP arrays in fstab, management software of server vendors, and logs of tools that convert or
restore machines. An installer's log that names a hypervisor speaks against it. Windows: the machines that it ran on
(`HardwareConfig`, `SystemInformation`), devices and disks of makers of machines below `Enum`, network cards, drivers of
disk controllers that start with it, management software, traces of converters, and a licence that came with a machine;
machines that are all virtual speak against it. None of them proves anything alone: the score of all kinds together
decides, each kind counted once.

Why it matters
--------------
Machines that were made by a conversion from physical to virtual are not supported. They carry drivers and settings of
hardware that is not there.

How to fix
----------
Confirm where the machine comes from. When it was converted, install the system anew on a virtual machine and move the
data; or remove what is left of the hardware, at your own risk.
"""

from __future__ import annotations

import msgspec

from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.software import TraceKind
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.mount_lines import listed


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`scores` of the kinds of traces, and the sum from which on (`fails_from`) the rule fails."""

    fails_from: int
    scores: dict[TraceKind, int]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Add up what was found."""
    traces = system.hardware_traces.get()
    score = sum(params.scores.get(kind, 0) for kind in {trace.kind for trace in traces})
    where: tuple[Evidence, ...] = tuple(trace.evidence for trace in traces) or system.hardware_traces.evidence
    where = where or (AtOffset(system.root, 0, 0, "installed system"),)
    said = listed([trace.text for trace in traces])
    if score >= params.fails_from:
        return failed(f"{said} (score {score}, of {params.fails_from})", *where)
    if not traces:
        return passed("no trace of a physical machine was found", *where)
    return passed(f"too little speaks for a physical machine (score {score} of {params.fails_from}): {said}", *where)


RULE = Rule(
    name="converted-from-physical",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.hardware_traces"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
