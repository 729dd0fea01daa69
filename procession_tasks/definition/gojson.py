"""JSON as Go's encoding/json reads it, with the line of every key and value.  Pure.

Python's own reader takes NaN, drops repeated keys in silence and knows no lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["object", "array", "string", "number", "boolean", "null"]

# Source: encoding/json of Go 1.19, maxNestingDepth.
_DEEPEST = 10000
_STRING = r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(
    rf"(?P<string>{_STRING})"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>true|false|null)"
)
_KEY = re.compile(rf"[ \t\r\n]*({_STRING})[ \t\r\n]*:")
_WORDS: dict[str, tuple[Kind, Any]] = {"true": ("boolean", True), "false": ("boolean", False), "null": ("null", None)}
# A surrogate that no escape made stands for a byte that is not UTF-8: see `decode`.
_SPECIAL = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)|[\ud800-\udfff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_REPLACEMENT = "\ufffd"
_HINTS = {
    "/": "JSON has no comments",
    "#": "JSON has no comments",
    "'": "use double quotes",
    "\ufeff": "save the file as UTF-8 without a byte order mark",
    "N": "NaN is no JSON number",
}


class JsonError(ValueError):
    """The text is not JSON: the line, the rule that is broken there, what stands there, a hint."""

    def __init__(self, line: int, rule: str, got: str, hint: str | None = None) -> None:
        super().__init__(f"line {line}: {rule}, got {got}")
        self.line, self.rule, self.got, self.hint = line, rule, got, hint


class Node(NamedTuple):
    """A value and where it stands: the line of its first character and its span in the text.

    `value` is a tuple of members for an object, a tuple of nodes for an array, a bool, None,
    and for a number the digits as written, since 1 and 1.0 are not the same to Go.
    """

    kind: Kind
    value: Any
    line: int
    start: int
    end: int


class Member(NamedTuple):
    """A key and its value; an object may hold several members of one key."""

    key: str
    line: int
    value: Node


def decode(data: bytes) -> str:
    """Turn a file into text; a byte that is not UTF-8 becomes a lone surrogate of its own.

    Encoding the text again with "surrogateescape" gives the same bytes.
    """
    return data.decode("utf-8", "surrogateescape")


def parse(text: str) -> Node:
    """Read one JSON value from text that `decode` made.

    In strings every byte that is not UTF-8 and every half of a surrogate pair is U+FFFD.
    Raises JsonError at the first place that is not JSON, or nested deeper than 10000.
    """
    parser = _Parser(text)
    while True:
        node = parser.value()
        while node is not None:
            if not parser.open:
                parser.finish()
                return node
            node = parser.place(node)


@dataclass(slots=True)
class _Open:
    """An object or array whose end was not reached yet; key and key_line await their value."""

    kind: Kind
    line: int
    start: int
    items: list[Any]
    key: str = ""
    key_line: int = 0


class _Parser:
    """Where in the text the reader is; nesting is kept in a list, so that depth costs no stack."""

    __slots__ = ("line", "open", "position", "text")

    def __init__(self, text: str) -> None:
        self.text, self.position, self.line = text, 0, 1
        self.open: list[_Open] = []

    def value(self) -> Node | None:
        """Read a scalar or an empty container whole; of any other container only the start."""
        self._skip()
        start = self.position
        match = _SCALAR.match(self.text, start)
        if match is None:
            return self._opened(start)
        self.position = match.end()
        if match.lastgroup == "string":
            return Node("string", _unquoted(match.group()), self.line, start, self.position)
        if match.lastgroup == "number":
            return Node("number", match.group(), self.line, start, self.position)
        return Node(*_WORDS[match.group()], self.line, start, self.position)

    def place(self, node: Node) -> Node | None:
        """Put a finished value into its container; return the container when that ends it."""
        container = self.open[-1]
        is_object = container.kind == "object"
        container.items.append(Member(container.key, container.key_line, node) if is_object else node)
        self._skip()
        closing = "}" if is_object else "]"
        character = self.text[self.position : self.position + 1]
        if character == closing:
            return self._closed()
        if character != ",":
            raise self._misplaced(f'must have "," or "{closing}" here')
        self.position += 1
        if is_object:
            self._key(container)
        return None

    def finish(self) -> None:
        """Refuse anything but white space after the value."""
        self._skip()
        if self.position < len(self.text):
            raise self._misplaced("must end after the first value")

    def _opened(self, start: int) -> Node | None:
        character = self.text[start : start + 1]
        if character not in {"{", "["}:
            raise self._misplaced("must have a value here")
        container = _Open("object" if character == "{" else "array", self.line, start, [])
        self.open.append(container)
        if len(self.open) > _DEEPEST:
            raise JsonError(self.line, f"must not nest deeper than {_DEEPEST} levels", f"level {_DEEPEST + 1}")
        self.position += 1
        self._skip()
        if self.text.startswith("}" if character == "{" else "]", self.position):
            return self._closed()
        if character == "{":
            self._key(container)
        return None

    def _closed(self) -> Node:
        self.position += 1
        done = self.open.pop()
        return Node(done.kind, tuple(done.items), done.line, done.start, self.position)

    def _key(self, container: _Open) -> None:
        match = _KEY.match(self.text, self.position)
        if match is None:
            raise self._keyless()
        self.line += self.text.count("\n", self.position, match.start(1))
        container.key, container.key_line = _unquoted(match[1]), self.line
        self.line += self.text.count("\n", match.end(1), match.end())
        self.position = match.end()

    def _keyless(self) -> JsonError:
        """Say why there is no key with its colon."""
        self._skip()
        match = _SCALAR.match(self.text, self.position)
        if match is None or match.lastgroup != "string":
            return self._misplaced("must have a key in double quotes here")
        self.position = match.end()
        self._skip()
        return self._misplaced('must have ":" after the key')

    def _skip(self) -> None:
        """Go to the next character that is no white space."""
        match = _SPACE.match(self.text, self.position)
        if match and match.end() > self.position:
            self.line += self.text.count("\n", self.position, match.end())
            self.position = match.end()

    def _misplaced(self, rule: str) -> JsonError:
        """Say what stands where something else was wanted."""
        at = self.position
        if at >= len(self.text):
            return JsonError(self.line, rule, "the end of the file")
        character = self.text[at]
        if character in "}]" and self.text[:at].rstrip(" \t\r\n").endswith(","):
            return JsonError(self.line, rule, f'"{character}"', 'remove the "," before it')
        scalar = _SCALAR.match(self.text, at)
        if character == '"' and scalar is None:
            return JsonError(self.line, *_broken_string(self.text, at))
        if _SURROGATE.match(character):
            return JsonError(self.line, rule, "a byte that is not UTF-8")
        got = _SURROGATE.sub(_REPLACEMENT, scalar.group()[:20]) if scalar else _shown(self.text[at : at + 20])
        return JsonError(self.line, rule, got, _HINTS.get(character))


def _unquoted(quoted: str) -> str:
    if quoted.isascii() and "\\" not in quoted:
        return quoted[1:-1]
    return _SPECIAL.sub(_character, quoted[1:-1])


def _character(match: re.Match[str]) -> str:
    high, low, single, short = match.groups()
    if high:
        return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF))
    if single:
        return _SURROGATE.sub(_REPLACEMENT, chr(int(single, 16)))
    return _SHORT.get(short, short) if short else _REPLACEMENT


def _broken_string(text: str, at: int) -> tuple[str, str, str | None]:
    """Tell why the string that begins at `at` does not end well: rule, what was got, hint."""
    good = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*').match(text, at)
    stop = good.end() if good else at
    if stop >= len(text):
        return "must close the string", "the end of the file", None
    if text[stop] == "\\":
        return "must use an escape of JSON in a string", _shown(text[stop : stop + 2]), r"write a backslash as \\"
    return "must escape control characters in a string", repr(text[stop]), rf"write \u{ord(text[stop]):04x}"


def _shown(text: str) -> str:
    """Take the word or the single character at the front of the text, in quotes."""
    word = re.match(r"[\w.+-]+|.", text, re.DOTALL)
    return f'"{word.group()}"' if word else '""'
