"""Tables of entries in an image file, read a page at a time."""

from __future__ import annotations

import sys
from array import array
from threading import Lock
from typing import Literal

from imgscan.devices.device import BlockDevice
from imgscan.devices.limits import TABLE_CACHE_BYTES, TABLE_PAGE_BYTES
from imgscan.errors import TruncatedRead


class TablePages:
    """Keeps the pages read last, oldest out first, up to `TABLE_CACHE_BYTES`; can be shared between threads.

    `entry_bytes` is 4 or 8; `what` names the table in errors.
    """

    def __init__(
        self,
        file: BlockDevice,
        what: str,
        entry_bytes: Literal[4, 8],
        byte_order: Literal["little", "big"],
        page_bytes: int = TABLE_PAGE_BYTES,
    ) -> None:
        self._file = file
        self._what = what
        self._code = "Q" if entry_bytes == 8 else "I"
        self._entry_bytes = entry_bytes
        self._swap = byte_order != sys.byteorder
        self._page_bytes = page_bytes
        self._most = max(1, TABLE_CACHE_BYTES // page_bytes)
        self._pages: dict[int, array[int]] = {}
        self._lock = Lock()

    def page(self, offset: int) -> array[int]:
        """Return the entries of the page that begins at `offset` of the file, fewer when the file ends inside it.

        :raises TruncatedRead: the file ends before the page
        """
        page = self._pages.get(offset)
        return self._load(offset) if page is None else page

    def _load(self, offset: int) -> array[int]:
        length = min(self._page_bytes, self._file.size - offset) // self._entry_bytes * self._entry_bytes
        if length <= 0:
            raise TruncatedRead(f"the {self._what} lies beyond the end", where=self._file.name, offset=offset)
        page = array(self._code)
        page.frombytes(self._file.read_at(offset, length))
        if self._swap:
            page.byteswap()
        with self._lock:
            while len(self._pages) >= self._most:
                del self._pages[next(iter(self._pages))]
            self._pages[offset] = page
        return page
