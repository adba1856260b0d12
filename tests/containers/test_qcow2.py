"""qcow2: every variant byte for byte as QEMU reads it, backing files, and everything that can be wrong with one."""

from __future__ import annotations

import random
import subprocess
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from image_opening import (
    as_qemu_reads,
    assert_holds,
    device_in,
    identified,
    opened_image,
    problem_codes,
    problem_kinds,
    qemu_img,
    scattered_bytes,
)
from qcow2_images import FEATURE_NAMES, FIELDS, Qcow2, deflated, feature_name
from tools import requires_tool, soon

from imgscan.devices.counters import IoCounter
from imgscan.errors import CorruptStructure, EncryptedData, ImageError, MissingPart, TruncatedRead, UnsupportedFormat

SIZE = 5 * (1 << 20) + 512 * 7
ONE = bytes(range(256)) * 16
"""The content of a cluster of 4 KiB."""
TWO = ONE[::-1]


def written(folder: Path, image: Qcow2 | bytes, name: str = "image.qcow2") -> Path:
    path = folder / name
    path.write_bytes(image if isinstance(image, bytes) else image.build())
    return path


def plain() -> Qcow2:
    return Qcow2(40 * 4096, {1: ONE, 2: TWO, 30: ONE})


PLAIN = b"".join({1: ONE, 2: TWO, 30: ONE}.get(number, bytes(4096)) for number in range(40))


@requires_tool("qemu-img")
@pytest.mark.parametrize(
    "options",
    [
        ("-o", "cluster_size=512"),
        ("-o", "cluster_size=4k"),
        ("-o", "cluster_size=64k"),
        ("-o", "cluster_size=2M"),
        ("-o", "compat=0.10"),
        ("-o", "extended_l2=on"),
        ("-o", "extended_l2=on,cluster_size=16k", "-c"),
        ("-o", "preallocation=metadata"),
        ("-o", "refcount_bits=1"),
        ("-o", "refcount_bits=64"),
        ("-c",),
        ("-c", "-o", "cluster_size=4k"),
        ("-c", "-o", "cluster_size=2M"),
        ("-c", "-o", "compat=0.10"),
    ],
    ids=" ".join,
)
def test_as_qemu_writes_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    raw.write_bytes(scattered_bytes(SIZE))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", *options, raw, path)
    with opened_image(path) as image:
        assert_holds(device_in(image), scattered_bytes(SIZE))
        assert image.facts.format == "qcow2"
        assert image.facts.problems == ()
        assert image.facts.unclean.get() is False
        assert image.facts.encryption.get() is None
        assert image.facts.delta.get() is None


