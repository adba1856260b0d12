"""raw: the file is the disk; what makes a file one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from image_opening import assert_holds, device_in, opened_image, problem_codes, problem_kinds, scattered_bytes
from tools import requires_tool

MBR = bytearray(scattered_bytes(1 << 20))
MBR[510:512] = b"\x55\xaa"


def test_boot_signature(tmp_path: Path) -> None:
    path = tmp_path / "disk.iso"  # the name says nothing
    path.write_bytes(MBR)
    with opened_image(path) as image:
        assert_holds(device_in(image), bytes(MBR))
        facts = image.facts
        assert (facts.format, facts.variant, facts.virtual_size) == ("raw", "raw", 1 << 20)
        assert (facts.unclean.get(), facts.encryption.get(), facts.delta.get()) == (False, None, None)
        assert facts.device_mapping.get() is None
        assert facts.problems == ()


@pytest.mark.parametrize(("at", "sector_size"), [(512, 512), (4096, 4096)])
def test_gpt_says_the_sector_size(tmp_path: Path, at: int, sector_size: int) -> None:
    disk = bytearray(1 << 20)
    disk[at : at + 8] = b"EFI PART"
    path = tmp_path / "disk"
    path.write_bytes(disk)
    with opened_image(path) as image:
        assert image.facts.logical_sector_size == sector_size
        assert device_in(image).sector_size == sector_size


@requires_tool("mke2fs")
def test_whole_disk_filesystem(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(1 << 20))
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext2", str(path)], check=True)
    with opened_image(path) as image:
        assert image.facts.format == "raw"


def test_odd_size_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(MBR + b"tail")
    with opened_image(path) as image:
        assert problem_codes(image) == ["size-not-of-whole-sectors"]
        assert problem_kinds(image) == ["note"]
        assert device_in(image).read_at(1 << 20, 4) == b"tail"


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", "truncated", "empty"),
        (bytes(1 << 20), "unsupported", "begins with zeros"),
        (b"\x01" * 100_000, "unsupported", "--input-format raw"),
        (b"x", "unsupported", "--input-format raw"),
    ],
)
def test_what_is_not_told_to_be_raw(tmp_path: Path, content: bytes, kind: str, words: str) -> None:
    path = tmp_path / "disk"
    path.write_bytes(content)
    with opened_image(path) as image:
        assert image.device is None
        assert problem_kinds(image) == [kind]
        assert words in image.facts.problems[0].detail
        assert not image.facts.unclean.is_known
        assert not image.facts.encryption.is_known
    if content:
        with opened_image(path, "raw") as image:
            assert_holds(device_in(image), content)


def test_first_part_of_a_split_image(tmp_path: Path) -> None:
    disk = bytearray(MBR)
    disk[446:510] = bytes(64)
    disk[446:462] = bytes.fromhex("80000000 83000000 00080000 00000100")  # 2048 + 65536 sectors
    for name, expected in (("disk.001", ["part-of-split-image"]), ("disk.img", [])):
        (tmp_path / name).write_bytes(disk)
        with opened_image(tmp_path / name) as image:
            assert problem_codes(image) == expected
            assert_holds(device_in(image), bytes(disk))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("disk.vhd", "there is no VHD footer: a fixed VHD whose end was cut off looks like this"),
        ("disk_1234.AVHD", "VHD footer"),
        ("disk-flat.vmdk", "descriptor"),
        ("disk.vhdx", "has no vhdx header"),
        ("disk.avhdx", "has no avhdx header"),
        ("disk.qcow2", "has no qcow2 header"),
        ("disk.vdi", "has no vdi header"),
        ("disk.img", None),
        ("vhd", None),
    ],
)
@pytest.mark.parametrize(("sectors", "kind"), [(100, "note"), (65536, "truncated")])
def test_a_raw_disk_with_the_name_of_another_format(
    tmp_path: Path, name: str, words: str | None, sectors: int, kind: str
) -> None:
    disk = bytearray(MBR)
    disk[446:510] = bytes(64)
    disk[446:462] = bytes.fromhex("80000000 83000000 40000000") + sectors.to_bytes(4, "little")
    (tmp_path / name).write_bytes(disk)
    with opened_image(tmp_path / name) as image:
        assert image.facts.format == "raw"
        assert_holds(device_in(image), bytes(disk))
        assert problem_kinds(image) == ([] if words is None else [kind])
        assert words is None or words in image.facts.problems[0].detail


@requires_tool("qemu-img")
def test_a_fixed_vhd_without_its_footer(tmp_path: Path) -> None:
    disk = bytearray(MBR)
    disk[446:510] = bytes(64)
    (tmp_path / "disk.raw").write_bytes(disk)
    path = tmp_path / "disk.vhd"
    command = ["qemu-img", "convert", "-O", "vpc", "-o", "subformat=fixed,force_size=on"]
    subprocess.run([*command, "-f", "raw", str(tmp_path / "disk.raw"), str(path)], check=True)
    whole = path.read_bytes()
    with opened_image(path) as image:
        assert image.facts.format == "vhd"
    path.write_bytes(whole[:-512])
    with opened_image(path) as image:
        assert (image.facts.format, problem_codes(image)) == ("raw", ["named-as-other-format"])
        assert_holds(device_in(image), bytes(disk))


def test_another_part_of_a_split_image(tmp_path: Path) -> None:
    path = tmp_path / "disk.002"
    path.write_bytes(b"x" * 4096)
    with opened_image(path) as image:
        assert "join the parts" in image.facts.problems[0].detail
