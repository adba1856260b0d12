"""Initramfs images made by cpio and the compressors themselves, opened as a kernel would open them."""

from __future__ import annotations

import gzip
import subprocess
import zlib
from collections.abc import Mapping

import pytest
from disk_builder import KERNEL, initramfs
from memory_filesystem import Content, MemoryFileSystem
from tools import require_tool, requires_tool

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart, UnsupportedFormat
from imgscan.guests.linux import initramfs as reader
from imgscan.guests.linux.initramfs import module_name, read_initramfs
from imgscan.guests.linux.kernel_drivers import read_kernel_drivers
from imgscan.model.initramfs import Initramfs
from imgscan.model.linux_boot import DefaultKernel

pytestmark = requires_tool("cpio", "gzip")
MODULES = ("xen_blkfront", "xen_netfront")
EXTRA = ("lib/modules/x/updates/vmw-pvscsi.ko.xz", "lib/ext3.ko", "etc/nvme.ko.conf", "usr/lib/modules/x/nvmem.ko.zst")
PADDING = bytes(512)


def read(*files: bytes, more: Mapping[str, Content] | None = None) -> Initramfs:
    names = tuple(f"/boot/i{number}" for number in range(len(files)))
    tree = GuestTree({"/": MemoryFileSystem({**dict(zip(names, files, strict=True)), **(more or {})})})
    found = read_initramfs(tree, kernel(*names)).get()
    assert found is not None
    return found


def kernel(*initrds: str, arguments: str | None = "") -> DefaultKernel:
    return DefaultKernel(path="/boot/vmlinuz", volume="disk0/p1", initrds=initrds, arguments=arguments)


