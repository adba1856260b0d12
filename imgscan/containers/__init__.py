"""The container formats: a file becomes a block device.

`FORMATS` is the table of contents, in the order in which a file's content is asked. What to know about detection:

- A format is told by content, never by the file's name.
- The first bytes of a raw disk or a fixed VHD, and the last bytes of a raw disk or a grown image, are the guest's: it
  can write any magic there. Where a file shows two formats, this order decides, and the problem `format-ambiguous`
  says so and names ``--input-format``:

  1. a fixed VHD's footer with a valid checksum whose size is exactly that of the file in front of it. Read so, nothing
     of the guest's is taken for a structure, and no other file is opened: the one harmless reading of the two;
  2. else the header at the front: only fixed VHDs and raw disks leave the front to the guest;
  3. a raw disk has no magic, so it comes last.

  A guest that knows its raw disk's size can still make it look like a fixed VHD (its last sector is then not read), and
  a qcow2 or VDI by its first bytes: who knows better says so with ``--input-format``.
"""

from __future__ import annotations

import importlib
from typing import Protocol

import msgspec

from imgscan.containers import vhd, vmdk
from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.problems import problem_of
from imgscan.containers.sidecars import sidecar_disks
from imgscan.devices.file import FileDevice
from imgscan.devices.host_files import HostFiles
from imgscan.errors import ImageError, UnsupportedFormat, UsageError
from imgscan.layouts import vhd as vhd_layout
from imgscan.model.disk import ImageFacts, ImageFile, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import unread_because
from imgscan.model.text import shown

__all__ = ["FORMATS", "Identification", "OpenedImage", "References", "identify", "open_image", "sidecar_disks"]


class Reader(Protocol):
    """The shape of a reader's module; see `imgscan.containers.container`."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The format's name."""
        ...

    def probe(self, file: FileDevice, /) -> bool:
        """Say whether the content is that format."""
        ...

    def refers_to(self, file: FileDevice, /) -> References:
        """Return the names of other files in the image."""
        ...

    def open_image(self, file: FileDevice, context: OpenContext, /) -> OpenedImage:
        """Return facts, and a device when any of the payload can be read."""
        ...


class LateReader(msgspec.Struct, frozen=True):
    """A reader whose module is loaded for a file with its magic only (start-up time)."""

    NAME: str
    magic: bytes = b""
    magic_at: int = 0

    @property
    def _module(self) -> Reader:
        module: Reader = importlib.import_module(f"imgscan.containers.{self.NAME}")
        return module

    def probe(self, file: FileDevice) -> bool:
        """Say whether the content is that format."""
        end = self.magic_at + len(self.magic)
        return (
            file.size >= end and file.read_at(self.magic_at, len(self.magic)) == self.magic and self._module.probe(file)
        )

    def refers_to(self, file: FileDevice) -> References:
        """Return the names of other files in the image."""
        return self._module.refers_to(file)

    def open_image(self, file: FileDevice, context: OpenContext) -> OpenedImage:
        """Return facts, and a device when any of the payload can be read."""
        return self._module.open_image(file, context)


FORMATS: tuple[Reader, ...] = (
    vmdk,
    LateReader("vhdx", b"vhdxfile"),
    LateReader("qcow2", b"QFI\xfb"),
    LateReader("vdi", b"\x7f\x10\xda\xbe", 0x40),
    vhd,
    LateReader("raw"),
)
"""The readers, in the order in which they are asked; raw, which has no magic, is last."""


NO_REFERENCES = References()


class Identification(msgspec.Struct, frozen=True):
    """What a file is by its content.

    `format` is None when it is none that imgscan reads, and `reason` then says what it is, or why it could not be told.
    `others` are further formats whose magic the file shows.
    """

    format: str | None
    references: References = NO_REFERENCES
    reason: ImageError | None = None
    others: tuple[str, ...] = ()


