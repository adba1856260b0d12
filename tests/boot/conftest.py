"""Whole machines are large: what a test made of them goes when it ends, and is not kept as pytest keeps tmp_path."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for disks, removed after the test."""
    yield tmp_path
    shutil.rmtree(tmp_path)
