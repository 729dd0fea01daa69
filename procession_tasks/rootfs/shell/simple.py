"""Reads the simple commands of a shell script, with their redirections and here-documents.  Pure.

Source: POSIX.1-2017, Shell Command Language, 2.3, 2.4, 2.7 and 2.9.1.
"""

from __future__ import annotations

import abc
import re

from procession_tasks.rootfs.shell.tree import Function, Node, Parameter, Redirection, Simple, Text, Word
from procession_tasks.rootfs.shell.words import Words

BLANK = re.compile(r"(?:[ \t\r]|\\\n|#[^\n]*)*")
_LINES = re.compile(r"(?:[ \t\r\n]|\\\n|#[^\n]*)*")
_RESERVED = re.compile(r"(?:if|then|elif|else|fi|do|done|case|esac|for|while|until|function|in|[{}!])(?![^\s;|&()<>])")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]]*\])?\+?=")
_REDIRECTION = re.compile(r"[0-9]*(<<<|<<-|<<|<&|<>|<|>>|>\||>&|>|&>>|&>)")
_CONDITIONAL = re.compile(r"&&|\|\||[()<>]")
_DELIMITER = re.compile(r"[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|\\?([^\s'\"\\|&;<>()]+))")
_UNKNOWN = Word((Parameter("?", quoted=True),))


class SimpleCommands(Words):
    """Reads what is on one line of a script, more or less."""

    @abc.abstractmethod
    def command(self) -> Node:
        """Read any command."""

    def __init__(self, text: str, line: int = 1, depth: int = 0) -> None:
        super().__init__(text, line, depth)
        self._documents: dict[int, int] = {}  # where here-documents end, by the line end before them

    def newline(self) -> bool:
        """Go past a line end, and the here-documents after it."""
        self.match(BLANK)
        if not self.text.startswith("\n", self.place):
            return False
        self.place = self._documents.pop(self.place, self.place + 1)
        return True

    def skip_lines(self) -> None:
        """Go past blanks, comments and line ends."""
        while self._documents and self.newline():
            pass
        self.match(BLANK if self._documents else _LINES)

    def peek(self) -> str:
        """Return the reserved word that is next, or nothing."""
        found = _RESERVED.match(self.text, self.place)
        return found[0] if found else ""

    def keyword(self, word: str) -> bool:
        """Go past a reserved word, if it is next."""
        self.skip_lines()
        found = self.peek() == word
        self.place += len(word) if found else 0
        return found

    def need(self, word: str) -> None:
        """Go past a reserved word that must be next."""
        if not self.keyword(word):
            raise self.unreadable(f"no {word!r}")

    def expect(self, sign: str) -> None:
        """Go past a sign that must be next."""
        self.skip_lines()
        if not self.take(sign):
            raise self.unreadable(f"no {sign!r}")

    def at_operator(self) -> bool:
        """Tell whether a simple command ends here."""
        return self.place >= len(self.text) or self.text[self.place] in "\n;&|()"

    def _value(self) -> Word:
        """Read what is assigned; an array of bash is not known."""
        if self.take("("):
            self.skip_lines()
            while not self.take(")"):
                self.word()
                self.skip_lines()
            return _UNKNOWN
        return Word(()) if self.at_operator() or self.text[self.place] in " \t" else self.word()

    def _conditional(self) -> list[Word]:
        """Read what stands between ``[[`` and ``]]``, the end included."""
        words: list[Word] = []
        while not words or words[-1].literal != "]]":
            self.skip_lines()
            sign = self.match(_CONDITIONAL)
            words.append(Word((Text(sign, quoted=False),)) if sign else self.word())
        return words

    def redirection(self, redirections: list[Redirection]) -> bool:
        """Read a redirection, if one is next."""
        found = _REDIRECTION.match(self.text, self.place)
        if found is None:
            return False
        self.place = found.end()
        if found[1] in ("<<", "<<-"):
            redirections.append(self._document(found[1]))
        else:
            self.match(BLANK)
            redirections.append(Redirection(found[1], self.word()))
        return True

    def _document(self, operator: str) -> Redirection:
        """Read a here-document ahead of its time: it begins on the next line, or after the one before it."""
        found = _DELIMITER.match(self.text, self.place)
        if found is None:
            raise self.unreadable("no name of a here-document")
        self.place = found.end()
        end_of_line = self.text.find("\n", self.place)
        start = self._documents.get(end_of_line, end_of_line + 1)
        delimiter = re.escape(found[1] or found[2] or found[3])
        tabs = r"\t*" if operator == "<<-" else ""
        end = re.compile(rf"^{tabs}{delimiter}$", re.MULTILINE).search(self.text, start)
        if end_of_line < 0 or end is None:
            raise self.unreadable("a here-document that never ends")
        self._documents[end_of_line] = min(end.end() + 1, len(self.text))
        line = self.line + 1
        is_plain = found[3] is not None and not found[0].lstrip().startswith("\\")
        text = self.text[start : end.start()]
        return Redirection(operator, self.document(text, line) if is_plain else Word((Text(text, quoted=True),)))

    def simple(self, line: int) -> Simple | Function:
        """Read a command with its arguments, or the name of a function that is defined."""
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            self.match(BLANK)
            if self.redirection(redirections):
                continue
            if self.at_operator():
                break
            assigned = None if words else _ASSIGNMENT.match(self.text, self.place)
            if assigned:
                self.place = assigned.end()
                assignments.append((assigned[1], self._value()))
            else:
                words.append(self.word())
                if len(words) == 1 and words[0].literal == "[[":
                    words += self._conditional()
        if len(words) == 1 and words[0].literal and self.take("("):
            self.expect(")")
            return Function(words[0].literal, self.command())
        if not (assignments or words or redirections):
            raise self.unreadable("no command")
        return Simple(tuple(assignments), tuple(words), tuple(redirections), line)
