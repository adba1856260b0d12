"""A script of nft taken apart: tables with their chains and sets. What a rule means is `imgscan.guests.linux.nftables`.

Source: nft(8), "Input file formats", "Tables", "Chains", "Sets".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from imgscan.devices.guest_tree import GuestTree
from imgscan.errors import CorruptStructure, LimitExceeded, UnsupportedFormat
from imgscan.guests.linux.config_file import ConfigFile, Configs
from imgscan.model.evidence import Evidence
from imgscan.model.text import shown

TOKENS: Final = 400_000
"""Words of all files together, variables replaced."""
FILES: Final = 256
"""Files that one script includes."""
INCLUDE_DEPTH: Final = 16
"""Files, and variables, inside each other."""
_TOKEN: Final = re.compile(
    r'\\\n|(?P<comment>\#[^\n]*)|(?P<string>"[^"\n]*")|(?P<end>[\n;])|(?P<mark>[{}(),]|[!=<>]=|[=<>!|&])'
    r'|(?P<word>[^\s{}(),;"=<>!|&#\\]+)|[ \t\r]+'
)
_SKIPPED_OBJECTS: Final = frozenset({"counter", "quota", "ct", "limit", "flowtable", "secmark", "synproxy", "tunnel"})


class Token(msgspec.Struct, frozen=True):
    """A word, a string (with its quotes), a mark, or the end of a statement (`;`)."""

    text: str
    line: int
    file: ConfigFile

    @property
    def where(self) -> Evidence:
        """The line as evidence."""
        return self.file.at(self.line)

    @property
    def unquoted(self) -> str:
        """The text without quotes."""
        return self.text.strip('"')


class ScriptChain(msgspec.Struct):
    """A chain: `hook` is empty for one that only others jump to; each rule is a list of tokens."""

    type: str = ""
    hook: str = ""
    priority: int = 0
    policy: str = "accept"
    policy_where: Evidence | None = None
    rules: list[list[Token]] = msgspec.field(default_factory=list)


class Table(msgspec.Struct):
    """A table: `sets` holds the elements of its sets and maps, `compared` counts them where rules use them."""

    family: str
    is_dormant: bool = False
    chains: dict[str, ScriptChain] = msgspec.field(default_factory=dict)
    sets: dict[str, list[Token]] = msgspec.field(default_factory=dict)
    compared: int = 0


def read_script(tree: GuestTree, files: Iterable[ConfigFile]) -> dict[tuple[str, str], Table]:
    """Return the tables that scripts leave, by family and name.

    :raises CorruptStructure: it is not as nft takes it, so that nothing of it would be loaded
    :raises UnsupportedFormat: it has a command that is not known here
    :raises LimitExceeded: it is too long, or files or variables are inside each other
    """
    script = _Script(tree)
    for file in files:
        script.read(file, 0)
    return script.tables


class _Script:
    def __init__(self, tree: GuestTree) -> None:
        self.tables: dict[tuple[str, str], Table] = {}
        self._configs = Configs(tree)
        self._variables: dict[str, list[Token]] = {}
        self._count = 0
        self._files = 0

    def read(self, file: ConfigFile, depth: int) -> None:
        if depth > INCLUDE_DEPTH:
            raise LimitExceeded(f"more than {INCLUDE_DEPTH} files include each other", where=file.path)
        self._files += 1
        if self._files > FILES:
            raise LimitExceeded(f"more than {FILES} files are included", where=file.path)
        tokens = list(self._tokens(file))
        at = 0
        while at < len(tokens):
            statement, block, at = _statement(tokens, at)
            if statement:
                self._command(self._replaced(statement), block, depth)

    def _tokens(self, file: ConfigFile) -> Iterator[Token]:
        position, line = 0, 1
        while position < len(file.text):
            match = _TOKEN.match(file.text, position)
            if match is None:
                raise CorruptStructure(f"line {line} is none that nft takes", where=file.path)
            position = match.end()
            kind = match.lastgroup
            self._count += 1
            if self._count > TOKENS:
                raise LimitExceeded(f"there are more than {TOKENS} words", where=file.path)
            if kind in {"string", "mark"}:
                yield Token(match[0], line, file)
            elif kind == "end":
                yield Token(";", line, file)
            elif kind == "word":
                yield from (Token(part, line, file) for part in _parts(match[0]))
            line += match[0].count("\n")

    def _replaced(self, tokens: list[Token], depth: int = 0) -> list[Token]:
        """Return tokens with variables replaced by their values."""
        if depth > INCLUDE_DEPTH:
            raise LimitExceeded(f"more than {INCLUDE_DEPTH} variables refer to each other", where=tokens[0].file.path)
        found: list[Token] = []
        for token in tokens:
            if token.text.startswith("$"):
                value = self._variables.get(token.text[1:].strip("{}"))
                if value is None:
                    raise CorruptStructure(f"{shown(token.text)} is not defined", where=token.file.path)
                self._count += len(value)
                if self._count > TOKENS:
                    raise LimitExceeded(f"there are more than {TOKENS} words", where=token.file.path)
                # the evidence is the line that uses it
                found += [msgspec.structs.replace(each, line=token.line, file=token.file) for each in value]
            else:
                found.append(token)
        return found

    def _command(self, words: list[Token], block: list[Token] | None, depth: int) -> None:
        first = words[0].text
        if first in {"add", "create", "insert"} and len(words) > 1:
            self._add(words[1:], block, at_start=first == "insert")
        elif first == "table":
            self._table(words[1:], block, depth)
        elif first in {"chain", "set", "map", "rule", "element"}:
            self._add(words, block, at_start=False)
        elif first == "include" and len(words) > 1:
            self._include(words[1], depth)
        elif first in {"define", "redefine"} and len(words) > 3 and words[2].text == "=":
            self._variables[words[1].text] = words[3:]
        elif first == "flush" and [word.text for word in words] == ["flush", "ruleset"]:
            self.tables.clear()
        elif first in {"flush", "delete", "destroy", "reset", "list"}:
            if len(words) > 1 and words[1].text == "table":
                self.tables.pop(_table_key(words[2:])[0], None)
        elif first not in {"undefine", "comment"}:
            raise _unknown(words[0])

    def _include(self, token: Token, depth: int) -> None:
        path = token.unquoted if token.unquoted.startswith("/") else f"/etc/{token.unquoted.removeprefix('./')}"
        for each in self._configs.matching(path):
            file = self._configs.read(each)
            if file is None:
                raise CorruptStructure(f"{shown(each)}, which it includes, is missing", where=token.file.path)
            self.read(file, depth + 1)

    def _table(self, words: list[Token], block: list[Token] | None, depth: int) -> None:
        key, _ = _table_key(words)
        table = self.tables.setdefault(key, Table(key[0]))
        at, tokens = 0, block or []
        while at < len(tokens):
            statement, inner, at = _statement(tokens, at)
            if not statement:
                continue
            statement = self._replaced(statement)
            kind = statement[0].text
            if kind == "chain" and len(statement) > 1:
                self._chain(table.chains.setdefault(statement[1].text, ScriptChain()), inner or [])
            elif kind in {"set", "map"} and len(statement) > 1:
                self._set(table, statement[1].text, inner or [])
            elif kind == "flags":
                table.is_dormant = any(word.text == "dormant" for word in statement)
            elif kind in {"include", "define", "redefine"}:
                self._command(statement, None, depth)
            elif kind not in _SKIPPED_OBJECTS and kind != "comment":
                raise _unknown(statement[0])

    def _chain(self, chain: ScriptChain, tokens: list[Token]) -> None:
        rule: list[Token] = []
        depth = 0
        for token in (*tokens, *([msgspec.structs.replace(tokens[-1], text=";")] if tokens else [])):
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if token.text != ";":
                rule.append(token)
            elif depth == 0 and rule:
                self._rule(chain, self._replaced(rule))
                rule = []

    @staticmethod
    def _rule(chain: ScriptChain, words: list[Token], *, at_start: bool = False) -> None:
        texts = [word.text for word in words]
        if texts[0] == "type" and "hook" in texts[:-1]:
            chain.type, chain.hook = texts[1], texts[texts.index("hook") + 1]
            chain.policy_where = chain.policy_where or words[0].where
            chain.priority = _priority(texts[texts.index("priority") + 1 :]) if "priority" in texts else 0
        elif texts[0] == "policy" and len(texts) > 1:
            chain.policy, chain.policy_where = texts[1], words[0].where
        elif texts[0] not in {"comment", "flags", "devices", "device"}:
            chain.rules.insert(0 if at_start else len(chain.rules), words)

    def _set(self, table: Table, name: str, tokens: list[Token]) -> None:
        texts = [token.text for token in tokens]
        elements = table.sets.setdefault(name, [])
        if "elements" in texts:
            start = texts.index("elements") + 1
            end = next((at for at in range(start, len(texts)) if texts[at] == "}"), len(texts))
            elements += [token for token in self._replaced(tokens[start:end]) if token.text not in {";", "=", "{"}]

    def _add(self, words: list[Token], block: list[Token] | None, *, at_start: bool) -> None:
        kind = words[0].text
        if kind == "table":
            self._table(words[1:], block, 0)
            return
        if kind not in {"chain", "rule", "set", "map", "element"}:
            if kind in _SKIPPED_OBJECTS:
                return
            # `add` and `add rule` are the same, and the family may be left out
            raise _unknown(words[0])
        key, rest = _table_key(words[1:])
        table = self.tables.setdefault(key, Table(key[0]))
        if not rest:
            raise _unknown(words[0])
        if kind == "rule":
            chain = table.chains.get(rest[0].text)
            if chain is None:
                raise CorruptStructure(f"there is no chain {shown(rest[0].text)}", where=words[0].file.path)
            if len(rest) > 1:
                self._rule(chain, [*rest[1:], *self._replaced(block or [])], at_start=at_start)
        elif kind == "chain":
            self._chain(table.chains.setdefault(rest[0].text, ScriptChain()), block or [])
        elif kind == "element":
            elements = table.sets.setdefault(rest[0].text, [])
            elements += [token for token in self._replaced(block or []) if token.text not in {";", "{", "}"}]
        else:
            self._set(table, rest[0].text, block or [])


def _parts(word: str) -> list[str]:
    """Split the colon off that stands behind a key of a map (`22: accept`); an address keeps its own."""
    if word == ":" or not word.endswith(":") or word.endswith("::"):
        return [word]
    return [word[:-1], ":"]


def _statement(tokens: list[Token], at: int) -> tuple[list[Token], list[Token] | None, int]:
    """Return the next statement, what its last braces hold (None: it has none), and where it ends.

    A value in braces (`define x = { 1, 2 }`) and a rule that is added stay in the statement whole.
    """
    statement: list[Token] = []
    while at < len(tokens) and tokens[at].text != ";":
        token = tokens[at]
        if token.text != "{":
            if token.text == "}":
                raise CorruptStructure(f"line {token.line} closes what was not opened", where=token.file.path)
            statement.append(token)
            at += 1
            continue
        end, depth = at, 0
        while end < len(tokens):
            depth += {"{": 1, "}": -1}.get(tokens[end].text, 0)
            end += 1
            if depth == 0:
                break
        if depth:
            raise CorruptStructure(f"line {token.line} opens what is never closed", where=token.file.path)
        texts = [each.text for each in statement[:2]]
        if texts and (texts[0] in {"define", "redefine"} or "rule" in texts):
            statement += [each for each in tokens[at:end] if each.text != ";"]
            at = end
            continue
        return statement, tokens[at + 1 : end - 1], end
    return statement, None, at + 1


def _table_key(words: list[Token]) -> tuple[tuple[str, str], list[Token]]:
    """Return family and name of a table, and what stands behind."""
    families = {"ip", "ip6", "inet", "arp", "bridge", "netdev"}
    if len(words) > 1 and words[0].text in families:
        return (words[0].text, words[1].text), words[2:]
    return ("ip", words[0].text if words else ""), words[1:]


def _priority(words: list[str]) -> int:
    names = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
    text = " ".join(words)
    match = re.match(r"([a-z]*)\s*(?:([+-]?)\s*(\d+))?", text)
    if match is None:
        return 0
    offset = int((match[3] or "0")[:9]) * (-1 if match[2] == "-" else 1)
    return names.get(match[1], 0) + offset


def _unknown(token: Token) -> UnsupportedFormat:
    return UnsupportedFormat(f"line {token.line}: {shown(token.text)!r} is not known here", where=token.file.path)
