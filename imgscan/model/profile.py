"""A profile: which rules a target asks, how much each weighs, and which requirement it enforces."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from imgscan.model.rule import Rule, Severity


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the target asks, in our own words; `source` names page and section, or says that it is imgscan's reasoning.

    `date` is that of the page or of the day it was read, empty when the source carries none.
    """

    text: str
    source: str
    date: str = ""


class Use(msgspec.Struct, frozen=True):
    """A rule as one profile uses it.

    `family` limits a system rule to `linux` or `windows`; `params` is typed by the rule; `remedy` stands in for the
    rule's own where the target has a better one.
    """

    rule: Rule
    severity: Severity
    params: Any
    requirement: Requirement
    family: Literal["linux", "windows"] | None = None
    predicts: str | None = None
    remedy: str | None = None


class Profile(msgspec.Struct, frozen=True):
    """A loaded profile; `digest` is the SHA-256 of its file, in hexadecimal, `date` the day its sources were read."""

    name: str
    title: str
    version: str
    digest: str
    uses: tuple[Use, ...]
    date: str = ""
