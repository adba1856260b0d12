"""Profiles: which rules a target asks, as data. `load` makes a `Profile` of a TOML file, or says what is wrong with it.

A file has `name`, `title`, `version`, `date` and a list of ``[[use]]`` with `rule`, `severity`, ``[use.requirement]``
(`text`, `source`, `date`) and, where wanted, `for` (`linux` or `windows`), `params`, `predicts` and `remedy`.

The operating systems that the target takes are tables of their own, ``[[systems.linux]]`` and ``[[systems.windows]]``
(one for each line of the target's page): several rules ask for them. A use with ``list = "linux"`` has those as its
parameter `systems`, one with ``list = "windows"`` has the others as `windows`.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli

from imgscan.errors import ProfileError
from imgscan.model.profile import Profile, Requirement, Use
from imgscan.model.rule import Severity
from imgscan.rules import BY_NAME

NAMES = ("aws-sms",)
"""The profiles that come with imgscan."""

PROFILE_BYTES = 1 << 20
"""A larger file is no profile."""


class _Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    rule: str
    severity: Severity
    requirement: Requirement
    family: Literal["linux", "windows"] | None = msgspec.field(default=None, name="for")
    params: dict[str, Any] = {}
    list: str | None = None
    predicts: str | None = None
    remedy: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    title: str
    version: str
    date: str = ""
    use: list[dict[str, Any]]
    systems: dict[str, list[dict[str, Any]]] = {}


def load(name_or_path: str | Path) -> Profile:
    """Return the profile of that name, or the one in a file whose name ends in `.toml`.

    :raises ProfileError: there is none, or it is not valid; one line with the file and the key
    """
    given = str(name_or_path)
    if given.endswith(".toml"):
        return parse(_read(Path(given)), given)
    if given not in NAMES:
        known = ", ".join(NAMES)
        raise ProfileError(f"there is no profile {given!r}; there are {known}, or give a file that ends in .toml")
    return _own(given)


@cache
def _own(name: str) -> Profile:
    """Return a profile that comes with imgscan; a caller that judges many machines asks for it each time."""
    path = Path(__file__).with_name(f"{name}.toml")
    return parse(_read(path), path.name)


def parse(data: bytes, where: str) -> Profile:
    """Return the profile in a TOML file's bytes; `where` names the file in errors.

    :raises ProfileError: it is not valid
    """
    try:
        content = tomli.loads(data.decode())
    except (tomli.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileError(f"not valid TOML: {error}", where=where) from error
    file = _convert(content, _File, where, "")
    if not file.use:
        raise ProfileError("use: a profile uses at least one rule", where=where)
    uses = tuple(_use(entry, file.systems, number, where) for number, entry in enumerate(file.use, 1))
    return Profile(
        name=file.name,
        title=file.title,
        version=file.version,
        digest=hashlib.sha256(data).hexdigest(),
        uses=uses,
        date=file.date,
    )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(PROFILE_BYTES + 1)
    except OSError as error:
        raise ProfileError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if len(data) > PROFILE_BYTES:
        raise ProfileError(f"larger than {PROFILE_BYTES} bytes; this is no profile", where=str(path))
    return data


def _use(entry: dict[str, Any], systems: dict[str, list[dict[str, Any]]], number: int, where: str) -> Use:
    named = entry.get("rule")
    at = f"use {number} ({named})" if isinstance(named, str) else f"use {number}"
    raw = _convert(entry, _Use, where, at)
    rule = BY_NAME.get(raw.rule)
    if rule is None:
        raise ProfileError(f"{at}: rule: there is no rule {raw.rule!r}; imgscan rules lists them", where=where)
    if raw.family is not None and rule.scope != "system":
        raise ProfileError(f"{at}: for: {rule.name} is about the machine, not about a system", where=where)
    for key in ("text", "source"):
        if not getattr(raw.requirement, key).strip():
            raise ProfileError(f"{at}: requirement.{key}: is empty", where=where)
    params = raw.params
    if raw.list is not None:
        if raw.list not in systems:
            raise ProfileError(f"{at}: list: there is no [[systems.{raw.list}]] in the profile", where=where)
        params = {**params, "systems" if raw.list == "linux" else raw.list: systems[raw.list]}
    return Use(
        rule=rule,
        severity=raw.severity,
        params=_convert(params, rule.params, where, f"{at}: params"),
        requirement=raw.requirement,
        family=raw.family,
        predicts=raw.predicts,
        remedy=raw.remedy,
    )


def _convert(value: object, to: type[Any], where: str, at: str) -> Any:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as error:
        # "Expected `int`, got `str` - at `$.max_bytes`"
        said, _, path = str(error).partition(" - at `$")
        key = path.rstrip("`").lstrip(".")
        raise ProfileError(": ".join(part for part in (at, key, said) if part), where=where) from error
