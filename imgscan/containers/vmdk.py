"""VMDK: a descriptor (in a text file, or embedded in a sparse file) and the extents that it lists.

Source: VMware Virtual Disk Format 1.1 (VMware, 2007), and what producers do:

- An embedded descriptor describes the file that holds it, whatever the file was renamed to.
- Extents are bare names in the descriptor's own folder; their content is the guest's and is not asked for a format.
- A delta's parent is used only when its CID is the one the delta names. Grains that the delta does not hold are the
  parent's.
- A disk that maps a device of the host (raw device mapping), or that is encrypted, is named and not opened.

Variants that were never seen made by their own producer here are listed in docs/formats.md.
"""

from __future__ import annotations

from typing import NamedTuple

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.problems import problem_of
from imgscan.containers.vhd_parent import FoundParent, find_parent
from imgscan.containers.vmdk_descriptor import FLAT_TYPES, SPARSE_TYPES, Descriptor, Extent, parse_descriptor
from imgscan.containers.vmdk_extents import OpenedExtent, open_cowd, open_hosted, open_sesparse
from imgscan.devices.concat import ConcatDevice, Part
from imgscan.devices.device import BlockDevice
from imgscan.devices.file import FileDevice
from imgscan.devices.limits import DESCRIPTOR_BYTES, VIRTUAL_SIZE
from imgscan.devices.slice import SliceDevice
from imgscan.errors import (
    CorruptStructure,
    EncryptedData,
    ImageError,
    LimitExceeded,
    MissingPart,
    TruncatedRead,
    UnsupportedFormat,
)
from imgscan.layouts import vmdk as layout
from imgscan.model.disk import ImageFacts, ImageFile, Problem
from imgscan.model.evidence import AtOffset
from imgscan.model.fact import Fact, known, unread
from imgscan.model.text import shown

NAME = "vmdk"
SECTOR = layout.SECTOR
SETTINGS = {
    "createtype": "createType",
    "cid": "CID",
    "parentcid": "parentCID",
    "encoding": "encoding",
    "parentfilenamehint": "parentFileNameHint",
    "changetrackpath": "changeTrackPath",
    "ddb.adaptertype": "adapterType",
    "ddb.virtualhwversion": "virtualHWVersion",
    "ddb.toolsversion": "toolsVersion",
    "ddb.thinprovisioned": "thinProvisioned",
    "ddb.uuid": "uuid",
    "ddb.longcontentid": "longContentID",
    "ddb.objectparenturi": "objectParentUri",
}
"""Lines of a descriptor that the report keeps, and what it calls them."""


class _Source(NamedTuple):
    """A disk's descriptor; `embedded` is the header of the sparse file that holds it."""

    descriptor: Descriptor
    embedded: bool
    at: int
    length: int


def probe(file: FileDevice) -> bool:
    """Whether the file begins with a sparse extent's magic, or is a text descriptor."""
    try:
        head = file.read_at(0, min(file.size, 512))
    except ImageError:
        return False
    if head.startswith((layout.SPARSE_MAGIC, layout.COWD_MAGIC)):
        return len(head) >= 8 and int.from_bytes(head[4:8], "little") <= 0xFF
    return head.startswith(layout.SESPARSE_MAGIC) or _is_text(head)


def refers_to(file: FileDevice) -> References:
    """Return the names of extents and parent.

    :raises ImageError: the descriptor cannot be read
    """
    source = _source(file)
    if source is None:
        return References()
    names = [] if source.embedded else [e.name for e in source.descriptor.extents if e.name and e.name != file.name]
    return References(tuple(dict.fromkeys(names)), _hints(source.descriptor))


