"""Reading the guest's bytes of a qcow2 image: L1 and L2 tables, compressed clusters, subclusters.

Source: QEMU, docs/interop/qcow2.txt, "Cluster mapping" and "Extended L2 Entries".
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from threading import Lock

from imgscan.containers.table_pages import TablePages
from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import TABLE_CACHE_BYTES, TABLE_PAGE_BYTES
from imgscan.errors import CorruptStructure, ImageError, TruncatedRead, UnsupportedFormat
from imgscan.layouts.qcow2 import (
    COMPRESSED,
    COMPRESSION_TYPES,
    EXTENDED_L2,
    OFFSET_MASK,
    READS_AS_ZERO,
    SUBCLUSTERS,
    Header,
)

_HOST = 0
_BELOW = -1
_ZEROS = -2
_ALL = 0xFFFF_FFFF


class Qcow2Disk:
    """The virtual disk of an image whose header was checked.

    `backing` is the disk below, an error that says why it cannot be read (raised where its bytes are needed), or None.
    """

    sector_size = 512

    def __init__(self, file: BlockDevice, header: Header, backing: BlockDevice | ImageError | None) -> None:
        self.name = file.name
        self.size = header.size
        self._file = file
        self._backing = backing
        self._cluster_bits = header.cluster_bits
        self._cluster = 1 << header.cluster_bits
        self._extended = bool(header.incompatible_features & EXTENDED_L2)
        self._zero_flag = header.version >= 3
        self._compression = COMPRESSION_TYPES.get(header.compression_type, "")
        self._l1_offset = header.l1_table_offset
        self._l1_size = header.l1_size
        page_bytes = min(self._cluster, TABLE_PAGE_BYTES)
        entry_bits = 4 if self._extended else 3
        self._l2_bits = header.cluster_bits - entry_bits
        self._page_bits = page_bytes.bit_length() - 1 - entry_bits
        self._page_bytes = page_bytes
        self._l1 = TablePages(file, "L1 table", 8, "big", TABLE_PAGE_BYTES)
        self._l2 = TablePages(file, "L2 table", 8, "big", page_bytes)
        self._inflated: dict[int, bytes] = {}
        self._most_inflated = max(2, TABLE_CACHE_BYTES >> header.cluster_bits)
        self._lock = Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self, offset, length)
        parts: list[bytes] = []
        kind, start, run = _ZEROS, 0, 0  # pieces that go on where the last one ended are read at once
        mask = self._cluster - 1
        span = self._cluster << self._l2_bits
        while length:
            index, within = offset >> self._cluster_bits, offset & mask
            table = self._l2_table(index >> self._l2_bits)
            entry = bitmap = 0
            if table:
                entry, bitmap = self._entry(table, index)
                take = min(length, self._cluster - within)
                where = _BELOW
                if not entry & COMPRESSED:
                    where, take = self._place(entry, bitmap, within, take)
            else:  # nothing allocated in all that this L2 table would map
                where, take = _BELOW, min(length, span - offset % span)
            if where == _BELOW and self._backing is None:
                where = _ZEROS
            if entry & COMPRESSED:
                self._finish(parts, kind, start, run)
                run = 0
                parts.append(self._inflate(entry)[within : within + take])
            elif run and (where == kind if where < 0 else kind == _HOST and where == start + run):
                run += take
            else:
                self._finish(parts, kind, start, run)
                kind, start, run = (_HOST, where, take) if where >= 0 else (where, offset, take)
            offset += take
            length -= take
        self._finish(parts, kind, start, run)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _finish(self, parts: list[bytes], kind: int, start: int, length: int) -> None:
        """Add a run: host bytes from `start`, zeros, or the backing disk's bytes from `start`."""
        if not length:
            return
        if kind == _HOST:
            parts.append(self._file.read_at(start, length))
        else:
            parts.append(bytes(length) if kind == _ZEROS else self._below(start, length))

    def _l2_table(self, index: int) -> int:
        """Return the host offset of an L2 table, 0 when there is none."""
        if index >= self._l1_size:
            raise CorruptStructure("the L1 table is too small for the disk", where=self.name, offset=self._l1_offset)
        per_page = TABLE_PAGE_BYTES // 8
        page = self._l1.page(self._l1_offset + index // per_page * TABLE_PAGE_BYTES)
        at = index % per_page
        if at >= len(page):
            raise TruncatedRead("the L1 table runs beyond the end", where=self.name, offset=self._l1_offset + 8 * index)
        table = page[at] & OFFSET_MASK
        if table & (self._cluster - 1):
            raise CorruptStructure(
                f"an L2 table at {table} is not aligned to a cluster",
                where=self.name,
                offset=self._l1_offset + 8 * index,
            )
        return table

    def _entry(self, table: int, index: int) -> tuple[int, int]:
        """Return the L2 entry of a cluster and, with extended entries, its subcluster bitmap."""
        index &= (1 << self._l2_bits) - 1
        at = index & ((1 << self._page_bits) - 1)
        page = self._l2.page(table + (index >> self._page_bits) * self._page_bytes)
        try:
            return (page[2 * at], page[2 * at + 1]) if self._extended else (page[at], 0)
        except IndexError:
            raise TruncatedRead("an L2 table runs beyond the end", where=self.name, offset=table) from None

    def _place(self, entry: int, bitmap: int, within: int, length: int) -> tuple[int, int]:
        """Return where bytes of a cluster are (host offset, `_BELOW` or `_ZEROS`) and how many of them are there."""
        host = entry & OFFSET_MASK
        if host & (self._cluster - 1):
            raise CorruptStructure(f"a cluster at {host} is not aligned", where=self.name, offset=host)
        if not self._extended:
            if entry & READS_AS_ZERO:
                if not self._zero_flag:
                    raise CorruptStructure("a zero cluster in an image of version 2", where=self.name)
                return _ZEROS, length
            return (host + within if host else _BELOW), length
        allocated, zeros = bitmap & _ALL, bitmap >> 32
        if allocated & zeros or (allocated and not host):
            raise CorruptStructure("a subcluster bitmap contradicts itself", where=self.name, offset=host)
        if allocated == _ALL:
            return host + within, length
        size = self._cluster // SUBCLUSTERS
        number = within // size
        kind = allocated >> number & 1, zeros >> number & 1
        end = number + 1
        while end * size < within + length and (allocated >> end & 1, zeros >> end & 1) == kind:
            end += 1
        length = min(length, end * size - within)
        return (host + within if kind[0] else _ZEROS if kind[1] else _BELOW), length

    def _below(self, offset: int, length: int) -> bytes:
        """Return bytes of the backing disk; what lies beyond its end reads as zeros."""
        backing = self._backing
        if backing is None:
            return bytes(length)
        if isinstance(backing, ImageError):
            raise type(backing)(backing.message, where=backing.where, offset=backing.offset)
        there = max(0, min(length, backing.size - offset))
        return backing.read_at(offset, there) + bytes(length - there) if there else bytes(length)

    def _inflate(self, entry: int) -> bytes:
        """Return a compressed cluster, whole."""
        data = self._inflated.get(entry)
        if data is not None:
            return data
        size_bits = self._cluster_bits - 8
        at = entry & ((1 << (62 - size_bits)) - 1)
        sectors = (entry >> (62 - size_bits) & ((1 << size_bits) - 1)) + 1
        # the size counts whole sectors: what follows the stream is not part of it, and the file may end before
        length = min(sectors * 512 - (at & 511), self._file.size - at)
        if length <= 0:
            raise TruncatedRead("a compressed cluster lies beyond the end", where=self.name, offset=at)
        data = self._unpack(self._file.read_at(at, length), at)
        if len(data) != self._cluster:
            raise CorruptStructure(
                f"a compressed cluster holds {len(data)} of {self._cluster} bytes", where=self.name, offset=at
            )
        with self._lock:
            while len(self._inflated) >= self._most_inflated:
                del self._inflated[next(iter(self._inflated))]
            self._inflated[entry] = data
        return data

    def _unpack(self, packed: bytes, at: int) -> bytes:
        """Return at most one cluster of what `packed` inflates to."""
        if self._compression == "zlib":
            try:
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self._cluster)
            except zlib.error as error:
                raise CorruptStructure(
                    f"a compressed cluster cannot be inflated: {error}", where=self.name, offset=at
                ) from error
        unpack = zstd_decompressor()
        if unpack is None:
            raise UnsupportedFormat(
                "a cluster is compressed with zstd, which this Python cannot unpack; install the package zstandard, "
                "or convert the image: qemu-img convert -O qcow2",
                where=self.name,
                offset=at,
            )
        try:
            return unpack(packed, self._cluster)
        except Exception as error:  # each library has its own error class, and none is ours
            raise CorruptStructure(
                f"a compressed cluster cannot be unpacked: {error}", where=self.name, offset=at
            ) from error


def zstd_decompressor() -> Callable[[bytes, int], bytes] | None:
    """Return a function (packed, most bytes) -> bytes for zstd, None when this Python has no library for it."""
    try:
        standard = importlib.import_module("compression.zstd")
    except ImportError:
        try:
            package = importlib.import_module("zstandard")
        except ImportError:
            return None
        return lambda packed, most: bytes(package.ZstdDecompressor().stream_reader(packed).read(most))
    return lambda packed, most: bytes(standard.ZstdDecompressor().decompress(packed, most))
