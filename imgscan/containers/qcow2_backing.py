"""The disk below a qcow2 image: finding, opening and joining what is known of both."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from imgscan.containers.container import OpenContext, OpenedImage
from imgscan.containers.problems import error_of, problem_of
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.devices.host_files import HostFiles
from imgscan.errors import AccessRefused, ImageError
from imgscan.model.disk import ImageFacts, Parent, Problem
from imgscan.model.fact import Fact
from imgscan.model.text import shown

T = TypeVar("T")


class BackingReference(msgspec.Struct, frozen=True):
    """What the image says of its backing file: a name, and imgscan's name of its format, None when not recorded."""

    hint: str
    format: str | None


class _NoHostFiles:
    """The files that a guess may refer to: none."""

    def extent(self, name: str) -> FileDevice:
        """Refuse."""
        raise self._refusal(name)

    def parents(self, hint: str) -> list[tuple[FileDevice, HostFiles]]:
        """Refuse."""
        raise self._refusal(hint)

    def identities(self) -> frozenset[FileIdentity]:
        """Return which files were opened: none."""
        return frozenset()

    def _refusal(self, name: str) -> ImageError:
        return AccessRefused(
            f"its format is guessed from its content, which a guest may have written, so that {shown(name)!r}, which "
            "it names, was not opened; record the format in the image above: qemu-img rebase -u -F FORMAT -b NAME"
        )


def open_backing(
    file: FileDevice, context: OpenContext, reference: BackingReference | ImageError, facts: ImageFacts
) -> tuple[BlockDevice | ImageError, ImageFacts]:
    """Return the disk below `file`, or why it cannot be read, and `facts` with what is known of the whole chain.

    What the image itself holds can be read in either case.
    """
    hint = "" if isinstance(reference, ImageError) else reference.hint
    try:
        if isinstance(reference, ImageError):
            raise reference
        candidate, below = context.open_parent(file, (hint,), lambda found, within: _open(found, within, reference))
    except ImageError as error:
        parent = Parent(shown(hint), None, None, None)
        problems = (*facts.problems, problem_of(error, f"backing-file-{error.why}"))
        return error, msgspec.structs.replace(facts, parents=(parent,), problems=problems)
    parent = Parent(shown(hint), shown(candidate.name), below.facts.format, None)
    problems = tuple(
        Problem(problem.code, problem.kind, f"backing file {shown(candidate.name)}: {problem.detail}", problem.evidence)
        for problem in below.facts.problems
    )
    if reference.format is None:
        detail = (
            f"the format of the backing file {shown(candidate.name)} is not recorded; by its content it was read as "
            f"{below.facts.format}. Record it: qemu-img rebase -u -F FORMAT -b NAME"
        )
        problems = (Problem("backing-format-not-recorded", "note", detail), *problems)
    joined = msgspec.structs.replace(
        facts,
        parents=(parent, *below.facts.parents),
        problems=(*facts.problems, *problems),
        unclean=_either(facts.unclean, below.facts.unclean),
        encryption=_either(facts.encryption, below.facts.encryption),
        device_mapping=_either(facts.device_mapping, below.facts.device_mapping),
    )
    return below.device or error_of(below.facts, candidate.name), joined


def _open(found: FileDevice, within: OpenContext, reference: BackingReference) -> OpenedImage:
    if reference.format is None:
        within = msgspec.structs.replace(within, host=_NoHostFiles())
    return within.open_any(found, within, reference.format)


def _either(own: Fact[T], below: Fact[T]) -> Fact[T]:
    """Return the fact of the two that matters for the chain: one that says yes, else one that is unread."""
    if own.is_known and own.value:
        return own
    if below.is_known and below.value:
        return below
    return below if own.is_known else own
