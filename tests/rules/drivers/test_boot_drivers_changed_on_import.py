from __future__ import annotations

import pytest
from facts_builder import a_boot_driver, a_windows_machine, answer, lost, outcome

from imgscan.model.fact import known
from imgscan.model.windows import BootDriver, ClassFilter

RULE = "boot-drivers-changed-on-import"
DISK = ClassFilter("disk", above=True)
VOLUME = ClassFilter("volume", above=False)
XEN = a_boot_driver("XENVBD")


@pytest.mark.parametrize(
    ("drivers", "said"),
    [
        ((a_boot_driver("disk"),), "Windows has no driver xenvbd"),
        ((BootDriver(name="xenvbd", start=None, configured=None, filters=(DISK,)),), "Windows has no driver xenvbd"),
        ((a_boot_driver("xenvbd", start="manual", configured="boot", file=None),), "is manual by StartOverride"),
        ((a_boot_driver("xenvbd", start="disabled", configured="disabled", file=None),), "is disabled"),
        ((a_boot_driver("xenvbd", file="missing"),), "is missing: /Windows/System32/drivers/xenvbd.sys"),
        ((XEN, a_boot_driver("LSI_SAS", file="missing")), "the file of LSI_SAS, which starts with Windows, is missing"),
        (
            (XEN, a_boot_driver("stdcfltn", filters=(VOLUME,))),
            "stdcfltn, which does not come with Windows, stays lower filter of the class volume",
        ),
        (
            (XEN, a_boot_driver("partmgr", filters=(DISK,), file="missing")),
            "partmgr, the upper filter of the class disk",
        ),
        (
            (XEN, BootDriver(name="gone", start=None, configured=None, filters=(DISK, VOLUME))),
            "there is no driver gone, the upper filter of the class disk and lower filter of the class volume",
        ),
    ],
)
def test_what_changes_or_does_not_fit(drivers: tuple[BootDriver, ...], said: str) -> None:
    result = answer(RULE, a_windows_machine(boot_drivers=known(drivers)))
    assert result.outcome == "fail"
    assert said in result.summary


def test_nothing_to_say() -> None:
    drivers = (
        XEN,
        a_boot_driver("PartMgr", filters=(DISK,)),
        a_boot_driver("storahci", start="manual", file=None),
        a_boot_driver("cdrom", start="system", file=None),
    )
    assert outcome(RULE, a_windows_machine(boot_drivers=known(drivers))) == "pass"


def test_not_read_is_unknown() -> None:
    assert outcome(RULE, a_windows_machine(boot_drivers=lost())) == "unknown"
    other = a_boot_driver("disk", file="unread")
    assert outcome(RULE, a_windows_machine(boot_drivers=known((XEN, other)))) == "unknown"
    assert outcome(RULE, a_windows_machine(boot_drivers=known((other,)))) == "fail"
    odd = a_boot_driver("xenvbd", start="unread", configured="unread", file="unread")
    result = answer(RULE, a_windows_machine(boot_drivers=known((odd,))))
    assert (result.outcome, "how xenvbd starts cannot be read" in result.summary) == ("unknown", True)
