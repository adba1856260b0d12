"""Small XML files of the guest as a flat list of elements with their lines."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile

ELEMENTS: Final = 100_000
"""Elements of one file."""
DEPTH: Final = 64
"""Elements inside each other."""


class Element(msgspec.Struct, frozen=True):
    """An element: `path` are the names from the root to it, `line` counts from 1, `parent` is an index (-1: none).

    `pieces` are the pieces of its own text.
    """

    path: tuple[str, ...]
    attributes: dict[str, str]
    line: int
    parent: int
    pieces: list[str] = []

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path[-1]

    @property
    def text(self) -> str:
        """Its own text, without blanks around it."""
        return "".join(self.pieces).strip()


def parse_xml(file: ConfigFile) -> list[Element]:
    """Return the elements in their order; entities are refused, so that nothing grows.

    :raises CorruptStructure: it is no XML
    :raises UnsupportedFormat: it is in an encoding that is not known
    :raises LimitExceeded: there are too many elements
    """
    import pyexpat as expat  # noqa: PLC0415 - start-up time; as xml.parsers.expat, which loads a package more

    found: list[Element] = []
    open_elements: list[int] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(found) >= ELEMENTS or len(open_elements) >= DEPTH:
            raise LimitExceeded(f"there are more than {ELEMENTS} elements, or more than {DEPTH} deep", where=file.path)
        parent = open_elements[-1] if open_elements else -1
        path = (*found[parent].path, name) if open_elements else (name,)
        found.append(Element(path, attributes, parser.CurrentLineNumber, parent))
        open_elements.append(len(found) - 1)

    def end(_: str) -> None:
        open_elements.pop()

    def add(text: str) -> None:
        if open_elements:
            found[open_elements[-1]].pieces.append(text)

    def refuse(*_: Any) -> None:
        raise CorruptStructure("it declares entities, which no file of this kind does", where=file.path)

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = add
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(file.text.encode("utf-8", "surrogateescape"), True)
    except LookupError as error:
        raise UnsupportedFormat(f"it is in an encoding that is not known: {error}", where=file.path) from error
    except (expat.ExpatError, ValueError) as error:
        raise CorruptStructure(f"it is no XML: {error}", where=file.path) from error
    return found
