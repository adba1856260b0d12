from __future__ import annotations

from typing import Any

import pytest
from facts_builder import a_kernel, a_kernel_package, a_linux_machine, answer, lost, outcome

from imgscan.model.fact import known

RULE = "custom-kernel"


def rpm(name: str, vendor: str | None) -> dict[str, Any]:
    return {"manager": "rpm", "name": name, "version": "1", "release": "1", "vendor": vendor}


@pytest.mark.parametrize(
    ("system", "package", "expected"),
    [
        ("debian", {}, "pass"),
        ("debian", {"name": None, "version": None, "vendor": None}, "fail"),
        ("debian", {"vendor": "root <root@build>"}, "fail"),  # what make bindeb-pkg writes
        ("debian", {"name": "kernel-own"}, "fail"),
        ("debian", {"vendor": None}, "unknown"),
        ("ubuntu", {"vendor": "Ubuntu Kernel Team <kernel-team@lists.ubuntu.com>"}, "pass"),
        ("ubuntu", {"vendor": "Damian <someone@xanmod.org>"}, "fail"),
        ("rhel", rpm("kernel-core", "Red Hat, Inc."), "pass"),
        ("centos", rpm("kernel", "CentOS"), "pass"),
        ("centos", rpm("kernel-ml", "The ELRepo Project (http://elrepo.org)"), "fail"),
        ("centos", rpm("kernel", "Self"), "fail"),
        ("ol", rpm("kernel-uek", "Oracle America"), "pass"),
        ("ol", rpm("kernel-uek-core", "Oracle America"), "pass"),
        ("sles", rpm("kernel-default", "SUSE LINUX Products GmbH, Nuernberg, Germany"), "pass"),
        ("sles", rpm("kernel-azure", "SUSE LLC <https://www.suse.com/>"), "fail"),
        ("fedora", rpm("kernel", "Fedora Project"), "pass"),
        ("arch", {}, "unknown"),
    ],
)
def test_owner_name_and_vendor(system: str, package: dict[str, Any], expected: str) -> None:
    machine = a_linux_machine(id=known(system), kernel_package=known(a_kernel_package(**package)))
    result = answer(RULE, machine)
    assert result.outcome == expected, result.summary
    assert result.evidence


def test_what_is_not_known() -> None:
    assert outcome(RULE, a_linux_machine(kernel_package=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(kernel_package=known(None))) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=lost())) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=known(a_kernel(volume=None)))) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=known(None))) == "unknown"
    assert outcome(RULE, a_linux_machine(default_kernel=known(None), bootloader=known(None))) == "not-applicable"
