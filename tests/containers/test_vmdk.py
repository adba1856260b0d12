"""VMDK: every variant byte for byte.

Expected bytes are the recipe's, or QEMU's reading; where both are there they are the same.
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import requires_tool, shared_data
from vhd_opening import assert_same, codes, device_of, some_bytes
from vmdk_images import (
    RGD,
    SECTOR,
    ZERO,
    Sparse,
    cowd,
    descriptor,
    overlay,
    sesparse,
    write,
)
from vmdk_opening import as_qemu_reads, fact_values, opened, opened_files

from imgscan.devices.counters import IoCounter
from imgscan.errors import MissingPart

MIB = 1 << 20
GRAIN = 65536
PLAIN = {"unclean": False, "encryption": None, "device_mapping": None, "delta": None}


def source(size: int, seed: int = 3) -> bytes:
    chooser = random.Random(seed)
    data = bytearray(size)
    for _ in range(12):
        at = chooser.randrange(max(1, size - 90_001))
        piece = chooser.randbytes(45_000) + bytes(45_001)
        data[at : at + 90_001] = piece[: size - at]
    return bytes(data)


def qemu_image(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


SUBFORMATS = ["monolithicSparse", "streamOptimized", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"]


@requires_tool("qemu-img")
@pytest.mark.parametrize("size", [4 * MIB, 5 * MIB + SECTOR, 3 * MIB - 7 * SECTOR, GRAIN, SECTOR])
@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_as_qemu_writes_it(tmp_path: Path, subformat: str, size: int) -> None:
    data = source(size)
    raw, path = tmp_path / "raw", tmp_path / "disk.vmdk"
    raw.write_bytes(data)
    options = f"subformat={subformat},adapter_type=lsilogic,hwversion=10"
    qemu_image("convert", "-f", "raw", "-O", "vmdk", "-o", options, raw, path)
    with opened(path) as found:
        assert_same(device_of(found), data)
        facts = found.facts
        assert (facts.format, facts.variant, facts.problems, facts.virtual_size) == ("vmdk", subformat, (), size)
        assert fact_values(found) == PLAIN
        assert (facts.metadata["adapterType"], facts.metadata["virtualHWVersion"]) == ("lsilogic", "10")
        text = path.read_bytes()[: 2 * MIB]
        written = int(text.split(b"\nCID=")[1].split(b"\n")[0], 16)
        assert facts.identity is not None
        assert int(facts.identity, 16) == written
        assert facts.parents == ()
        assert {file.name for file in facts.files} == {entry.name for entry in tmp_path.iterdir()} - {"raw"}


@requires_tool("qemu-img", "qemu-io")
def test_zeroed_grains_of_a_delta_hide_the_parent(tmp_path: Path) -> None:
    base, child, raw = tmp_path / "base.vmdk", tmp_path / "child.vmdk", tmp_path / "raw"
    raw.write_bytes(some_bytes(7, 2 * MIB))
    qemu_image("convert", "-f", "raw", "-O", "vmdk", raw, base)
    qemu_image("create", "-f", "vmdk", "-o", "zeroed_grain=on", "-b", base, "-F", "vmdk", child)
    for command in ("write -z 128k 192k", "write -P 0x5a 1m 96k"):
        subprocess.run(["qemu-io", "-f", "vmdk", "-c", command, child], check=True, capture_output=True)
    expected = as_qemu_reads(child)
    assert not any(expected[128 << 10 : 320 << 10])
    with opened(child) as found:
        assert_same(device_of(found), expected)


@requires_tool("qemu-img", "qemu-io")
@pytest.mark.parametrize("subformat", ["monolithicSparse", "twoGbMaxExtentSparse"])
def test_delta_chains_as_qemu_makes_them(tmp_path: Path, subformat: str) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(source(3 * MIB + 5 * SECTOR))
    names = ["base.vmdk", "first.vmdk", "second.vmdk"]
    qemu_image("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}", raw, tmp_path / names[0])
    for number in (1, 2):
        path = tmp_path / names[number]
        below = tmp_path / names[number - 1]
        qemu_image("create", "-f", "vmdk", "-o", f"subformat={subformat}", "-b", below, "-F", "vmdk", path)
        write_some = f"write -P {number} {number * 512 + 4}k 100k"
        subprocess.run(["qemu-io", "-f", "vmdk", "-c", write_some, path], check=True, capture_output=True)
    expected = as_qemu_reads(tmp_path / names[2])
    assert expected.count(b"\1" * 4096) >= 20
    with opened(tmp_path / names[2]) as found:
        assert_same(device_of(found), expected)
        assert [parent.file for parent in found.facts.parents] == ["first.vmdk", "base.vmdk"]
        assert [parent.format for parent in found.facts.parents] == ["vmdk", "vmdk"]
        delta = found.facts.delta.value
        assert isinstance(delta, str)
        assert f"parentCID {found.facts.parents[0].identity}" in delta
        assert found.facts.problems == ()


GEOMETRIES = [(128, 512), (8, 512), (1, 512), (128, 64), (2048, 16)]


@pytest.mark.parametrize(("grain", "entries"), GEOMETRIES)
def test_grain_sizes(tmp_path: Path, grain: int, entries: int) -> None:
    size, count = grain * SECTOR, 3 * entries // 2
    numbers = {0, 1, 2, 5, entries - 1, entries, count - 1}
    grains = {n: some_bytes(n, size) for n in sorted(numbers)} | {3: ZERO}
    image = Sparse(count * grain - grain // 2, grains, grain, entries, descriptor(f'RW {count * grain} SPARSE "d"'))
    with opened_files(tmp_path, {"d.vmdk": image.build()}) as found:
        assert_same(device_of(found), image.content())


@requires_tool("qemu-img")
@pytest.mark.parametrize(("grain", "entries"), GEOMETRIES)
def test_the_builder_writes_what_qemu_reads(tmp_path: Path, grain: int, entries: int) -> None:
    grains = {n: some_bytes(n, grain * SECTOR) for n in (0, 2, entries)} | {3: ZERO}
    image = Sparse((entries + 4) * grain, grains, grain, entries, descriptor('RW 1 SPARSE "d"'))
    assert as_qemu_reads(write(tmp_path, {"d.vmdk": image.build()})) == image.content()


def stream(capacity: int = 40 * 128 - 100, **more: object) -> Sparse:
    grains = {n: some_bytes(n, 1000) + bytes(GRAIN - 1000) for n in (0, 1, 5, 17, 38)}
    grains |= {20: some_bytes(20, GRAIN)}  # larger packed than unpacked
    last = capacity // 128
    grains[last] = some_bytes(last, (capacity - last * 128) * SECTOR)  # a short last grain
    text = descriptor(f'RW {capacity} SPARSE "d.vmdk"', "streamOptimized")
    return Sparse(capacity, grains, text=text, entries=16, **more)  # type: ignore[arg-type] # the fields of Sparse


def test_a_stream_with_its_directory_at_the_end(tmp_path: Path) -> None:
    image = stream()
    with opened_files(tmp_path, {"d.vmdk": image.stream()}) as found:
        assert_same(device_of(found), image.content())
        assert (found.facts.variant, found.facts.problems) == ("streamOptimized", ())
        assert fact_values(found) == PLAIN


@requires_tool("qemu-img")
def test_qemu_reads_the_stream_that_the_builder_writes(tmp_path: Path) -> None:
    image = stream(capacity=40 * 128)
    assert as_qemu_reads(write(tmp_path, {"d.vmdk": image.stream()})) == image.content()


def test_a_stream_with_zeroed_grains(tmp_path: Path) -> None:
    image = stream()
    image.grains = {**image.grains, 6: ZERO}
    with opened_files(tmp_path, {"d.vmdk": image.stream()}) as found:
        assert_same(device_of(found), image.content())


def flat(text: str, create_type: str = "vmfs", **more: str) -> bytes:
    return descriptor(text, create_type, **more)


@pytest.mark.parametrize(
    ("create_type", "line"),
    [
        ("vmfs", 'RW 40 VMFS "disk-flat.vmdk"'),
        ("vmfsThin", 'RW 40 VMFS "disk-flat.vmdk"'),
        ("vmfsPreallocated", 'RW 40 VMFS "disk-flat.vmdk" 0'),
        ("monolithicFlat", 'RW 40 FLAT "disk-flat.vmdk" 0'),
        ("custom", 'RDONLY 40 FLAT "disk-flat.vmdk" 0'),
    ],
)
def test_flat_disks(tmp_path: Path, create_type: str, line: str) -> None:
    data = b"KDMV" + some_bytes(1, 40 * SECTOR - 4)  # the guest's bytes are not asked for a format
    with opened_files(tmp_path, {"disk.vmdk": flat(line, create_type), "disk-flat.vmdk": data}) as found:
        assert_same(device_of(found), data)
        assert (found.facts.variant, found.facts.problems) == (create_type, ())
        assert [(file.name, file.role) for file in found.facts.files] == [
            ("disk.vmdk", "descriptor"),
            ("disk-flat.vmdk", "extent"),
        ]


def test_extents_with_offsets_and_zeros(tmp_path: Path) -> None:
    first, second = some_bytes(1, 64 * SECTOR), some_bytes(2, 64 * SECTOR)
    lines = [
        'RW 10 FLAT "a b.bin" 3',
        "RW 7 ZERO",
        'RW 20 FLAT "second.bin" 44',
        'RW 5 FLAT "a b.bin" 0',
        'RW 64 SPARSE "s.vmdk"',
    ]
    sparse = Sparse(64, {1: some_bytes(3, 4096)}, grain=8, entries=64)
    text = flat("\n".join(lines), "custom")
    files = {"d.vmdk": text, "a b.bin": first, "second.bin": second, "s.vmdk": bytes(sparse.build())}
    expected = first[3 * 512 : 13 * 512] + bytes(7 * 512) + second[44 * 512 :] + first[: 5 * 512] + sparse.content()
    with opened_files(tmp_path, files) as found:
        assert_same(device_of(found), expected)
        assert found.facts.problems == ()


@pytest.mark.parametrize("suffix", ["", " ", "\r", "\0" * 40, "\0garbage\nRW 1 ZERO\n"])
def test_line_ends_blanks_and_padding(tmp_path: Path, suffix: str) -> None:
    text = flat('RW 4 FLAT "f.bin" 0', "monolithicFlat").replace(b"\n", suffix.encode() + b"\n", 3)
    if "\0" in suffix:
        text = flat('RW 4 FLAT "f.bin" 0', "monolithicFlat") + suffix.encode()
    data = some_bytes(1, 2048)
    with opened_files(tmp_path, {"d.vmdk": b"\xef\xbb\xbf\r\n " + text, "f.bin": data}) as found:
        assert_same(device_of(found), data)
        assert found.facts.problems == ()


KNOWN_ENCODINGS = {
    "windows-1252",
    "windows-1251",
    "windows-932",
    "windows-31j",
    "UTF-8",
    "GBK",
    "ISO-8859-1",
    "ISO-8859-2",
    "Shift_JIS",
}


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("ISO-8859-2", "iso8859-2"),
        ("Shift_JIS", "shift_jis"),
        ("windows-1252", "cp1252"),
        ("windows-1251", "cp1251"),
        ("windows-932", "cp932"),
        ("windows-31j", "cp932"),
        ("UTF-8", "utf-8"),
        ("GBK", "gbk"),
        ("ISO-8859-1", "latin-1"),
        ("no-such-encoding", "utf-8"),
        ("unicode_escape", "utf-8"),
        ("rot13", "utf-8"),
        ("idna", "utf-8"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, codec: str) -> None:
    name = {"cp1251": "диск.bin", "cp932": "ディスク.bin", "gbk": "磁盘.bin", "shift_jis": "ディスク.bin"}.get(
        codec, "größe é.bin"
    )
    text = flat(f'RW 4 FLAT "{name}" 0', "monolithicFlat").decode().replace("CID", f'encoding="{encoding}"\nCID', 1)
    data = some_bytes(1, 2048)
    with opened_files(tmp_path, {"d.vmdk": text.encode(codec), name: data}) as found:
        assert_same(device_of(found), data)
        unknown = encoding not in KNOWN_ENCODINGS
        assert [problem.code for problem in found.facts.problems] == ["encoding-unknown"] * unknown


def test_an_extent_in_another_encoding_than_the_descriptor_says(tmp_path: Path) -> None:
    text = flat('RW 4 FLAT "größe.bin" 0', "monolithicFlat").decode().replace("CID", 'encoding="windows-1252"\nCID', 1)
    data = some_bytes(1, 2048)
    with opened_files(tmp_path, {"d.vmdk": text.encode(), "größe.bin": data}) as found:
        assert_same(device_of(found), data)


BASE = some_bytes(50, MIB)
BASE_FILES = {
    "base.vmdk": descriptor(f'RW {MIB // SECTOR} VMFS "base-flat.vmdk"', "vmfs", cid="cafe0001"),
    "base-flat.vmdk": BASE,
}


def delta_text(line: str, create_type: str, parent: str = "cafe0001", hint: str = "base.vmdk") -> bytes:
    return descriptor(line, create_type, parent_cid=parent, hint=hint)


COW_GRAINS = {n: some_bytes(n, 512) for n in (0, 1, 7, 100, 101, 2047)}
SE_GRAINS = {n: some_bytes(n, 4096) for n in (0, 1, 3, 90, 91, 255)} | {200: ZERO}
SE_BYTES = SE_GRAINS | dict.fromkeys((4, 5), ZERO)


@pytest.mark.parametrize("grain", [1, 8])
def test_a_cowd_delta_over_a_flat_disk(tmp_path: Path, grain: int) -> None:
    grains = {n: some_bytes(n, grain * 512) for n in (0, 1, 7, 100, 101, 2048 // grain - 1)}
    extent = cowd(MIB // SECTOR, grains, grain)
    text = delta_text(f'RW {MIB // SECTOR} VMFSSPARSE "d-delta.vmdk"', "vmfsSparse")
    with opened_files(tmp_path, {"d.vmdk": text, "d-delta.vmdk": extent, **BASE_FILES}) as found:
        assert_same(device_of(found), overlay(MIB, grains, grain * 512, BASE))
        assert found.facts.problems == ()
        assert found.facts.delta.value == "VMDK delta of parentCID cafe0001"
        assert found.facts.variant == "vmfsSparse"


def test_a_sesparse_delta_over_a_flat_disk(tmp_path: Path) -> None:
    extent = sesparse(MIB // SECTOR, SE_GRAINS, unmapped=(4, 5))
    text = delta_text(f'RW {MIB // SECTOR} SESPARSE "d-sesparse.vmdk"', "seSparse")
    with opened_files(tmp_path, {"d.vmdk": text, "d-sesparse.vmdk": extent, **BASE_FILES}) as found:
        assert_same(device_of(found), overlay(MIB, SE_BYTES, 4096, BASE))
        assert (found.facts.problems, found.facts.variant) == ((), "seSparse")


def test_a_sesparse_disk_of_several_tables(tmp_path: Path) -> None:
    capacity = 2 * 16 * MIB // SECTOR + 24
    grains = {n: some_bytes(n, 4096) for n in (0, 4095, 4096, 8191, 8192, 8194)}
    extent = sesparse(capacity, grains, spread=4100)  # slots beyond 4095 use both parts of an entry
    text = descriptor(f'RW {capacity} SESPARSE "d-sesparse.vmdk"', "seSparse")
    with opened_files(tmp_path, {"d.vmdk": text, "d-sesparse.vmdk": extent}) as found:
        assert_same(device_of(found), overlay(capacity * SECTOR, grains, 4096), reads=60)


def _cowd_disk() -> tuple[dict[str, bytes], bytes]:
    text = delta_text(f'RW {MIB // SECTOR} VMFSSPARSE "d-delta.vmdk"', "vmfsSparse")
    files = {"d.vmdk": text, "d-delta.vmdk": bytes(cowd(MIB // SECTOR, COW_GRAINS)), **BASE_FILES}
    return files, overlay(MIB, COW_GRAINS, 512, BASE)


def _sesparse_disk() -> tuple[dict[str, bytes], bytes]:
    text = delta_text(f'RW {MIB // SECTOR} SESPARSE "d-sesparse.vmdk"', "seSparse")
    extent = bytes(sesparse(MIB // SECTOR, SE_GRAINS, unmapped=(4, 5), spread=4100))
    return {"d.vmdk": text, "d-sesparse.vmdk": extent, **BASE_FILES}, overlay(MIB, SE_BYTES, 4096, BASE)


@requires_tool("qemu-img")
@pytest.mark.parametrize("make", [_cowd_disk, _sesparse_disk])
def test_esx_deltas_as_qemu_reads_them(tmp_path: Path, make: Callable[[], tuple[dict[str, bytes], bytes]]) -> None:
    files, expected = make()
    path = write(tmp_path, files)
    assert as_qemu_reads(path) == expected
    with opened(path) as found:
        assert_same(device_of(found), expected)


def test_a_delta_of_several_extents_over_one(tmp_path: Path) -> None:
    half = MIB // SECTOR // 2
    first, second = cowd(half, {0: b"A" * 512, half - 1: b"B" * 512}), cowd(half, {3: b"C" * 512})
    lines = f'RW {half} VMFSSPARSE "a"\nRW {half} VMFSSPARSE "b"'
    files = {"d.vmdk": delta_text(lines, "vmfsSparse"), "a": bytes(first), "b": bytes(second), **BASE_FILES}
    grains = {0: b"A" * 512, half - 1: b"B" * 512, half + 3: b"C" * 512}
    with opened_files(tmp_path, files) as found:
        assert_same(device_of(found), overlay(MIB, grains, 512, BASE))


def test_a_parent_that_is_smaller_reads_as_zeros_beyond_its_end(tmp_path: Path) -> None:
    image = Sparse(2 * MIB // SECTOR, {0: b"X" * GRAIN}, text=delta_text('RW 4096 SPARSE "d"', "monolithicSparse"))
    with opened_files(tmp_path, {"d.vmdk": image.build(), **BASE_FILES}) as found:
        assert_same(device_of(found), image.content(BASE))


@pytest.mark.parametrize("hint", ["base.vmdk", "C:\\VMs\\disk\\base.vmdk", "/vmfs/volumes/5f/vm/base.vmdk"])
def test_a_parent_is_found_by_the_last_part_of_its_name(tmp_path: Path, hint: str) -> None:
    image = Sparse(2048, {0: b"X" * GRAIN}, text=delta_text('RW 2048 SPARSE "d"', "monolithicSparse", hint=hint))
    with opened_files(tmp_path, {"d.vmdk": image.build(), **BASE_FILES}) as found:
        assert_same(device_of(found), image.content(BASE))
        assert (found.facts.parents[0].hint, found.facts.parents[0].file) == (hint, "base.vmdk")


def test_a_parent_in_another_folder(tmp_path: Path) -> None:
    image = Sparse(2048, {0: b"X" * GRAIN}, text=delta_text('RW 2048 SPARSE "d"', "monolithicSparse"))
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    path = write(tmp_path / "one", {"d.vmdk": image.build()})
    write(tmp_path / "other", BASE_FILES)
    with opened(path) as found:
        assert codes(found) == ["parent-missing"]
        assert device_of(found).read_at(0, GRAIN) == b"X" * GRAIN
        with pytest.raises(MissingPart):
            device_of(found).read_at(GRAIN, 1)
    with opened(path, search=(tmp_path / "other",)) as found:
        assert_same(device_of(found), image.content(BASE))
        assert found.facts.problems == ()


def test_metadata_of_a_descriptor_as_esx_writes_it(tmp_path: Path) -> None:
    text = b"""# Disk DescriptorFile