def open_image(file: FileDevice, context: OpenContext) -> OpenedImage:
    """Open a VMDK.

    :raises ImageError: there is no descriptor that can be read
    """
    source = _source(file)
    if source is None:
        return _extent_alone(file)
    descriptor = source.descriptor
    size = _disk_size(file, source)
    device: BlockDevice | None = None
    problems: list[Problem] = []
    files: list[ImageFile] = []
    unclean: Fact[bool] = unread("not-collected", "the disk was not opened")
    parent: FoundParent | None = None
    at = AtOffset(shown(file.name), source.at, source.length, "VMDK descriptor")
    if descriptor.encryption is not None:
        message = (
            f"VMware encrypted this disk ({descriptor.encryption}); decrypt the machine in vSphere and export it again"
        )
        problems.append(problem_of(EncryptedData(message, where=file.name, offset=source.at), "encrypted"))
        unclean = unread("encrypted", message, at)
    elif descriptor.raw_device is not None:
        message = (
            f"it maps a device of the host ({shown(descriptor.raw_device)}), which is never opened; "
            "convert it to a virtual disk and export it again"
        )
        problems.append(problem_of(UnsupportedFormat(message, where=file.name, offset=source.at), "raw-device-mapping"))
        unclean = unread("unsupported", message, at)
    else:
        if _is_delta(descriptor):
            parent = _find_parent(file, descriptor, size, context)
            problems += parent.problems
        device, closed = _open_extents(file, source, context, parent, files, problems)
        unclean = known(not closed or _is_unclean(parent), at)
    role = "image" if source.embedded else "descriptor"
    files.insert(0, ImageFile(shown(file.name), "image" if role == "image" else "descriptor", file.size))
    delta = None
    if _is_delta(descriptor):
        delta = f"VMDK delta of parentCID {descriptor.parent_cid or 'unknown'}"
    facts = ImageFacts(
        format=NAME,
        variant=shown(descriptor.create_type) or None,
        virtual_size=size,
        files=tuple(dict.fromkeys(files)),
        parents=() if parent is None else parent.parents,
        problems=tuple(problems),
        identity=descriptor.cid or None,
        metadata={SETTINGS[key]: shown(value) for key, value in descriptor.settings.items() if key in SETTINGS},
        unclean=unclean,
        encryption=known(None if descriptor.encryption is None else f"VMware {descriptor.encryption}", at),
        device_mapping=known(None if descriptor.raw_device is None else shown(descriptor.raw_device), at),
        delta=known(delta, at),
    )
    return OpenedImage(device, facts)


