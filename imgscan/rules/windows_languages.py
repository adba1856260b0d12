"""What rules about the languages of a Windows ask."""

from __future__ import annotations

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.fact import NOT_COLLECTED
from imgscan.model.system import System
from imgscan.model.windows import Languages


def languages_of(system: System) -> tuple[Languages, tuple[Evidence, ...]]:
    """Return the languages, and where they stand.

    :raises UnreadFact: they were not read, or the system does not name any
    """
    if system.languages is None:
        raise UnreadFact("not-collected", NOT_COLLECTED)
    found = system.languages.get()
    evidence = system.languages.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if not found.interface and found.installed is None:
        raise UnreadFact("missing", f"the Windows on {system.root} names no language", evidence)
    return found, evidence


def primary(tag: str) -> str:
    """Return the language of a tag without its region: `de` of `de-AT`."""
    return tag.partition("-")[0].lower()
