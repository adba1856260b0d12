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

import re

import msgspec

from imgscan.containers.container import OpenContext, OpenedImage, References
from imgscan.containers.parents import FoundParent, UnreadableParent, find_parent
from imgscan.containers.problems import problem_of
from imgscan.containers.vmdk_descriptor import FLAT_TYPES, SPARSE_TYPES, Descriptor, Extent, is_bare, parse_descriptor
from imgscan.containers.vmdk_extents import OpenedExtent, open_cowd, open_hosted, open_sesparse
from imgscan.containers.vmdk_grains import SURVEY_BYTES, SparseExtent
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
from imgscan.model.fact import Fact, known, unread, unread_because
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
TEXT_SHOWN = 1024
"""Characters of a descriptor's value that the report keeps."""
DISK_SURVEY_BYTES = 2 << 20
"""Grain tables looked at when a disk is opened, shared by its extents."""
FAILURES_NAMED = 64
"""Extents that cannot be read, named one by one."""


class _Source(msgspec.Struct, frozen=True):
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
    return head.startswith((layout.SPARSE_MAGIC, layout.COWD_MAGIC, layout.SESPARSE_MAGIC)) or _is_text(head)


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
    damage: ImageError | None = None
    parent_facts: ImageFacts | None = None
    variant = _short(descriptor.create_type)
    at = AtOffset(shown(file.name), source.at, source.length, "VMDK descriptor")
    if descriptor.encryption is not None:
        message = (
            f"VMware encrypted this disk ({descriptor.encryption}); decrypt the machine in vSphere and export it again"
        )
        problems.append(problem_of(EncryptedData(message, where=file.name, offset=source.at), "encrypted"))
        unclean = unread("encrypted", message, at)
    elif descriptor.raw_device is not None:
        message = (
            f"it maps a device of the host ({_short(descriptor.raw_device)}), which is never opened; "
            "convert it to a virtual disk and export it again"
        )
        problems.append(problem_of(UnsupportedFormat(message, where=file.name, offset=source.at), "raw-device-mapping"))
        unclean = unread("unsupported", message, at)
    else:
        if _is_delta(descriptor):
            parent, parent_facts = _find_parent(file, descriptor, size, context)
            problems += parent.problems
        below = None if parent is None else parent.device
        damage = _descriptor_damage(file, source)
        if damage is not None:
            problems.append(problem_of(damage, "descriptor-damaged"))
            below = UnreadableParent(file.name, size, damage)
        opened = _open_extents(file, source, context, below)
        device, files, problems = opened.device, opened.files, problems + opened.problems
        variant = variant or opened.variant
        if opened.unclean or _is_unclean(parent) or opened.unopened is None:
            unclean = known(opened.unclean or _is_unclean(parent), at)
        else:
            unclean = unread_because(opened.unopened, at)
    if descriptor.unknown_encoding:
        detail = f"the descriptor is in {descriptor.unknown_encoding}, which is not known here; it is read as UTF-8"
        problems.append(Problem("encoding-unknown", "note", detail, (at,)))
    role = "image" if source.embedded else "descriptor"
    files.insert(0, ImageFile(shown(file.name), "image" if role == "image" else "descriptor", file.size))
    delta = None
    if _is_delta(descriptor):
        delta = f"VMDK delta of parentCID {descriptor.parent_cid or 'unknown'}"
    elif descriptor.snapshot_format is not None:
        delta = f"VMDK in the snapshot format {shown(descriptor.snapshot_format)}, without a parent"
    facts = ImageFacts(
        format=NAME,
        variant=variant or None,
        virtual_size=size,
        files=tuple(dict.fromkeys(files)),
        parents=() if parent is None else parent.parents,
        problems=tuple(problems),
        identity=descriptor.cid or None,
        metadata={SETTINGS[key]: _short(value) for key, value in descriptor.settings.items() if key in SETTINGS},
        unclean=unclean,
        encryption=_or_parents(
            known(None if descriptor.encryption is None else f"VMware {descriptor.encryption}", at),
            None if parent_facts is None else parent_facts.encryption,
        ),
        device_mapping=_or_parents(
            known(None if descriptor.raw_device is None else _short(descriptor.raw_device), at),
            None if parent_facts is None else parent_facts.device_mapping,
        ),
        delta=known(delta, at),
    )
    if damage is not None:
        why: Fact[str | None] = unread_because(damage)
        facts = msgspec.structs.replace(facts, encryption=why, device_mapping=why, delta=why)
    return OpenedImage(device, facts)


def _short(text: str) -> str:
    """Return text of a descriptor fit to be shown, and of a length that a report can have."""
    return shown(text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}...")