def packed(data: bytes, command: str) -> bytes:
    tool, *options = command.split()
    return subprocess.run([require_tool(tool), *options], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("command", "form"),
    [
        ("", "cpio"),
        ("gzip -9", "gzip"),
        ("xz --check=crc32 -T1 -3", "xz"),
        ("xz -9 --check=crc64 -T1", "xz"),
        ("lzma -1", "lzma"),
        ("bzip2 -9", "bzip2"),
        ("zstd -9 -q", "zstd"),
        ("zstd -1 -q --no-check", "zstd"),
        ("lz4 -l -9", "lz4-legacy"),
        ("lz4 -q -1", "lz4"),
        ("lz4 -q -BD -B4 --content-size", "lz4"),
    ],
)
def test_each_compressor(command: str, form: str) -> None:
    archive = initramfs(*EXTRA, compress="")
    # larger than a block of each form, and not all the same
    large = b"".join(zlib.crc32(bytes([n % 256, n // 256])).to_bytes(4, "big") * 64 for n in range(4000))
    archive = entry("etc/large", large) + archive
    data = packed(archive, command) if command else archive
    found = read(data)
    assert found.modules == tuple(sorted({*MODULES, "vmw_pvscsi", "ext3", "nvmem"}))
    (file,) = found.files
    assert (file.forms, file.flaw, file.size) == ((form,), None, len(data))
    assert file.unpacked == len(archive) or not command
    assert read(data + PADDING).modules == found.modules
    if command:
        cut = read(data[: len(data) // 2]).files[0]
        assert (cut.flaw, cut.forms) == ("damaged", (form,))


def entry(name: str, content: bytes) -> bytes:
    """Return an entry of a cpio archive (buffer-format.rst)."""
    fields = (1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


TRAILER = entry("TRAILER!!!", b"")


def test_microcode_first_and_archives_behind_each_other() -> None:
    early = entry("kernel/x86/microcode/GenuineIntel.bin", bytes(600_000)) + TRAILER + PADDING
    second = packed(entry("lib/nvme-core.ko", b"x") + TRAILER, "gzip") + bytes(3)
    found = read(early + second + initramfs(compress="xz -0"))
    assert found.modules == ("nvme_core", *MODULES)
    assert found.files[0].forms == ("cpio", "gzip", "xz")
    assert read(early, initramfs()).modules == MODULES


def test_large_contents_of_a_plain_archive_are_not_read() -> None:
    asked: list[int] = []

    class Counting(MemoryFileSystem):
        def read(self, node: int, offset: int, length: int) -> bytes:
            asked.append(length)
            return super().read(node, offset, length)

    data = entry("big", bytes(40 << 20)) + initramfs(compress="")
    tree = GuestTree({"/": Counting({"/boot/i": data})})
    found = read_initramfs(tree, kernel("/boot/i")).get()
    assert found is not None
    assert found.modules == MODULES
    assert sum(asked) < 2 << 20


def test_several_archives_inside_one_compressed_part() -> None:
    inner = entry("a.ko", b"1") + TRAILER + PADDING + entry("b.ko", b"2") + TRAILER + PADDING
    assert read(gzip.compress(inner)).modules == ("a", "b")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(5000),
        b"this is no archive at all",
        entry("a", b"x" * 400)[:200],
        gzip.compress(entry("a", b"x" * 400)[:200], mtime=0),
        gzip.compress(b"this is no archive at all, and long enough for a header" * 9, mtime=0),
        gzip.compress(initramfs(compress="")[:1000], mtime=0),
        b"070701" + b"zzzzzzzz" * 13 + b"a\0",
        entry("x" * 5000, b""),
        b"070707" + b"0" * 200,
        b"\x28\xb5\x2f\xfd\x00\x58\x07\0\0",
        b"\x02\x21\x4c\x18\x10\0\0\0" + b"\xff" * 16,
        b"\x04\x22\x4d\x18\x40\x40\x00\x04\0\0\0\xff\xff\xff\xff",
    ],
)
def test_damage_is_a_flaw(data: bytes) -> None:
    (file,) = read(data).files
    assert file.flaw == "damaged"
    assert file.detail


def test_junk_behind_a_whole_archive_is_left_alone_as_the_kernel_does() -> None:
    assert read(initramfs() + b"\0\0\0junk").files[0].flaw is None


EARLY = entry("kernel/x86/microcode/GenuineIntel.bin", b"x" * 3000) + TRAILER + PADDING


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (b"\x99" * 5000, "; behind its archives comes what is none"),
        (bytes(5000), ""),
        (b"", ""),
        (gzip.compress(b"", mtime=0), ""),
        (entry("sbin/init", b"x") + TRAILER, ""),
    ],
)
def test_nothing_to_start_is_damage_whatever_comes_before(rest: bytes, said: str) -> None:
    for data in (EARLY + rest, EARLY + EARLY + rest):
        (file,) = read(data).files
        assert (file.flaw, file.detail) == ("damaged", f"nothing that the kernel unpacks has the program /init{said}")


def test_the_kernel_ends_where_no_archive_comes_also_for_the_files_behind_it() -> None:
    found = read(EARLY + b"\x99" * 5000, initramfs())
    assert [file.flaw for file in found.files] == ["damaged", None]
    assert [file.flaw for file in read(EARLY, initramfs() + b"\x99" * 5000, EARLY).files] == [None, None, None]
    assert [file.flaw for file in read(initramfs(), EARLY).files] == [None, None]
    assert [file.flaw for file in read(EARLY, EARLY).files] == [None, "damaged"]


def test_another_program_to_start_is_named_on_the_command_line() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/boot/i": entry("./bin/first", b"x") + TRAILER})})
    for arguments, flaw in (("ro rdinit=/bin/first", None), ("ro rdinit=/init", "damaged"), ("ro", "damaged")):
        found = read_initramfs(tree, kernel("/boot/i", arguments=arguments)).get()
        assert found is not None
        assert found.files[0].flaw == flaw


def test_a_file_that_is_missing() -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/boot/a": initramfs()})})
    found = read_initramfs(tree, kernel("/boot/a", "/boot/b")).get()
    assert found is not None
    assert [file.flaw for file in found.files] == [None, "missing"]
    assert read_initramfs(tree, kernel()).get() is None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (packed(initramfs(compress=""), "lzop -1"), UnsupportedFormat),
        (b"\x01" + bytes(0x437) + b"\x53\xef" + bytes(100), UnsupportedFormat),
        (b"hsqs" + bytes(2000), UnsupportedFormat),
        (CorruptStructure("a bad extent", where="disk0/p1"), CorruptStructure),
    ],
)
def test_what_cannot_be_read_is_no_flaw_of_the_file(data: Content, error: type[ImageError]) -> None:
    tree = GuestTree({"/": MemoryFileSystem({"/boot/i": data})})
    with pytest.raises(error):
        read_initramfs(tree, kernel("/boot/i"))


def test_no_menu_says_which_one_is_loaded() -> None:
    with pytest.raises(MissingPart):
        read_initramfs(GuestTree({"/": MemoryFileSystem({"/a": ""})}), kernel(arguments=None))


BOMB = bytes(600 << 20)


@pytest.mark.parametrize("command", ["gzip -9", "xz -0 -T1", "zstd -1 -q", "lz4 -q -1", "lz4 -q -l -1"])
def test_a_bomb_ends_at_the_limit(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "UNPACKED_BYTES", 8 << 20)
    data = packed(entry("a", BOMB[: 24 << 20]) + TRAILER, command)
    with pytest.raises(LimitExceeded):
        read(data)


@pytest.mark.parametrize(("command", "weight"), [("gzip -1", 1), ("xz -0 -T1", 2), ("lzma -0", 2), ("bzip2 -1", 4)])
def test_a_form_that_unpacks_slowly_ends_sooner(command: str, weight: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "UNPACKED_BYTES", 8 << 20)
    just_enough = (8 << 20) // weight - 4096
    assert read(packed(entry("init", BOMB[:just_enough]) + TRAILER, command)).files[0].flaw is None
    with pytest.raises(LimitExceeded):
        read(packed(entry("a", BOMB[: just_enough + 8192]) + TRAILER, command))


def test_a_file_larger_than_what_may_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PACKED_BYTES", 1000)
    with pytest.raises(LimitExceeded):
        read(entry("a", b"x") + TRAILER + bytes(3000) + initramfs())


def test_many_blocks_of_nothing_end_at_the_limit() -> None:
    empty = b"\x28\xb5\x2f\xfd\x00\x58" + b"\0\0\0" * 250_000
    with pytest.raises(LimitExceeded):
        read(empty)


def test_a_filesystem_inside_may_hold_more() -> None:
    assert read(gzip.compress(entry("squash-root.img", b"hsqs") + TRAILER)).is_nested
    assert not read(initramfs()).is_nested


def test_names_of_modules() -> None:
    names = ["a/xen-blkfront.ko", "nvme.ko.xz", "ena.ko.gz", "x.ko.zst", "nvme.ko.conf", "ko", "libena.so"]
    assert list(map(module_name, names)) == ["xen_blkfront", "nvme", "ena", "x", None, None, None]


DEP = """\
kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz: kernel/net/core/x.ko.xz
/lib/modules/2.6.18-8.el5/kernel/drivers/block/xen-blkfront.ko: /lib/modules/2.6.18-8.el5/kernel/drivers/xen/x.ko
updates/dkms/ixgbevf.ko:
kernel/fs/ext4/ext4.ko: kernel/drivers/net/none.ko
kernel/sound/snd.ko:
"""


def test_drivers_beside_the_kernel_and_in_it() -> None:
    folder = f"/usr/lib/modules/{KERNEL}"
    files = {f"{folder}/modules.dep": DEP, f"{folder}/modules.builtin": "kernel/drivers/nvme/host/nvme-core.ko\n"}
    found = read_kernel_drivers(GuestTree({"/": MemoryFileSystem(files)}), KERNEL).get()
    assert found is not None
    assert found.modules == ("ena", "ixgbevf", "xen_blkfront")
    assert found.builtin == ("nvme_core",)
    del files[f"{folder}/modules.builtin"]
    found = read_kernel_drivers(GuestTree({"/": MemoryFileSystem(files)}), KERNEL).get()
    assert found is not None
    assert found.builtin is None
    assert read_kernel_drivers(GuestTree({"/": MemoryFileSystem(files)}), "4.0").get() is None
    bare = MemoryFileSystem({f"{folder}/kernel/x.ko": b""})
    with pytest.raises(MissingPart):
        read_kernel_drivers(GuestTree({"/": bare}), KERNEL)
