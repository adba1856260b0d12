from __future__ import annotations

import pytest
from facts_builder import (
    a_linux_machine,
    a_volume,
    a_windows_machine,
    and_volumes,
    answer,
    outcome,
    unread_table,
    with_disk,
)
from msgspec.structs import replace

from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known, unread

RULE = "encrypted-volume"
MAGIC = AtOffset("disk0/p9", 0, 6, "crypto_LUKS magic")


def test_plain_volumes_pass() -> None:
    result = answer(RULE, a_linux_machine())
    assert result.outcome == "pass"
    assert "none of the" in result.summary
    assert outcome(RULE, a_windows_machine()) == "pass"


@pytest.mark.parametrize(
    ("content", "metadata", "said"),
    [
        ("crypto_LUKS", {"luks_version": "2", "cipher": "aes-xts-plain64", "tokens": "clevis tpm2"}, "LUKS2"),
        ("crypto_LUKS", {}, "LUKS"),
        ("BitLocker", {"protection": "suspended", "state": "encrypted"}, "protection suspended"),
        ("BitLocker", {"state": "converting"}, "state converting"),
        ("cs_fvault2", {}, "FileVault"),
    ],
)
def test_an_encrypted_volume_fails(content: str, metadata: dict[str, str], said: str) -> None:
    volume = a_volume("disk0/p9", content, signature=known(content, MAGIC), metadata=metadata)
    result = answer(RULE, and_volumes(a_linux_machine(), volume))
    assert result.outcome == "fail"
    assert "disk0/p9" in result.summary
    assert said in result.summary
    assert result.evidence == (MAGIC,)


def test_an_empty_volume_is_not_encrypted() -> None:
    empty = a_volume("disk0/p9", None, signature=known(None))
    assert outcome(RULE, and_volumes(a_linux_machine(), empty)) == "pass"


def test_what_was_not_read_may_be_encrypted() -> None:
    hidden = a_volume("disk0/p9", None, signature=unread("io-error", "it failed"))
    assert outcome(RULE, and_volumes(a_linux_machine(), hidden)) == "unknown"
    assert outcome(RULE, with_disk(a_linux_machine(), **unread_table())) == "unknown"


def test_a_fail_stands_beside_what_was_not_read() -> None:
    hidden = a_volume("disk0/p8", None, signature=unread("io-error", "it failed"))
    luks = a_volume("disk0/p9", "crypto_LUKS", signature=known("crypto_LUKS", MAGIC))
    assert outcome(RULE, and_volumes(a_linux_machine(), hidden, luks)) == "fail"


def test_a_machine_without_volumes() -> None:
    assert outcome(RULE, replace(a_linux_machine(), volumes=())) == "not-applicable"
