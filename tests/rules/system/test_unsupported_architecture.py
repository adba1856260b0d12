from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, a_windows_machine, answer, lost, outcome

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known

RULE = "unsupported-architecture"
SHELL = AtPath("disk0/p1", "/bin/sh")


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("x86_64", "pass"),
        ("x86", "fail"),
        ("x32", "fail"),
        ("aarch64", "fail"),
        ("ppc64le", "fail"),
        ("elf-machine-999", "fail"),
        (None, "unknown"),
    ],
)
def test_each_architecture(architecture: str | None, expected: str) -> None:
    assert outcome(RULE, a_linux_machine(architecture=known(architecture, SHELL))) == expected


def test_it_names_the_program() -> None:
    said = answer(RULE, a_linux_machine(architecture=known("x86", SHELL)))
    assert said.summary == "the system on disk0/p1 is x86, not x86_64"
    assert said.evidence == (SHELL,)


def test_unread_is_unknown() -> None:
    assert outcome(RULE, a_linux_machine(architecture=lost())) == "unknown"


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [("x86_64", "pass"), ("x86", "pass"), ("aarch64", "fail"), ("ia64", "fail"), ("arm", "fail"), (None, "unknown")],
)
def test_each_architecture_of_windows(architecture: str | None, expected: str) -> None:
    assert outcome(RULE, a_windows_machine(architecture=known(architecture, SHELL))) == expected
