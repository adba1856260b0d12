from __future__ import annotations

from facts_builder import (
    a_disk,
    a_linux_machine,
    a_linux_system,
    a_volume,
    a_windows_machine,
    and_disks,
    and_volumes,
    answer,
    lost,
    outcome,
    with_boot,
    with_system,
)
from msgspec.structs import replace

from imgscan.model.evidence import AtPath
from imgscan.model.fact import known
from imgscan.model.machine import MachineFacts
from imgscan.model.system import Reference

RULE = "root-not-on-boot-disk"


def _root_on(*places: str) -> MachineFacts:
    machine = and_disks(a_linux_machine(), a_disk("disk1"))
    machine = and_volumes(
        machine,
        a_volume("disk1/p1", "LVM2_member"),
        a_volume("vg0/root", "ext4", kind="logical-volume", on=places[0]),
    )
    root = replace(machine.volumes[-1], on=places)
    machine = replace(machine, volumes=(*machine.volumes[:-1], root))
    return replace(machine, systems=(a_linux_system("vg0/root"),))


def test_root_on_the_boot_disk_passes() -> None:
    assert outcome(RULE, a_linux_machine()) == "pass"
    assert outcome(RULE, a_windows_machine()) == "pass"
    assert outcome(RULE, _root_on("disk0/p1")) == "pass"


def test_root_on_another_disk_fails_and_shows_what_names_it() -> None:
    result = answer(RULE, _root_on("disk1/p1"))
    assert result.outcome == "fail"
    assert "is on disk1, and the boot disk is disk0" in result.summary
    assert AtPath("vg0/root", "/etc/fstab", 2) in result.evidence


def test_root_that_spans_disks_fails() -> None:
    assert outcome(RULE, _root_on("disk0/p1", "disk1/p1")) == "fail"


def test_what_was_not_read_matters_unless_the_place_decides() -> None:
    assert outcome(RULE, with_system(a_linux_machine(), references=lost())) == "unknown"
    assert outcome(RULE, with_system(a_linux_machine(), mounts=lost())) == "unknown"
    elsewhere = replace(_root_on("disk1/p1"), systems=(a_linux_system("vg0/root", references=lost(), mounts=lost()),))
    assert outcome(RULE, elsewhere) == "fail"
    assert outcome(RULE, with_system(a_windows_machine(), references=lost(), mounts=lost())) == "pass"


def test_a_root_that_is_no_volume_of_the_given_disks_is_unknown() -> None:
    line = AtPath("disk0/p1", "/boot/grub/grub.cfg", 110)
    lost_root = Reference(role="root", source="UUID=0000", volume=None, evidence=(line,))
    result = answer(RULE, with_system(a_linux_machine(), references=known((lost_root,))))
    assert result.outcome == "unknown"
    assert "UUID=0000" in result.summary
    assert line in result.evidence
    lost_boot = replace(lost_root, role="boot")
    assert outcome(RULE, with_system(a_linux_machine(), references=known((lost_boot,)))) == "pass"


def test_unread_is_unknown() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=lost())) == "unknown"
    assert outcome(RULE, with_system(a_linux_machine(), root="vg9/root")) == "unknown"


def test_candidates_that_differ_are_unknown() -> None:
    assert outcome(RULE, with_boot(_root_on("disk1/p1"), disk=("disk0", "disk1"))) == "unknown"


def test_without_a_boot_disk_it_does_not_apply() -> None:
    assert outcome(RULE, with_boot(a_linux_machine(), disk=())) == "not-applicable"
