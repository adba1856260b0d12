"""The framework finds what it is there to find; every reader with a recipe copes with a few hundred mutants."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import fuzzing
import pytest
from fuzzing import Recipe, Subject, fuzz

from imgscan.devices.device import BlockDevice
from imgscan.errors import CorruptStructure, ImageError


def recipe(on_damage: Callable[[], None]) -> Recipe:
    def make(folder: Path) -> list[list[Path]]:
        (folder / "image").write_bytes(b"magic" * 800)
        return [[folder / "image"]]

    def walk(devices: Sequence[BlockDevice], _: list[ImageError]) -> str:
        data = devices[0].read_at(0, 4000)
        if data != b"magic" * 800:
            on_damage()
        return ""

    return Recipe(make, walk)


def subjects(made: Recipe, folder: Path) -> list[Subject]:
    return [Subject(paths, made) for paths in made.make(folder)]


def refuse() -> None:
    raise CorruptStructure("damaged")


def untyped() -> None:
    raise KeyError("offset")


def endless() -> None:
    while True:
        pass


def greedy() -> None:
    assert bytes(1 << 30)


def dies() -> None:
    os._exit(9)


@pytest.mark.parametrize(
    ("on_damage", "said"),
    [(untyped, "KeyError"), (endless, "TooSlow"), (greedy, "MemoryError"), (dies, "ended with status 9")],
)
def test_what_must_not_be_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_damage: Callable[[], None], said: str
) -> None:
    monkeypatch.setattr(fuzzing, "SECONDS", 0.05)
    made = recipe(on_damage)
    summary = fuzz(made, subjects(made, tmp_path), 6, 1, 2)
    assert sum(summary.outcomes.values()) == 6
    assert summary.outcomes["FAILED"] >= 3
    assert all(said in failure for failure in summary.failures)


def test_typed_errors_are_no_failure(tmp_path: Path) -> None:
    made = recipe(refuse)
    summary = fuzz(made, subjects(made, tmp_path), 50, 1, 2)
    assert not summary.failures
    assert summary.outcomes["refused"] > 20
    assert summary.errors["CorruptStructure"] > 20


@pytest.mark.parametrize("reader", fuzzing.readers())
def test_a_few_mutants_of_every_reader(tmp_path: Path, reader: str) -> None:
    made = fuzzing.recipe_of(reader)
    summary = fuzz(made, subjects(made, tmp_path), 40, 7, 1)
    assert not summary.failures, summary


@pytest.mark.long
@pytest.mark.parametrize("reader", fuzzing.readers())
def test_many_mutants_of_every_reader(tmp_path: Path, reader: str) -> None:
    made = fuzzing.recipe_of(reader)
    summary = fuzz(made, subjects(made, tmp_path), 20_000, 1, os.cpu_count() or 1)
    assert not summary.failures, summary
