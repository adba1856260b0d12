"""What the three rules about software that starts have in common: each objects to one kind of product."""

from __future__ import annotations

from typing import get_args

from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath, AtRegistry
from imgscan.model.fact import known
from imgscan.model.software import ProductKind, StartingProduct

LINK = AtPath("disk0/p1", "/etc/systemd/system/multi-user.target.wants/x.service")
HIVE = "/Windows/System32/config/SYSTEM"


def product(kind: ProductKind) -> StartingProduct:
    return StartingProduct(name="X", kind=kind, detail="x.service is enabled", evidence=(LINK,))


def check_kinds(rule: str, kind: ProductKind) -> None:
    """A rule fails for its own kind alone, and shows what starts it; what was not read is unknown."""
    kinds: tuple[ProductKind, ...] = get_args(ProductKind)
    found = {each: outcome(rule, a_linux_machine(products=known((product(each),)))) for each in kinds}
    assert found == {each: "fail" if each == kind else "pass" for each in kinds}
    result = answer(rule, a_linux_machine(products=known((product(kind),))))
    assert (result.summary, result.evidence) == ("X starts: x.service is enabled", (LINK,))
    assert outcome(rule, a_linux_machine(products=known(()))) == "pass"
    assert outcome(rule, a_linux_machine(products=lost())) == "unknown"


def check_windows(rule: str, kind: ProductKind, name: str) -> None:
    """The evidence is that of the rule's own product, of all that start."""
    own = AtRegistry("disk0/p2", HIVE, "ControlSet001\\Services\\Own", "Start", b"\2\0\0\0")
    other = AtRegistry("disk0/p2", HIVE, "ControlSet001\\Services\\Other", "Start")
    another: ProductKind = next(each for each in get_args(ProductKind) if each != kind)
    products = (
        StartingProduct(name="Something else", kind=another, detail="it does", evidence=(other,)),
        StartingProduct(name=name, kind=kind, detail="the start type of Own is automatic", evidence=(own,)),
    )
    said = answer(rule, a_windows_machine(products=known(products, other, own)))
    assert (said.outcome, said.evidence) == ("fail", (own,))
    assert said.summary == f"{name} starts: the start type of Own is automatic"
    assert outcome(rule, a_windows_machine(products=known(products[:1], other))) == "pass"
    assert outcome(rule, a_windows_machine(products=known(()))) == "pass"
    assert outcome(rule, a_windows_machine(products=lost())) == "unknown"
