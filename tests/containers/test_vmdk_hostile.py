"""VMDK: damaged, cut, hostile and refused files. What can be read is read, the rest named; no host file is opened."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from image_opening import watched_opens
from tools import soon
from vhd_opening import assert_same, codes, device_of, some_bytes
from vmdk_images import SECTOR, ZERO, Sparse, cowd, descriptor, sesparse, write
from vmdk_opening import fact_values, opened, opened_files

from imgscan.containers.container import OpenedImage
from imgscan.devices.counters import IoCounter
from imgscan.errors import (
    CorruptStructure,
    ImageError,
    LimitExceeded,
    MissingPart,
    TruncatedRead,
    UnsupportedFormat,
)

MIB = 1 << 20
GRAIN = 65536
DISK = Sparse(
    40 * 128, {n: some_bytes(n, GRAIN) for n in (0, 1, 5, 17, 39)}, entries=16, text=descriptor('RW 5120 SPARSE "d"')
)
STREAM = Sparse(
    40 * 128,
    {n: some_bytes(n, 9000) + bytes(GRAIN - 9000) for n in (0, 1, 5, 17, 39)},
    entries=16,
    text=descriptor('RW 5120 SPARSE "d"', "streamOptimized"),
)
FLAT_TEXT = descriptor('RW 8 FLAT "f.bin" 0', "monolithicFlat")


def read_what_there_is(image: OpenedImage) -> int:
    """Read the disk grain by grain; only an `ImageError` may happen. Return how many grains could be read."""
    device = image.device
    if device is None:
        return 0
    done = 0
    for at in range(0, min(device.size, 64 * GRAIN), GRAIN):
        try:
            done += len(device.read_at(at, min(GRAIN, device.size - at))) > 0
        except ImageError:
            continue
    return done


HOSTED_FIELDS = {
    "version": (4, 4),
    "flags": (8, 4),
    "capacity": (12, 8),
    "grain_size": (20, 8),
    "descriptor_offset": (28, 8),
    "descriptor_size": (36, 8),
    "grain_table_entries": (44, 4),
    "redundant": (48, 8),
    "directory": (56, 8),
    "overhead": (64, 8),
    "unclean": (72, 1),
    "newlines": (73, 4),
    "compression": (77, 2),
}
COWD_FIELDS = {name: (4 + 4 * n, 4) for n, name in enumerate(("version", "flags", "capacity", "grain", "gd", "gds"))}
SESPARSE_FIELDS = {f"field{n}": (8 * n, 8) for n in range(1, 26)}


def with_field(image: bytes | bytearray, field: tuple[int, int], value: int | None) -> bytes:
    at, size = field
    number = (1 << 8 * size) - 1 if value is None else value
    changed = bytearray(image)
    changed[at : at + size] = number.to_bytes(size, "little")
    return bytes(changed)


@pytest.mark.parametrize("value", [0, 1, 3, 0x7FFFFFFF, None])
@pytest.mark.parametrize("field", HOSTED_FIELDS)
@pytest.mark.parametrize("kind", ["hosted", "stream", "extent"])
def test_every_field_of_a_hosted_header(tmp_path: Path, kind: str, field: str, value: int | None) -> None:
    at, size = HOSTED_FIELDS[field]
    if value is not None and value >= 1 << 8 * size:
        value = (1 << 8 * size) - 2
    image = STREAM.stream() if kind == "stream" else DISK.build()
    files = {"d.vmdk": with_field(image, (at, size), value)}
    if kind == "extent":
        files = {"a.vmdk": descriptor('RW 5120 SPARSE "d.vmdk"', "twoGbMaxExtentSparse"), **files}
    tracemalloc.start()
    try:
        with soon(), opened_files(tmp_path, files) as found:
            read_what_there_is(found)
            assert found.device is not None or found.facts.problems
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 80 * MIB


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, None])
@pytest.mark.parametrize("field", [*COWD_FIELDS, *SESPARSE_FIELDS])
def test_every_field_of_an_esx_header(tmp_path: Path, field: str, value: int | None) -> None:
    if field in COWD_FIELDS:
        image, place, kind = cowd(2048, {0: b"A" * 512, 9: b"B" * 512}), COWD_FIELDS[field], "VMFSSPARSE"
    else:
        image, place, kind = sesparse(2048, {0: b"A" * 4096, 9: ZERO}), SESPARSE_FIELDS[field], "SESPARSE"
    files = {"d.vmdk": descriptor(f'RW 2048 {kind} "e.vmdk"', "vmfsSparse"), "e.vmdk": with_field(image, place, value)}
    with opened_files(tmp_path, files) as found:
        read_what_there_is(found)
        assert found.device is not None or found.facts.problems


def test_cut_anywhere(tmp_path: Path) -> None:
    """A cut sparse file says so, and every grain that is still whole is read."""
    image = bytes(DISK.build())
    content = DISK.content()
    for length in [*range(513, 16384, 1483), *range(16384, len(image), 41_161), len(image) - 1, len(image) - 512]:
        with opened_files(tmp_path, {"d.vmdk": image[:length]}) as found:
            kinds = {problem.kind for problem in found.facts.problems}
            assert kinds & {"truncated", "damage"}, length
            if found.device is None:
                continue
            for at in range(0, len(content), GRAIN):
                try:
                    assert found.device.read_at(at, GRAIN) == content[at : at + GRAIN]
                except ImageError as error:
                    assert error.why in {"truncated", "corrupt"}, (length, error)  # noqa: PT017 - either, at any cut


@pytest.mark.parametrize("length", [4, 8, 100, 511, 512])
def test_cut_inside_the_header(tmp_path: Path, length: int) -> None:
    with opened_files(tmp_path, {"d.vmdk": bytes(DISK.build()[:length])}) as found:
        assert found.device is None
        assert found.facts.problems[0].kind in {"truncated", "missing"}


def test_a_stream_cut_anywhere(tmp_path: Path) -> None:
    image, content = bytes(STREAM.stream()), STREAM.content()
    assert image.count(b"KDMV") == 2
    for length in range(11_000, len(image) - 1, 4093):
        with opened_files(tmp_path, {"d.vmdk": image[:length]}) as found:
            assert found.facts.problems[0].kind == "truncated", length
            for at in range(0, len(content), GRAIN):
                try:
                    assert device_of(found).read_at(at, GRAIN) == content[at : at + GRAIN]
                except ImageError as error:
                    assert error.why in {"truncated", "corrupt"}, (length, error)  # noqa: PT017 - either, at any cut


def test_a_stream_without_its_footer_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole, content = STREAM.stream(footer=False), STREAM.content()
    third = whole.index(struct.pack("<Q", 17 * 128), 65536)  # the marker of grain 17
    with opened_files(tmp_path, {"d.vmdk": whole[: third + 600]}) as found:
        assert codes(found) == ["stream-footer-missing"]
        device = device_of(found)
        assert device.read_at(0, 6 * GRAIN) == content[: 6 * GRAIN]
        for lost in (6, 15, 16, 17, 39):
            with pytest.raises(ImageError):
                device.read_at(lost * GRAIN, 1)
    with opened_files(tmp_path, {"d.vmdk": whole}) as found:
        assert codes(found) == ["stream-footer-missing"]
        assert_same(device_of(found), content)


@pytest.mark.parametrize("padding", [512, 4096, 60_000])
def test_a_stream_padded_behind_its_end(tmp_path: Path, padding: int) -> None:
    with opened_files(tmp_path, {"d.vmdk": STREAM.stream() + bytes(padding)}) as found:
        assert_same(device_of(found), STREAM.content())
        assert found.facts.problems == ()
    with opened_files(tmp_path, {"d.vmdk": STREAM.stream() + b"?" * padding}) as found:
        assert_same(device_of(found), STREAM.content())
        assert codes(found) == ["stream-end-damaged"]


def test_a_footer_that_contradicts_the_header(tmp_path: Path) -> None:
    image = STREAM.stream()
    struct.pack_into("<Q", image, len(image) - 1024 + 12, 4096)
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert codes(found) == ["stream-footer-damaged"]
        assert_same(device_of(found), STREAM.content())


def test_an_endless_stream_without_footer_costs_little(tmp_path: Path) -> None:
    """Markers that lead to a table each: memory and time are bounded, and what was not followed is said."""
    image = STREAM.stream(footer=False)[: 128 * SECTOR]
    capacity = 1 << 33
    struct.pack_into("<Q", image, 12, capacity)
    markers = b"".join(struct.pack("<QI", n * 128 * 16, 1).ljust(512, b"\0") for n in range(20_000))
    tracemalloc.start()
    with opened_files(tmp_path, {"d.vmdk": image + markers}) as found:
        assert codes(found)[0] == "stream-footer-missing"
        read_what_there_is(found)
        with pytest.raises(ImageError):
            device_of(found).read_at((capacity - 1) * SECTOR, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 * MIB


BOMB = zlib.compress(bytes(64 * MIB), 9)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (BOMB, "more than a grain"),
        (zlib.compress(bytes(GRAIN + 1)), "more than a grain"),
        (zlib.compress(bytes(GRAIN - 1)), "cut short"),
        (zlib.compress(some_bytes(1, GRAIN))[:-5], "cut short"),
        (b"not deflate", "cannot be inflated"),
        (zlib.compress(bytes(GRAIN))[:-1] + b"?", "cannot be inflated"),
    ],
)
def test_grains_that_do_not_inflate(tmp_path: Path, packed: bytes, message: str) -> None:
    tracemalloc.start()
    with opened_files(tmp_path, {"d.vmdk": STREAM.stream(packed={5: packed})}) as found:
        with pytest.raises(CorruptStructure, match=message):
            device_of(found).read_at(5 * GRAIN + 100, 1)
        assert device_of(found).read_at(0, 2 * GRAIN) == STREAM.content()[: 2 * GRAIN]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


@pytest.mark.parametrize(("size", "lba"), [(0, 640), (0xFFFFFFFF, 640), (1 << 20, 640), (None, 641)])
def test_grain_markers_that_cannot_be(tmp_path: Path, size: int | None, lba: int) -> None:
    image = STREAM.stream()
    at = image.index(struct.pack("<Q", 640), 65536)
    image[at : at + 8] = lba.to_bytes(8, "little")
    if size is not None:
        image[at + 8 : at + 12] = size.to_bytes(4, "little")
    with opened_files(tmp_path, {"d.vmdk": image}) as found, pytest.raises(ImageError):
        device_of(found).read_at(5 * GRAIN, 1)


def tables_of(image: bytes | bytearray) -> tuple[int, int]:
    """Return the byte offsets of the redundant and of the primary grain directory."""
    redundant, primary = struct.unpack_from("<QQ", image, 48)
    return redundant * SECTOR, primary * SECTOR


@pytest.mark.parametrize("damage", ["directory-zeros", "directory-beyond", "table-beyond", "directory-place"])
def test_the_redundant_tables_stand_in(tmp_path: Path, damage: str) -> None:
    image = DISK.build()
    _, primary = tables_of(image)
    first_table = struct.unpack_from("<I", image, primary)[0] * SECTOR
    if damage == "directory-zeros":
        image[primary : primary + 12] = bytes(12)
    elif damage == "directory-beyond":
        image[primary : primary + 12] = b"\xff" * 12
    elif damage == "table-beyond":
        image[first_table : first_table + 64] = b"\xff" * 64
    else:
        struct.pack_into("<Q", image, 56, 1 << 40)
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert_same(device_of(found), DISK.content())
        assert codes(found) == ["grain-directory-damaged"]
        assert found.facts.problems[0].kind == "damage"


def test_without_redundant_tables_the_damage_is_said(tmp_path: Path) -> None:
    image = Sparse(40 * 128, DISK.grains, entries=16, flags=1, text=DISK.text).build()
    _, primary = tables_of(image)
    image[primary : primary + 4] = b"\xff" * 4
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert codes(found) == ["grain-table"]
        with pytest.raises(ImageError):
            device_of(found).read_at(0, 1)
        assert device_of(found).read_at(17 * GRAIN, GRAIN) == DISK.content()[17 * GRAIN : 18 * GRAIN]


def test_text_mode_transfer_is_told(tmp_path: Path) -> None:
    image = DISK.build()
    image[73:77] = b"\n \n\n"
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert codes(found) == ["newline-conversion"]
        assert found.facts.problems[0].kind == "damage"
        assert found.device is not None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", 4, "version 4"),
        ("flags", 1 | 1 << 18, "features"),
        ("flags", 1 | 1 << 31, "features"),
        ("compression", 2, "algorithm"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, field: str, value: int, message: str) -> None:
    image = with_field(DISK.build(), HOSTED_FIELDS[field], value)
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert found.device is None
        assert message in found.facts.problems[0].detail
        assert not found.facts.unclean.is_known
        assert found.facts.identity == "11223344"
    stream = with_field(STREAM.stream(), HOSTED_FIELDS["compression"], 2)
    with opened_files(tmp_path, {"d.vmdk": stream}) as found:
        assert found.device is None
        assert found.facts.problems[0].kind == "unsupported"


# --- extents ---


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/etc/passwd", "extent-outside-folder"),
        ("../x", "extent-outside-folder"),
        ("..\\x", "extent-outside-folder"),
        ("C:\\secret", "extent-outside-folder"),
        ("sub/x", "extent-outside-folder"),
        ("..", "extent-outside-folder"),
        ("", "extent-outside-folder"),
        ("link", "extent-refused"),
        ("pipe", "extent-refused"),
        ("folder", "extent-refused"),
        ("absent", "extent-missing"),
        ("vsan://5d1b/disk", "extent-unsupported"),
    ],
)
@pytest.mark.parametrize("kind", ["FLAT", "SPARSE", "VMFS"])
def test_extents_that_are_not_opened(tmp_path: Path, name: str, code: str, kind: str) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    text = descriptor(f'RW 8 {kind} "{name}" 0\nRW 8 FLAT "f.bin" 0', "custom")
    data = some_bytes(1, 4096)
    path = write(tmp_path, {"d.vmdk": text, "f.bin": data})
    with watched_opens() as paths, opened(path) as found:
        assert codes(found) == [code]
        device = device_of(found)
        assert device.read_at(4096, 4096) == data
        with pytest.raises(ImageError):
            device.read_at(0, 1)
        with pytest.raises(ImageError):
            device.read_at(4000, 200)
        assert not found.facts.unclean.is_known
    assert {Path(p).name for p in paths} <= {"d.vmdk", "f.bin", tmp_path.name}


def test_a_missing_extent_leaves_the_others(tmp_path: Path) -> None:
    lines = 'RW 2048 SPARSE "d-s001.vmdk"\nRW 2048 SPARSE "d-s002.vmdk"\nRW 2048 SPARSE "d-s003.vmdk"'
    first, third = (Sparse(2048, {3: some_bytes(n, GRAIN)}) for n in (1, 3))
    files = {"d.vmdk": descriptor(lines, "twoGbMaxExtentSparse"), "d-s001.vmdk": bytes(first.build())}
    with opened_files(tmp_path, {**files, "d-s003.vmdk": third.build()}) as found:
        assert codes(found) == ["extent-missing"]
        assert "d-s002.vmdk" in str(found.facts.problems[0])
        device = device_of(found)
        assert device.read_at(0, MIB) == first.content()
        assert device.read_at(2 * MIB, MIB) == third.content()
        for at, length in ((MIB, 1), (MIB - 1, 2), (2 * MIB - 1, 2)):
            with pytest.raises(MissingPart):
                device.read_at(at, length)


def test_an_extent_shorter_than_the_descriptor_says(tmp_path: Path) -> None:
    data = some_bytes(1, 3000)
    with opened_files(tmp_path, {"d.vmdk": FLAT_TEXT, "f.bin": data}) as found:
        assert codes(found) == ["extent-truncated"]
        assert found.facts.problems[0].kind == "truncated"
        assert device_of(found).read_at(0, 3000) == data
        with pytest.raises(TruncatedRead):
            device_of(found).read_at(2999, 2)


@pytest.mark.parametrize("sectors", [1024, 4096])
def test_a_sparse_extent_of_another_size_than_the_descriptor_says(tmp_path: Path, sectors: int) -> None:
    extent = Sparse(2048, {0: some_bytes(1, GRAIN)})
    text = descriptor(f'RW {sectors} SPARSE "e"\nRW 4 FLAT "f" 0', "custom")
    with opened_files(tmp_path, {"d.vmdk": text, "e": extent.build(), "f": b"F" * 2048}) as found:
        assert codes(found) == ["extent-size"]
        device = device_of(found)
        assert device.size == (sectors + 4) * SECTOR
        assert device.read_at(sectors * SECTOR, 2048) == b"F" * 2048
        assert device.read_at(0, GRAIN) == extent.content()[:GRAIN]


def test_a_descriptor_that_names_itself(tmp_path: Path) -> None:
    with opened_files(tmp_path, {"f.bin": FLAT_TEXT}) as found:
        assert found.device is None
        assert "itself" in found.facts.problems[0].detail


def test_the_wrong_kind_of_extent(tmp_path: Path) -> None:
    text = descriptor('RW 8 SPARSE "e"', "twoGbMaxExtentSparse")
    with opened_files(tmp_path, {"d.vmdk": text, "e": FLAT_TEXT + bytes(4096)}) as found:
        assert found.device is None
        assert codes(found) == ["extent-corrupt"]


@pytest.mark.parametrize(
    "line",
    ["RW x FLAT", "RW 8", 'RW -8 FLAT "f.bin" 0', 'RW 99999999999999999999999 FLAT "f.bin" 0', "RW  "],
)
def test_extent_lines_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    with opened_files(tmp_path, {"d.vmdk": descriptor(line, "monolithicFlat"), "f.bin": bytes(4096)}) as found:
        assert found.device is None
        assert found.facts.problems


def test_limits_of_descriptors(tmp_path: Path) -> None:
    many = "\n".join(["RW 1 ZERO"] * 20_000)
    for text in (descriptor(many, "custom"), FLAT_TEXT + b"#" * (2 * MIB), descriptor("RW 9223372036854775807 ZERO")):
        with opened_files(tmp_path, {"d.vmdk": text}) as found:
            assert found.device is None
            assert codes(found) == ["image-limit"]
    with opened_files(tmp_path, {"d.vmdk": descriptor("", "custom")}) as found:
        assert codes(found) == ["image-corrupt"]


@pytest.mark.parametrize(
    ("name", "extent", "likely"),
    [
        ("web-s001.vmdk", Sparse(2048, {0: b"x"}).build(), "'web.vmdk'"),
        ("web-000001-delta.vmdk", cowd(2048, {0: b"x"}), "'web-000001.vmdk'"),
        ("web-000001-sesparse.vmdk", sesparse(2048, {0: b"x"}), "'web-000001.vmdk'"),
        ("web.vmdk", cowd(2048, {0: b"x"}), "small .vmdk text file"),
    ],
)
def test_an_extent_without_its_descriptor(tmp_path: Path, name: str, extent: bytes, likely: str) -> None:
    with opened_files(tmp_path, {name: extent}) as found:
        assert found.device is None
        assert codes(found) == ["extent-without-descriptor"]
        assert likely in found.facts.problems[0].detail
        assert set(fact_values(found).values()) == {"unread"}


def test_a_split_disks_extent_with_the_place_for_a_descriptor(tmp_path: Path) -> None:
    image = Sparse(2048, {0: b"x"}, text=b"\0" * 10).build()
    with opened_files(tmp_path, {"web-s001.vmdk": image}) as found:
        assert codes(found) == ["extent-without-descriptor"]


# --- raw device mappings, encryption, snapshots ---


@pytest.mark.parametrize(
    ("line", "create_type", "said"),
    [
        ('RW 8 VMFSRDM "d-rdm.vmdk"', "vmfsRawDeviceMap", "vmfsRawDeviceMap"),
        ('RW 8 VMFSRDM "d-rdm.vmdk"', "vmfsRDM", "vmfsRDM"),
        ('RW 8 VMFSRDM "d-rdmp.vmdk"', "vmfsPassthroughRawDeviceMap", "vmfsPassthroughRawDeviceMap"),
        ('RW 8 VMFSRDM "d-rdmp.vmdk"', "vmfsRDMP", "vmfsRDMP"),
        ('RW 8 VMFSRAW "naa.600"', "vmfsRaw", "vmfsRaw"),
        ('RW 8 FLAT "f.bin" 0', "fullDevice", "fullDevice"),
        ('RW 8 FLAT "f.bin" 0', "partitionedDevice", "partitionedDevice"),
        ('RW 8 VMFSRDM "f.bin"', "vmfs", "VMFSRDM"),
        ('RW 8 FLAT "/dev/sda" 0', "monolithicFlat", "/dev/sda"),
        ('RW 8 FLAT "\\\\.\\PhysicalDrive0" 0', "custom", "\\\\.\\PhysicalDrive0"),
    ],
)
def test_mapped_devices_are_named_and_never_opened(tmp_path: Path, line: str, create_type: str, said: str) -> None:
    files = {"d.vmdk": descriptor(line, create_type), "f.bin": bytes(4096), "d-rdm.vmdk": bytes(4096)}
    path = write(tmp_path, files)
    with watched_opens() as paths, opened(path) as found:
        assert found.device is None
        assert found.facts.device_mapping.value == said
        assert codes(found) == ["raw-device-mapping"]
        assert found.facts.encryption.value is None
        assert found.facts.virtual_size == 4096
    assert {Path(p).name for p in paths} <= {"d.vmdk", tmp_path.name}


@pytest.mark.parametrize(
    "line",
    [
        'encryption.keySafe = "vmware:key/list/(pair/(fqid/x,y))"',
        'encryption.data = "AAAA"',
        'keySafe = "vmware:key/list/x"',
        'encryptionKeys = "vmware:key/list/x"',
        'ddb.iofilters = "vmwarevmcrypt"',
    ],
)
def test_encrypted_disks_are_refused_by_name(tmp_path: Path, line: str) -> None:
    for text in (descriptor('RW 8 FLAT "f.bin" 0', "monolithicFlat", more=line), FLAT_TEXT + line.encode() + b"\n"):
        with opened_files(tmp_path, {"d.vmdk": text, "f.bin": bytes(4096)}) as found:
            assert found.device is None
            assert codes(found) == ["encrypted"]
            assert found.facts.problems[0].kind == "encrypted"
            value = found.facts.encryption.value
            assert isinstance(value, str)
            assert line.split(" ", maxsplit=1)[0].lower() in value.lower()


@pytest.mark.parametrize("line", ['ddb.encoding = "UTF-8"', 'encryption = "none"', 'ddb.iofilters = "replication"'])
def test_what_is_no_encryption(tmp_path: Path, line: str) -> None:
    text = descriptor('RW 8 FLAT "f.bin" 0', "monolithicFlat", more=line)
    with opened_files(tmp_path, {"d.vmdk": text, "f.bin": bytes(4096)}) as found:
        assert found.facts.encryption.value is None
        assert found.device is not None


def test_the_formats_of_snapshots_are_deltas_without_a_parent_too(tmp_path: Path) -> None:
    for kind, extent, create_type in (
        ("VMFSSPARSE", cowd(2048, {0: b"x" * 512}), "vmfsSparse"),
        ("SESPARSE", sesparse(2048, {0: b"x" * 4096}), "seSparse"),
    ):
        files = {"d.vmdk": descriptor(f'RW 2048 {kind} "e"', create_type), "e": bytes(extent)}
        with opened_files(tmp_path, files) as found:
            delta = found.facts.delta.value
            assert isinstance(delta, str)
            assert create_type in delta
            assert device_of(found).read_at(0, 3) == b"xxx"
            assert not any(device_of(found).read_at(4096, 4096))


def test_a_journal_that_was_not_replayed(tmp_path: Path) -> None:
    files = {"d.vmdk": descriptor('RW 2048 SESPARSE "e"', "seSparse"), "e": bytes(sesparse(2048, {0: b"x"}, replay=1))}
    with opened_files(tmp_path, files) as found:
        assert codes(found) == ["journal-not-replayed"]
        assert found.device is None
        assert found.facts.unclean.value is True


# --- parents ---


def delta(parent_cid: str, hint: str, cid: str = "aaaa0001") -> bytes:
    text = descriptor('RW 2048 SPARSE "d"', cid=cid, parent_cid=parent_cid, hint=hint)
    return bytes(Sparse(2048, {0: b"X" * GRAIN}, text=text).build())


def base(cid: str) -> bytes:
    return bytes(Sparse(2048, {1: b"Y" * GRAIN}, text=descriptor('RW 2048 SPARSE "d"', cid=cid)).build())


def assert_only_own_grains(image: OpenedImage) -> None:
    assert device_of(image).read_at(0, GRAIN) == b"X" * GRAIN
    for at in (GRAIN, GRAIN - 1):
        with pytest.raises(ImageError):
            device_of(image).read_at(at, 2)


def test_a_parent_that_was_changed(tmp_path: Path) -> None:
    with opened_files(tmp_path, {"d.vmdk": delta("00000001", "b.vmdk"), "b.vmdk": base("00000002")}) as found:
        assert codes(found) == ["parent-missing"]
        assert "00000002" in found.facts.problems[0].detail
        assert found.facts.delta.value == "VMDK delta of parentCID 00000001"
        assert [parent.file for parent in found.facts.parents] == [None]
        assert_only_own_grains(found)


def test_a_parent_whose_identity_cannot_be_read(tmp_path: Path) -> None:
    with opened_files(tmp_path, {"d.vmdk": delta("00000001", "b.vmdk"), "b.vmdk": base("x0000001")}) as found:
        assert codes(found) == ["parent-missing"]
        assert "it has no valid CID, and the delta names 00000001" in found.facts.problems[0].detail


@pytest.mark.parametrize("hint", ["missing.vmdk", "/etc/passwd", "../x", "..", ""])
def test_a_parent_that_is_not_there(tmp_path: Path, hint: str) -> None:
    path = write(tmp_path, {"d.vmdk": delta("00000001", hint)})
    with watched_opens() as paths, opened(path) as found:
        assert codes(found) == ["parent-missing"]
        assert_only_own_grains(found)
    assert "/etc/passwd" not in paths


def test_chains_in_a_circle(tmp_path: Path) -> None:
    with opened_files(tmp_path, {"d.vmdk": delta("aaaa0001", "d.vmdk")}) as found:
        assert "circle" in found.facts.problems[0].detail
        assert_only_own_grains(found)
    files = {
        "d.vmdk": delta("aaaa0002", "e.vmdk"),
        "e.vmdk": delta("aaaa0003", "f.vmdk", "aaaa0002"),
        "f.vmdk": delta("aaaa0001", "d.vmdk", "aaaa0003"),
    }
    with opened_files(tmp_path, files) as found:
        assert any("circle" in problem.detail for problem in found.facts.problems)
        assert_only_own_grains(found)


def test_a_chain_that_is_too_deep(tmp_path: Path) -> None:
    files = {f"{n}.vmdk": delta(f"{n + 1:08x}", f"{n + 1}.vmdk", f"{n:08x}") for n in range(80)}
    with opened_files(tmp_path, files) as found:
        assert any("deeper" in problem.detail for problem in found.facts.problems)
        assert device_of(found).read_at(0, 1) == b"X"
        with pytest.raises((LimitExceeded, MissingPart, UnsupportedFormat)):
            device_of(found).read_at(GRAIN, 1)


@pytest.mark.parametrize("parent", [b"\0" * 4096, b"not a disk", b"QFI\xfb" + bytes(600)])
def test_a_parent_that_is_no_vmdk(tmp_path: Path, parent: bytes) -> None:
    with opened_files(tmp_path, {"d.vmdk": delta("00000001", "p"), "p": parent}) as found:
        assert codes(found) == ["parent-missing"]
        assert_only_own_grains(found)


def test_an_encrypted_or_mapped_parent_is_said(tmp_path: Path) -> None:
    line = 'encryption.keySafe = "vmware:key/list/x"'
    texts = {
        "encrypted": descriptor('RW 2048 FLAT "f" 0', "monolithicFlat", cid="00000001", more=line),
        "device_mapping": descriptor('RW 2048 VMFSRDM "f"', "vmfsRDM", cid="00000001"),
    }
    for fact, text in texts.items():
        with opened_files(tmp_path, {"d.vmdk": delta("00000001", "p"), "p": text}) as found:
            assert codes(found) == ["parent-unreadable"]
            assert_only_own_grains(found)
            assert getattr(found.facts, {"encrypted": "encryption"}.get(fact, fact)).value is not None


def test_a_create_type_that_contradicts_the_grains(tmp_path: Path) -> None:
    image = Sparse(2048, {0: b"x"}, text=descriptor('RW 2048 SPARSE "d"', "streamOptimized")).build()
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert codes(found) == ["create-type-mismatch"]
        assert found.device is not None
    image = Sparse(2048, {0: b"x"}, text=descriptor('RW 2047 SPARSE "d"')).build()
    with opened_files(tmp_path, {"d.vmdk": image}) as found:
        assert codes(found) == ["size-mismatch"]


def test_random_damage_never_escapes(tmp_path: Path) -> None:
    """Bytes changed anywhere in the first sectors: whatever is read or refused, nothing else happens."""
    chooser = random.Random(11)
    images = [bytes(DISK.build()), bytes(STREAM.stream())]
    for turn in range(150):
        image = bytearray(images[turn % 2])
        for _ in range(chooser.choice((1, 3, 30))):
            at = chooser.choice((chooser.randrange(512), chooser.randrange(20_000), chooser.randrange(len(image))))
            image[at] = chooser.choice((0, 1, 0xFF, chooser.randrange(256)))
        with opened_files(tmp_path, {"d.vmdk": image}) as found:
            read_what_there_is(found)


def test_a_sparse_file_without_capacity_holds_the_descriptor_of_others(tmp_path: Path) -> None:
    text = descriptor('RW 8 FLAT "f.bin" 0', "custom")
    data = some_bytes(1, 4096)
    with opened_files(tmp_path, {"d.vmdk": Sparse(0, text=text).build(), "f.bin": data}) as found:
        assert_same(device_of(found), data)
        assert found.facts.problems == ()


def test_opening_reads_little(tmp_path: Path) -> None:
    """20 GiB with all its tables: the first 8 GiB of them are looked at when the disk is opened."""
    image = Sparse(
        20 << 21, {0: some_bytes(1, GRAIN), 300_000: b"L" * GRAIN}, text=descriptor('RW 41943040 SPARSE "d"')
    )
    counter = IoCounter()
    with opened(write(tmp_path, {"d.vmdk": image.build()}), counter) as found:
        assert device_of(found).read_at(512, 4096) == some_bytes(1, GRAIN)[512:4608]
        assert found.facts.problems == ()
    io = counter.result()
    assert io.reads < 40
    assert io.bytes < 1200 << 10  # tables that are empty are compared with their redundant copies
