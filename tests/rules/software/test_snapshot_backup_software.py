from __future__ import annotations

from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtRegistry
from imgscan.model.fact import known
from imgscan.model.windows import StartedSoftware

RULE = "snapshot-backup-software"
OWN = AtRegistry("disk0/p2", "/Windows/System32/config/SYSTEM", "ControlSet001\\Services\\Own", "Start", b"\2\0\0\0")
OTHER = AtRegistry("disk0/p2", "/Windows/System32/config/SYSTEM", "ControlSet001\\Services\\Other", "Start")


def test_a_product_that_starts() -> None:
    products = (
        StartedSoftware(kind="antivirus", product="Something else", service="Other"),
        StartedSoftware(kind="snapshot-backup", product="Veeam Agent", service="Own"),
    )
    said = answer(RULE, a_windows_machine(started_software=known(products, OTHER, OWN)))
    assert said.outcome == "fail"
    assert said.summary == "Veeam Agent (service Own) starts with the system on disk0/p2"
    assert said.evidence == (OWN,)
    assert outcome(RULE, a_windows_machine(started_software=known(products[:1], OTHER))) == "pass"


def test_none_and_unread() -> None:
    assert outcome(RULE, a_windows_machine(started_software=known(()))) == "pass"
    assert outcome(RULE, a_windows_machine(started_software=lost())) == "unknown"
