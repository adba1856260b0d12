"""A target's list of operating systems, as a profile has it, and what of it a system is.

The list is the profile's data (``[[systems.linux]]``), in the words of the target's own page. How it is compared:
numbers part by part (5.9 < 5.10 < 5.11), as many parts as the list gives (7.6.1810 is 7.6); a missing part is 0 (Debian
7.8 is 7.8.0), but a major version alone (`8`) is no point release, and leaves open which one it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import msgspec

from imgscan.errors import UnreadFact
from imgscan.model.evidence import AtOffset, Evidence
from imgscan.model.fact import NOT_COLLECTED, Fact
from imgscan.model.system import System

Number = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})*$")]
Parts = tuple[int, ...]

NO_NAME: Final = "linux"
"""The id of a system whose os-release does not name it."""


class ReleaseRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All releases between two, these included."""

    first: Number = msgspec.field(name="from")
    last: Number = msgspec.field(name="to")

    def __str__(self) -> str:
        """Return the range as a list of releases has it."""
        return f"{self.first} to {self.last}"


class ListedKernel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kernel: `version` and `suffix` as the page writes them, `kind` its word for the kernel where it has one."""

    version: str | None = None
    suffix: str | None = None
    kind: Literal["RHEL-compatible", "RHEL compatible", "UEK"] | None = None

    def __str__(self) -> str:
        """Return the kernel as a list of kernels has it."""
        return " ".join(word for word in (self.kind, self.version, self.suffix) if word)


class Exclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release that the page excludes by name, and its reason."""

    release: Number
    reason: str


