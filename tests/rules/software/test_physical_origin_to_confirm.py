from __future__ import annotations

from facts_builder import a_linux_machine, a_windows_machine, nothing_read, outcome

RULE = "physical-origin-to-confirm"


def test_it_is_always_to_be_confirmed() -> None:
    for machine in (a_linux_machine(), a_windows_machine(), nothing_read()):
        assert outcome(RULE, machine) == "manual"
