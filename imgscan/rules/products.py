"""What the rules about products that start with a system share."""

from __future__ import annotations

from imgscan.model.evidence import AtOffset
from imgscan.model.rule import Result, failed, passed
from imgscan.model.software import ProductKind
from imgscan.model.system import System
from imgscan.rules.mount_lines import listed

READS = ("systems.root", "systems.products")
"""What such a rule reads."""


def no_product(system: System, kind: ProductKind, good: str) -> Result:
    """Fail for each product of a kind that starts; `good` is what to say of none."""
    products = [each for each in system.products.get() if each.kind == kind]
    where = system.products.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if not products:
        return passed(good, *where)
    evidence = tuple(piece for each in products for piece in each.evidence)
    return failed(listed([f"{each.name} starts: {each.detail}" for each in products]), *(evidence or where))
