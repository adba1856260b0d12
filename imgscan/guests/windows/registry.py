"""Reads a registry hive by position: the base block, then only the cells on the way to what is asked for.

`None` means that a key or value is not there; what cannot be read raises an `ImageError`, and what stands beside it
is still read. The hive comes as a `BlockDevice`, so that an overlay (replayed logs) can stand below it.

Source: as `imgscan.layouts.registry` says.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from imgscan.devices.device import BlockDevice, check_range
from imgscan.devices.limits import (
    REGISTRY_CACHE_PAGES,
    REGISTRY_CELLS,
    REGISTRY_DEPTH,
    REGISTRY_LISTS,
    REGISTRY_SUBKEYS,
    REGISTRY_VALUE_BYTES,
    REGISTRY_VALUES,
)
from imgscan.errors import CorruptStructure, ImageError, LimitExceeded, TruncatedRead, UnsupportedFormat
from imgscan.guests.windows.registry_value import Value
from imgscan.layouts import registry as layout

OnError = Callable[[ImageError], None]
"""Called with each error that an iteration passes over."""


class Hive:
    """A hive.

    `dirty` is whether its last change was not finished: Windows would take the rest from the hive's logs, and what is
    read here is the state without them. `dirty_reason` says how it shows, empty when the hive is clean.
    """

    def __init__(self, device: BlockDevice, *, cells: int = REGISTRY_CELLS, data: int = REGISTRY_VALUE_BYTES) -> None:
        """Read the base block; `cells` is how many cells may be read in all, and `data` how many bytes of values.

        Twice what the hive has comes to the latter: no value's data is read many times over.

        :raises CorruptStructure: it is not a hive
        :raises UnsupportedFormat: it is one of another version
        """
        self.name = device.name
        self._pages = _Pages(device)
        self._cells_left = cells
        self._data_left = data + 2 * device.size
        if device.size < layout.BASE_BLOCK_SIZE:
            raise TruncatedRead(f"a hive has {layout.BASE_BLOCK_SIZE} bytes or more", where=self.name, offset=0)
        block = self._pages.read_at(0, layout.BASE_BLOCK_BYTES)
        base = layout.parse_base_block(block)
        if base.signature != layout.SIGNATURE:
            raise CorruptStructure("it is not a registry hive: it does not begin with regf", where=self.name)
        if base.major_version != 1 or not 2 <= base.minor_version <= 6:
            raise UnsupportedFormat(
                f"registry hives of version {base.major_version}.{base.minor_version} are not read", where=self.name
            )
        self.minor_version = int(base.minor_version)
        self.dirty_reason = ""
        if layout.base_block_checksum(block) != base.checksum:
            self.dirty_reason = "the checksum of its base block is wrong"
        elif base.primary_sequence != base.secondary_sequence:
            self.dirty_reason = f"its sequence numbers differ ({base.primary_sequence} and {base.secondary_sequence})"
        self._end = layout.BASE_BLOCK_SIZE + int(base.bins_size)
        self._root = int(base.root_cell)

    @property
    def dirty(self) -> bool:
        """Whether the hive's logs would be needed to read its latest state."""
        return bool(self.dirty_reason)

    @property
    def root(self) -> Key:
        """The root key.

        :raises ImageError: it cannot be read
        """
        return Key(self, self._root)

    def key(self, path: str) -> Key | None:
        r"""Return the key at a path (``Microsoft\Windows NT``, without the hive's own name), None when it is not there.

        :raises ImageError: a key on the way, or a list of keys in which it could stand, cannot be read
        """
        key: Key | None = self.root
        for name in filter(None, path.split("\\")):
            key = key.subkey(name) if key is not None else None
        return key

    def error(self, message: str, cell: int) -> CorruptStructure:
        """Return the error for a damaged cell; `cell` is its offset as hives count."""
        return CorruptStructure(message, where=self.name, offset=layout.BASE_BLOCK_SIZE + cell)

    def cell(self, cell: int, what: str, least: int) -> tuple[int, int]:
        """Return the position in the file and the length of the content of a cell in use, of `least` bytes or more."""
        self._cells_left -= 1
        if self._cells_left < 0:
            raise LimitExceeded("more cells were read from the hive than a scan reads", where=self.name)
        position = layout.BASE_BLOCK_SIZE + cell
        if cell < layout.BIN_HEADER_SIZE or cell % 8 or position + 4 > self._end:
            raise self.error(f"a {what} should be at {cell:#x}, where no cell can be", cell)
        size = -layout.CELL_SIZE.unpack(self._pages.read_at(position, 4))[0]
        if size <= 0:
            raise self.error(f"the cell of a {what} is marked as free", cell)
        if position + size > self._end:
            raise self.error(f"the cell of a {what} ends outside the hive bins", cell)
        if size - 4 < least:
            raise self.error(f"the cell of a {what} is {size} bytes long, too short for its content", cell)
        return position + 4, size - 4

    def take_data(self, size: int) -> None:
        """Count bytes of a value that are about to be read; values of a hostile hive can share their data."""
        self._data_left -= size
        if self._data_left < 0:
            raise LimitExceeded("more data of values was read from the hive than it can hold", where=self.name)

    def read(self, position: int, length: int) -> bytes:
        """Return bytes of the file."""
        return self._pages.read_at(position, length)


