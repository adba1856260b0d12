"""Sizes as people read them."""

from __future__ import annotations


def size_text(size: int | None) -> str:
    """Return a size in binary units with one decimal where it helps: `2.0 TiB`, `512 B`; a dash for None."""
    if size is None:
        return "-"
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024 or unit == "PiB":
            return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{size} B"