version=3
encoding="UTF-8"
CID=5b2fc1a7
parentCID=ffffffff
isNativeSnapshot="no"
createType="vmfs"

# Extent description
RW 8 VMFS "web01-flat.vmdk"

# Change Tracking File
changeTrackPath="web01-ctk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.encoding = "UTF-8"
ddb.geometry.cylinders = "2610"
ddb.longContentID = "0d9e7c2ba65e53cf5d7e3c7c5b2fc1a7"
ddb.thinProvisioned = "1"
ddb.toolsInstallType = "4"
ddb.toolsVersion = "11360"
ddb.uuid = "60 00 C2 9c"
ddb.virtualHWVersion = "19"
"""
    with opened_files(tmp_path, {"web01.vmdk": text, "web01-flat.vmdk": bytes(4096)}) as found:
        metadata = found.facts.metadata
        assert metadata["createType"] == "vmfs"
        assert metadata["thinProvisioned"] == "1"
        assert metadata["toolsVersion"] == "11360"
        assert metadata["virtualHWVersion"] == "19"
        assert metadata["changeTrackPath"] == "web01-ctk.vmdk"
        assert found.facts.identity == "5b2fc1a7"
        assert fact_values(found) == PLAIN  # ddb.encoding is no encryption
        assert all(problem.kind == "note" for problem in found.facts.problems)


def test_an_image_that_another_project_made(tmp_path: Path) -> None:
    data = shared_data("containers/ext2.vmdk.xz")
    with opened_files(tmp_path, {"ext2.vmdk": data}) as found:
        device = device_of(found)
        assert found.facts.problems == ()
        assert struct.unpack_from("<H", device.read_at(1024, 1024), 56)[0] == 0xEF53


def test_a_huge_disk_costs_little(tmp_path: Path) -> None:
    """64 TiB behind a stream's and a hosted extent's tables: reads are few, and memory does not grow with the disk."""
    capacity = (64 << 40) // SECTOR
    gtes = capacity // 128 // 512
    header = Sparse(capacity, flags=1).header(directory=128, redundant=0, overhead=256, text_sectors=0)
    path = tmp_path / "huge.vmdk"
    with path.open("wb") as file:
        file.write(header[:28] + struct.pack("<QQ", 1, 20) + header[44:])
        file.seek(SECTOR)
        file.write(descriptor(f'RW {capacity} SPARSE "huge.vmdk"'))
        table = 128 + gtes * 4 // SECTOR
        file.seek(128 * SECTOR + (gtes - 1) * 4)
        file.write(struct.pack("<I", table))
        file.seek(table * SECTOR + 511 * 4)
        file.write(struct.pack("<I", table + 128))
        file.seek((table + 128) * SECTOR)
        file.write(b"L" * GRAIN)
    counter = IoCounter()
    with opened(path, counter) as found:
        device = device_of(found)
        assert device.size == 64 << 40
        assert device.read_at(device.size - 5, 5) == b"LLLLL"
        assert device.read_at(1 << 45, 4096) == bytes(4096)
        assert found.facts.problems == ()
    io = counter.result()
    assert io.reads < 30
    assert io.bytes < MIB


def test_an_unclean_shutdown_is_known(tmp_path: Path) -> None:
    image = Sparse(2048, {0: b"X" * GRAIN}, unclean=1, text=descriptor('RW 2048 SPARSE "d"'))
    with opened_files(tmp_path, {"d.vmdk": image.build()}) as found:
        assert found.facts.unclean.value is True
        assert_same(device_of(found), image.content())
    text = descriptor('RW 2048 VMFSSPARSE "e"', "vmfsSparse")
    with opened_files(tmp_path, {"c.vmdk": text, "e": cowd(2048, {0: b"X" * 512}, unclean=1)}) as found:
        assert found.facts.unclean.value is True


def test_a_version_of_the_redundant_tables_is_not_needed(tmp_path: Path) -> None:
    image = Sparse(2048, {0: b"X" * GRAIN}, flags=1, text=descriptor('RW 2048 SPARSE "d"'))
    with opened_files(tmp_path, {"d.vmdk": image.build()}) as found:
        assert_same(device_of(found), image.content())
        assert found.facts.problems == ()
    assert image.flags & RGD == 0
