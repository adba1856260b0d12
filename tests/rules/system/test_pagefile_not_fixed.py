from __future__ import annotations

import pytest
from facts_builder import a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.windows import PageFile

RULE = "pagefile-not-fixed"
PLACE = AtPath("disk0/p2", "/Windows/System32/config/SYSTEM")
FIXED = PageFile(path="C:\\pagefile.sys", minimum=4096, maximum=4096)
GROWING = PageFile(path="C:\\pagefile.sys", minimum=1024, maximum=4096)
MANAGED = PageFile(path="?:\\pagefile.sys", minimum=None, maximum=None)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ((FIXED,), "pass"),
        ((FIXED, FIXED), "pass"),
        ((GROWING,), "fail"),
        ((MANAGED,), "fail"),
        ((FIXED, GROWING), "fail"),
        ((), "fail"),
    ],
)
def test_sizes(files: tuple[PageFile, ...], expected: str) -> None:
    assert outcome(RULE, a_windows_machine(page_files=known(files, PLACE))) == expected


def test_it_names_files_and_sizes() -> None:
    said = answer(RULE, a_windows_machine(page_files=known((GROWING, MANAGED), PLACE)))
    assert said.summary == "C:\\pagefile.sys: 1024 to 4096 MiB; ?:\\pagefile.sys: Windows manages its size"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(page_files=lost())) == "unknown"
