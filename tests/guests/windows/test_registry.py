from __future__ import annotations

import lzma
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hivex_reader import HivexKey, read_hive
from tools import FIXTURES, requires_tool, shared_data, soon
from windows_builder import hive as build_hive

from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, TruncatedRead, UnsupportedFormat
from imgscan.guests.windows.registry import Hive, Key
from imgscan.layouts import registry as layout

CURRENT_VERSION = "Microsoft\\Windows NT\\CurrentVersion"


class CountingDevice(MemoryDevice):
    reads = 0
    amount = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads += 1
        self.amount += length
        return super().read_at(offset, length)


def fixture(name: str) -> bytes:
    return lzma.decompress((FIXTURES / "windows" / f"{name}.xz").read_bytes())


def opened(data: bytes) -> Hive:
    return Hive(MemoryDevice(data, "hive"))


def walk(hive: Hive, errors: list[ImageError]) -> Iterator[tuple[tuple[str, ...], Key]]:
    todo: list[tuple[tuple[str, ...], Key]] = [((), hive.root)]
    while todo:
        names, key = todo.pop()
        yield names, key
        todo.extend(((*names, below.name), below) for below in key.subkeys(errors.append))


def contents(hive: Hive) -> list[HivexKey]:
    errors: list[ImageError] = []
    found = [
        HivexKey(names, tuple((value.name, value.type, value.data()) for value in key.values()))
        for names, key in walk(hive, errors)
    ]
    assert not errors
    return found


def set_word(data: bytes, position: int, value: int, size: int = 4) -> bytes:
    changed = bytearray(data)
    changed[position : position + size] = value.to_bytes(size, "little")
    return bytes(changed)


def cell_of(data: bytes, signature: bytes, number: int = 0) -> int:
    """Return the position of the content of a cell that begins with these bytes."""
    position = 4096
    for _ in range(number + 1):
        position = data.index(signature, position + 1)
        while position % 8 != 4:
            position = data.index(signature, position + 1)
    return position


@requires_tool("hivexsh")
@pytest.mark.parametrize("name", ["BCD", "SYSTEM"])
def test_every_key_and_value_of_a_real_hive_is_as_hivex_reads_it(name: str, tmp_path: Path) -> None:
    data = shared_data(f"hives/{name}.xz")
    (tmp_path / name).write_bytes(data)
    assert sorted(contents(opened(data))) == sorted(read_hive(tmp_path / name))


@pytest.mark.long
@requires_tool("hivexsh")
@pytest.mark.parametrize("name", ["SOFTWARE_WIN7", "SYSTEM_WIN_10_1709", "SYSTEM_B"])
def test_every_key_and_value_of_a_large_real_hive_is_as_hivex_reads_it(name: str, tmp_path: Path) -> None:
    data = shared_data(f"hives/{name}.xz")
    (tmp_path / name).write_bytes(data)
    assert sorted(contents(opened(data))) == sorted(read_hive(tmp_path / name))


@requires_tool("hivexsh")
def test_what_hivex_still_reads_of_a_damaged_hive_is_read(tmp_path: Path) -> None:
    data = shared_data("hives/corrupted_system_hive.xz")
    (tmp_path / "hive").write_bytes(data)
    errors: list[ImageError] = []
    ours = dict(walk(opened(data), errors))
    assert errors
    assert all(type(error) is CorruptStructure and error.offset is not None for error in errors)
    count = 0
    for path, values in read_hive(tmp_path / "hive", damaged=True):
        key = ours[path]
        if values is not None:
            read = {value.name: (value.type, value) for value in key.values(errors.append)}
            for name, type_, content in values:
                if content is not None:
                    count += 1
                    assert read[name][0] == type_
                    assert read[name][1].data() == content
    assert count > 1000


def test_identity_values_of_a_large_hive_take_few_small_reads() -> None:
    device = CountingDevice(shared_data("hives/SOFTWARE_WIN7.xz"), "SOFTWARE")
    key = Hive(device).key(CURRENT_VERSION)
    assert key is not None
    names = ("ProductName", "EditionID", "InstallationType", "CurrentBuildNumber", "CurrentVersion", "CSDVersion")
    texts = [value.text() for name in names if (value := key.value(name)) is not None]
    assert texts == ["Windows 7 Ultimate", "Ultimate", "Client", "7601", "6.1", "Service Pack 1"]
    assert [key.value(name) for name in ("UBR", "DisplayVersion", "ReleaseId", "CurrentMajorVersionNumber")] == [
        None
    ] * 4
    assert device.reads < 60
    assert device.amount < 200 * 1024


