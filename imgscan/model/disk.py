"""One virtual disk: the image file it comes from and the partition table on it."""

from __future__ import annotations

from typing import Literal

import msgspec

from imgscan.errors import Why
from imgscan.model.evidence import Evidence
from imgscan.model.fact import NOT_COLLECTED, Fact, unread

ProblemKind = Literal[
    "damage",
    "truncated",
    "missing",
    "refused",
    "unsupported",
    "encrypted",
    "unclean",
    "changed",
    "io-error",
    "timed-out",
    "crashed",
    "internal",
    "note",
]
"""What a problem means: `damage` is proven (a checksum, a contradiction), `truncated` is data beyond the end of a
file, `missing` a file that is not there, `refused` one that the host-file policy does not open, `unclean` an image
that was not closed, `io-error` what the host could not read; `timed-out`, `crashed` and `internal` say that the parser
did not get through it; `note` something that a user should know and that
changes no reading."""


WHY_OF_PROBLEM: dict[ProblemKind, Why] = {
    "damage": "corrupt",
    "truncated": "truncated",
    "missing": "missing",
    "refused": "denied",
    "encrypted": "encrypted",
    "io-error": "io-error",
    "changed": "changed",
    "timed-out": "timed-out",
    "crashed": "crashed",
    "internal": "internal",
}
"""Problems after which it is open what an image is; `unsupported`, `unclean` and `note` are not among them."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something about an image or table that is not as it should be.

    `code` is a stable kebab-case name (`footer-checksum`, `extent-outside-folder`), `detail` one sentence.
    """

    code: str
    kind: ProblemKind
    detail: str
    evidence: tuple[Evidence, ...] = ()


class ImageFile(msgspec.Struct, frozen=True):
    """A host file that makes up a disk, by its bare name; `size` in bytes."""

    name: str
    role: Literal["image", "descriptor", "extent"]
    size: int


class Parent(msgspec.Struct, frozen=True):
    """A parent that a delta or differencing image names, nearest first.

    `hint` is the name as the image gives it; `file` the bare name of the file that was opened, None when none was.
    """

    hint: str
    file: str | None
    format: str | None
    identity: str | None


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a container reader says of an image file. Sizes are in bytes.

    `format` is None when the file could not be recognised. `encryption`, `device_mapping` and `delta` are known
    `None` when the image is plain; else they name what it is ("VMware encryption.keySafe", "vmfsRDM", "VHD
    differencing", "VMDK delta of parentCID 1234abcd").
    """

    format: str | None
    variant: str | None
    virtual_size: int | None
    logical_sector_size: int = 512
    files: tuple[ImageFile, ...] = ()
    parents: tuple[Parent, ...] = ()
    problems: tuple[Problem, ...] = ()
    geometry_size: int | None = None
    identity: str | None = None
    metadata: dict[str, str] = {}
    unclean: Fact[bool] = unread("not-collected", NOT_COLLECTED)
    encryption: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    device_mapping: Fact[str | None] = unread("not-collected", NOT_COLLECTED)
    delta: Fact[str | None] = unread("not-collected", NOT_COLLECTED)


class Partition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One partition. `start` and `size` in bytes from the disk's first byte.

    `type` is `0x83` (MBR) or a lower-case GUID (GPT), `type_name` its usual name, `uuid` the PARTUUID as Linux
    writes it (`signature-number` in lower-case hexadecimal on MBR).
    """

    name: str
    number: int
    start: int
    size: int
    type: str
    active: bool
    label: str | None
    type_name: str | None = None
    uuid: str | None = None
    attributes: int = 0


class PartitionTable(msgspec.Struct, frozen=True, kw_only=True):
    """A disk's partition table; `scheme` is `none` when the disk was read and has no table.

    `identifier` is the disk signature (`0x1234abcd`) or disk GUID; `protective` says what the MBR in front of a GPT
    is. `boot_signature` is whether sector 0 ends in 55 AA.
    """

    scheme: Literal["mbr", "gpt", "none"]
    partitions: tuple[Partition, ...] = ()
    problems: tuple[Problem, ...] = ()
    identifier: str | None = None
    protective: Literal["protective", "hybrid"] | None = None
    boot_signature: bool = False


class Disk(ImageFacts, frozen=True, kw_only=True):
    """An image as one disk of the machine: `disk0`, `disk1`, ... in their order.

    `path` is as the user gave it. `partition_table` is None only when `partitioning` is unread.
    """

    name: str
    path: str
    partition_table: PartitionTable | None = None
    partitioning: Fact[str] = unread("not-collected", NOT_COLLECTED)
