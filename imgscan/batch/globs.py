"""The patterns of `--include` and `--exclude`: those of gitignore, on paths relative to the root.

- A pattern without `/` (other than at its end) is compared with names at any depth: `*.iso`, `lost+found`.
- One with `/` is compared with the whole path from the root: `customer1/*.vmdk`, `/top.vmdk`.
- `*` and `?` stand for any characters of one name, `[abc]` for one of them; `**` stands for any number of folders:
  `**/old/**`, `customer?/**/web*`.
- A `/` at the end makes it match folders only: `backup/`.
- A pattern that matches a folder holds for all that is below it.
- Capitals and small letters are different. There is no `!`, and no escape but `[*]`.

A pattern is compared one name at a time on the way down, so that folders in which nothing can match are not listed.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import msgspec

from imgscan.errors import UsageError
from imgscan.model.text import shown

States = frozenset[tuple[int, int]]
"""Where on its way each pattern is: pairs of pattern and part."""


class Step(msgspec.Struct, frozen=True):
    """What one name more means: `matched` a pattern has come to its end, `below` what goes on below a folder."""

    matched: bool
    below: States


class Globs:
    """Several patterns at once.

    :raises UsageError: one of them is none
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._parts: list[tuple[re.Pattern[str] | None, ...]] = []
        self._folders_only: list[bool] = []
        for pattern in patterns:
            stripped = pattern.removesuffix("/")
            names = stripped.removeprefix("/").split("/")
            if any(name in {"", ".", ".."} for name in names) or "\0" in pattern:
                raise UsageError(f"{shown(pattern)!r} is no pattern for a path below the root")
            if "/" not in stripped:
                names.insert(0, "**")
            parts: list[re.Pattern[str] | None] = []
            for name in names:
                if name != "**":
                    parts.append(re.compile(fnmatch.translate(name)))
                elif not parts or parts[-1] is not None:
                    parts.append(None)
            self._parts.append(tuple(parts))
            self._folders_only.append(pattern.endswith("/"))
        self.start: States = frozenset((number, 0) for number in range(len(self._parts)))

    def step(self, states: States, name: str, *, folder: bool) -> Step:
        """Go from a folder, in which the patterns are at `states`, to the file or folder `name` in it."""
        matched = False
        below: set[tuple[int, int]] = set()
        for number, at in states:
            parts = self._parts[number]
            part = parts[at]
            if part is None:  # `**`: it may go on, and what follows it may begin here
                below.add((number, at))
                at += 1  # noqa: PLW2901 - this state's place in its pattern, from here on
                if at == len(parts):
                    matched = matched or folder or not self._folders_only[number]
                    continue
                part = parts[at]
            if part is None or not part.match(name):
                continue
            if at + 1 == len(parts):
                matched = matched or folder or not self._folders_only[number]
            else:
                below.add((number, at + 1))
        return Step(matched, frozenset(below) if folder else frozenset())