def test_keys_and_values_are_found_whatever_their_case() -> None:
    key = opened(fixture("SOFTWARE")).key("MICROSOFT\\windows nt\\currentversion")
    assert key is not None
    assert key.path == CURRENT_VERSION
    value = key.value("PRODUCTNAME")
    assert value is not None
    assert (value.name, value.text()) == ("ProductName", "Windows Server 2019 Standard")


def test_what_is_not_there_is_none() -> None:
    hive = opened(fixture("SOFTWARE"))
    assert hive.key("Microsoft\\Nothing\\Below") is None
    assert hive.root.value("") is None
    assert hive.root.subkey("Microsof") is None


@requires_tool("hivexregedit")
def test_types_of_values() -> None:
    texts = ["one", "zwei \u00e4\u20ac", "\U0001f600"]
    big = bytes(range(256)) * 200
    hive = opened(
        build_hive({"k": {"": "default", "n": 0xDEADBEEF, "t": texts, "b": b"\x01\x02", "e": b"", "big": big}})
    )
    key = hive.key("k")
    assert key is not None
    read = {value.name: value for value in key.values()}
    assert read[""].text() == "default"
    assert read["n"].number() == 0xDEADBEEF
    assert read["t"].texts() == tuple(texts)
    assert read["b"].data() == b"\x01\x02"
    assert read["e"].data() == b""
    assert read["big"].data() == big
    with pytest.raises(CorruptStructure, match="REG_DWORD of 4 bytes, not text"):
        read["n"].text()
    with pytest.raises(CorruptStructure, match="not a number"):
        read[""].number()


@requires_tool("hivexregedit")
def test_names_that_are_not_ascii_are_compared_by_name_and_not_by_hash() -> None:
    # the dotless i and the long s become ASCII letters in Unicode's upper case, not in Windows'
    hive = opened(build_hive({"stra\u00dfe": {"\u00e4": 1}, "f\u0131x": {}, "\u017fs": {}, "\u4e2d\u6587": {}}))
    for name in ("STRA\u00dfE", "F\u0131X", "\u017fS", "\u4e2d\u6587"):
        assert hive.key(name) is not None
    assert hive.key("FIX") is None
    assert hive.key("SS") is None
    key = hive.key("stra\u00dfe")
    assert key is not None
    assert key.value("\u00c4") is not None


@requires_tool("hivexregedit")
def test_hash_lists_spare_reading_the_keys_that_are_not_meant() -> None:
    names = [f"key {number:05d} with a name that takes some room" for number in range(2000)]
    device = CountingDevice(build_hive({name: {} for name in names}), "hive")
    hive = Hive(device)
    assert hive.key(names[1234]) is not None
    assert hive.key("key that is not there") is None
    assert device.reads < 40


@requires_tool("hivexregedit")
@pytest.mark.parametrize("signature", [b"lf", b"li"])
def test_lists_with_hints_and_without(signature: bytes) -> None:
    data = build_hive({"Alpha": {}, "Beta": {}, "Betamax": {}, "G\u00e4rten": {}})
    root_cell = 4096 + struct.unpack_from("<I", data, 36)[0] + 4
    at = 4096 + layout.parse_key_node(data[root_cell:]).subkeys_list + 4
    _, count = layout.LIST_HEADER.unpack_from(data, at)
    cells = [struct.unpack_from("<I", data, at + 4 + 8 * index)[0] for index in range(count)]
    names = sorted(key.name for key in opened(data).root.subkeys())
    assert len(names) == count == 4
    found = {key.name: cell for key, cell in zip(opened(data).root.subkeys(), cells, strict=True)}
    if signature == b"lf":
        hints = {"Alpha": b"Alph", "Beta": b"Beta", "Betamax": b"Beta", "G\u00e4rten": b"\0\0\0\0"}
        entries = b"".join(struct.pack("<I4s", cell, hints[name]) for name, cell in found.items())
    else:
        entries = struct.pack(f"<{count}I", *cells)
    changed = bytearray(data)
    changed[at : at + 4 + len(entries)] = layout.LIST_HEADER.pack(signature, count) + entries
    root = opened(bytes(changed)).root
    assert sorted(key.name for key in root.subkeys()) == names
    for name in names:
        key = root.subkey(name.upper())
        assert key is not None
        assert key.name == name
    assert root.subkey("Betam") is None


def test_clean_and_dirty_hives() -> None:
    data = fixture("SYSTEM")
    assert not opened(data).dirty
    changed = set_word(data, 4, 77)
    assert "checksum" in opened(changed).dirty_reason
    changed = set_word(changed, 508, layout.base_block_checksum(changed))
    assert (
        opened(changed).dirty_reason == f"its sequence numbers differ (77 and {struct.unpack_from('<I', data, 8)[0]})"
    )


