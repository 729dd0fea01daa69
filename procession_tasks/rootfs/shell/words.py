"""Reads the words of a shell script: quotes, parameters, substitutions.  Pure.

Source: POSIX.1-2017, Shell Command Language, 2.2 and 2.6.
"""

from __future__ import annotations

import abc
import bisect
import re

from procession_tasks.rootfs.shell.tree import Parameter, Part, Script, Substitution, Text, UnreadableError, Word

_DEPTH_LIMIT = 50  # of commands within commands; beyond it, Python's own stack would end
_FLAT = re.compile(r"[\w./:=%@,+?*\[\]{}^~!-]+(?=[ \t\n;)])")  # the whole of a word in which nothing is special
_PLAIN = re.compile(r"[^\s'\"\\$`|&;<>()]+")
_OPERAND = re.compile(r"[^'\"\\$`}]+")
_EXPANDED = re.compile(r'[^"\\$`]+')
_DOCUMENT = re.compile(r"[^\\$`]+")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_SHORT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_DEFAULT = re.compile(r":?[-=?+]")
_BACKTICKS = re.compile(r"(?:[^`\\]|\\.)*", re.DOTALL)
_INDEX = re.compile(r"\[[^\]]*\]")


class Words(abc.ABC):
    """A place in a text, from which words are read."""

    def __init__(self, text: str, line: int = 1, depth: int = 0) -> None:
        if depth > _DEPTH_LIMIT:
            raise UnreadableError(f"line {line}: commands within commands, more than {_DEPTH_LIMIT} deep")
        self.text = text
        self.place = 0
        self.depth = depth
        self._first_line = line
        self._ends = [match.start() for match in re.finditer("\n", text)]

    @abc.abstractmethod
    def script(self) -> Script:
        """Read commands up to what ends them."""

    @property
    def line(self) -> int:
        """The line of the place, counted from 1."""
        return bisect.bisect_left(self._ends, self.place) + self._first_line

    def unreadable(self, why: str) -> UnreadableError:
        """Make the error for the place."""
        near = self.text[self.place : self.place + 20].partition("\n")[0]
        return UnreadableError(f"line {self.line}: {why} at {near!r}")

    def take(self, sign: str) -> bool:
        """Go past a sign, if it is next."""
        found = self.text.startswith(sign, self.place)
        self.place += len(sign) if found else 0
        return found

    def match(self, pattern: re.Pattern[str]) -> str:
        """Go past what a pattern matches; empty when nothing does."""
        found = pattern.match(self.text, self.place)
        if found is None:
            return ""
        self.place = found.end()
        return found[0]

    def word(self) -> Word:
        """Read a word; raises UnreadableError where there is none."""
        if flat := self.match(_FLAT):
            return Word((Text(flat, quoted=False),))
        parts: list[Part] = []
        while self._unquoted(parts, _PLAIN):
            pass
        if not parts:
            raise self.unreadable("no word")
        return Word(tuple(parts))

    def document(self, text: str, line: int) -> Word:
        """Read a here-document in which parameters and commands are replaced."""
        inner = type(self)(text, line, self.depth + 1)
        parts: list[Part] = []
        while inner.place < len(text):
            inner._expanded(parts, _DOCUMENT)  # noqa: SLF001  # of the same class
        return Word(tuple(parts))

    def _unquoted(self, parts: list[Part], plain: re.Pattern[str]) -> bool:
        """Read one part of a word; False where the word ends."""
        if text := self.match(plain):
            parts.append(Text(text, quoted=False))
        elif self.take("\\"):
            if not self.take("\n"):
                parts.append(Text(self.text[self.place : self.place + 1], quoted=True))
                self.place += 1
        elif self.take("'") or self.take("$'"):
            parts.append(Text(self._until("'"), quoted=True))
        elif self.take('"') or self.take('$"'):
            parts.append(Text("", quoted=True))
            while not self.take('"'):
                self._expanded(parts, _EXPANDED)
        elif self.text[self.place : self.place + 1] in ("$", "`"):
            parts.append(self._replaced(quoted=False))
        else:
            return False
        return True

    def _expanded(self, parts: list[Part], plain: re.Pattern[str]) -> None:
        """Read one part of what stands in double quotes."""
        if text := self.match(plain):
            parts.append(Text(text, quoted=True))
        elif self.take("\\"):
            escaped = self.text[self.place : self.place + 1]
            self.place += 1
            if escaped != "\n":
                parts.append(Text(escaped if escaped in ("$", "`", '"', "\\") else f"\\{escaped}", quoted=True))
        elif self.place >= len(self.text):
            raise self.unreadable("a quote that is never closed")
        else:
            parts.append(self._replaced(quoted=True))

    def _until(self, sign: str) -> str:
        end = self.text.find(sign, self.place)
        if end < 0:
            raise self.unreadable("a quote that is never closed")
        text = self.text[self.place : end]
        self.place = end + 1
        return text

    def _replaced(self, *, quoted: bool) -> Part:
        if self.take("`"):
            return Substitution(self._backticks(), quoted)
        self.take("$")
        if self.text.startswith("((", self.place):
            return Substitution(self.arithmetic(), quoted, arithmetic=True)
        if self.take("("):
            self._descend()
            body = self.script()
            self.depth -= 1
            if not self.take(")"):
                raise self.unreadable("no end of a substitution")
            return Substitution(body, quoted)
        if self.take("{"):
            return self._braced(quoted=quoted)
        name = self.match(_SHORT)
        return Parameter(name, quoted) if name else Text("$", quoted=True)

    def _descend(self) -> None:
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            raise self.unreadable(f"commands within commands, more than {_DEPTH_LIMIT} deep")

    def _backticks(self) -> Script:
        line = self.line
        raw = self.match(_BACKTICKS)
        if not self.take("`"):
            raise self.unreadable("a backtick that is never closed")
        return self._parsed(re.sub(r"\\([`\\$])", r"\1", raw), line)

    def _parsed(self, text: str, line: int) -> Script:
        inner = type(self)(text, line, self.depth + 1)
        body = inner.script()
        if inner.place < len(text):
            raise inner.unreadable("no command")
        return body

    def arithmetic(self) -> Script:
        """Go past ``((…))`` and read the commands that are substituted in it."""
        start, open_signs = self.place, 0
        while self.place < len(self.text):
            open_signs += {"(": 1, ")": -1}.get(self.text[self.place], 0)
            self.place += 1
            if not open_signs:
                break
        if self.text[self.place - 2 : self.place] != "))":  # a subshell within a substitution looks the same at first
            raise self.unreadable("no end of an arithmetic expression")
        word = self.document(self.text[start : self.place], self.line)
        return tuple(node for part in word.parts if isinstance(part, Substitution) for node in part.body)

    def _braced(self, *, quoted: bool) -> Part:
        """Read ``${…}`` after its brace."""
        length = self.text.startswith("#", self.place) and not self.text.startswith("#}", self.place)
        self.place += 1 if length or self.text.startswith("!", self.place) else 0
        name = self.match(_PARAMETER)
        index = self.match(_INDEX)
        operator = self.match(_DEFAULT)
        parts: list[Part] = []
        while not self.take("}"):
            if self.place >= len(self.text) or not self._unquoted(parts, _OPERAND):
                raise self.unreadable("no end of a parameter")
        if length or index or not name or (parts and not operator):
            operator = "other"
        return Parameter(name, quoted, operator, Word(tuple(parts)))
