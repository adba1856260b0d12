"""The part of YAML 1.1 that netplan files use; anything else is refused rather than misread.

Read are mappings and sequences in blocks and in one flow (`[a, b]`, `{a: b}`), plain and quoted scalars of one line,
comments, and one document. Refused are anchors, aliases, tags, block scalars (`|`, `>`), complex keys, tabs that
indent, several documents, scalars over several lines, and a key that stands twice. Source: YAML 1.2.2, chapters 6 to 8.
"""

from __future__ import annotations

from typing import Final, NoReturn

import msgspec

from imgscan.errors import LimitExceeded, UnsupportedFormat

LINES: Final = 5_000
DEPTH: Final = 32
NODES: Final = 2_000
"""Values of one document."""


class Node(msgspec.Struct, frozen=True):
    """A value and the line it begins on, from 1: text, a mapping by key, a sequence, or None for nothing."""

    value: str | dict[str, Node] | list[Node] | None
    line: int

    def get(self, *keys: str) -> Node:
        """Return what stands below these keys; a value of None when there is nothing."""
        node = self
        for key in keys:
            if not isinstance(node.value, dict):
                return Node(None, self.line)
            node = node.value.get(key, Node(None, self.line))
        return node

    def items(self) -> list[tuple[str, Node]]:
        """Return the keys and values of a mapping; nothing of anything else."""
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def texts(self) -> list[tuple[str, int]]:
        """Return the texts of a sequence (of a mapping in it, its first key), or a text by itself, with their lines."""
        if isinstance(self.value, str):
            return [(self.value, self.line)]
        found: list[tuple[str, int]] = []
        for node in self.value if isinstance(self.value, list) else ():
            if isinstance(node.value, str):
                found.append((node.value, node.line))
            elif isinstance(node.value, dict) and node.value:
                found.append((next(iter(node.value)), node.line))
        return found

    @property
    def text(self) -> str:
        """The text of a scalar, empty for anything else."""
        return self.value if isinstance(self.value, str) else ""


class _Line(msgspec.Struct, frozen=True):
    number: int
    indent: int
    text: str


def parse_yaml(text: str) -> Node:
    """Return the document.

    :raises UnsupportedFormat: it is no YAML, or uses more of it than is read here
    :raises LimitExceeded: it is longer or deeper than such files are
    """
    raw = text.split("\n")
    if len(raw) > LINES:
        raise LimitExceeded(f"it has {len(raw)} lines")
    lines = _lines(raw)
    if not lines:
        return Node(None, 1)
    if sum(line.text.count(",") for line in lines) > NODES:
        raise LimitExceeded(f"it has more than {NODES} values in flows")
    reader = _Reader(lines)
    node = reader.block(lines[0].indent, 0)
    if reader.at < len(lines):
        _refuse(lines[reader.at].number, "its indentation fits nothing before")
    return node


def _lines(raw: list[str]) -> list[_Line]:
    lines: list[_Line] = []
    for number, line in enumerate(raw, 1):
        text = _without_comment(line.rstrip("\r")).rstrip()
        bare = text.lstrip(" ")
        if not bare or (bare == "---" and not lines):
            continue
        if "\t" in bare:
            _refuse(number, "a tab")
        if bare in {"---", "..."} or bare.startswith(("--- ", "%")):
            _refuse(number, "a directive or another document")
        lines.append(_Line(number, len(text) - len(bare), bare))
    return lines


def _without_comment(line: str) -> str:
    quote = ""
    for index, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and (index == 0 or line[index - 1] in " [{,:-"):
            quote = char
        elif char == "#" and (index == 0 or line[index - 1] in " \t"):
            return line[:index]
    return line


class _Reader:
    """Reads blocks of lines from `at` on."""

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self.at = 0

    def block(self, indent: int, depth: int) -> Node:
        """Return the mapping, sequence or scalar whose lines begin at `indent`."""
        line = self._lines[self.at]
        if depth > DEPTH:
            raise LimitExceeded(f"line {line.number} is more than {DEPTH} levels deep")
        if _is_item(line.text):
            return self._sequence(indent, depth)
        if _split_key(line) is None:
            self.at += 1
            return self._inline(line.text, line.number, indent)
        return self._mapping(indent, depth)

    def _sequence(self, indent: int, depth: int) -> Node:
        items: list[Node] = []
        first = self._lines[self.at].number
        while self.at < len(self._lines) and self._lines[self.at].indent == indent:
            number, text = self._lines[self.at].number, self._lines[self.at].text
            if not _is_item(text):
                break
            rest = text[1:].lstrip(" ")
            if not rest:
                self.at += 1
                items.append(self._below(indent, depth, number))
            else:  # what stands behind the dash begins a block there
                inner = _Line(number, indent + len(text) - len(rest), rest)
                if _is_item(rest) or _split_key(inner) is not None:
                    self._lines[self.at] = inner
                    items.append(self.block(inner.indent, depth + 1))
                else:
                    self.at += 1
                    items.append(self._inline(rest, number, indent))
        return Node(items, first)

    def _mapping(self, indent: int, depth: int) -> Node:
        found: dict[str, Node] = {}
        first = self._lines[self.at].number
        while self.at < len(self._lines) and self._lines[self.at].indent == indent:
            line = self._lines[self.at]
            split = None if _is_item(line.text) else _split_key(line)
            if split is None:
                break
            key, rest = split
            if key in found:
                _refuse(line.number, "a key that stands twice")
            self.at += 1
            if rest:
                found[key] = self._inline(rest, line.number, indent)
            else:
                found[key] = self._below(indent, depth, line.number, may_be_level=True)
        return Node(found, first)

    def _below(self, indent: int, depth: int, number: int, *, may_be_level: bool = False) -> Node:
        """Return the block that is indented more, or a sequence on the same level; None when there is none."""
        if self.at < len(self._lines):
            line = self._lines[self.at]
            if line.indent > indent or (may_be_level and line.indent == indent and _is_item(line.text)):
                return self.block(line.indent, depth + 1)
        return Node(None, number)

    def _inline(self, text: str, number: int, indent: int) -> Node:
        """Return a value that begins behind its key; a flow may go on over the next lines."""
        if text[0] in "[{":
            parts = [text]
            opened = _balance(text)
            while opened > 0 and self.at < len(self._lines):
                more = self._lines[self.at]
                if parts[-1][-1] not in ",[{" and more.text[0] not in "]}":
                    _refuse(more.number, "a value over several lines")
                parts.append(more.text)
                opened += _balance(parts[-1])
                self.at += 1
            return _Flow(" ".join(parts), number).document()
        if text[0] in "&*!":
            _refuse(number, f"an anchor, an alias or a tag, {text[:20]}")
        if self.at < len(self._lines) and self._lines[self.at].indent > indent:
            _refuse(self._lines[self.at].number, "a value over several lines")
        return Node(_scalar(text, number), number)