@requires_tool("qemu-img", "qemu-io")
@pytest.mark.parametrize("options", ["cluster_size=64k", "extended_l2=on", "cluster_size=4k"])
def test_overlay_with_writes_zeros_and_discards(tmp_path: Path, options: str) -> None:
    raw, base, path = tmp_path / "raw", tmp_path / "base.qcow2", tmp_path / "overlay.qcow2"
    raw.write_bytes(scattered_bytes(SIZE))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, base)
    # larger than its backing file: what lies beyond reads as zeros
    qemu_img("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "-o", options, path, "7M")
    chooser, commands = random.Random(8), list[str]()
    for _ in range(40):
        at, length = chooser.randrange(6 << 20) // 512 * 512, chooser.choice((512, 2048, 66_048))
        commands += ["-c", f"write -P {chooser.randrange(1, 255)} {at} {length}"]
        at = chooser.randrange(6 << 20) // 512 * 512
        commands += ["-c", f"{chooser.choice(('write -z', 'discard', 'write -z -u'))} {at} 131072"]
    subprocess.run(["qemu-io", "-f", "qcow2", *commands, path], check=True, stdout=subprocess.DEVNULL)
    with opened_image(path) as image:
        assert_holds(device_in(image), as_qemu_reads(path, "qcow2"))
        assert problem_codes(image) == []
        assert image.facts.delta.get() == "qcow2 overlay of base.qcow2"
        assert [(p.hint, p.file, p.format) for p in image.facts.parents] == [("base.qcow2", "base.qcow2", "qcow2")]


@requires_tool("qemu-img")
@pytest.mark.parametrize(("qemu_format", "name"), [("raw", "raw"), ("vpc", "vhd"), ("vhdx", "vhdx"), ("vdi", "vdi")])
def test_backing_file_of_another_format(tmp_path: Path, qemu_format: str, name: str) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(scattered_bytes(8 << 20))
    qemu_img("convert", "-f", "raw", "-O", qemu_format, raw, tmp_path / "base")
    qemu_img("create", "-f", "qcow2", "-b", "base", "-F", qemu_format, tmp_path / "overlay")
    with opened_image(tmp_path / "overlay") as image:
        assert_holds(device_in(image), as_qemu_reads(tmp_path / "overlay", "qcow2"))
        assert image.facts.parents[0].format == name
        assert problem_codes(image) == []


@requires_tool("qemu-img")
def test_internal_snapshots_are_noted_and_the_current_state_is_read(tmp_path: Path) -> None:
    path = tmp_path / "image"
    qemu_img("create", "-f", "qcow2", path, "1M")
    qemu_img("snapshot", "-c", "before", path)
    with opened_image(path) as image:
        assert problem_codes(image) == ["internal-snapshots"]
        assert problem_kinds(image) == ["note"]
        assert image.facts.metadata["snapshots"] == "1"
        assert device_in(image).read_at(0, 512) == bytes(512)


@requires_tool("qemu-img")
def test_external_data_file_is_refused_by_name(tmp_path: Path) -> None:
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data.raw'}", tmp_path / "image", "1M")
    with opened_image(tmp_path / "image") as image:
        assert image.device is None
        assert problem_kinds(image) == ["unsupported"]
        assert "data.raw" in image.facts.problems[0].detail
        assert image.facts.virtual_size == 1 << 20
    assert identified(tmp_path / "image").references.extents[0].endswith("data.raw")


@requires_tool("qemu-img")
def test_encrypted_by_qemu_is_refused(tmp_path: Path) -> None:
    options = ("-o", "encrypt.format=aes,encrypt.key-secret=key")
    qemu_img("create", "--object", "secret,id=key,data=abc", "-f", "qcow2", *options, tmp_path / "image", "1M")
    with opened_image(tmp_path / "image") as image:
        assert image.device is None
        assert problem_kinds(image) == ["encrypted"]
        assert image.facts.encryption.get() == "qcow2 AES"
        assert image.facts.unclean.get() is False


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("cluster_bits", [9, 12, 16])
def test_the_builder_of_these_tests(tmp_path: Path, version: int, cluster_bits: int) -> None:
    content = ONE[: 1 << cluster_bits].ljust(1 << cluster_bits, b"x")
    image = Qcow2(200 << cluster_bits, {5: content, 199: content}, cluster_bits, version)
    expected = bytearray(200 << cluster_bits)
    for number in (5, 199):
        expected[number << cluster_bits : (number + 1) << cluster_bits] = content
    with opened_image(written(tmp_path, image)) as opened:
        assert_holds(device_in(opened), bytes(expected))


@requires_tool("qemu-img")
def test_qemu_reads_the_built_images_alike(tmp_path: Path) -> None:
    assert as_qemu_reads(written(tmp_path, plain()), "qcow2") == PLAIN
    packed = Qcow2(40 * 4096, {2: TWO}, compressed={1: deflated(ONE), 30: deflated(ONE)})
    path = written(tmp_path, packed)
    assert as_qemu_reads(path, "qcow2") == PLAIN
    with opened_image(path) as image:
        assert_holds(device_in(image), PLAIN)


def test_a_whole_l2_table_that_is_not_there_reads_as_zeros(tmp_path: Path) -> None:
    with opened_image(written(tmp_path, Qcow2(64 << 20, {12_000: ONE}))) as image:
        device = device_in(image)
        assert device.read_at(0, 4 << 20) == bytes(4 << 20)
        assert device.read_at(12_000 * 4096 - 10, 20) == bytes(10) + ONE[:10]


# ---- backing files


def chain(folder: Path, *names: str, **fields: bytes | None) -> Path:
    """Write images, each on the next one; the first is returned. The last holds ONE in cluster 1."""
    for name, below in zip(names, (*names[1:], ""), strict=True):
        image = Qcow2(
            40 * 4096, {2: TWO}, backing=below.encode(), backing_format=fields.get("backing_format", b"qcow2")
        )
        if not below:
            image.clusters[1] = ONE
        written(folder, image, name)
    return folder / names[0]


def test_chain_of_three(tmp_path: Path) -> None:
    with opened_image(chain(tmp_path, "a", "b", "c")) as image:
        assert device_in(image).read_at(0, 5 * 4096) == bytes(4096) + ONE + TWO + bytes(8192)
        assert [parent.file for parent in image.facts.parents] == ["b", "c"]
        assert problem_codes(image) == []


def test_missing_backing_file_leaves_what_the_overlay_holds(tmp_path: Path) -> None:
    path = written(tmp_path, Qcow2(40 * 4096, {2: TWO}, backing=b"C:\\disks\\gone.qcow2"))
    with opened_image(path) as image:
        assert problem_kinds(image) == ["missing"]
        assert "gone.qcow2" in image.facts.problems[0].detail
        assert image.facts.parents[0].file is None
        assert device_in(image).read_at(2 * 4096, 4096) == TWO
        with pytest.raises(MissingPart):
            device_in(image).read_at(4096, 1)


def test_found_by_the_last_component_and_in_search_folders(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    written(tmp_path / "other", plain(), "base")
    path = written(tmp_path / "own", Qcow2(40 * 4096, backing=b"/somewhere/else/base"))
    with opened_image(path) as image:
        assert problem_kinds(image) == ["missing"]
    with opened_image(path, search=(tmp_path / "other",)) as image:
        assert_holds(device_in(image), PLAIN)


def test_an_image_on_itself(tmp_path: Path) -> None:
    with opened_image(written(tmp_path, Qcow2(40 * 4096, {2: TWO}, backing=b"image.qcow2"))) as image:
        assert problem_kinds(image)[0] == "damage"
        assert "circle" in image.facts.problems[0].detail


def test_a_circle_of_three(tmp_path: Path) -> None:
    chain(tmp_path, "c", "a", "x")
    chain(tmp_path, "b", "c", "x")
    chain(tmp_path, "c", "a", "x")
    written(tmp_path, Qcow2(40 * 4096, backing=b"b"), "a")
    with opened_image(tmp_path / "a") as image:
        assert any("circle" in problem.detail for problem in image.facts.problems)
        assert "damage" in problem_kinds(image)


def test_a_chain_without_end(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(80)]
    with opened_image(chain(tmp_path, *names)) as image:
        assert any("deeper than" in problem.detail for problem in image.facts.problems)
        assert device_in(image).read_at(2 * 4096, 4096) == TWO


def test_backing_format_that_is_not_recorded_is_told_and_said(tmp_path: Path) -> None:
    with opened_image(chain(tmp_path, "a", "b", backing_format=None)) as image:
        assert problem_codes(image) == ["backing-format-not-recorded"]
        assert device_in(image).read_at(4096, 4096) == ONE


def test_nothing_is_opened_that_a_guessed_backing_file_names(tmp_path: Path) -> None:
    # the guest of a raw disk may have written a qcow2 header into it, to see the file that it names
    with opened_image(chain(tmp_path, "a", "b", "secret", backing_format=None)) as image:
        assert "refused" in problem_kinds(image)
        with pytest.raises(ImageError):
            device_in(image).read_at(4096, 1)
        assert device_in(image).read_at(2 * 4096, 4096) == TWO


def test_a_raw_backing_file_is_never_probed(tmp_path: Path) -> None:
    base = written(tmp_path, plain(), "base").read_bytes()
    path = written(tmp_path, Qcow2(len(base), backing=b"base", backing_format=b"raw"))
    with opened_image(path) as image:
        assert_holds(device_in(image), base)


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        (b"nbd://host/disk", b"raw"),
        (b"json:{}", b"qcow2"),
        (b"base", b"qed"),
        (b"ssh://x/base", None),
        (b"base", b"\xff"),
    ],
)
def test_backing_files_that_are_not_read(tmp_path: Path, name: bytes, recorded: bytes | None) -> None:
    written(tmp_path, plain(), "base")
    path = written(tmp_path, Qcow2(40 * 4096, {2: TWO}, backing=name, backing_format=recorded))
    with opened_image(path) as image:
        assert problem_kinds(image) == ["unsupported"]
        assert device_in(image).read_at(2 * 4096, 4096) == TWO


