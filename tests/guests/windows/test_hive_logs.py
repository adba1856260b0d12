from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from hive_logs import base_block, dirty, entry, new_log, old_log, pages
from hivex_reader import read_hive
from memory_windows import MemoryFileSystem
from tools import requires_tool, shared_data, soon
from windows_builder import hive as build_hive

from imgscan.devices.guest_tree import GuestTree
from imgscan.devices.memory import MemoryDevice
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, MissingPart, TruncatedRead
from imgscan.guests.windows.hive_logs import CompletedHive, complete
from imgscan.guests.windows.hives import HiveFile
from imgscan.guests.windows.registry import Hive, Key
from imgscan.layouts.registry_log import LOG_ENTRY_SIZE, marvin32, parse_log_entry

REAL = ("SYSTEM_B", "SYSTEM_B.LOG1", "SYSTEM_B.LOG2")


def real() -> list[bytes]:
    return [shared_data(f"hives/{name}.xz") for name in REAL]


def devices(*data: bytes) -> list[MemoryDevice]:
    return [MemoryDevice(one, f"SYSTEM.LOG{number}") for number, one in enumerate(data, 1)]


def completed(primary: bytes, *logs: bytes) -> CompletedHive:
    return complete(MemoryDevice(primary, "SYSTEM"), devices(*logs))


def number_in(device: CompletedHive, key: str = "State", value: str = "n") -> int:
    found = Hive(device).key(key)
    assert found is not None
    read = found.value(value)
    assert read is not None
    return read.number()


def applied_one_after_the_other(hive: bytes, logs: list[bytes]) -> bytes:
    """Return a hive with all entries written over it, in the plainest way; the sector of the base block as it was."""
    whole = bytearray(hive)
    for log in logs:
        at = 512
        while log[at : at + 4] == b"HvLE":
            size, _, _, bins, count = struct.unpack_from("<5I", log, at + 4)
            whole += bytes(max(0, 4096 + bins - len(whole)))
            page = at + 40 + 8 * count
            for index in range(count):
                offset, length = struct.unpack_from("<II", log, at + 40 + 8 * index)
                whole[4096 + offset : 4096 + offset + length] = log[page : page + length]
                page += length
            at += size
    return bytes(whole)


def test_hashes_of_real_logs() -> None:
    for log in real()[1:]:
        at = 512
        while log[at : at + 4] == b"HvLE" and at < 0x50000:
            header = parse_log_entry(log[at:])
            assert header.header_hash == marvin32(log[at : at + 32])
            if header.size < 20_000:
                assert header.content_hash == marvin32(log[at + LOG_ENTRY_SIZE : at + header.size])
            at += header.size


def test_a_real_hive_is_completed_from_both_logs() -> None:
    primary, *logs = real()
    hive = completed(primary, *logs)
    assert hive.logs == ("SYSTEM.LOG1", "SYSTEM.LOG2")
    expected = applied_one_after_the_other(primary, logs)
    assert hive.size == 4096 + 12591104
    assert hive.read_at(512, hive.size - 512) == expected[512 : hive.size]
    assert not Hive(hive).dirty


@pytest.mark.long
@requires_tool("hivexsh")
def test_every_key_and_value_of_the_completed_hive_is_as_hivex_reads_it(tmp_path: Path) -> None:
    hive = completed(*real())
    (tmp_path / "hive").write_bytes(hive.read_at(0, hive.size))
    todo: list[tuple[tuple[str, ...], Key]] = [((), Hive(hive).root)]
    ours = []
    while todo:
        names, key = todo.pop()
        ours.append((names, tuple((value.name, value.type, value.data()) for value in key.values())))
        todo.extend(((*names, below.name), below) for below in key.subkeys())
    assert sorted(ours) == sorted(read_hive(tmp_path / "hive"))


BEFORE, AFTER, LAST = ({"State": {"n": number, "fill": bytes([number]) * 9000}} for number in (1, 2, 3))
pytestmark = requires_tool("hivexregedit")