class _Flow:
    """Reads `[a, {b: c}]`."""

    def __init__(self, text: str, number: int) -> None:
        self._text = text
        self._number = number
        self._at = 0

    def document(self) -> Node:
        node = self._value(0)
        if self._peek():
            _refuse(self._number, "something behind a flow")
        return node

    def _peek(self) -> str:
        while self._at < len(self._text) and self._text[self._at] == " ":
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _value(self, depth: int) -> Node:
        if depth > DEPTH:
            raise LimitExceeded(f"line {self._number} is more than {DEPTH} levels deep")
        char = self._peek()
        if char == "[":
            return self._sequence(depth)
        if char == "{":
            return self._mapping(depth)
        return Node(_scalar(self._word(",]}"), self._number), self._number)

    def _sequence(self, depth: int) -> Node:
        self._at += 1
        items: list[Node] = []
        while self._peek() != "]":
            items.append(self._value(depth + 1))
            self._comma("]")
        self._at += 1
        return Node(items, self._number)

    def _mapping(self, depth: int) -> Node:
        self._at += 1
        found: dict[str, Node] = {}
        while self._peek() != "}":
            key = _scalar(self._word(":,}"), self._number)
            if self._peek() != ":" or key is None or key in found:
                _refuse(self._number, "a flow mapping")
            self._at += 1
            found[key] = Node(None, self._number) if self._peek() in {",", "}"} else self._value(depth + 1)
            self._comma("}")
        self._at += 1
        return Node(found, self._number)

    def _comma(self, end: str) -> None:
        char = self._peek()
        if char == ",":
            self._at += 1
        elif char != end:
            _refuse(self._number, "a flow that does not end")

    def _word(self, ends: str) -> str:
        start = self._at
        char = self._peek()
        if not char or char in ",]}[{:":
            _refuse(self._number, "a flow without a value")
        if char in "\"'":
            end = self._text.find(char, self._at + 1)
            if end < 0:
                _refuse(self._number, "a quotation mark without its other")
            self._at = end + 1
            return self._text[start : self._at].strip()
        while self._at < len(self._text) and not self._ends(ends):
            self._at += 1
        word = self._text[start : self._at].strip()
        if any(sign in word for sign in "[]{},?\"'#|"):
            _refuse(self._number, f"the value {word[:20]} in a flow")
        return word

    def _ends(self, ends: str) -> bool:
        char = self._text[self._at]
        if char == ":":  # fd00::1 is one word
            return ":" in ends and self._text[self._at + 1 : self._at + 2] in {" ", ""}
        return char in ends or char in "[{"


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _split_key(line: _Line) -> tuple[str, str] | None:
    """Return the key of a line and what stands behind it; None when it has none."""
    text = line.text
    if text[0] in "[{&*!|>%@`?" and not text.startswith(("?", "[", "{")):
        _refuse(line.number, f"what begins with {text[0]}")
    if text[0] in "[{":
        return None
    if text.startswith("? "):
        _refuse(line.number, "a complex key")
    if text[0] in "\"'":
        end = text.find(text[0], 1)
        if end < 0:
            _refuse(line.number, "a quotation mark without its other")
        key, rest = text[: end + 1], text[end + 1 :].lstrip(" ")
        if not rest.startswith(":"):
            return None
        if rest[1:2] not in {"", " "}:
            _refuse(line.number, "something behind a key")
        return _scalar(key, line.number) or "", rest[1:].strip(" ")
    at = text.find(": ")
    if at < 0 and text.endswith(":"):
        at = len(text) - 1
    return None if at < 0 else (_scalar(text[:at].rstrip(" "), line.number) or "", text[at + 2 :].strip(" "))


def _scalar(text: str, number: int) -> str | None:
    if not text:
        _refuse(number, "an empty value")
    if text[0] in "\"'":
        if len(text) < 2 or text[-1] != text[0] or text[0] in text[1:-1] or (text[0] == '"' and "\\" in text):
            _refuse(number, "quotation marks that are not simple")
        return text[1:-1]
    if text[0] in "&*!|>%@`?,[]{}#:-" or text[-1] == ":" or ": " in text:
        _refuse(number, f"the value {text[:20]}")
    return None if text in {"~", "null", "Null", "NULL"} else text


def _balance(text: str) -> int:
    """Return how many brackets a line opens and does not close, outside of quotation marks."""
    depth, quote = 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
    return depth


def _refuse(number: int, what: str) -> NoReturn:
    raise UnsupportedFormat(f"line {number}: {what} is not read in YAML")