def test_what_is_wrong_below_is_said_above(tmp_path: Path) -> None:
    written(tmp_path, Qcow2(40 * 4096, extra={"crypt_method": 2}), "base")
    path = written(tmp_path, Qcow2(40 * 4096, {2: TWO}, backing=b"base"))
    with opened_image(path) as image:
        assert problem_kinds(image) == ["encrypted"]
        assert image.facts.problems[0].detail.startswith("backing file base:")
        assert image.facts.encryption.get() == "qcow2 LUKS"
        with pytest.raises(EncryptedData):
            device_in(image).read_at(0, 1)


def test_backing_name_outside_the_first_cluster(tmp_path: Path) -> None:
    path = written(tmp_path, Qcow2(40 * 4096, {2: TWO}, backing=b"base", extra={"backing_file_offset": 4095}))
    with opened_image(path) as image:
        assert problem_kinds(image) == ["damage"]
        assert device_in(image).read_at(2 * 4096, 4096) == TWO


# ---- header and features


def test_dirty_and_corrupt(tmp_path: Path) -> None:
    image = plain()
    image.incompatible = 0b11
    with opened_image(written(tmp_path, image)) as opened:
        assert problem_codes(opened) == ["image-marked-corrupt", "image-not-closed"]
        assert problem_kinds(opened) == ["damage", "unclean"]
        assert opened.facts.unclean.get() is True
        assert_holds(device_in(opened), PLAIN)


