"""An old Windows Server has another language than English.

What it checks
--------------
The language that a Windows Server 2003, 2008 or 2012 was installed in, and the language packs of its user interface.
Other versions are not meant.

Why it matters
--------------
The target's page recommends the English language pack for these three versions.

How to fix
----------
Set the display language to English, and remove the other language packs (`lpksetup /u id-ID`) before the export.
"""

from __future__ import annotations

import msgspec

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.listed_windows import release_of
from imgscan.rules.windows_languages import languages_of, primary


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`systems` are the versions that are meant, `language` the one that is recommended, without a region."""

    systems: tuple[str, ...]
    language: str = "en"


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask which Windows it is, then for its languages."""
    release = release_of(system)
    if release.id not in params.systems:
        return not_applicable(f"the system on {system.root} is {release.name}", *release.evidence)
    found, evidence = languages_of(system)
    others = [tag for tag in found.interface if primary(tag) != params.language]
    if others:
        return failed(f"the {release.name} on {system.root} has {', '.join(others)}", *evidence)
    return passed(f"the {release.name} on {system.root} has {', '.join(found.interface)} only", *evidence)


RULE = Rule(
    name="non-english-language-pack",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.root",
        "systems.languages",
        "systems.version",
        "systems.product_type",
        "systems.product",
        "systems.edition",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
