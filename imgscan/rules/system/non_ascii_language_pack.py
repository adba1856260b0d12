"""A language of the installed Windows needs characters that are not ASCII.

What it checks
--------------
The language that Windows was installed in, and the language packs of its user interface (`MUI/UILanguages` in the
registry, `MUILanguages` up to 2003). English and the few languages that are written in ASCII alone pass.

Why it matters
--------------
The importer does not support language packs that use UTF-16 or other characters than ASCII: it looks for folders,
services and accounts by their English names, and may not find them.

How to fix
----------
Set the display language to English, remove the other language packs (`lpksetup /u de-DE`, or `DISM /Remove-Package`)
and restart before the export. A Windows that was installed in another language has to be installed again.
"""

from __future__ import annotations

import msgspec

from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.windows_languages import languages_of, primary


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ascii_languages` are languages written in ASCII alone, as tags without a region."""

    ascii_languages: tuple[str, ...]


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Look for a language that is not one of those."""
    found, evidence = languages_of(system)
    others = [tag for tag in found.interface if primary(tag) not in params.ascii_languages]
    if others:
        return failed(f"the Windows on {system.root} has {', '.join(others)}", *evidence)
    return passed(f"the Windows on {system.root} has {', '.join(found.interface)} only", *evidence)


RULE = Rule(
    name="non-ascii-language-pack",
    title=title(__doc__),
    scope="system",
    reads=("systems.root", "systems.languages"),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
