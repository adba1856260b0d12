from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.windows import Languages

RULE = "non-ascii-language-pack"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SYSTEM")


@pytest.mark.parametrize(
    ("interface", "expected"),
    [
        (("en-US",), "pass"),
        (("en-GB", "en-US"), "pass"),
        (("en-US", "id-ID", "ms-MY"), "pass"),
        (("en-US", "de-DE"), "fail"),
        (("ja-JP",), "fail"),
        (("lcid-0999",), "fail"),
        (("de-0c07",), "fail"),
        ((), "unknown"),
    ],
)
def test_each_language(interface: tuple[str, ...], expected: str) -> None:
    languages = known(Languages(installed=None, interface=interface), PLACE)
    assert outcome(RULE, a_windows_machine(languages=languages)) == expected


def test_it_names_what_is_not_ascii() -> None:
    languages = known(Languages(installed="en-US", interface=("en-US", "de-DE", "zh-CN")), PLACE)
    said = answer(RULE, a_windows_machine(languages=languages))
    assert said.summary == "the Windows on disk0/p2 has de-DE, zh-CN"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(languages=lost())) == "unknown"
    assert outcome(RULE, a_windows_machine(languages=None)) == "unknown"
