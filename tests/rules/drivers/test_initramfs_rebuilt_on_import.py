from __future__ import annotations

import pytest
from facts_builder import a_linux_machine, an_initramfs, answer, lost, outcome, some_drivers

from imgscan.model.fact import known
from imgscan.model.initramfs import InitramfsFile

RULE = "initramfs-rebuilt-on-import"
DRIVER = ("xen_blkfront",)


@pytest.mark.parametrize(
    ("modules", "builtin", "expected"),
    [
        (DRIVER, (), "pass"),
        (DRIVER, None, "pass"),
        ((), DRIVER, "pass"),
        ((), (), "fail"),
        (("xen_blkfront_fake", "blkfront"), ("xen_blk",), "fail"),  # never a part of a name
        (("xen_netfront",), None, "unknown"),
    ],
)
def test_where_the_drivers_are(modules: tuple[str, ...], builtin: tuple[str, ...] | None, expected: str) -> None:
    machine = a_linux_machine(
        initramfs=known(an_initramfs(modules=modules)), kernel_drivers=known(some_drivers(builtin=builtin))
    )
    result = answer(RULE, machine)
    assert result.outcome == expected
    assert expected != "fail" or "xen_blkfront" in result.summary


def test_an_initramfs_that_was_not_read_whole() -> None:
    nested = an_initramfs(modules=(), is_nested=True)
    assert outcome(RULE, a_linux_machine(initramfs=known(nested))) == "unknown"
    bad = InitramfsFile(path="/i", volume="disk0/p1", flaw="damaged")
    assert outcome(RULE, a_linux_machine(initramfs=known(an_initramfs(modules=(), files=(bad,))))) == "unknown"
    assert outcome(RULE, a_linux_machine(initramfs=lost())) == "unknown"
    machine = a_linux_machine(initramfs=known(an_initramfs(modules=())), kernel_drivers=lost())
    assert outcome(RULE, machine) == "unknown"


def test_no_initramfs_and_no_kernel() -> None:
    assert outcome(RULE, a_linux_machine(initramfs=known(None))) == "fail"
    assert outcome(RULE, a_linux_machine(default_kernel=known(None))) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=known(None), bootloader=known(None))) == "not-applicable"
    assert outcome(RULE, a_linux_machine(default_kernel=lost())) == "unknown"