class Key:
    """A key of a hive; `name` is as stored, `path` leads from the hive's root (empty for the root itself)."""

    def __init__(self, hive: Hive, cell: int, path: str = "", above: tuple[int, ...] = ()) -> None:
        """Read a key whose own path begins with `path`; `above` are the cells of the keys above it."""
        if cell in above:
            raise hive.error("a key is its own ancestor", cell)
        if len(above) > REGISTRY_DEPTH:
            raise LimitExceeded(f"keys are nested deeper than {REGISTRY_DEPTH}", where=hive.name)
        position, length = hive.cell(cell, "key", layout.KEY_NODE_SIZE)
        data = hive.read(position, min(length, layout.KEY_NODE_SIZE + 64))  # nearly always with the name
        node = layout.parse_key_node(data)
        if node.signature != b"nk":
            raise hive.error(f"a key begins with {node.signature!r} instead of nk", cell)
        end = layout.KEY_NODE_SIZE + node.name_length
        if end > length:
            raise hive.error("the name of a key ends outside its cell", cell)
        if end > len(data):
            data = hive.read(position, end)
        self._hive = hive
        self._node = node
        self._cells = (*above, cell)
        self.name = _name(data[layout.KEY_NODE_SIZE : end], node.flags & layout.NAME_IS_LATIN1["key"])
        self.path = (f"{path}\\{self.name}" if path else self.name) if above else ""

    @property
    def written(self) -> float:
        """When the key was last changed, in Unix seconds."""
        return self._node.written / 1e7 - 11_644_473_600

    def subkey(self, name: str) -> Key | None:
        """Return the key `name` directly below (compared as Windows does), None when it is not there.

        :raises ImageError: it, or a key that could be it, cannot be read
        """
        wanted = _upcase(name)
        failures: list[ImageError] = []
        for key in self._keys(wanted, failures.append):
            if _upcase(key.name) == wanted:
                return key
        if failures:
            raise failures[0]
        return None

    def subkeys(self, on_error: OnError | None = None) -> Iterator[Key]:
        """Yield the keys below in the hive's order; with `on_error`, those that cannot be read are left out."""
        return self._keys(None, on_error)

    def subkeys_from(self, prefix: str, most: int) -> Iterator[Key]:
        """Yield the keys below whose names begin with an ASCII prefix, in their order; a list is sorted by its names.

        :raises ImageError: the list, or a key on the way, cannot be read
        :raises LimitExceeded: there are more than `most`
        """
        cells = list(_Children(self._hive, self._node.subkeys_list, None)) if self._node.subkeys else []
        wanted = _upcase(prefix)
        low, high = 0, len(cells)
        while low < high:
            middle = (low + high) // 2
            if _upcase(Key(self._hive, cells[middle], self.path, self._cells).name) < wanted:
                low = middle + 1
            else:
                high = middle
        for index in range(low, len(cells)):
            key = Key(self._hive, cells[index], self.path, self._cells)
            if not _upcase(key.name).startswith(wanted):
                return
            if index - low >= most:
                raise LimitExceeded(f"more than {most} keys begin with {prefix}", where=self._hive.name)
            yield key

    def value(self, name: str) -> Value | None:
        """Return the value `name` (empty: the default value), None when it is not there.

        :raises ImageError: it, or a value that could be it, cannot be read
        """
        wanted = _upcase(name)
        failures: list[ImageError] = []
        for value in self.values(failures.append):
            if _upcase(value.name) == wanted:
                return value
        if failures:
            raise failures[0]
        return None

    def values(self, on_error: OnError | None = None) -> Iterator[Value]:
        """Yield the values, in the hive's order; with `on_error`, those that cannot be read are left out."""
        try:
            cells = self._value_cells()
        except LimitExceeded:
            raise
        except ImageError as error:
            if on_error is None:
                raise
            on_error(error)
            return
        for cell in cells:
            try:
                value = self._value(cell)
            except LimitExceeded:
                raise
            except ImageError as error:
                if on_error is None:
                    raise
                on_error(error)
            else:
                yield value

    def _keys(self, wanted: str | None, on_error: OnError | None) -> Iterator[Key]:
        """Yield the keys below; with an upcased name, only those that the lists' hashes do not rule out."""
        cells = _Children(self._hive, self._node.subkeys_list, wanted) if self._node.subkeys else iter(())
        while True:
            try:
                key = Key(self._hive, next(cells), self.path, self._cells)
            except StopIteration:
                return
            except LimitExceeded:
                raise
            except ImageError as error:
                if on_error is None:
                    raise
                on_error(error)
                continue
            yield key

    def _value_cells(self) -> Sequence[int]:
        count, hive = self._node.values, self._hive
        if not count:
            return ()
        if count > REGISTRY_VALUES:
            raise LimitExceeded(f"the key has {count} values", where=hive.name)
        position, length = hive.cell(self._node.values_list, "values list", 4)
        if count * 4 > length:
            raise hive.error(f"the values list has no room for {count} values", self._node.values_list)
        return _words(hive.read(position, count * 4))

    def _value(self, cell: int) -> Value:
        hive = self._hive
        position, length = hive.cell(cell, "value", layout.KEY_VALUE_SIZE)
        data = hive.read(position, min(length, layout.KEY_VALUE_SIZE + 32))
        value = layout.parse_key_value(data)
        if value.signature != b"vk":
            raise hive.error(f"a value begins with {value.signature!r} instead of vk", cell)
        end = layout.KEY_VALUE_SIZE + value.name_length
        if end > length:
            raise hive.error("the name of a value ends outside its cell", cell)
        if end > len(data):
            data = hive.read(position, end)
        name = _name(data[layout.KEY_VALUE_SIZE : end], value.flags & layout.NAME_IS_LATIN1["value"])
        size = value.data_size & ~layout.RESIDENT
        resident = b""
        if value.data_size & layout.RESIDENT:
            if size > 4:
                raise hive.error(f"a value keeps {size} bytes where only 4 have room", cell)
            resident = data[8 : 8 + size]
        return Value(
            name,
            value.type,
            size,
            f"{hive.name}\\{self.path}",
            lambda: resident if value.data_size & layout.RESIDENT or not size else _data(hive, value.data, size),
        )