def states() -> tuple[bytes, bytes, bytes]:
    before, after, last = build_hive(BEFORE), build_hive(AFTER), build_hive(LAST)
    assert len(before) == len(after) == len(last)
    return before, after, last


def bins(hive: bytes) -> int:
    return len(hive) - 4096


def test_entries_of_two_logs_in_whichever_order() -> None:
    before, after, last = states()
    first = new_log(before, 10, entry(10, bins(after), pages(before, after)))
    second = new_log(before, 11, entry(11, bins(last), pages(after, last)))
    for logs in ((first, second), (second, first)):
        hive = completed(dirty(before), *logs)
        assert number_in(hive) == 3
        assert hive.read_at(512, hive.size - 512) == last[512:]
    assert number_in(completed(dirty(before), first)) == 2


def test_what_was_applied_before_or_does_not_follow_is_left_out() -> None:
    before, after, last = states()
    stale = new_log(before, 5, entry(5, bins(last), pages(before, last)))
    useful = new_log(before, 10, entry(10, bins(after), pages(before, after)))
    gap = new_log(before, 12, entry(12, bins(last), pages(before, last)))
    assert number_in(completed(dirty(before), stale, useful)) == 2
    assert number_in(completed(dirty(before), useful, gap)) == 2
    with pytest.raises(MissingPart, match="belongs to this state"):
        completed(dirty(before), stale)


def test_entries_end_at_one_that_does_not_follow_or_is_not_whole() -> None:
    before, after, last = states()
    good = entry(10, bins(after), pages(before, after))
    follower = entry(11, bins(last), pages(after, last))
    header, torn = bytearray(follower), bytearray(follower)
    header[20] ^= 1
    torn[-1] ^= 1
    for bad in (bytes(header), bytes(torn), entry(12, bins(last), pages(after, last)), follower[:700], b"HvLE"):
        assert number_in(completed(dirty(before), new_log(before, 10, good, bad))) == 2
    with pytest.raises(MissingPart, match="belongs to this state"):
        completed(dirty(before), new_log(before, 10, bytes(torn)))


def test_a_bad_entry_in_the_middle_loses_only_what_is_read_of_it() -> None:
    before, after, last = states()
    big = [(at, data) for at, data in pages(before, after) if at >= 8192] * 30
    early = bytearray(entry(10, bins(after), pages(before, after)))
    early[-1] ^= 1
    large = entry(11, bins(last), big)
    log = new_log(before, 10, bytes(early), large)
    hive = completed(dirty(before), log)
    with pytest.raises(CorruptStructure, match="entry 10 of the hive's log"):
        hive.read_at(8192, 4096)
    assert hive.read_at(12288, 4096) == after[12288:16384]


def test_a_base_block_that_was_being_written_comes_from_the_log() -> None:
    before, after, _ = states()
    log = new_log(before, 10, entry(10, bins(after), pages(before, after)))
    for damaged in (bytes(512) + before[512:], before[:508] + b"\1\2\3\4" + before[512:]):
        assert number_in(completed(damaged, log)) == 2
    files = {"/SYSTEM": bytes(512) + before[512:], "/SYSTEM.LOG1": log}
    file = HiveFile(GuestTree({"/": MemoryFileSystem(files)}), "/SYSTEM")
    assert file.number("State", "n").get() == "2"
    assert file.state.get().state == "completed"


def test_a_hive_that_grew() -> None:
    before, _, _ = states()
    after = build_hive({"State": {"n": 2, "fill": bytes(9000)}, "More": {"x": bytes(60_000)}})
    log = new_log(before, 10, entry(10, bins(after), pages(before, after)))
    hive = completed(dirty(before), log)
    assert hive.read_at(512, hive.size - 512) == after[512:]
    some = [page for page in pages(before, after) if page[0] < len(before) - 4096]
    hive = completed(dirty(before), new_log(before, 10, entry(10, bins(after), some)))
    with pytest.raises(TruncatedRead, match="do not hold this part"):
        hive.read_at(len(before), 4096)


