"""A device read in pages, some of which are kept: for readers that ask for small pieces that lie near each other."""

from __future__ import annotations

from collections import OrderedDict

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import KIB
from imgscan.errors import ImageError


class CachedDevice:
    """The same bytes as `below`. What is larger than a page is read past the pages; `page` is in bytes."""

    def __init__(self, below: BlockDevice, page: int = 64 * KIB, kept: int = 64) -> None:
        self._below = below
        self._page = page
        self._kept = kept
        self._pages: OrderedDict[int, bytes] = OrderedDict()
        self.name = below.name
        self.size = below.size
        self.sector_size = below.sector_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        if length > self._page:
            return self._below.read_at(offset, length)
        check_range(self, offset, length)
        if not length:
            return b""
        first = offset - offset % self._page
        start = offset - first
        try:
            data = self._at(first)[start : start + length]
            return data if len(data) == length else data + self._at(first + self._page)[: length - len(data)]
        except ImageError:  # what is wrong may lie elsewhere in the page
            return self._below.read_at(offset, length)

    def _at(self, offset: int) -> bytes:
        page = self._pages.get(offset)
        if page is None:
            page = self._pages[offset] = self._below.read_at(offset, min(self._page, self.size - offset))
            if len(self._pages) > self._kept:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(offset)
        return page
