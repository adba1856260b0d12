"""A Windows client is not in US English.

What it checks
--------------
In which language a Windows client (7, 8, 8.1, 10) was installed: `InstallLanguage` in the registry. British English is
another language. Servers are not meant, and language packs that were added later are another rule's question.

Why it matters
--------------
The importer takes clients in US English only.

How to fix
----------
The language that Windows was installed in cannot be changed by a language pack: install the client again from US
English media, or move its workload to a Windows Server.
"""

from __future__ import annotations

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, not_applicable, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.windows_languages import languages_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`languages` are those that are taken, as tags."""

    languages: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Ask a client for the language that it was installed in."""
    if system.product_type is not None and system.product_type.get() not in {"workstation", None}:
        return not_applicable(f"the Windows on {system.root} is a server", *system.product_type.evidence)
    found, evidence = languages_of(system)
    if system.product_type is None or system.product_type.get() is None:
        raise UnreadFact("missing", f"the Windows on {system.root} does not say whether it is a client", evidence)
    if found.installed is None:
        raise UnreadFact("missing", f"the Windows on {system.root} does not say its language", evidence)
    said = f"the Windows client on {system.root} was installed in {found.installed}"
    if found.installed in params.languages:
        return passed(said, *evidence)
    return failed(f"{said}, not in {' or '.join(params.languages)}", *evidence)


RULE = Rule(
    name="client-not-us-english",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.product_type", "systems.languages"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
