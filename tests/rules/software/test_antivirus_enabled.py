from __future__ import annotations

from starting_products import check_kinds, check_windows

RULE = "antivirus-enabled"


def test_a_product_of_that_kind() -> None:
    check_kinds(RULE, "antivirus")


def test_a_service_of_windows() -> None:
    check_windows(RULE, "antivirus", "Windows Defender")
