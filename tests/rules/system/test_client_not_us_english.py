from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.windows import Languages

RULE = "client-not-us-english"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SYSTEM")


@pytest.mark.parametrize(
    ("language", "product_type", "expected"),
    [
        ("en-US", "workstation", "pass"),
        ("en-GB", "workstation", "fail"),
        ("de-DE", "workstation", "fail"),
        ("de-DE", "server", "not-applicable"),
        ("de-DE", "domain-controller", "not-applicable"),
        (None, "workstation", "unknown"),
        ("en-US", None, "unknown"),
    ],
)
def test_each_language(language: str | None, product_type: str | None, expected: str) -> None:
    languages = known(Languages(installed=language, interface=("en-US", "de-DE")), PLACE)
    machine = a_windows_machine(product_type=known(product_type, PLACE), languages=languages)
    assert outcome(RULE, machine) == expected


def test_it_names_the_language() -> None:
    languages = known(Languages(installed="en-GB", interface=("en-GB",)), PLACE)
    said = answer(RULE, a_windows_machine(product_type=known("workstation"), languages=languages))
    assert said.summary == "the Windows client on disk0/p2 was installed in en-GB, not in en-US"
    assert said.evidence == (PLACE,)


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(product_type=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(product_type=known("workstation"), languages=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(product_type=None)) == "unknown"
    assert outcome(RULE, a_windows_machine(product_type=known("workstation"), languages=None)) == "unknown"
