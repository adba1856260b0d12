r"""The page files that a Windows makes: `PagingFiles`, one text for each, as ``C:\pagefile.sys 1024 4096``."""

from __future__ import annotations

from typing import Final

from imgscan.errors import CorruptStructure, ImageError
from imgscan.guests.windows.hives import SystemHive
from imgscan.guests.windows.registry_value import Value
from imgscan.model.evidence import AtPath
from imgscan.model.fact import Fact, unread, unread_because
from imgscan.model.text import shown
from imgscan.model.windows import PageFile

_KEY: Final = "Control\\Session Manager\\Memory Management"
_VALUE: Final = "PagingFiles"


def read_page_files(system: SystemHive) -> Fact[tuple[PageFile, ...]]:
    """Return the page files, none when Windows is told to make none."""
    try:
        key = system.control(_KEY)
    except ImageError as error:
        return unread_because(error, AtPath(system.volume, system.path))
    found = system.fact(key, _VALUE, _page_files)
    if found.is_known and found.value is None:
        return unread("missing", "Windows does not say which page files it has", *found.evidence)
    return found.map(lambda files: files or ())


def _page_files(value: Value) -> tuple[PageFile, ...]:
    return tuple(_page_file(text) for text in value.texts())


def _page_file(text: str) -> PageFile:
    """Take an entry apart: sizes that are missing or 0, and a drive `?`, leave the sizes to Windows.

    :raises CorruptStructure: the sizes are no numbers
    """
    words = text.split()
    sizes: list[int] = []
    while words and len(sizes) < 2 and words[-1].isascii() and words[-1].isdigit() and len(words[-1]) < 10:
        sizes.insert(0, int(words.pop()))
    path = " ".join(words)
    if not path or len(sizes) == 1 or not path.lower().endswith(".sys"):
        raise CorruptStructure(f"an entry of {_VALUE} is {shown(text)!r}")
    if not sizes or not any(sizes) or path.startswith("?"):
        return PageFile(path=shown(path), minimum=None, maximum=None)
    return PageFile(path=shown(path), minimum=sizes[0], maximum=sizes[1])
