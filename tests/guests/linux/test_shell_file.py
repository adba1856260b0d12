from __future__ import annotations

import random
import shlex
import time

import pytest

from imgscan.guests.linux.shell_file import assignments, shell_words, unquote


def test_words_are_those_of_the_standard_library() -> None:
    numbers = random.Random(1)
    for _ in range(3000):
        text = "".join(numbers.choice("ab \"'\\#") for _ in range(numbers.randint(0, 9)))
        try:
            expected: list[str] | None = shlex.split(text)
        except ValueError:
            expected = None
        try:
            found: list[str] | None = shell_words(text)
        except ValueError:
            found = None
        assert found == expected, text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22 # a port", "22"),
        ("a#b", "a#b"),
        ("'a b' c", "a b c"),
        (r'"it costs \$5 \"now\""', 'it costs $5 "now"'),
        ('"open', "open"),
        ("", ""),
    ],
)
def test_values(text: str, value: str) -> None:
    assert unquote(text) == value


def test_a_long_value_ends_soon() -> None:
    started = time.process_time()
    assert len(unquote('"' + "1 " * 200_000 + '"')) == 400_000
    assert assignments('A="' + "x" * 400_000).get("A") is not None
    assert time.process_time() - started < 4
