"""What the rules about products that start with a system share."""

from __future__ import annotations

from imgscan.model.evidence import AtOffset, AtRegistry
from imgscan.model.rule import Result, failed, passed
from imgscan.model.system import System


def judge_started(system: System, kind: str) -> Result:
    """Fail when a product of a kind starts; its own services are the evidence."""
    products = system.started_software.get()
    evidence = system.started_software.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    found = [each for each in products if each.kind == kind]
    if not found:
        return passed(f"no such product that imgscan knows starts with the system on {system.root}", *evidence)
    services = {each.service.lower() for each in found}
    own = [
        piece
        for piece in evidence
        if isinstance(piece, AtRegistry) and piece.key.rpartition("\\")[2].lower() in services
    ]
    names = ", ".join(f"{each.product} (service {each.service})" for each in found)
    return failed(f"{names} starts with the system on {system.root}", *(own or evidence))
