"""The .NET Framework that the target asks for is not installed.

What it checks
--------------
The installed versions of the .NET Framework, by the registry: 3.5 or later for the older versions of Windows, 4.5 or
later for the others.

Why it matters
--------------
What the target runs on the machine needs the framework. Version 4.5 or later is installed automatically where it is
required, which takes space and time.

How to fix
----------
Install the .NET Framework: 3.5 as a feature of Windows (`DISM /Online /Enable-Feature /FeatureName:NetFx3`), a later
one by its installer.
"""

from __future__ import annotations

import re

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset
from imgscan.model.machine import MachineFacts
from imgscan.model.rule import Result, Rule, failed, passed
from imgscan.model.system import System
from imgscan.rules.explanation import how_to_fix, title
from imgscan.rules.listed_windows import release_of


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`old` is the framework for Windows before `server_since` and `client_since`, its version numbers; else `new`."""

    old: str
    new: str
    server_since: str
    client_since: str


def check(_machine: MachineFacts, system: System, params: Params) -> Result:
    """Compare the latest installed version with the one that is asked for."""
    release = release_of(system)
    since = params.client_since if release.is_client else params.server_since
    wanted = params.new if _numbers(system.version.get() or "") >= _numbers(since) else params.old
    versions = [each.version for each in system.frameworks.get()]
    evidence = system.frameworks.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if any(not _numbers(version) for version in versions):
        raise UnreadFact("unsupported", f"a .NET Framework calls itself {', '.join(versions)}", evidence)
    said = f"{release.name} on {system.root} has .NET Framework {', '.join(versions) or 'in no version'}"
    if any(_numbers(version) >= _numbers(wanted) for version in versions):
        return passed(said, *evidence)
    return failed(f"{said}, and not {wanted} or later", *evidence, *release.evidence)


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


RULE = Rule(
    name="dotnet-missing",
    title=title(__doc__),
    scope="system",
    reads=(
        "systems.root",
        "systems.frameworks",
        "systems.version",
        "systems.product_type",
        "systems.product",
        "systems.edition",
    ),
    remedy=how_to_fix(__doc__),
    check=check,
    params=Params,
)
