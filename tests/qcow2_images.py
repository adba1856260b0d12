"""qcow2 images built field by field, for what qemu-img does not write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

FIELDS = {
    "version": (4, 4),
    "backing_file_offset": (8, 8),
    "backing_file_size": (16, 4),
    "cluster_bits": (20, 4),
    "size": (24, 8),
    "crypt_method": (32, 4),
    "l1_size": (36, 4),
    "l1_table_offset": (40, 8),
    "refcount_table_offset": (48, 8),
    "refcount_table_clusters": (56, 4),
    "nb_snapshots": (60, 4),
    "snapshots_offset": (64, 8),
    "incompatible_features": (72, 8),
    "compatible_features": (80, 8),
    "autoclear_features": (88, 8),
    "refcount_order": (96, 4),
    "header_length": (100, 4),
}
"""Offset and size of every header field."""
BACKING_FORMAT = 0xE2792ACA
FEATURE_NAMES = 0x6803F857


@dataclass
class Qcow2:
    """An image with one L2 table per L1 entry; cluster contents by number. The layout: header, L1, L2 tables, data,
    reference counts. `raw_entries` are L2 entries as they are, by cluster number.
    """

    size: int
    clusters: dict[int, bytes] = field(default_factory=dict)
    cluster_bits: int = 12
    version: int = 3
    backing: bytes = b""
    backing_format: bytes | None = b"qcow2"
    extensions: list[tuple[int, bytes]] = field(default_factory=list)
    incompatible: int = 0
    raw_entries: dict[int, int] = field(default_factory=dict)
    compressed: dict[int, bytes] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits

    def build(self) -> bytes:
        cluster, per_table = self.cluster, self.cluster // 8
        tables = -(-self.size // (cluster * per_table))
        l1_clusters = -(-tables * 8 // cluster)
        used = sorted({n // per_table for n in (*self.clusters, *self.raw_entries, *self.compressed)})
        first_data = 1 + l1_clusters + len(used)
        entries, data = dict(self.raw_entries), b""
        for number, content in self.clusters.items():
            entries[number] = 1 << 63 | first_data * cluster + len(data)
            data += content.ljust(cluster, b"\0")
        for number, packed in self.compressed.items():
            at = first_data * cluster + len(data)
            sectors = -(-((at & 511) + len(packed)) // 512) - 1
            entries[number] = 1 << 62 | sectors << (62 - (self.cluster_bits - 8)) | at
            data += packed.ljust(-(-len(packed) // cluster) * cluster, b"\0")
        l1 = bytearray(l1_clusters * cluster)
        l2 = bytearray(len(used) * cluster)
        for slot, table in enumerate(used):
            struct.pack_into(">Q", l1, 8 * table, 1 << 63 | (1 + l1_clusters + slot) * cluster)
        for number, entry in entries.items():
            at = used.index(number // per_table) * cluster + number % per_table * 8
            struct.pack_into(">Q", l2, at, entry)
        count = first_data + len(data) // cluster
        references = struct.pack(">Q", (count + 1) * cluster).ljust(cluster, b"\0")
        references += (b"\0\1" * (count + 2)).ljust(cluster, b"\0")
        return self._header(tables, count * cluster) + bytes(l1) + bytes(l2) + data + references

    def _header(self, tables: int, references: int) -> bytes:
        extensions = list(self.extensions)
        if self.backing and self.backing_format is not None:
            extensions.append((BACKING_FORMAT, self.backing_format))
        length = 104 if self.version == 3 else 72
        tail = b"".join(
            struct.pack(">II", kind, len(body)) + body.ljust(-(-len(body) // 8) * 8, b"\0")
            for kind, body in (*extensions, (0, b""))
        )
        name_at = length + len(tail) if self.backing else 0
        head = struct.pack(
            ">4sIQIIQIIQQIIQ",
            b"QFI\xfb",
            self.version,
            name_at,
            len(self.backing),
            self.cluster_bits,
            self.size,
            0,
            tables,
            self.cluster,
            references,
            1,
            0,
            0,
        )
        if self.version == 3:
            head += struct.pack(">QQQII", self.incompatible, 0, 0, 4, 104)
        image = bytearray((head + tail + self.backing).ljust(self.cluster, b"\0"))
        for name, value in self.extra.items():
            at, size = FIELDS[name]
            image[at : at + size] = value.to_bytes(size, "big")
        return bytes(image)


def deflated(data: bytes) -> bytes:
    """Compress as QEMU does: raw deflate with a window of 4 KiB."""
    packer = zlib.compressobj(wbits=-12)
    return packer.compress(data) + packer.flush()


def feature_name(bit: int, name: bytes) -> bytes:
    """Return an entry of the feature name table for an incompatible feature."""
    return struct.pack(">BB46s", 0, bit, name)
