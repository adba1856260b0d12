"""Beside a foreign reader: what it still reads of a mutant and imgscan does not is found, and why."""

from __future__ import annotations

from pathlib import Path

import fuzz_mdraid
import fuzzing
import pytest
from fuzzing import Mutant, Patch, Subject
from tools import require_tool


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    require_tool("grub-fstest")
    images = fuzz_mdraid.make(tmp_path)
    return Subject(images[fuzz_mdraid.ARRAYS.index("raid0-zones-original")], fuzz_mdraid.RECIPE)


def test_what_only_the_other_reads_is_told(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    damages = {
        0: [],
        1: [Patch(0, 4096 + 168, b"\xff")],  # a device's own UUID: only its checksum tells
        2: [Patch(0, 4096, b"\xff")],  # no superblock any more
    }
    mutants = [Mutant(number, 0, is_trusted=False, patches=patches) for number, patches in damages.items()]
    monkeypatch.setattr(fuzzing, "mutants", lambda *_: mutants)
    before = [path.read_bytes() for path in subject.paths]
    healthy, checksum, nothing = fuzzing.compare(fuzz_mdraid.RECIPE, [subject], 1, [])
    assert len(healthy.ours) >= 3
    assert healthy.ours == healthy.theirs
    assert checksum.theirs == healthy.theirs == checksum.only_theirs == checksum.distrusted
    assert not checksum.ours
    assert not nothing.theirs
    assert not nothing.ours
    assert "GRUB alone reads something: 1 (33.3%)" in fuzzing.told("GRUB", [healthy, checksum, nothing])
    assert [path.read_bytes() for path in subject.paths] == before