class ListedLinux(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A line of the list: `id` is that of os-release, `name` the page's, `service_pack` 0 where the line has none.

    `variants_since`: the release from which on the system tells its variant; older ones had none.
    """

    id: str
    name: str
    releases: tuple[Number | ReleaseRange, ...]
    bits: tuple[int, ...]
    service_pack: int | None = None
    variant: str | None = None
    variants_since: Number | None = None
    kernels: tuple[ListedKernel, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()

    def __str__(self) -> str:
        """Return the line in one phrase."""
        kernels = f" with kernel {' or '.join(map(str, self.kernels))}" if self.kernels else ""
        return f"{self.name} {self.which}{kernels}"

    @property
    def which(self) -> str:
        """The line's releases in one phrase."""
        releases = ", ".join(str(release) for release in self.releases)
        return releases if not self.service_pack else f"{releases} SP{self.service_pack}"


class Listed(msgspec.Struct, frozen=True):
    """Which lines of the list a system is, none when it is not on it, with what was read of it.

    `said` names the system, `why_not` says what of it is not on the list, `evidence` is where that stands.
    """

    lines: tuple[ListedLinux, ...]
    said: str
    why_not: str
    evidence: tuple[Evidence, ...]


def name_of(system: System) -> tuple[str, tuple[Evidence, ...]]:
    """Return the system's id, and where it stands.

    :raises UnreadFact: it was not read, or the system does not name itself
    """
    name = system.id.get()
    evidence = system.id.evidence or (AtOffset(system.root, 0, 0, "installed system"),)
    if name is None or name == NO_NAME:
        raise UnreadFact("missing", f"the system on {system.root} does not say which distribution it is", evidence)
    return name, evidence


def find_listed(system: System, listed: Iterable[ListedLinux]) -> Listed:
    """Look a system up in the list, by distribution, release, service pack and variant; kernels are another question.

    :raises UnreadFact: what decides was not read, or the system does not say it
    """
    name, evidence = name_of(system)
    lines = tuple(line for line in listed if line.id == name)
    if not lines:
        said = system.product.value if isinstance(system.product.value, str) else name
        return Listed((), said, f"the list has no {name}", evidence)
    version = system.version.get()
    evidence = (*evidence, *system.version.evidence)
    numbers = _parts(version)
    if version is None or numbers is None or (len(numbers) > 1 and not _has_months_as(version, lines)):
        raise UnreadFact("missing", f"the {name} on {system.root} does not say which release it is", evidence)
    said = f"{lines[0].name} {version}"
    for line in lines:
        for exclusion in line.exclusions:
            if _cut(numbers, len(parts := parts_of(exclusion.release))) == parts and len(numbers) >= len(parts):
                return Listed((), said, f"the list excludes it: {exclusion.reason}", evidence)
    whole = "; ".join(line.which for line in lines)
    answers = [(line, _has_release(line, numbers)) for line in lines]
    if any(answer is None for _, answer in answers):
        detail = f"{said} on {system.root} is a major version, and its point release is not known; listed are {whole}"
        raise UnreadFact("missing", detail, evidence)
    lines = tuple(line for line, answer in answers if answer)
    if not lines:
        return Listed((), said, f"listed are {whole}", evidence)
    if any(line.service_pack is not None for line in lines):
        pack = _get(system.service_pack)
        evidence = _with(evidence, system.service_pack)
        said = f"{lines[0].name} {parts_text(numbers[:1])} {pack or 'without a service pack'}"
        number = _service_pack_number(pack, system, evidence)
        lines = tuple(line for line in lines if line.service_pack in {None, number})
        if not lines:
            return Listed((), said, f"listed are {whole}", evidence)
    return _of_variant(system, lines, numbers, said, evidence)


def _has_months_as(version: str, lines: Iterable[ListedLinux]) -> bool:
    """Whether a version of a system whose releases are named by year and month (18.04) has two digits for the month."""
    releases = [release for line in lines for release in line.releases]
    by_month = all(isinstance(release, str) and re.fullmatch(r"[0-9]+\.[0-9]{2}", release) for release in releases)
    return not by_month or re.match(r"[0-9]+\.[0-9]{2}(?![0-9])", version) is not None


def _of_variant(
    system: System, lines: tuple[ListedLinux, ...], numbers: Parts, said: str, evidence: tuple[Evidence, ...]
) -> Listed:
    """Leave out the lines of other variants."""
    if all(line.variant is None for line in lines):
        return Listed(lines, said, "", evidence)
    older = [line for line in lines if line.variants_since and numbers < parts_of(line.variants_since)]
    if older:
        return Listed(tuple(older), f"{said}, which has no variants yet,", "", evidence)
    variant = _get(system.variant)
    evidence = _with(evidence, system.variant)
    if variant is None:
        raise UnreadFact("missing", f"{said} on {system.root} does not say which variant it is", evidence)
    same = tuple(line for line in lines if line.variant is None or line.variant.lower() == variant.lower())
    wanted = ", ".join(str(line.variant) for line in lines)
    return Listed(same, f"{said} {variant}", "" if same else f"of that release the list has {wanted}", evidence)


def _get(fact: Fact[str | None] | None) -> str | None:
    if fact is None:
        raise UnreadFact("not-collected", NOT_COLLECTED)
    return fact.get()


def _with(evidence: tuple[Evidence, ...], fact: Fact[str | None] | None) -> tuple[Evidence, ...]:
    return (*evidence, *(fact.evidence if fact is not None else ()))


def _service_pack_number(pack: str | None, system: System, evidence: tuple[Evidence, ...]) -> int:
    match = re.search(r"([0-9]{1,3})$", pack) if pack is not None else None
    if pack is not None and match is None:
        raise UnreadFact("missing", f"the system on {system.root} calls its service pack {pack}", evidence)
    return int(match[1]) if match else 0


def _has_release(line: ListedLinux, numbers: Parts) -> bool | None:
    """Whether a release is on a line; None when it is a major version alone and the line has some of it."""
    answers = {_is_in(release, numbers) for release in line.releases}
    return True if True in answers else None if None in answers else False


def _is_in(release: str | ReleaseRange, numbers: Parts) -> bool | None:
    first, last = (release, release) if isinstance(release, str) else (release.first, release.last)
    low, high = parts_of(first), parts_of(last)
    if len(numbers) == 1 and len(low) > 1:
        return None if low[:1] <= numbers <= high[:1] else False
    return low <= _cut(numbers, len(low)) and _cut(numbers, len(high)) <= high


def _cut(numbers: Parts, length: int) -> Parts:
    """Return a version with that many parts: more are left out, missing ones are 0."""
    return (*numbers, *(0,) * length)[:length]


def parts_of(number: str) -> Parts:
    """Return the parts of a number of the list."""
    return tuple(int(part) for part in number.split("."))


def parts_text(numbers: Parts) -> str:
    """Return a number again."""
    return ".".join(map(str, numbers))


def _parts(version: str | None) -> Parts | None:
    """Return the parts of a version from an image, None when it does not begin with a number."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version or "")
    return parts_of(match[0]) if match and len(match[0]) <= 64 else None


def is_kernel(release: str, listed: ListedKernel) -> bool:
    """Whether a kernel, by its release as uname prints it, is one of the list.

    A version with a dash (`3.0.101-63`) is the whole release without its flavour (`-default`); one without is the part
    before the dash, of which `4.4` has all of 4.4.x too. Oracle's UEK kernels end in `elNuek`, others do not.
    """
    without_architecture = re.sub(r"\.(x86_64|i[3-6]86)$", "", release)
    if listed.suffix is not None and not without_architecture.endswith(listed.suffix):
        return False
    if listed.kind is not None and bool(re.search(r"\.el[0-9]+uek$", without_architecture)) != (listed.kind == "UEK"):
        return False
    if listed.version is None:
        return True
    if "-" in listed.version:
        return re.sub(r"-[A-Za-z][^-]*$", "", release) == listed.version
    upstream = release.partition("-")[0]
    is_part = listed.kind is None and upstream.startswith(f"{listed.version}.")
    return upstream == listed.version or is_part


def kernels_of(lines: Iterable[ListedLinux]) -> Iterator[ListedKernel]:
    """Yield the kernels of some lines."""
    for line in lines:
        yield from line.kernels
