"""qcow2, versions 2 and 3: header, features, backing files.

Source: QEMU, docs/interop/qcow2.txt. What is decided here:

- **Backing files** are looked up by the last component of their name, as parents of every format. A qcow2 image records
  no identity of its backing file, so that there is none to check: `Parent.identity` is None.
- **Without a recorded backing format** the backing file is told by its content, and then nothing that it names in turn
  is opened: the guest may have written the very header that tells it, into what was a raw disk. A problem says so.
- The **dirty** bit (reference counts may be wrong) is what `unclean` means; version 2 has no such state and is known to
  be clean. The **corrupt** bit is a problem of damage; what can be read is still read, as QEMU does.
- An image **cut short** is found by its reference counts: no cluster in use may begin at or after the file's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.problems import problem_of
from imgscan.containers.qcow2_backing import BackingReference, open_backing
from imgscan.containers.qcow2_disk import Qcow2Disk, zstd_decompressor
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import TABLE_PAGE_BYTES, VIRTUAL_SIZE
from imgscan.errors import (
    CorruptStructure,
    EncryptedData,
    ImageError,
    LimitExceeded,
    TruncatedRead,
    UnsupportedFormat,
)
from imgscan.layouts import qcow2 as layout
from imgscan.model.disk import ImageFacts, ImageFile, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import known
from imgscan.model.text import shown

NAME = "qcow2"
FORMATS = {
    "raw": "raw",
    "file": "raw",
    "host_device": "raw",
    "qcow2": "qcow2",
    "vmdk": "vmdk",
    "vpc": "vhd",
    "vhdx": "vhdx",
    "vdi": "vdi",
}
"""QEMU's names of formats, which images record, and imgscan's."""

_HEAD_BYTES = 4096
_EXTENSION_BYTES = 65536
"""How far header extensions are followed when they do not end within `_HEAD_BYTES`; no writer comes near."""
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
"""What QEMU takes for a protocol; a single letter is a Windows drive."""


def probe(file: FileDevice) -> bool:
    """Whether the file begins with the magic and a version of qcow2 (1 is qcow, another format)."""
    head = file.read_at(0, 8) if file.size >= 8 else b""
    return head[:4] == layout.MAGIC and head[4:] != b"\0\0\0\x01"


def refers_to(file: FileDevice) -> References:
    """Return the names of the backing file and of the external data file.

    :raises ImageError: the header cannot be read
    """
    image = _read_header(file)
    data_file = (_text(image.extensions.data_file),) if image.extensions.data_file else ()
    return References(data_file, (image.backing_name,) if image.backing_name else ())


def open_image(file: FileDevice, context: OpenContext) -> OpenedImage:
    """Open an image and the chain of its backing files.

    :raises ImageError: the header, or what it says of the tables, makes no image
    """
    image = _read_header(file)
    facts = _facts(image)
    refusal = _refusal(image)
    if refusal is not None:
        return OpenedImage(None, replace(facts, problems=(problem_of(refusal), *facts.problems)))
    backing: BlockDevice | ImageError | None = None
    if image.backing_name:
        backing, facts = open_backing(image.file, context, _backing_reference(image), facts)
    return OpenedImage(Qcow2Disk(file, image.header, backing), facts)


class _Image(msgspec.Struct, frozen=True):
    """A file and its header; `backing_name` is empty when there is none, and may be unreadable: `backing_error`."""

    file: FileDevice
    header: layout.Header
    extensions: layout.Extensions
    backing_name: str
    backing_error: ImageError | None


def _read_header(file: FileDevice) -> _Image:
    head = file.read_at(0, min(file.size, _HEAD_BYTES))
    if not layout.MAGIC.startswith(head[:4]):
        raise UnsupportedFormat("the file does not begin as a qcow2 image does", where=file.name, offset=0)
    header = layout.parse_header(head)
    if header is None:
        raise TruncatedRead(f"the file ends inside the qcow2 header ({file.size} bytes)", where=file.name)
    if header.version not in {2, 3}:
        raise UnsupportedFormat(f"qcow2 version {header.version} is not known", where=file.name, offset=4)
    least = layout.MIN_CLUSTER_BITS
    if header.incompatible_features & layout.EXTENDED_L2:
        least = layout.MIN_EXTENDED_CLUSTER_BITS
    if not least <= header.cluster_bits <= layout.MAX_CLUSTER_BITS:
        raise CorruptStructure(
            f"a cluster size of 2^{header.cluster_bits} bytes is not between 2^{least} and 2^{layout.MAX_CLUSTER_BITS}",
            where=file.name,
            offset=20,
        )
    cluster = 1 << header.cluster_bits
    if header.version == 3 and not layout.V3_BYTES <= header.header_length <= cluster:
        raise CorruptStructure(
            f"a header of {header.header_length} bytes is not between {layout.V3_BYTES} bytes and a cluster",
            where=file.name,
            offset=100,
        )
    if header.size > VIRTUAL_SIZE:
        raise LimitExceeded(f"a virtual size of {header.size} bytes is taken for damage", where=file.name, offset=24)
    end = min(len(head), cluster)
    if header.backing_file_offset:
        end = min(end, max(header.header_length, header.backing_file_offset))
    extensions = layout.parse_extensions(head, header.header_length, end)
    if extensions.broken_at is not None and end == _HEAD_BYTES < cluster:
        head = file.read_at(0, min(file.size, cluster, _EXTENSION_BYTES))
        extensions = layout.parse_extensions(head, header.header_length, len(head))
    try:
        name, error = _read_backing_name(file, header), None
    except ImageError as found:
        name, error = "(unreadable)", found
    return _Image(file, header, extensions, name, error)


def _read_backing_name(file: FileDevice, header: layout.Header) -> str:
    at, length = header.backing_file_offset, header.backing_file_size
    if not at or not length:
        return ""
    if length > layout.BACKING_NAME_BYTES or at + length > 1 << header.cluster_bits:
        raise CorruptStructure(
            f"the backing file's name ({length} bytes at {at}) is longer than {layout.BACKING_NAME_BYTES} bytes or "
            "outside the first cluster",
            where=file.name,
            offset=8,
        )
    return _text(file.read_at(at, length))


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _backing_reference(image: _Image) -> BackingReference | ImageError:
    """Return what is to be opened below, or why nothing is."""
    if image.backing_error is not None:
        return image.backing_error
    where, name = image.file.name, image.backing_name
    recorded = image.extensions.backing_format
    if recorded is not None and _text(recorded) not in FORMATS:
        return UnsupportedFormat(f"the backing file has the format {_text(recorded)!r}, which is not read", where=where)
    protocol = _PROTOCOL.match(name)
    if protocol is not None and protocol[1].lower() != "file":
        return UnsupportedFormat(
            f"the backing file is no file beside the image ({protocol[1]!r}); copy it there and rebase onto it: "
            "qemu-img rebase -u",
            where=where,
        )
    if protocol is not None:
        name = name[protocol.end() :]
    return BackingReference(name, None if recorded is None else FORMATS[_text(recorded)])


def _facts(image: _Image) -> ImageFacts:
    file, header, extensions = image.file, image.header, image.extensions
    metadata = {"version": str(header.version), "cluster_size": str(1 << header.cluster_bits)}
    metadata["compression"] = layout.COMPRESSION_TYPES.get(header.compression_type, str(header.compression_type))
    if header.nb_snapshots:
        metadata["snapshots"] = str(header.nb_snapshots)
    if image.backing_name:
        recorded = extensions.backing_format
        metadata["backing_format"] = "not recorded" if recorded is None else shown(_text(recorded))
    if extensions.data_file:
        metadata["data_file"] = shown(_text(extensions.data_file))
    method = header.crypt_method
    encryption = f"qcow2 {layout.CRYPT_METHODS.get(method, f'method {method}')}" if method else None
    delta = f"qcow2 overlay of {shown(image.backing_name)}" if image.backing_name else None
    features = _at(image, 72, 8, "incompatible features") if header.version >= 3 else ()
    return ImageFacts(
        format=NAME,
        variant=f"v{header.version}",
        virtual_size=header.size,
        files=(ImageFile(shown(file.name), "image", file.size),),
        problems=tuple(_problems(image)),
        metadata=metadata,
        unclean=known(bool(header.incompatible_features & layout.DIRTY), *features),
        encryption=known(encryption, *_at(image, 32, 4, "crypt_method")),
        device_mapping=known(None),
        delta=known(delta, *_at(image, 8, 12, "backing file")),
    )


def _at(image: _Image, offset: int, length: int, field: str) -> tuple[AtOffset]:
    return (AtOffset(shown(image.file.name), offset, length, f"qcow2 header: {field}"),)


def _problems(image: _Image) -> Iterator[Problem]:
    file, header = image.file, image.header
    if header.incompatible_features & layout.CORRUPT:
        detail = "the image is marked as corrupt; qemu-img check says what is wrong with it"
        yield Problem("image-marked-corrupt", "damage", detail, _at(image, 72, 8, "incompatible features"))
    if header.incompatible_features & layout.DIRTY:
        detail = "the image was not closed: its reference counts may be wrong; the guest's data are not concerned"
        yield Problem("image-not-closed", "unclean", detail, _at(image, 72, 8, "incompatible features"))
    if header.nb_snapshots:
        detail = f"the image holds {header.nb_snapshots} internal snapshots; the current state is read, not theirs"
        yield Problem("internal-snapshots", "note", detail, _at(image, 60, 4, "nb_snapshots"))
    if image.extensions.broken_at is not None:
        detail = "a header extension runs out of the first cluster; it and those after it were not read"
        yield Problem("header-extension", "damage", detail, _at(image, image.extensions.broken_at, 8, "extension"))
    if header.size % 512:
        detail = f"the virtual size of {header.size} bytes is not a whole number of sectors"
        yield Problem("size-not-of-whole-sectors", "note", detail, _at(image, 24, 8, "size"))
    if _needed_l1(header) > header.l1_size:
        detail = f"the L1 table has {header.l1_size} entries, and the disk needs {_needed_l1(header)}"
        yield Problem("l1-table-too-small", "damage", detail, _at(image, 36, 4, "l1_size"))
    if header.compression_type == 1 and zstd_decompressor() is None:
        detail = "clusters compressed with zstd cannot be read by this Python; the package zstandard helps"
        yield Problem("zstd-not-available", "note", detail, _at(image, layout.V3_BYTES, 1, "compression_type"))
    if not header.incompatible_features & (layout.DIRTY | layout.CORRUPT):
        beyond = cluster_in_use_beyond_end(file, header)
        if beyond is not None:
            detail = f"the file is cut short: it has {file.size} bytes, and a cluster at {beyond} is in use"
            yield Problem("file-cut-short", "truncated", detail, (AtOffset(shown(file.name), file.size),))


def _needed_l1(header: layout.Header) -> int:
    entry_bits = 4 if header.incompatible_features & layout.EXTENDED_L2 else 3
    return -(-header.size >> (2 * header.cluster_bits - entry_bits))


def _refusal(image: _Image) -> ImageError | None:
    """Return why nothing of the payload can be read, though the header can."""
    header, where = image.header, image.file.name
    unknown = header.incompatible_features & ~layout.KNOWN_INCOMPATIBLE
    if unknown:
        names = [
            shown(image.extensions.feature_names.get(bit, b"").decode("utf-8", "surrogateescape")) or f"bit {bit}"
            for bit in range(64)
            if unknown >> bit & 1
        ]
        message = f"the image needs features that are not known here: {', '.join(names)}"
        return UnsupportedFormat(message, where=where, offset=72)
    if header.crypt_method:
        name = layout.CRYPT_METHODS.get(header.crypt_method, f"method {header.crypt_method}")
        message = f"the image is encrypted ({name}); decrypt it first: qemu-img convert"
        return EncryptedData(message, where=where, offset=32)
    if header.incompatible_features & layout.EXTERNAL_DATA_FILE:
        data_file = image.extensions.data_file
        named = f" ({shown(_text(data_file))})" if data_file else ""
        message = f"the data are in an external file{named}; join them first: qemu-img convert -O qcow2"
        return UnsupportedFormat(message, where=where, offset=72)
    if header.compression_type not in layout.COMPRESSION_TYPES:
        message = f"the compression type {header.compression_type} is not known"
        return UnsupportedFormat(message, where=where, offset=layout.V3_BYTES)
    if header.l1_size * 8 > layout.L1_BYTES:
        return LimitExceeded(f"an L1 table of {header.l1_size} entries is too large", where=where, offset=36)
    if header.l1_table_offset % (1 << header.cluster_bits):
        message = f"the L1 table at {header.l1_table_offset} is not aligned to a cluster"
        return CorruptStructure(message, where=where, offset=40)
    if header.l1_size and header.l1_table_offset >= image.file.size:
        message = f"the L1 table at {header.l1_table_offset} lies beyond the end of the file ({image.file.size} bytes)"
        return TruncatedRead(message, where=where, offset=header.l1_table_offset)
    return None


def cluster_in_use_beyond_end(file: FileDevice, header: layout.Header) -> int | None:
    """Return the offset of a cluster that is in use by its reference count and begins at or after the file's end.

    Looks only at the counts next to the end (two reads of at most 64 KiB): an image that was cut short goes on there.
    """
    cluster, table = 1 << header.cluster_bits, header.refcount_table_offset
    length = header.refcount_table_clusters << header.cluster_bits
    usable = table and table % cluster == 0 and 0 < length <= layout.REFCOUNT_TABLE_BYTES
    if not usable or header.refcount_order > layout.MAX_REFCOUNT_ORDER:
        return None
    if table + length > file.size:
        return max(table, file.size)
    bits = 1 << header.refcount_order
    per_block = cluster * 8 // bits
    first = -(-file.size >> header.cluster_bits)
    start = table + first // per_block * 8
    entries = file.read_at(start, min(TABLE_PAGE_BYTES, table + length - start)) if start < table + length else b""
    for at in range(0, len(entries), 8):
        block = int.from_bytes(entries[at : at + 8], "big") & layout.REFCOUNT_OFFSET_MASK
        if not block:
            continue
        if block % cluster:
            return None
        if block + cluster > file.size:
            return block
        skip = first % per_block * bits if at == 0 else 0
        counts = file.read_at(block + skip // 8, min(TABLE_PAGE_BYTES, cluster - skip // 8))
        # counts of less than a byte begin at its lowest bit
        used = int.from_bytes(counts, "little") >> skip % 8
        if not used:
            return None
        lowest = (used & -used).bit_length() - 1
        number = (start - table + at) // 8 * per_block + (skip - skip % 8) // bits * (at == 0)
        return (number + (lowest + skip % 8) // bits) * cluster
    return None
