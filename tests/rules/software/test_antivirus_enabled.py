from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath, AtRegistry
from imgscan.model.fact import known
from imgscan.model.software import ProductKind, StartingProduct

RULE = "antivirus-enabled"
LINK = AtPath("disk0/p1", "/etc/systemd/system/multi-user.target.wants/x.service")


def product(kind: ProductKind) -> StartingProduct:
    return StartingProduct(name="X", kind=kind, detail="x.service is enabled", evidence=(LINK,))


@pytest.mark.parametrize("kind", ["antivirus", "intrusion-detection", "snapshot-backup"])
def test_a_product_of_that_kind(kind: ProductKind) -> None:
    expected = "fail" if kind == "antivirus" else "pass"
    assert outcome(RULE, a_linux_machine(products=known((product(kind),)))) == expected


def test_what_starts_it_is_shown() -> None:
    result = answer(RULE, a_linux_machine(products=known((product("antivirus"),))))
    assert (result.summary, result.evidence) == ("X starts: x.service is enabled", (LINK,))
    assert outcome(RULE, a_linux_machine(products=known(()))) == "pass"
    assert outcome(RULE, a_linux_machine(products=lost())) == "unknown"


def test_a_service_of_windows() -> None:
    own = AtRegistry(
        "disk0/p2", "/Windows/System32/config/SYSTEM", "ControlSet001\\Services\\Own", "Start", b"\2\0\0\0"
    )
    other = AtRegistry("disk0/p2", "/Windows/System32/config/SYSTEM", "ControlSet001\\Services\\Other", "Start")
    products = (
        StartingProduct(name="Something else", kind="snapshot-backup", detail="it does", evidence=(other,)),
        StartingProduct(
            name="Windows Defender", kind="antivirus", detail="the start type of Own is automatic", evidence=(own,)
        ),
    )
    said = answer(RULE, a_windows_machine(products=known(products, other, own)))
    assert said.outcome == "fail"
    assert said.summary == "Windows Defender starts: the start type of Own is automatic"
    assert said.evidence == (own,)
    assert outcome(RULE, a_windows_machine(products=known(products[:1], other))) == "pass"
    assert outcome(RULE, a_windows_machine(products=known(()))) == "pass"
    assert outcome(RULE, a_windows_machine(products=lost())) == "unknown"
