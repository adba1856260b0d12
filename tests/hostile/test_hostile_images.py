"""Every container format damaged and cut: a clear answer each time, and no pass for what could not be read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from disk_builder import CONTAINERS, MIB, build_linux, convert
from hostile_scan import READY, Damage, Outcome, cut, damaged, random_damage, read_ranges, scan_hostile
from tools import copy_image, image_digest, requires_tool

pytestmark = requires_tool("sfdisk", "mke2fs", "grub-mkimage", "qemu-img")
ONE_FILE = ("vmdk", "vmdk-stream", "vhd", "vhd-fixed", "vhdx", "qcow2", "vdi")
RAW_FORMATS = ("raw", "raw-gpt")
BOOT = {"no-bootable-partition", "damaged-partition-table", "damaged-image", "unsupported-bootloader"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    build_linux(folder, "raw")
    return folder


@pytest.fixture
def image(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a copy of the healthy machine in the format that the test is parametrized with."""
    name = str(request.param)
    if name == "raw":
        kept = folder / "raw.raw"
    elif name == "raw-gpt":
        kept = folder / "raw-gpt.raw"
        if not kept.exists():
            build_linux(folder, "raw-gpt", scheme="gpt", bios_boot=True, esp=True)
    else:
        kept = folder / f"raw-{name}.{CONTAINERS[name][2]}"
        if not kept.exists():
            convert(folder / "raw.raw", name)
    return copy_image(kept, tmp_path / kept.name)


def bad(outcome: Outcome) -> set[str]:
    """Return the rules that failed or are unknown, apart from the one that refuses the format itself."""
    if outcome.report is None:
        return {"no report"}
    found = {rule for rule, result in outcome.outcomes().items() if result in {"fail", "unknown"}}
    return found - {"unsupported-image-format"}


def mutate(image: Path, seeds: Sequence[int]) -> None:
    ranges = read_ranges(image)
    before = image_digest(image)
    for seed in seeds:
        dice = random.Random(f"{image.name} {seed}")
        damages = [random_damage(dice, ranges) for _ in range(dice.choice((1, 1, 1, 2, 4)))]
        with damaged(image, damages):
            scan_hostile(image, what=(seed, damages))
    assert image_digest(image) == before


@pytest.mark.parametrize("image", [*ONE_FILE, *RAW_FORMATS], indirect=True)
def test_random_damage(image: Path) -> None:
    mutate(image, range(12))


@pytest.mark.long
@pytest.mark.parametrize("image", [*ONE_FILE, *RAW_FORMATS], indirect=True)
def test_much_random_damage(image: Path) -> None:
    mutate(image, range(1000, 3500))


@pytest.mark.parametrize("image", [*ONE_FILE, *RAW_FORMATS], indirect=True)
def test_cut_anywhere(image: Path) -> None:
    cut_anywhere(image, edges_tried=6, others=3)


@pytest.mark.long
@pytest.mark.parametrize("image", [*ONE_FILE, *RAW_FORMATS], indirect=True)
def test_cut_in_many_places(image: Path) -> None:
    cut_anywhere(image, edges_tried=60, others=60)


def cut_anywhere(image: Path, edges_tried: int, others: int) -> None:
    """Cut an image at places that decide, at some edges of what a scan reads, and at others."""
    size = image.stat().st_size
    dice = random.Random(image.name)
    ranges = read_ranges(image)
    edges = {edge for offset, length in ranges for edge in (offset, offset + length)}
    sizes = {0, 1, 3, 511, 512, 513, 1023, 1024, 1536, 4096, 65536, MIB, size - 1, size - 511, size - 512, size - 513}
    sizes |= set(dice.sample(sorted(edges), min(edges_tried, len(edges))))
    sizes |= {dice.randrange(size) for _ in range(others)}
    # the last sector is read for a footer, which not every format has; a VHD's may be 511 bytes long
    needed = max(offset + length for offset, length in ranges if offset + length <= size - 512)
    before = image_digest(image)
    for length in sorted(length for length in sizes if 0 <= length < size):
        with cut(image, length):
            outcome = scan_hostile(image, what=f"cut to {length}")
            if length < needed:
                assert outcome.status != READY
                assert bad(outcome) or outcome.machine["disks"][0]["format"] == "raw", (length, size, needed)
    assert image_digest(image) == before


