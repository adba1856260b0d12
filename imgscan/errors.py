"""Every error that imgscan raises on purpose.

::

    ImgscanError                 one line: what, where, what to do
      UsageError                 the command or call is wrong; exit status 2
      ProfileError               a profile file is wrong; exit status 2
      ImageError                 an image cannot be read as asked; becomes an unread fact
        UnsupportedFormat        unsupported   recognised, and not read by imgscan
        EncryptedData            encrypted     readable only with a key
        CorruptStructure         corrupt       a structure contradicts its specification or itself
        TruncatedRead            truncated     the bytes lie beyond the end of what there is
        LimitExceeded            limit         larger, deeper or longer than imgscan is willing to follow
        MissingPart              missing       a file that the image needs is not there
        AccessRefused            denied        the host-file policy or the host's permissions forbid it
        ReadFailed               io-error      the host could not read
        ChangedWhileReading      changed       the file is not the one it was at the start
        TookTooLong              timed-out     reading it used up the time that one machine has
        ParserCrashed            crashed       the process that read it died
        ParserFailed             internal      imgscan itself failed while reading it: a bug
      LedgerError                a results database cannot be used as it is
        LedgerUnavailable        not now: disk full, I/O error, locked; the transaction may be repeated
      InternalFailure            a bug of imgscan's own; exit status 70
    UnreadFact                   a signal: a rule asked for a fact that was not read (see `imgscan.judge`)

One class for each decision that a caller takes, no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Why = Literal[
    "encrypted",
    "unsupported",
    "corrupt",
    "truncated",
    "limit",
    "missing",
    "denied",
    "io-error",
    "changed",
    "timed-out",
    "crashed",
    "not-collected",
    "internal",
]
"""Why a fact could not be read."""


class ImgscanError(Exception):
    """What went wrong, in one sentence for a user; `where` names the file, disk or volume."""

    def __init__(self, message: str, *, where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where

    def __str__(self) -> str:
        """Return one line: the place, then what is wrong with it."""
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(ImgscanError):
    """The command line or the call asks for something that cannot be; exit status 2."""


class ProfileError(ImgscanError):
    """A profile is not valid; exit status 2."""


class ImageError(ImgscanError):
    """An image, or a part of it, cannot be read; `offset` is in bytes within `where`, when known."""

    why: ClassVar[Why] = "corrupt"

    def __init__(self, message: str, *, where: str = "", offset: int | None = None) -> None:
        super().__init__(message, where=where)
        self.offset = offset


class UnsupportedFormat(ImageError):
    """Recognised by name, and not read by imgscan."""

    why = "unsupported"


class EncryptedData(ImageError):
    """Readable only with a key that imgscan was not given."""

    why = "encrypted"


class CorruptStructure(ImageError):
    """A structure contradicts its specification, its checksum or itself."""

    why = "corrupt"


class TruncatedRead(ImageError):
    """The bytes asked for lie beyond the end of the file or device."""

    why = "truncated"


class LimitExceeded(ImageError):
    """A size, count or depth is above what imgscan is willing to follow (`imgscan.devices.limits`)."""

    why = "limit"


class MissingPart(ImageError):
    """A file that the image refers to is not there, or is not the one it means."""

    why = "missing"


class AccessRefused(ImageError):
    """The host-file policy, or the host's permissions, forbid opening it."""

    why = "denied"


class ReadFailed(ImageError):
    """The host reported an error while reading."""

    why = "io-error"


class ChangedWhileReading(ImageError):
    """The file changed between two reads of one scan."""

    why = "changed"


class TookTooLong(ImageError):
    """Reading it used up the time that one machine has."""

    why = "timed-out"


class ParserCrashed(ImageError):
    """The process that read it died (a segmentation fault, an abort)."""

    why = "crashed"


class ParserFailed(ImageError):
    """Imgscan itself failed while reading it: a bug, contained to this part of the machine."""

    why = "internal"


class InternalFailure(ImgscanError):
    """A bug of imgscan's own in the process that parses; exit status 70."""


class LedgerError(ImgscanError):
    """A results database is damaged, or holds nothing that answers; trying again does not help."""


class LedgerUnavailable(LedgerError):
    """A results database cannot be written or read now (disk full, I/O error, locked by another program).

    Nothing of the transaction was kept; the same transaction may be repeated.
    """


ERRORS: dict[str, type[ImageError]] = {kind.why: kind for kind in ImageError.__subclasses__()}
"""The error that stands for each reason."""


class UnreadFact(Exception):
    """A rule asked for a fact that was not read; the judge turns it into `unknown`.

    `evidence` is a sequence of `imgscan.model.evidence.Evidence` (not named here: errors import nothing).
    """

    def __init__(self, why: Why, detail: str, evidence: Sequence[object] = ()) -> None:
        super().__init__(f"{why}: {detail}")
        self.why = why
        self.detail = detail
        self.evidence = tuple(evidence)
