"""What every container reader has in common: the shape of its module, what it gets and what it returns.

A reader's module offers

- ``NAME``: the format's name in the report (`vmdk`, `vhd`, ...)
- ``probe(file) -> bool``: whether the content is that format; reads at most 64 KiB, never raises an `ImageError`
- ``refers_to(file) -> References``: the names of other files that the image names, without opening any of them
- ``open_image(file, context) -> OpenedImage``: facts, and a device when any of the payload can be read
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice, FileIdentity
from imgscan.devices.host_files import HostFiles
from imgscan.devices.limits import CHAIN_DEPTH
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart
from imgscan.model.disk import ImageFacts


class References(msgspec.Struct, frozen=True):
    """Names in an image, as it gives them: `extents` make up the same disk, `parents` are hints to what lies below."""

    extents: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()


class OpenedImage(msgspec.Struct, frozen=True):
    """`device` is None when nothing of the payload can be read; `facts.problems` then says why."""

    device: BlockDevice | None
    facts: ImageFacts


class OpenContext(msgspec.Struct, frozen=True):
    """What a reader may use besides the file itself.

    `host` opens the files that the image names, under the policy. `above` are the identities of the images that this
    one is a parent of, for cycles and depth. `open_any` opens a file of any format, or of the
    named one (qcow2 backing files).
    """

    host: HostFiles
    open_any: Callable[[FileDevice, OpenContext, str | None], OpenedImage]
    above: tuple[FileIdentity, ...] = ()

    def below(self, file: FileDevice, host: HostFiles) -> OpenContext:
        """Return the context in which a parent is opened that was found while `file` is open.

        :raises LimitExceeded: the chain is deeper than `CHAIN_DEPTH`
        """
        if len(self.above) + 1 >= CHAIN_DEPTH:
            raise LimitExceeded(f"the chain of parents is deeper than {CHAIN_DEPTH} images", where=file.name)
        return msgspec.structs.replace(self, host=host, above=(*self.above, file.identity))

    def open_parent(
        self, file: FileDevice, hints: tuple[str, ...], matches: Callable[[FileDevice, OpenContext], OpenedImage]
    ) -> tuple[FileDevice, OpenedImage]:
        """Open the first candidate for `file`'s parent that `matches`; the hints are tried in their order.

        `matches` opens a candidate and raises an `ImageError` when its identity is another (or it cannot be opened).

        :raises CorruptStructure: the image is its own ancestor
        :raises MissingPart: there is no candidate, or none is the one the image means
        """
        reasons: list[str] = []
        only: ImageError | None = None
        for hint in hints:
            for candidate, host in self.host.parents(hint):
                if candidate.identity == file.identity or candidate.identity in self.above:
                    only = CorruptStructure(
                        f"the chain of parents runs in a circle through {candidate.name!r}", where=file.name
                    )
                    reasons.append(str(only))
                    continue
                try:
                    return candidate, matches(candidate, self.below(file, host))
                except ImageError as error:
                    only = error
                    reasons.append(str(error))
        if only is not None and len(reasons) == 1:
            raise only
        named = " or ".join(repr(hint) for hint in hints) or "no name"
        if reasons:
            raise MissingPart(
                f"no file found for the parent {named} is the one meant ({'; '.join(reasons)})", where=file.name
            )
        raise MissingPart(
            f"the parent {named} was not found beside the image; put it there or name its folder with --search-dir",
            where=file.name,
        )
