"""CRC-32C (Castagnoli; RFC 3720, appendix B.4): the checksum of VHDX, Btrfs and XFS structures.

google-crc32c computes it with the processor's own instruction; it is loaded when the first checksum is asked for.
"""

from __future__ import annotations


def crc32c(data: bytes, before: int = 0) -> int:
    """Return the checksum of `data`, or of what has the checksum `before` with `data` behind it."""
    from google_crc32c import extend  # noqa: PLC0415 - start-up time

    return int(extend(before, data))
