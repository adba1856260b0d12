from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.windows import Languages

RULE = "non-english-language-pack"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SYSTEM")


@pytest.mark.parametrize(
    ("version", "product", "interface", "expected"),
    [
        ("5.2.3790", "Microsoft Windows Server 2003", ("id-ID",), "fail"),
        ("5.2.3790", "Microsoft Windows Server 2003 R2", ("id-ID",), "not-applicable"),
        ("6.0.6002", "Windows Server (R) 2008 Standard", ("en-US", "de-DE"), "fail"),
        ("6.1.7601", "Windows Server 2008 R2 Standard", ("de-DE",), "not-applicable"),
        ("6.2.9200", "Windows Server 2012 Standard", ("fr-FR",), "fail"),
        ("6.2.9200", "Windows Server 2012 Standard", ("en-GB",), "pass"),
        ("6.3.9600", "Windows Server 2012 R2 Standard", ("fr-FR",), "not-applicable"),
    ],
)
def test_each_version(version: str, product: str, interface: tuple[str, ...], expected: str) -> None:
    languages = known(Languages(installed=interface[0], interface=interface), PLACE)
    machine = a_windows_machine(version=known(version, PLACE), product=known(product, PLACE), languages=languages)
    assert outcome(RULE, machine) == expected


def test_clients_are_not_meant() -> None:
    assert outcome(RULE, a_windows_machine(version=known("6.2.9200"), product_type=known("workstation"))) == (
        "not-applicable"
    )


def test_it_names_the_languages() -> None:
    languages = known(Languages(installed="de-DE", interface=("de-DE", "en-US")), PLACE)
    said = answer(RULE, a_windows_machine(version=known("6.2.9200"), languages=languages))
    assert said.summary == "the Windows Server 2012 on disk0/p2 has de-DE"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(version=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(version=known("6.2.9200"), languages=lost())) == "unknown"