@pytest.mark.parametrize("wrong", ["timestamp", "sequence", "checksum", "empty"])
def test_the_old_format(wrong: str) -> None:
    before, after, _ = states()
    stamp = 132_000_000_000_000_000
    log = old_log(before, pages(before, after, 512), bins(after), 9, stamp)
    assert number_in(completed(dirty(before, stamp=stamp), b"", log)) == 2
    damaged = {
        "timestamp": old_log(before, pages(before, after, 512), bins(after), 9, stamp + 1),
        "sequence": base_block(before, 9, 8, 1, stamp) + log[512:],
        "checksum": log[:100] + b"\1" + log[101:],
        "empty": b"",
    }[wrong]
    with pytest.raises(MissingPart):
        completed(dirty(before, stamp=stamp), damaged)


def test_old_logs_that_are_cut_short_or_say_what_cannot_be() -> None:
    before, after, _ = states()
    log = old_log(before, pages(before, after, 512), bins(after), 9, 7)
    primary = dirty(before, stamp=7)
    with pytest.raises(TruncatedRead, match="pages of the hive's log are missing"):
        completed(primary, log[:-512])
    with pytest.raises(CorruptStructure, match="no dirty vector"):
        completed(primary, log[:512] + b"TRID" + log[516:])
    with pytest.raises(CorruptStructure, match="513 bytes"):
        completed(primary, old_log(before, [], 513, 9, 7))
    with pytest.raises(LimitExceeded):
        completed(primary, old_log(before, [], 0x7FFFF000, 9, 7))


def test_a_dirty_hive_says_what_became_of_it() -> None:
    before, after, _ = states()
    log = new_log(before, 10, entry(10, bins(after), pages(before, after)))

    def opened(**files: bytes) -> HiveFile:
        paths = {f"/Windows/System32/config/{name.replace('_', '.')}": data for name, data in files.items()}
        file = HiveFile(GuestTree({"/": MemoryFileSystem(paths)}), "/windows/system32/config/system")
        file.open()
        return file

    file = opened(SYSTEM=dirty(before), SYSTEM_LOG1=log, SYSTEM_LOG2=b"")
    assert file.number("State", "n").get() == "2"
    state = file.state.get()
    assert (state.path, state.state) == ("/Windows/System32/config/SYSTEM", "completed")
    assert state.detail == "completed from disk0/p1:/Windows/System32/config/SYSTEM.LOG1"
    assert file.left_out == ()

    file = opened(SYSTEM=dirty(before))
    assert file.number("State", "n").get() == "1"
    assert file.state.get().state == "dirty"
    (place,) = file.left_out
    assert place.why == "missing"
    assert "sequence numbers differ (11 and 10)" in place.detail
    assert opened(SYSTEM=before, SYSTEM_LOG1=log).state.get().state == "clean"  # Windows does not look at it either


def test_mutated_logs_end_in_an_error_or_in_content_and_soon() -> None:
    before, after, last = states()
    first = new_log(before, 10, entry(10, bins(after), pages(before, after)), entry(11, bins(last), pages(after, last)))
    old = old_log(before, pages(before, after, 512), bins(after), 9, 7)
    chance = random.Random(20261127)
    with soon(60.0):
        for log, number in ((first, 200), (old, 200)):
            for _ in range(number):
                changed = bytearray(log)
                for _ in range(chance.choice((1, 2, 8))):
                    at = chance.randrange(min(len(changed), 1100)) & ~3
                    struct.pack_into("<I", changed, at, chance.choice((0, 0xFFFFFFFF, chance.getrandbits(32))))
                if chance.random() < 0.7:
                    changed[:512] = base_block(bytes(changed), 10, 10, log[28], 7)
                try:
                    hive = completed(dirty(before, stamp=7), bytes(changed))
                    hive.read_at(0, hive.size)
                except ImageError as error:
                    assert str(error)  # noqa: PT017 - any ImageError is right, and nothing else