def _is_text(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").lower()
    return text.startswith(layout.DESCRIPTOR_START) or (
        text.startswith(b"version=") and b"createtype" in text and b"cid=" in text
    )


def _source(file: FileDevice) -> _Source | None:
    """Find the descriptor; None for a sparse extent that holds none (its descriptor is another file)."""
    head = file.read_at(0, min(file.size, layout.HEADER_BYTES))
    if head.startswith(layout.SPARSE_MAGIC):
        if len(head) < layout.HEADER_BYTES:
            raise TruncatedRead(f"the file ends inside its header ({file.size} bytes)", where=file.name)
        header = layout.parse_sparse_header(head)
        if not header.descriptor_offset or not header.descriptor_size:
            return None
        at, length = header.descriptor_offset * SECTOR, header.descriptor_size * SECTOR
        if length > DESCRIPTOR_BYTES:
            raise LimitExceeded(f"the descriptor is said to be {length} bytes", where=file.name, offset=36)
        if at >= file.size:
            raise TruncatedRead("the descriptor lies beyond the end of the file", where=file.name, offset=at)
        length = min(length, file.size - at)
        # the place kept for it is 10 KiB and more, the text is seldom above 1 KiB
        data = file.read_at(at, min(length, 2048))
        if b"\0" not in data and length > len(data):
            data += file.read_at(at + len(data), length - len(data))
        return _Source(parse_descriptor(data, file.name), embedded=True, at=at, length=len(data.split(b"\0", 1)[0]))
    if head.startswith((layout.COWD_MAGIC, layout.SESPARSE_MAGIC)):
        return None
    if file.size > DESCRIPTOR_BYTES:
        raise LimitExceeded(f"a descriptor of {file.size} bytes is larger than {DESCRIPTOR_BYTES}", where=file.name)
    data = head + (file.read_at(len(head), file.size - len(head)) if file.size > len(head) else b"")
    return _Source(
        parse_descriptor(data.removeprefix(b"\xef\xbb\xbf"), file.name), embedded=False, at=0, length=file.size
    )


def _extent_alone(file: FileDevice) -> OpenedImage:
    """Return what is known of a sparse extent that was given without its descriptor."""
    head = file.read_at(0, 8)
    kinds = {layout.SPARSE_MAGIC: "a sparse extent", layout.COWD_MAGIC: "an ESX copy-on-write extent"}
    kind = kinds.get(head[:4], "an ESX space-efficient sparse extent")
    error = MissingPart(
        f"this is {kind} without the descriptor that says which disk it belongs to; give the descriptor "
        "(the small .vmdk text file beside it)",
        where=file.name,
        offset=0,
    )
    return OpenedImage(
        None,
        ImageFacts(
            format=NAME,
            variant=None,
            virtual_size=None,
            files=(ImageFile(shown(file.name), "extent", file.size),),
            problems=(problem_of(error, "extent-without-descriptor"),),
        ),
    )


def _disk_size(file: FileDevice, source: _Source) -> int:
    """Return the disk's size in bytes: the sparse header's capacity, or the sum of the extents."""
    if source.embedded:
        sectors = layout.parse_sparse_header(file.read_at(0, layout.HEADER_BYTES)).capacity
    else:
        sectors = sum(extent.sectors for extent in source.descriptor.extents)
        if not source.descriptor.extents:
            raise CorruptStructure("the descriptor lists no extent", where=file.name)
    if sectors * SECTOR > VIRTUAL_SIZE:
        raise LimitExceeded(f"a disk of {sectors} sectors cannot be", where=file.name)
    return sectors * SECTOR


def _hints(descriptor: Descriptor) -> tuple[str, ...]:
    hint = descriptor.settings.get("parentfilenamehint", "")
    return (hint,) if hint else ()


def _is_delta(descriptor: Descriptor) -> bool:
    return bool(descriptor.parent_cid or _hints(descriptor))


def _find_parent(file: FileDevice, descriptor: Descriptor, size: int, context: OpenContext) -> FoundParent:
    def matches(candidate: FileDevice, below: OpenContext) -> OpenedImage:
        if not probe(candidate):
            raise MissingPart("it is no VMDK, and so not the parent meant", where=candidate.name)
        opened = open_image(candidate, below)
        if descriptor.parent_cid and opened.facts.identity != descriptor.parent_cid:
            raise MissingPart(
                f"its CID is {opened.facts.identity}, and the delta names {descriptor.parent_cid}: the parent was "
                "written to after the snapshot, or is another disk",
                where=candidate.name,
            )
        return opened

    return find_parent(file, size, _hints(descriptor), descriptor.parent_cid, context, matches)


def _is_unclean(parent: FoundParent | None) -> bool:
    return parent is not None and parent.facts is not None and parent.facts.unclean.value is True


def _open_extents(
    file: FileDevice,
    source: _Source,
    context: OpenContext,
    parent: FoundParent | None,
    files: list[ImageFile],
    problems: list[Problem],
) -> tuple[BlockDevice | None, bool]:
    """Open all extents; what one cannot give is a problem, and the others are still read.

    Returns the disk, None when no extent can be read, and whether all were closed cleanly.
    """
    below = None if parent is None else parent.device
    if source.embedded:
        try:
            opened = open_hosted(file, below, 0)
        except ImageError as error:
            problems.append(problem_of(error))
            return None, True
        problems += opened.problems
        problems += _contradictions(file, source, opened)
        return opened.device, not opened.unclean
    parts: list[tuple[int, Part]] = []
    closed, start, readable = True, 0, False
    for extent in source.descriptor.extents:
        size = extent.sectors * SECTOR
        part: Part = None
        if extent.type != "ZERO" and extent.access != "NOACCESS":
            try:
                part, extent_closed = _open_extent(extent, context, below, start, files, problems)
                closed = closed and extent_closed
                readable = True
            except ImageError as error:
                problems.append(problem_of(error, _extent_code(error)))
                part = error
        elif extent.access == "NOACCESS":
            part = UnsupportedFormat("the descriptor allows no access to this extent", where=file.name)
        parts.append((size, part))
        start += size
    if not readable and any(part is not None for _, part in parts):
        return None, closed
    if len(parts) == 1 and parts[0][1] is not None and not isinstance(parts[0][1], ImageError):
        return parts[0][1], closed
    return ConcatDevice(file.name, parts), closed


def _extent_code(error: ImageError) -> str:
    return {"denied": "extent-refused", "missing": "extent-missing", "truncated": "extent-truncated"}.get(
        error.why, f"extent-{error.why}"
    )


def _open_extent(
    extent: Extent,
    context: OpenContext,
    below: BlockDevice | None,
    start: int,
    files: list[ImageFile],
    problems: list[Problem],
) -> tuple[BlockDevice, bool]:
    size = extent.sectors * SECTOR
    if extent.type not in SPARSE_TYPES and extent.type not in FLAT_TYPES:
        raise UnsupportedFormat(f"extents of type {shown(extent.type)} are not known", where=shown(extent.name))
    try:
        opened_file = context.host.extent(extent.name)
    except MissingPart:
        if not extent.other_name:
            raise
        opened_file = context.host.extent(extent.other_name)
    files.append(ImageFile(shown(opened_file.name), "extent", opened_file.size))
    if extent.type in FLAT_TYPES:
        begin = extent.offset * SECTOR
        if begin + size > opened_file.size:
            message = (
                f"the extent is {size} bytes from {begin}, and the file ends at {opened_file.size}: it was cut short"
            )
            problems.append(problem_of(TruncatedRead(message, where=opened_file.name), "extent-truncated"))
        return SliceDevice(opened_file, begin, size, opened_file.name), True
    head = opened_file.read_at(0, min(opened_file.size, 8))
    if head.startswith(layout.SPARSE_MAGIC):
        opened = open_hosted(opened_file, below, start)
    elif head.startswith(layout.COWD_MAGIC):
        opened = open_cowd(opened_file, below, start)
    elif head == layout.SESPARSE_MAGIC:
        opened = open_sesparse(opened_file, below, start)
    else:
        raise CorruptStructure(
            "it should be a sparse extent, and does not begin like one", where=opened_file.name, offset=0
        )
    problems += opened.problems
    if opened.size < size:
        message = f"the extent holds {opened.size} bytes, and the descriptor says {size}"
        problems.append(problem_of(CorruptStructure(message, where=opened_file.name), "extent-size"))
        lost = TruncatedRead("the extent ends before", where=opened_file.name, offset=opened.size)
        return ConcatDevice(
            opened_file.name, [(opened.size, opened.device), (size - opened.size, lost)]
        ), not opened.unclean
    return opened.device, not opened.unclean


def _contradictions(file: FileDevice, source: _Source, opened: OpenedExtent) -> list[Problem]:
    """Report where an embedded descriptor and the header that holds it say different things."""
    found = []
    descriptor = source.descriptor
    at = AtOffset(shown(file.name), source.at, source.length, "VMDK descriptor")
    stream = descriptor.create_type.lower() == "streamoptimized"
    if descriptor.create_type and stream != opened.compressed:
        grains = "compressed" if opened.compressed else "not compressed"
        detail = f"createType is {shown(descriptor.create_type)}, and the grains are {grains}"
        found.append(Problem("create-type-mismatch", "note", detail, (at,)))
    said = sum(extent.sectors for extent in descriptor.extents) * SECTOR
    if descriptor.extents and said != opened.size:
        detail = f"the descriptor says {said} bytes, the header {opened.size}; the header's size is used"
        found.append(Problem("size-mismatch", "damage", detail, (at,)))
    return found
