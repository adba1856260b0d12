from __future__ import annotations

import pytest
from facts_builder import a_disk, a_linux_machine, a_problem, and_disks, answer, outcome, with_disk

RULE = "unsupported-image-format"


@pytest.mark.parametrize(
    ("format", "expected"),
    [("vmdk", "pass"), ("vhd", "pass"), ("vhdx", "pass"), ("qcow2", "fail"), ("vdi", "fail"), ("raw", "fail")],
)
def test_each_format(format: str, expected: str) -> None:
    assert outcome(RULE, a_linux_machine(format)) == expected


@pytest.mark.parametrize(
    "variant", ["monolithicSparse", "streamOptimized", "twoGbMaxExtentFlat", "vmfs", "seSparse", "monolithicFlat"]
)
def test_every_variant_of_vmdk_is_vmdk(variant: str) -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), variant=variant)) == "pass"


def test_a_file_that_is_no_image_fails_with_what_it_is() -> None:
    problem = a_problem("unsupported", "this is a gzip archive; unpack it first")
    result = answer(RULE, with_disk(a_linux_machine(), format=None, variant=None, problems=(problem,)))
    assert result.outcome == "fail"
    assert "gzip" in result.summary


def test_a_file_of_no_known_content_fails() -> None:
    assert outcome(RULE, with_disk(a_linux_machine(), format=None, variant=None)) == "fail"


@pytest.mark.parametrize("kind", ["damage", "truncated", "missing", "refused", "encrypted", "io-error", "changed"])
def test_a_file_that_could_not_be_read_is_unknown(kind: str) -> None:
    problem = a_problem(kind)  # type: ignore[arg-type]
    assert outcome(RULE, with_disk(a_linux_machine(), format=None, problems=(problem,))) == "unknown"


def test_one_wrong_disk_among_unread_ones_fails() -> None:
    machine = with_disk(a_linux_machine(), format=None, problems=(a_problem("refused"),))
    assert outcome(RULE, and_disks(machine, a_disk("disk1", "qcow2"))) == "fail"
    assert outcome(RULE, and_disks(machine, a_disk("disk1", "vmdk"))) == "unknown"
