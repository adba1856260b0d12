from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgscan.batch.written_names import restored, written
from imgscan.model.text import shown


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain/web-01.vmdk", "plain/web-01.vmdk"),
        ("größe.vmdk", "größe.vmdk"),
        ("a\\x1b", r"a\x5cx1b"),
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a\u202eb", r"a\u202eb"),
        ("a\x85b", r"a\u0085b"),
        (os.fsdecode(b"a\x85b"), r"a\x85b"),
        (os.fsdecode(b"\xff\n"), r"\xff\x0a"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_a_name_is_written_and_restored(name: str, text: str) -> None:
    assert written(name) == text
    assert restored(text) == name


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary().map(os.fsdecode) | st.text(st.characters(exclude_categories=["Cs"])))
def test_every_name_comes_back_and_is_harmless(name: str) -> None:
    text = written(name)
    assert restored(text) == name
    assert shown(text) == text
    text.encode()
