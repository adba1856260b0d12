from __future__ import annotations

import lzma
import struct

from tools import FIXTURES

from imgscan.layouts import registry


def hive() -> bytes:
    return lzma.decompress((FIXTURES / "windows" / "SYSTEM.xz").read_bytes())


def test_base_block_of_a_hive_that_hivex_wrote() -> None:
    base = registry.parse_base_block(hive())
    assert registry.BASE_BLOCK_BYTES == 512
    assert (base.major_version, base.minor_version) == (1, 3)
    assert base.root_cell == 0x20
    assert base.bins_size == len(hive()) - registry.BASE_BLOCK_SIZE
    assert base.checksum == registry.base_block_checksum(hive())


def test_the_checksum_is_never_0_nor_all_ones() -> None:
    assert registry.base_block_checksum(bytes(512)) == 1
    assert registry.base_block_checksum(b"\xff" * 4 + bytes(508)) == 0xFFFFFFFE


def test_hash_of_names_as_hivex_writes_it() -> None:
    data = hive()
    root = registry.parse_key_node(data[4096 + 0x20 + 4 :])
    assert root.signature == b"nk"
    at = 4096 + root.subkeys_list + 4
    signature, count = registry.LIST_HEADER.unpack_from(data, at)
    assert signature == b"lh"
    assert count == root.subkeys
    hashes = {}
    for index in range(count):
        cell, hashed = struct.unpack_from("<II", data, at + 4 + 8 * index)
        node = data[4096 + cell + 4 :]
        name = node[registry.KEY_NODE_SIZE :][: registry.parse_key_node(node).name_length].decode("ascii")
        hashes[name] = hashed
    assert set(hashes) == {"Select", "ControlSet001", "MountedDevices"}
    assert hashes == {name: registry.name_hash(name) for name in hashes}