@pytest.mark.parametrize("image", ["vmdk", "vmdk-stream", "vhd", "vhdx", "vhd-fixed"], indirect=True)
@pytest.mark.parametrize("fill", [b"\0", b"\xff"])
def test_a_header_without_sense_is_never_ready(image: Path, fill: bytes) -> None:
    """The first sector of the file: a header, or the MBR in a fixed VHD."""
    assert scan_hostile(image).status == READY
    with damaged(image, [Damage(0, fill * 512)]):
        outcome = scan_hostile(image)
        # a dynamic VHD has a copy of its header at the end, and says that it was used
        assert outcome.status != READY or "damage" in str(outcome.machine["disks"][0]["problems"]), outcome.err


DISK_DAMAGE = {
    "boot code": [Damage(0, bytes(440))],
    "boot signature": [Damage(510, bytes(2))],
    "partition entry": [Damage(446, bytes(16))],
    "partition start": [Damage(446 + 8, b"\xff\xff\xff\x7f")],
    "partition size": [Damage(446 + 12, b"\xff\xff\xff\xff")],
    "GRUB's core image": [Damage(512, bytes(65536))],
    "GRUB's first sector": [Damage(512, bytes(512))],
    "superblock": [Damage(MIB + 1024, bytes(1024))],
    "superblock's magic": [Damage(MIB + 1024 + 56, bytes(2))],
    "group descriptors": [Damage(MIB + 4096, bytes(4096)), Damage(MIB + 2048, bytes(2048))],
    "all of the filesystem's first MiB": [Damage(MIB, bytes(MIB))],
    "all of it in full bits": [Damage(MIB, b"\xff" * MIB)],
}


@pytest.mark.parametrize("what", DISK_DAMAGE)
@pytest.mark.parametrize("image", ["raw", "vhd-fixed"], indirect=True)
def test_damage_where_it_decides_is_never_a_pass(image: Path, what: str) -> None:
    assert bad(scan_hostile(image)) == set()
    with damaged(image, DISK_DAMAGE[what]):
        assert bad(scan_hostile(image)) & BOOT


@pytest.mark.parametrize("image", ["raw-gpt"], indirect=True)
def test_a_gpt_without_sense_is_said(image: Path) -> None:
    size = image.stat().st_size
    first, backup = (512, 92), (size - 512, 92)
    entries, last_entries = (1024, 16384), (size - 512 - 16384, 16384)
    for places in ([first], [backup], [entries], [last_entries], [first, backup], [entries, last_entries]):
        for fill in (b"\0", b"\xff"):
            with damaged(image, [Damage(offset, fill * length) for offset, length in places]):
                assert bad(scan_hostile(image)) & BOOT, (places, fill)


@pytest.mark.parametrize("image", ["raw"], indirect=True)
def test_chains_of_extended_partitions_that_loop(image: Path) -> None:
    def entry(kind: int, start: int, sectors: int) -> bytes:
        return bytes(4) + bytes([kind]) + bytes(3) + start.to_bytes(4, "little") + sectors.to_bytes(4, "little")

    extended = 60000
    for link in (0, 1, 2, extended, 0xFFFFFFFF):
        chain = entry(0x83, 1, 10) + entry(5, link, 1000) + bytes(32) + b"\x55\xaa"
        damages = [Damage(446 + 16, entry(5, extended, 2000)), Damage(extended * 512 + 446, chain)]
        with damaged(image, damages):
            outcome = scan_hostile(image, what=link)
        assert len(outcome.machine["disks"][0]["partition_table"]["partitions"]) < 300


@pytest.mark.parametrize("image", ["raw"], indirect=True)
@pytest.mark.parametrize(
    "values", [(0xFFFFFFFF, 16 << 20), pytest.param((0, 0x7FFFFFFF, 1, 1 << 20), marks=pytest.mark.long)]
)
def test_an_endless_core_image_of_grub(image: Path, values: Sequence[int]) -> None:
    """Sizes in GRUB's decompressor (startup_raw.S: compressed and uncompressed size, ...) set to everything."""
    for offset in range(1024, 1024 + 64, 4):
        for value in values:
            with damaged(image, [Damage(offset, value.to_bytes(4, "little"))]):
                scan_hostile(image, what=(offset, value))
    with damaged(image, [Damage(512 + 0x1F4, b"\xff" * 12)]):
        assert bad(scan_hostile(image)) & BOOT