def test_a_real_dirty_hive_says_so_and_is_still_read() -> None:
    hive = opened(shared_data("hives/SYSTEM_WIN_10_1709.xz"))
    assert hive.dirty
    assert hive.key("Select") is not None


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedRead, "4096 bytes or more"),
        (b"regf", TruncatedRead, "4096 bytes or more"),
        (bytes(8192), CorruptStructure, "does not begin with regf"),
    ],
)
def test_what_is_no_hive(data: bytes, error: type[ImageError], message: str) -> None:
    with pytest.raises(error, match=message):
        opened(data)


def test_another_version_is_refused_by_its_number() -> None:
    with pytest.raises(UnsupportedFormat, match=r"2\.3"):
        opened(set_word(fixture("SYSTEM"), 20, 2))


@pytest.mark.parametrize("cell", [0, 8, 0x24, 0x7FFFFFF8, 0xFFFFFFF8, 0xFFFFFFFF])
def test_a_root_key_where_no_cell_can_be(cell: int) -> None:
    hive = opened(set_word(fixture("SYSTEM"), 36, cell))
    with pytest.raises(CorruptStructure, match="no cell can be"):
        _ = hive.root


def test_a_hive_that_is_cut_short_is_read_as_far_as_it_goes() -> None:
    data = shared_data("hives/SYSTEM.xz")
    hive = opened(data[: len(data) // 2])
    assert hive.key("Select") is not None
    errors: list[ImageError] = []
    assert sum(1 for _ in walk(hive, errors)) > 1000
    assert TruncatedRead in {type(error) for error in errors}


def test_a_key_that_cannot_be_read_is_not_taken_for_absent() -> None:
    data = fixture("SOFTWARE")
    microsoft = opened(data).key("Microsoft")
    assert microsoft is not None
    damaged = set_word(data, cell_of(data, b"nk", 1), 0x7878, 2)
    with pytest.raises(CorruptStructure, match="instead of nk") as caught:
        opened(damaged).key("Microsoft")
    assert caught.value.offset is not None
    assert opened(damaged).root.subkey("Other") is None  # the hash of the damaged key is another


def test_a_value_that_cannot_be_read_is_not_taken_for_absent_and_hides_no_other() -> None:
    data = fixture("SOFTWARE")
    damaged = set_word(data, cell_of(data, b"vk"), 0x7878, 2)
    key = opened(damaged).key(CURRENT_VERSION)
    assert key is not None
    errors: list[ImageError] = []
    left = [value.name for value in key.values(errors.append)]
    assert len(errors) == 1
    whole = opened(data).key(CURRENT_VERSION)
    assert whole is not None
    (lost,) = {value.name for value in whole.values()} - set(left)
    with pytest.raises(CorruptStructure, match="instead of vk"):
        key.value(lost)
    value = key.value(left[0])
    assert value is not None


def test_a_key_that_is_its_own_ancestor() -> None:
    data = fixture("SOFTWARE")
    at = cell_of(data, b"lh")
    hive = opened(set_word(data, at + 4, struct.unpack_from("<I", data, 36)[0]))
    with pytest.raises(CorruptStructure, match="its own ancestor"):
        list(hive.root.subkeys())


def test_a_list_that_contains_itself() -> None:
    data = fixture("SOFTWARE")
    at = cell_of(data, b"lh")
    changed = bytearray(data)
    changed[at : at + 8] = layout.LIST_HEADER.pack(b"ri", 1) + struct.pack("<I", at - 4 - 4096)
    errors: list[ImageError] = []
    assert list(opened(bytes(changed)).root.subkeys(errors.append)) == []
    assert "contains a part twice" in str(errors[0])


def test_counts_and_sizes_beyond_their_cells() -> None:
    data = fixture("SOFTWARE")
    root = 4096 + struct.unpack_from("<I", data, 36)[0] + 4
    with pytest.raises(CorruptStructure, match="no cell can be"):
        list(opened(set_word(data, root + 36, 5)).root.values())
    with pytest.raises(LimitExceeded, match="values"):
        list(opened(set_word(data, root + 36, 0x7FFFFFFF)).root.values())
    with pytest.raises(CorruptStructure, match="name of a key ends outside"):
        _ = opened(set_word(data, root + 72, 0xFFFF, 2)).root
    with pytest.raises(CorruptStructure, match="no room for its 65535 entries"):
        list(opened(set_word(data, cell_of(data, b"lh") + 2, 0xFFFF, 2)).root.subkeys())
    value = cell_of(data, b"vk")
    for size, error, message in (
        (0x80000005, CorruptStructure, "only 4 have room"),
        (0x7FFFFFFF, LimitExceeded, "bytes of data"),
        (0x00010000, CorruptStructure, "ends outside its cell"),
    ):
        key = opened(set_word(data, value + 4, size)).key(CURRENT_VERSION)
        assert key is not None
        with pytest.raises(error, match=message):
            [one.data() for one in key.values()]


def test_big_data_segments_must_add_up() -> None:
    data = shared_data("hives/SYSTEM.xz")
    big = [(names, value.name) for names, key in walk(opened(data), []) for value in key.values() if value.size > 16344]
    changed = bytearray(data)
    for at in range(4096 + 4, len(data), 8):
        if data[at : at + 2] == b"db":
            changed[at + 2 : at + 4] = b"\1\0"
    hive = opened(bytes(changed))
    assert big
    for names, name in big:
        key = hive.key("\\".join(names))
        assert key is not None
        value = key.value(name)
        assert value is not None
        with pytest.raises(CorruptStructure, match="has 1 segments"):
            value.data()


def test_the_data_of_values_that_is_read_is_counted() -> None:
    """Thousands of values can share one long text."""
    hive = Hive(MemoryDevice(fixture("BCD"), "hive"), data=0)
    value = max((value for _, key in walk(hive, []) for value in key.values()), key=lambda value: value.size)
    with pytest.raises(LimitExceeded, match="more data of values"):
        [value.data() for _ in range(2 * len(fixture("BCD")) // value.size + 1)]


def test_the_cells_that_are_read_are_counted() -> None:
    hive = Hive(MemoryDevice(fixture("SYSTEM"), "hive"), cells=10)
    with pytest.raises(LimitExceeded, match="more cells"):
        contents(hive)


@pytest.mark.parametrize("name", ["SOFTWARE", "SYSTEM", "BCD"])
def test_mutated_hives_end_in_an_error_or_in_content_and_soon(name: str) -> None:
    data = fixture(name)
    chance = random.Random(20261124)
    with soon(120.0):
        for _ in range(250):
            changed = bytearray(data)
            for _ in range(chance.choice((1, 1, 2, 8, 64))):
                position = chance.randrange(len(changed)) & ~3
                value = chance.choice(
                    (0, 0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, chance.getrandbits(32), chance.getrandbits(12) * 8)
                )
                struct.pack_into("<I", changed, position, value)
            cut = chance.choice((len(changed), len(changed), chance.randrange(len(changed))))
            try:
                hive = Hive(MemoryDevice(bytes(changed[:cut]), "hive"), cells=20_000)
                errors: list[ImageError] = []
                for _, key in walk(hive, errors):
                    for value_ in key.values(errors.append):
                        try:
                            value_.data()
                            value_.texts()
                            value_.number()
                        except ImageError as error:
                            errors.append(error)
            except ImageError as error:
                assert str(error)  # noqa: PT017 - any ImageError is right, and nothing else


@requires_tool("hivexregedit")
def test_lists_of_lists_of_lists() -> None:
    data = build_hive({name: {} for name in ("Alpha", "Beta", "Gamma", *(f"x{number}" for number in range(20)))})
    root_cell = 4096 + struct.unpack_from("<I", data, 36)[0] + 4
    at = 4096 + layout.parse_key_node(data[root_cell:]).subkeys_list + 4
    entries = struct.unpack_from("<46I", data, at + 4)
    # the list becomes one of two lists, the second of which is a list of one
    leaves = [
        layout.LIST_HEADER.pack(b"lh", len(e) // 2) + struct.pack(f"<{len(e)}I", *e)
        for e in (entries[:20], entries[20:])
    ]
    first = len(data) - 4096
    second = first + 4 + len(leaves[0])
    third = second + 4 + len(leaves[1])
    contents = (*leaves, layout.LIST_HEADER.pack(b"ri", 1) + struct.pack("<I", second))
    added = b"".join(struct.pack("<i", -4 - len(content)) + content for content in contents).ljust(4096, b"\0")
    changed = bytearray(data)
    changed[at : at + 12] = layout.LIST_HEADER.pack(b"ri", 2) + struct.pack("<II", first, third)
    struct.pack_into("<I", changed, 40, first + len(added))
    root = opened(bytes(changed) + added).root
    assert sorted(key.name for key in root.subkeys()) == sorted(key.name for key in opened(data).root.subkeys())
    for name in ("gamma", "x19"):
        assert root.subkey(name) is not None
    struct.pack_into("<I", changed, at + 8, at - 4 - 4096)  # and one that goes round
    with pytest.raises(CorruptStructure, match="contains a part twice"):
        list(opened(bytes(changed) + added).root.subkeys())
