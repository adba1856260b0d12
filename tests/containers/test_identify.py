"""Which format a file is: by content, whatever its name, and when it shows two."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from image_opening import device_in, identified, opened_image, problem_codes, problem_kinds, qemu_img, watched_opens
from qcow2_images import Qcow2
from tools import requires_tool
from vdi_images import Vdi

from imgscan.containers import FORMATS
from imgscan.errors import UsageError

MIB = 1 << 20


def fixed_vhd_footer(size: int, kind: int = 2) -> bytes:
    footer = bytearray(512)
    struct.pack_into(">8sIIQ", footer, 0, b"conectix", 2, 0x10000, (1 << 64) - 1)
    struct.pack_into(">QQ", footer, 40, size, size)
    struct.pack_into(">I", footer, 60, kind)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFF_FFFF)
    return bytes(footer)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "export.img"
    path.write_bytes(content)
    return path


@requires_tool("qemu-img")
@pytest.mark.parametrize(
    ("qemu_format", "options", "name"),
    [
        ("vmdk", "subformat=monolithicSparse", "vmdk"),
        ("vmdk", "subformat=streamOptimized", "vmdk"),
        ("vpc", "subformat=dynamic", "vhd"),
        ("vpc", "subformat=fixed", "vhd"),
        ("vhdx", "subformat=dynamic", "vhdx"),
        ("qcow2", "compat=1.1", "qcow2"),
        ("vdi", "static=off", "vdi"),
    ],
)
def test_by_content_whatever_the_name(tmp_path: Path, qemu_format: str, options: str, name: str) -> None:
    path = tmp_path / "disk.raw"
    qemu_img("create", "-f", qemu_format, "-o", options, path, "4M")
    assert identified(path).format == name
    assert identified(path).others == ()


def test_references_are_named_and_not_opened(tmp_path: Path) -> None:
    path = written(tmp_path, Qcow2(40 * 4096, backing=b"/etc/passwd").build())
    with watched_opens() as paths:
        found = identified(path)
    assert found.references.parents == ("/etc/passwd",)
    assert paths == [str(path)]


def test_a_fixed_vhd_whose_guest_wrote_another_format_stays_a_vhd(tmp_path: Path) -> None:
    for front in (Qcow2(MIB, backing=b"secret").build(), Vdi(MIB, {1: b"x"}).build()):
        guest = front.ljust(MIB, b"\0")
        path = written(tmp_path, guest + fixed_vhd_footer(MIB))
        with opened_image(path) as image:
            assert image.facts.format == "vhd"
            assert problem_codes(image)[0] == "format-ambiguous"
            assert problem_kinds(image)[0] == "damage"
            assert "--input-format" in image.facts.problems[0].detail
            assert device_in(image).read_at(0, MIB) == guest
        for chosen in ("vhd", "qcow2" if front.startswith(b"QFI") else "vdi"):
            with opened_image(path, chosen) as image:
                assert image.facts.format == chosen
                assert "format-ambiguous" not in problem_codes(image)


@pytest.mark.parametrize("kind", [2, 3])
def test_a_footer_that_does_not_fit_leaves_the_header_its_say(tmp_path: Path, kind: int) -> None:
    front = Qcow2(MIB).build().ljust(MIB, b"\0")
    footer = fixed_vhd_footer(MIB if kind == 3 else MIB - 512, kind)
    with opened_image(written(tmp_path, front + footer)) as image:
        assert image.facts.format == "qcow2"
        assert problem_codes(image)[0] == "format-ambiguous"


def test_input_format_overrides(tmp_path: Path) -> None:
    content = Qcow2(40 * 4096).build()
    path = written(tmp_path, content)
    with opened_image(path, "raw") as image:
        assert image.facts.format == "raw"
        assert device_in(image).read_at(0, len(content)) == content
    for name in ("vdi", "vhd", "vhdx"):
        with opened_image(path, name) as image:
            assert image.device is None
            assert problem_kinds(image), name
            assert not image.facts.unclean.is_known


def test_unknown_input_format_is_a_usage_error(tmp_path: Path) -> None:
    path = written(tmp_path, b"x" * 512)
    with pytest.raises(UsageError, match="qcow2"), opened_image(path, "floppy"):
        pass


def test_the_table_of_contents() -> None:
    names = [reader.NAME for reader in FORMATS]
    assert sorted(names) == ["qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk"]
    assert names[-1] == "raw"