def test_unknown_features_are_refused_by_name(tmp_path: Path) -> None:
    image = plain()
    image.incompatible = 1 << 40 | 1 << 41
    image.extensions = [(FEATURE_NAMES, feature_name(40, b"time travel"))]
    with opened_image(written(tmp_path, image)) as opened:
        assert opened.device is None
        assert problem_kinds(opened) == ["unsupported"]
        assert "time travel, bit 41" in opened.facts.problems[0].detail


def test_version_1_and_4(tmp_path: Path) -> None:
    for version in (1, 4):
        with opened_image(written(tmp_path, Qcow2(4096, extra={"version": version}))) as image:
            assert image.device is None
            assert problem_kinds(image) == ["unsupported"]


def test_extension_that_runs_away(tmp_path: Path) -> None:
    image = bytearray(plain().build())
    image[104:112] = b"\0\0\0\x01\xff\xff\xff\xf0"
    with opened_image(written(tmp_path, bytes(image))) as opened:
        assert problem_codes(opened) == ["header-extension"]
        assert_holds(device_in(opened), PLAIN)


def test_l1_table_too_small(tmp_path: Path) -> None:
    image = Qcow2(64 << 20, {1: ONE}, extra={"l1_size": 1})
    with opened_image(written(tmp_path, image)) as opened:
        assert problem_codes(opened) == ["l1-table-too-small"]
        assert device_in(opened).read_at(4096, 4096) == ONE
        with pytest.raises(CorruptStructure):
            device_in(opened).read_at(32 << 20, 1)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["zero", "one", "maximum", "top bit"])
def test_every_header_field_at_its_extremes(tmp_path: Path, name: str, value: str) -> None:
    size = FIELDS[name][1]
    number = {"zero": 0, "one": 1, "maximum": (1 << 8 * size) - 1, "top bit": 1 << 8 * size - 1}[value]
    image = plain()
    image.extra = {name: number}
    tracemalloc.start()
    with opened_image(written(tmp_path, image)) as opened:
        if opened.device is None:
            assert opened.facts.problems
            assert any(kind != "note" for kind in problem_kinds(opened))
        else:
            for at in (0, 4096, 39 * 4096):
                with suppress(ImageError):
                    opened.device.read_at(at, 512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


# ---- tables and clusters


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (1 << 63 | 4096 * 3 + 512, CorruptStructure),  # not aligned to a cluster
        (1 << 40, TruncatedRead),  # beyond the end
        (1 << 62 | 1 << 40, TruncatedRead),  # compressed, beyond the end
        (1 << 62 | 0, CorruptStructure),  # compressed: the header is no deflate stream
    ],
)
def test_entries_that_cannot_be_followed(tmp_path: Path, entry: int, error: type[ImageError]) -> None:
    image = Qcow2(40 * 4096, {2: TWO}, raw_entries={1: entry})
    with opened_image(written(tmp_path, image)) as opened:
        with pytest.raises(error):
            device_in(opened).read_at(4096, 1)
        assert device_in(opened).read_at(2 * 4096, 4096) == TWO


def test_zero_flag(tmp_path: Path) -> None:
    with opened_image(written(tmp_path, Qcow2(40 * 4096, raw_entries={1: 1 | 8192}))) as image:
        assert device_in(image).read_at(4096, 4096) == bytes(4096)
    with opened_image(written(tmp_path, Qcow2(40 * 4096, version=2, raw_entries={1: 1}))) as image:
        device = device_in(image)
        with pytest.raises(CorruptStructure):
            device.read_at(4096, 1)