def identify(file: FileDevice) -> Identification:
    """Say what a file is and which other files it names, and open none of them."""
    try:
        file.read_at(0, min(file.size, 512))  # a file that cannot be read is not a file of an unknown format
        found = _formats_of(file)
        reason = None if found else _refusal(file)
    except ImageError as error:
        return Identification(None, reason=error)
    if reason is not None:
        return Identification(None, reason=reason)
    reader, *others = found
    try:
        references = reader.refers_to(file)
    except ImageError:
        references = NO_REFERENCES  # opening it will say what is wrong
    return Identification(reader.NAME, references, None, tuple(other.NAME for other in others))


def open_image(file: FileDevice, host: HostFiles, input_format: str | None = None) -> OpenedImage:
    """Open an image of any format, or of the one named by `input_format`, whatever its content.

    What is wrong with the image is in the facts' problems; the device is None when nothing of the payload can be read.

    :raises UsageError: there is no format of that name
    """
    names = [reader.NAME for reader in FORMATS]
    if input_format is not None and input_format not in names:
        raise UsageError(f"{shown(input_format)!r} is not an input format; there are {', '.join(names)}")
    return _open_any(file, OpenContext(host, _open_any), input_format)


def _open_any(file: FileDevice, context: OpenContext, input_format: str | None) -> OpenedImage:
    identification = Identification(input_format) if input_format is not None else identify(file)
    if identification.reason is not None:
        return unreadable(file, None, identification.reason)
    reader = next((reader for reader in FORMATS if identification.format == reader.NAME), None)
    if reader is None:  # only an image can name it so: a user's word was checked before
        error = UnsupportedFormat(f"the image names the format {shown(str(input_format))!r}", where=file.name)
        return unreadable(file, None, error)
    try:
        image = reader.open_image(file, context)
    except ImageError as error:
        image = unreadable(file, reader.NAME, error)
    if not identification.others:
        return image
    problems = (_ambiguous(file, reader.NAME, identification.others), *image.facts.problems)
    return msgspec.structs.replace(image, facts=msgspec.structs.replace(image.facts, problems=problems))


def unreadable(file: FileDevice, name: str | None, error: ImageError) -> OpenedImage:
    """Return what there is to say of a file that cannot be read: one problem, and facts unread for that reason."""
    facts = ImageFacts(
        format=name,
        variant=None,
        virtual_size=None,
        files=(ImageFile(shown(file.name), "image", file.size),),
        problems=(problem_of(error),),
        unclean=unread_because(error),
        encryption=unread_because(error),
        device_mapping=unread_because(error),
        delta=unread_because(error),
    )
    return OpenedImage(None, facts)


def _refusal(file: FileDevice) -> ImageError | None:
    from imgscan.containers import refused  # noqa: PLC0415 - start-up time: most files are an image

    return refused.reason(file)


def _formats_of(file: FileDevice) -> list[Reader]:
    *with_magic, last = FORMATS
    found = [reader for reader in with_magic if reader.probe(file)]
    if len(found) > 1 and is_fixed_vhd(file):
        found.sort(key=lambda reader: reader.NAME != "vhd")
    if found:
        return found
    from imgscan.containers import refused  # noqa: PLC0415 - start-up time: most files are an image

    if refused.recognise(file) is not None:
        return []
    return [last] if last.probe(file) else []


def is_fixed_vhd(file: FileDevice) -> bool:
    """Whether a fixed VHD's footer with a valid checksum ends the file, and its size is that of what is before it.

    :raises ImageError: the file cannot be read
    """
    data_size = file.size - vhd_layout.FOOTER_BYTES
    if data_size < 0:
        return False
    footer = vhd_layout.parse_footer(file.read_at(data_size, vhd_layout.FOOTER_BYTES))
    return (
        footer is not None
        and footer.checksum_good
        and footer.type == vhd_layout.FIXED
        and footer.current_size == data_size
    )


def _ambiguous(file: FileDevice, name: str, others: tuple[str, ...]) -> Problem:
    return Problem(
        "format-ambiguous",
        "damage",
        f"the file is read as {name}, and has the magic of {' and '.join(others)} too; "
        f"say which it is with --input-format",
        (AtOffset(shown(file.name), 0, 512, "header"),),
    )
