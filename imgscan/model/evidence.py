"""Where a fact was read: the four kinds of evidence that a finding can carry."""

from __future__ import annotations

import msgspec

from imgscan.model.text import raw_bytes, shown


class AtOffset(msgspec.Struct, frozen=True, tag_field="kind", tag="offset", omit_defaults=True):
    """Bytes of a disk, a volume or a host file.

    `where` is a disk or volume name (`disk0`, `disk0/p1`) or, for container structures, the file's name;
    `offset` and `length` are in bytes; `structure` is the field's standard name ("GPT header", "VHD footer").
    """

    where: str
    offset: int
    length: int = 0
    structure: str = ""


class AtPath(msgspec.Struct, frozen=True, tag_field="kind", tag="path", omit_defaults=True):
    """A file of a guest filesystem; `line` counts from 1, 0 when the whole file is meant. `raw` is set by `at_path`."""

    volume: str
    path: str
    line: int = 0
    raw: bytes | None = None


class AtRegistry(msgspec.Struct, frozen=True, tag_field="kind", tag="registry", omit_defaults=True):
    """A key or value of a Windows registry hive; `raw` is the value's data as stored, as far as it was read."""

    volume: str
    hive: str
    key: str
    value: str | None = None
    raw: bytes | None = None


class AtSidecar(msgspec.Struct, frozen=True, tag_field="kind", tag="sidecar", omit_defaults=True):
    """A key of a file beside the disks (OVF, VMX, Hyper-V configuration)."""

    file: str
    key: str


Evidence = AtOffset | AtPath | AtRegistry | AtSidecar


def at_path(volume: str, path: str, line: int = 0) -> AtPath:
    """Evidence for a guest path that may hold any bytes: shown safely, with its bytes beside it when they differ."""
    return AtPath(volume, shown(path), line, raw_bytes(path))