class _Children:
    """Iterates over the cells in a subkeys list.

    After an error, the next step goes on with the next part of the list (a generator would end with its first error).
    """

    def __init__(self, hive: Hive, cell: int, wanted: str | None) -> None:
        self._hive = hive
        self._wanted = wanted
        self._entries: Iterator[int] = iter(())
        self._count = 0
        self._seen: set[int] = set()
        self._lists: list[Iterator[int]] = [iter((cell,))]

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        while True:
            for entry in self._entries:
                return entry
            while self._lists:
                part = next(self._lists[-1], None)
                if part is not None:
                    self._open(part)
                    break
                self._lists.pop()
            else:
                raise StopIteration

    def _open(self, cell: int) -> None:
        hive = self._hive
        if cell in self._seen:
            raise hive.error("a subkeys list contains a part twice", cell)
        self._seen.add(cell)
        position, length = hive.cell(cell, "subkeys list", 4)
        signature, count = layout.LIST_HEADER.unpack(hive.read(position, 4))
        entry = 8 if signature in {b"lf", b"lh"} else 4
        if signature not in {b"lf", b"lh", b"li", b"ri"}:
            raise hive.error(f"a subkeys list begins with {signature!r}", cell)
        if 4 + count * entry > length:
            raise hive.error(f"a subkeys list has no room for its {count} entries", cell)
        content = hive.read(position + 4, count * entry)
        if signature == b"ri":
            if len(self._lists) > REGISTRY_LISTS:
                raise hive.error("a list of subkeys lists is nested too deep", cell)
            self._lists.append(iter(_words(content)))
            return
        self._count += count
        if self._count > REGISTRY_SUBKEYS:
            raise LimitExceeded(f"a key has more than {REGISTRY_SUBKEYS} keys below it", where=hive.name)
        self._entries = self._candidates(signature, content)

    def _candidates(self, signature: bytes, content: bytes) -> Iterator[int]:
        if signature == b"li":
            return iter(_words(content))
        words = _words(content)
        wanted = self._wanted
        if wanted is None or not (wanted if signature == b"lh" else wanted[:4]).isascii():
            return iter(words[::2])
        if signature == b"lh":
            wanted_hash = layout.name_hash(wanted)
            return iter([cell for cell, hash_ in zip(words[::2], words[1::2], strict=True) if hash_ == wanted_hash])
        hint = wanted[:4].encode("ascii").ljust(4, b"\0")
        return iter(
            [
                words[index // 4]
                for index in range(0, len(content), 8)
                # a name that has no first character of one byte has no hint
                if content[index + 4] == 0 or content[index + 4 : index + 8].upper() == hint
            ]
        )


class _Pages:
    """Pages of the hive's file, the last used ones kept."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self._pages: OrderedDict[int, bytes] = OrderedDict()

    def read_at(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes."""
        check_range(self._device, offset, length)
        first, last = offset // layout.PAGE_SIZE, (offset + length - 1) // layout.PAGE_SIZE
        if last - first >= 8:  # large data: read at once, and not kept
            return self._device.read_at(offset, length)
        start = offset - first * layout.PAGE_SIZE
        if first == last:
            return self._page(first)[start : start + length]
        return b"".join(self._page(index) for index in range(first, last + 1))[start : start + length]

    def _page(self, index: int) -> bytes:
        page = self._pages.get(index)
        if page is None:
            start = index * layout.PAGE_SIZE
            page = self._device.read_at(start, min(layout.PAGE_SIZE, self._device.size - start))
            self._pages[index] = page
            if len(self._pages) > REGISTRY_CACHE_PAGES:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(index)
        return page


def _data(hive: Hive, cell: int, size: int) -> bytes:
    """Return a value's data from its cell, or from the segments of a big data record."""
    if size > REGISTRY_VALUE_BYTES:
        raise LimitExceeded(f"a value has {size} bytes of data", where=hive.name)
    hive.take_data(size)
    position, length = hive.cell(cell, "value's data", 4)
    if size <= length:
        return hive.read(position, size)
    signature, count, segments = b"", 0, 0
    if size > layout.BIG_DATA_SEGMENT and length >= layout.BIG_DATA.size:
        signature, count, segments = layout.BIG_DATA.unpack(hive.read(position, layout.BIG_DATA.size))
    if signature != b"db":
        raise hive.error(f"the data of a value ends outside its cell ({size} of {length} bytes)", cell)
    if count != -(-size // layout.BIG_DATA_SEGMENT):
        raise hive.error(f"big data of {size} bytes has {count} segments", cell)
    listed, length = hive.cell(segments, "big data list", count * 4)
    parts: list[bytes] = []
    for segment in _words(hive.read(listed, count * 4)):
        part = min(layout.BIG_DATA_SEGMENT, size - sum(map(len, parts)))
        position, length = hive.cell(segment, "big data segment", part)
        parts.append(hive.read(position, part))
    return b"".join(parts)


def _words(data: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(data) // 4}I", data)


def _name(data: bytes, is_latin1: int) -> str:
    if is_latin1:
        return data.decode("latin-1")
    return data[: len(data) & ~1].decode("utf-16-le", "surrogatepass")


def _upcase(name: str) -> str:
    """Upcase as Windows does: one character for one, and nothing that is not ASCII becomes ASCII."""
    if name.isascii():
        return name.upper()
    return "".join(
        upper if len(upper := character.upper()) == 1 and (character.isascii() or not upper.isascii()) else character
        for character in name
    )