def _descriptor_damage(file: FileDevice, source: _Source) -> ImageError | None:
    """Return what is wrong with an embedded descriptor that does not say what the disk is."""
    if not source.embedded or source.descriptor.create_type or source.descriptor.cid:
        return None
    return CorruptStructure(
        "the descriptor says neither what kind of disk this is nor which; whether it has a parent is not known, "
        "and what it holds no grain for cannot be read",
        where=file.name,
        offset=source.at,
    )


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
        text = data.split(b"\0", 1)[0]
        if not text.strip():  # the place is kept in the extents of a split disk too
            return None
        descriptor = parse_descriptor(data, file.name)
        # a sparse file without capacity holds the descriptor of other extents, and no disk
        return _Source(descriptor, embedded=header.capacity != 0 or not descriptor.extents, at=at, length=len(text))
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
    head = file.read_at(0, min(file.size, 8))
    kinds = {layout.SPARSE_MAGIC: "a sparse extent", layout.COWD_MAGIC: "an ESX copy-on-write extent"}
    kind = kinds.get(head[:4], "an ESX space-efficient sparse extent")
    name = re.sub(r"-(?:s\d{3,}|delta|sesparse)(?=\.vmdk$)", "", file.name, flags=re.IGNORECASE)
    likely = f"{shown(name)!r}, " if name != file.name else ""
    error = MissingPart(
        f"this is {kind} without the descriptor that says which disk it belongs to; give the descriptor "
        f"({likely}the small .vmdk text file beside it)",
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
            unclean=unread_because(error),
            encryption=unread_because(error),
            device_mapping=unread_because(error),
            delta=unread_because(error),
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


def _or_parents(own: Fact[str | None], parents: Fact[str | None] | None) -> Fact[str | None]:
    """Return the parent's fact where it says more than the delta's own."""
    if own.value is not None or parents is None or (parents.is_known and parents.value is None):
        return own
    return parents


def _find_parent(
    file: FileDevice, descriptor: Descriptor, size: int, context: OpenContext
) -> tuple[FoundParent, ImageFacts | None]:
    """Find the parent; its facts are returned also when nothing of its content can be read."""
    seen: list[ImageFacts] = []

    def matches(candidate: FileDevice, below: OpenContext) -> OpenedImage:
        if not descriptor.parent_cid:
            raise CorruptStructure(
                f"it names {shown(candidate.name)!r} as its parent, and no parentCID to know it by", where=file.name
            )
        if not probe(candidate):
            raise MissingPart("it is no VMDK, and so not the parent meant", where=candidate.name)
        opened = open_image(candidate, below)
        if opened.facts.identity != descriptor.parent_cid:
            own = "it has no valid CID" if opened.facts.identity is None else f"its CID is {opened.facts.identity}"
            raise MissingPart(
                f"{own}, and the delta names {descriptor.parent_cid}: the parent was "
                "written to after the snapshot, or is another disk",
                where=candidate.name,
            )
        seen.append(opened.facts)
        return opened

    found = find_parent(file, size, _hints(descriptor), descriptor.parent_cid, context, matches)
    return found, seen[-1] if seen else None


def _is_unclean(parent: FoundParent | None) -> bool:
    return parent is not None and parent.facts is not None and parent.facts.unclean.value is True


class _Opened(msgspec.Struct):
    """What opening the extents gave. `device` is None when no extent can be read; `unopened` says why one cannot."""

    device: BlockDevice | None = None
    variant: str = ""
    files: list[ImageFile] = msgspec.field(default_factory=list)
    problems: list[Problem] = msgspec.field(default_factory=list)
    unclean: bool = False
    unopened: ImageError | None = None
    by_name: dict[str, FileDevice] = msgspec.field(default_factory=dict)
    survey_bytes: int = SURVEY_BYTES
    failures: int = 0

    def add(self, extent: OpenedExtent) -> SparseExtent | ImageError:
        """Take over what a sparse extent says of itself, and return its device."""
        self.problems += extent.problems
        self.unclean = self.unclean or extent.unclean
        if isinstance(extent.device, ImageError):
            self.unopened = extent.device
        return extent.device

    def fail(self, error: ImageError, code: str | None = None) -> None:
        """Record an extent that cannot be read; of many such extents the first ones are named."""
        self.unopened = error
        self.failures += 1
        if self.failures <= FAILURES_NAMED:
            problem = problem_of(error, code)
            self.problems.append(Problem(problem.code, problem.kind, shown(str(error)), problem.evidence))

    def finish(self) -> None:
        """Say how many extents more cannot be read than were named."""
        if self.unopened is not None and self.failures > FAILURES_NAMED:
            more = type(self.unopened)(f"{self.failures - FAILURES_NAMED} more extents cannot be read")
            self.problems.append(problem_of(more, "extents-unreadable"))


def _open_extents(file: FileDevice, source: _Source, context: OpenContext, below: BlockDevice | None) -> _Opened:
    """Open all extents; what one cannot give is a problem, and the others are still read."""
    done = _Opened(survey_bytes=min(SURVEY_BYTES, DISK_SURVEY_BYTES // max(1, len(source.descriptor.extents))))
    if source.embedded:
        try:
            opened = open_hosted(file, below, 0)
        except ImageError as error:
            done.fail(error)
            return done
        device = done.add(opened)
        done.device = None if isinstance(device, ImageError) else device
        done.variant = "streamOptimized" if opened.compressed else "monolithicSparse"
        done.problems += _contradictions(file, source, opened)
        return done
    parts: list[tuple[int, Part]] = []
    start, readable = 0, False
    for extent in source.descriptor.extents:
        size = extent.sectors * SECTOR
        part: Part = None
        if extent.access == "NOACCESS":
            part = UnsupportedFormat("the descriptor allows no access to this extent", where=file.name)
            done.fail(part, "extent-no-access")
        elif extent.type != "ZERO":
            try:
                part = _open_extent(file, extent, context, below, start, done)
            except ImageError as error:
                done.fail(error, _extent_code(error, extent))
                part = error
        readable = readable or not isinstance(part, ImageError)
        parts.append((size, part))
        start += size
    done.finish()
    if len(parts) == 1 and parts[0][1] is not None and not isinstance(parts[0][1], ImageError):
        done.device = parts[0][1]
    elif readable:
        done.device = ConcatDevice(file.name, parts)
    return done


def _extent_code(error: ImageError, extent: Extent) -> str:
    if error.why == "denied":
        return "extent-refused" if is_bare(extent.name) else "extent-outside-folder"
    return {"missing": "extent-missing", "truncated": "extent-truncated"}.get(error.why, f"extent-{error.why}")


def _extent_file(file: FileDevice, extent: Extent, context: OpenContext, done: _Opened) -> FileDevice:
    """Open an extent's file, once however many extents lie in it."""
    known_file = done.by_name.get(extent.name)
    if known_file is not None:
        return known_file
    try:
        opened = context.host.extent(extent.name)
    except MissingPart:
        if not extent.other_name:
            raise
        opened = context.host.extent(extent.other_name)
    if opened.identity == file.identity:
        raise CorruptStructure("the descriptor names itself as an extent", where=file.name)
    done.by_name[extent.name] = opened
    done.files.append(ImageFile(shown(opened.name), "extent", opened.size))
    return opened


def _open_extent(
    file: FileDevice, extent: Extent, context: OpenContext, below: BlockDevice | None, start: int, done: _Opened
) -> Part:
    """Return an extent's device; `start` is its place on the disk in bytes.

    :raises ImageError: it cannot be read
    """
    size = extent.sectors * SECTOR
    if extent.type not in SPARSE_TYPES and extent.type not in FLAT_TYPES:
        raise UnsupportedFormat(f"extents of type {shown(extent.type)} are not known", where=shown(extent.name))
    if "://" in extent.name:
        raise UnsupportedFormat(
            f"the extent {shown(extent.name)!r} is an object of a vSAN or vVol datastore; export the disk as a file",
            where=file.name,
        )
    opened_file = _extent_file(file, extent, context, done)
    if extent.type in FLAT_TYPES:
        done.variant = done.variant or "monolithicFlat"
        begin = extent.offset * SECTOR
        if begin + size > opened_file.size:
            message = (
                f"the extent is {size} bytes from {begin}, and the file ends at {opened_file.size}: it was cut short"
            )
            done.problems.append(problem_of(TruncatedRead(message, where=opened_file.name), "extent-truncated"))
        return SliceDevice(opened_file, begin, size, opened_file.name)
    head = opened_file.read_at(0, min(opened_file.size, 8))
    if head.startswith(layout.SPARSE_MAGIC):
        done.variant, opened = "twoGbMaxExtentSparse", open_hosted(opened_file, below, start, done.survey_bytes)
    elif head.startswith(layout.COWD_MAGIC):
        done.variant, opened = "vmfsSparse", open_cowd(opened_file, below, start, done.survey_bytes)
    elif head == layout.SESPARSE_MAGIC:
        done.variant, opened = "seSparse", open_sesparse(opened_file, below, start, done.survey_bytes)
    else:
        raise CorruptStructure(
            "it should be a sparse extent, and does not begin like one", where=opened_file.name, offset=0
        )
    device = done.add(opened)
    if opened.size == size or isinstance(device, ImageError):
        return device
    message = f"the extent holds {opened.size} bytes, and the descriptor says {size}"
    done.problems.append(problem_of(CorruptStructure(message, where=opened_file.name, offset=12), "extent-size"))
    if opened.size > size:
        return SliceDevice(device, 0, size, opened_file.name)
    lost = TruncatedRead("the extent ends before", where=opened_file.name, offset=opened.size)
    return ConcatDevice(opened_file.name, [(opened.size, device), (size - opened.size, lost)])


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
    if not descriptor.create_type and not descriptor.cid:
        detail = "the descriptor says neither what kind of disk this is nor which; whether it has a parent is not known"
        found.append(Problem("descriptor-damaged", "damage", detail, (at,)))
    said = sum(extent.sectors for extent in descriptor.extents) * SECTOR
    if descriptor.extents and said != opened.size:
        detail = f"the descriptor says {said} bytes, the header {opened.size}; the header's size is used"
        found.append(Problem("size-mismatch", "damage", detail, (at,)))
    return found