def test_a_compressed_cluster_that_expands_without_end(tmp_path: Path) -> None:
    bomb = deflated(bytes(4 << 20))  # as much as fits into the sectors that an entry can name
    assert len(bomb) < 8192
    path = written(tmp_path, Qcow2(40 * 4096, compressed={1: bomb}))
    with opened_image(path) as image:
        tracemalloc.start()
        device_in(image).read_at(4096, 4096)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


def test_a_compressed_cluster_that_is_too_short(tmp_path: Path) -> None:
    with opened_image(written(tmp_path, Qcow2(40 * 4096, compressed={1: deflated(bytes(100))}))) as image:
        device = device_in(image)
        with pytest.raises(CorruptStructure, match="100 of 4096"):
            device.read_at(4096, 1)


def test_zstd_is_read_or_refused_by_name(tmp_path: Path) -> None:
    image = bytearray(Qcow2(40 * 4096, {2: TWO}, compressed={1: b"\x28\xb5\x2f\xfd"}, incompatible=8).build())
    image[100:112] = b"\0\0\0\x70\x01\0\0\0\0\0\0\0"
    with opened_image(written(tmp_path, bytes(image))) as opened:
        assert opened.facts.metadata["compression"] == "zstd"
        assert device_in(opened).read_at(2 * 4096, 4096) == TWO
        with pytest.raises((UnsupportedFormat, CorruptStructure)):
            device_in(opened).read_at(4096, 1)


@requires_tool("qemu-img")
@pytest.mark.parametrize("options", ["cluster_size=64k", "cluster_size=512", "refcount_bits=1", "refcount_bits=64"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.95])
def test_cut_short(tmp_path: Path, options: str, part: float) -> None:
    raw, path = tmp_path / "raw", tmp_path / "image"
    content = random.Random(1).randbytes(3 << 20)
    raw.write_bytes(content)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", "-o", options, raw, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with opened_image(path) as image:
        assert "truncated" in problem_kinds(image)
        if image.device is not None:  # what is there is read right; what is not there is an error
            for at in range(0, len(content), 1 << 16):
                with suppress(TruncatedRead):
                    assert image.device.read_at(at, 512) == content[at : at + 512]


@pytest.mark.parametrize(
    "size", [0, 3, 4, 7, 8, 71, 72, 103, 104, 4095, 4096, 4097, 8191, 8192, 12_287, 12_288, 20_000]
)
def test_cut_at_the_boundaries_of_structures(tmp_path: Path, size: int) -> None:
    with opened_image(written(tmp_path, plain().build()[:size]), "qcow2") as image:
        if image.device is None:
            assert any(kind != "note" for kind in problem_kinds(image))
        else:
            with suppress(TruncatedRead):
                assert image.device.read_at(30 * 4096, 4096) == ONE


def test_mutations_end_in_data_or_an_image_error(tmp_path: Path) -> None:
    chooser = random.Random(11)
    good = Qcow2(40 * 4096, {1: ONE, 30: TWO}, compressed={3: deflated(ONE)}, backing=b"base").build()
    written(tmp_path, plain(), "base")
    for _ in range(300):
        image = bytearray(good)
        for _ in range(chooser.randrange(1, 6)):
            at = chooser.randrange(chooser.choice((112, 4096, len(image))))
            image[at] = chooser.choice((0, 1, 0x7F, 0xFF, chooser.randrange(256)))
        with opened_image(written(tmp_path, bytes(image)), "qcow2") as opened:
            if opened.device is not None:
                for at in range(0, min(opened.device.size, 40 * 4096), 4096):
                    with suppress(ImageError):
                        opened.device.read_at(at, min(4096, opened.device.size - at))


def test_64_tib_is_opened_at_once_and_in_little_memory(tmp_path: Path) -> None:
    image = Qcow2(1 << 46, cluster_bits=21)
    image.clusters = {(1 << 25) - 1: b"last"}
    path = written(tmp_path, image)
    counter = IoCounter()
    tracemalloc.start()
    with soon(), opened_image(path, counter=counter) as opened:
        device = device_in(opened)
        assert device.read_at((1 << 46) - (1 << 21), 4) == b"last"
        for at in range(0, 1 << 46, 1 << 38):
            assert device.read_at(at, 512) == bytes(512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert counter.result().reads < 40
