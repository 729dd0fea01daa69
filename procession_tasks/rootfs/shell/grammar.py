"""Reads a shell script into a tree, as far as the scripts of packages go.  Pure.

What is not POSIX and not one of the few forms of bash known here is refused, not guessed at.
Source: POSIX.1-2017, Shell Command Language, 2.9 and 2.10.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

from procession_tasks.rootfs.shell.simple import BLANK, SimpleCommands
from procession_tasks.rootfs.shell.tree import (
    AndOr,
    Case,
    For,
    Function,
    Group,
    If,
    Node,
    Pipeline,
    Redirection,
    Script,
    While,
    Word,
)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FUNCTION = re.compile(r"[^\s'\"\\$`|&;<>()]+")
_CLOSERS = ("then", "elif", "else", "fi", "do", "done", "esac", "}")


@functools.cache  # scripts are run for several reasons, and stand in several images
def parse_shell(text: str) -> Script:
    """Read a script; raises UnreadableError."""
    parser = _Parser(text)
    script = parser.script()
    if parser.place < len(text):
        raise parser.unreadable("no command")
    return script


class _Parser(SimpleCommands):
    """Reads by descent."""

    def script(self) -> Script:
        nodes: list[Node] = []
        while not self._ended():
            nodes.append(self._and_or())
            if not (self._separator() or self.newline()):
                break
        return tuple(nodes)

    def _separator(self) -> bool:
        self.match(BLANK)
        return not self.text.startswith((";;", ";&"), self.place) and (self.take(";") or self.take("&"))

    def _ended(self) -> bool:
        self.skip_lines()
        return self.place >= len(self.text) or self.text[self.place] in ");" or self.peek() in _CLOSERS

    def _and_or(self) -> Node:
        left = self._pipeline()
        while True:
            self.match(BLANK)
            operator = self.text[self.place : self.place + 2]
            if operator not in ("&&", "||"):
                return left
            self.place += 2
            left = AndOr(left, operator, self._pipeline())

    def _pipeline(self) -> Node:
        negated = False
        while self.keyword("!"):
            negated = not negated
        commands = [self.command()]
        while self._bar():
            commands.append(self.command())
        return Pipeline(tuple(commands), negated) if negated or len(commands) > 1 else commands[0]

    def _bar(self) -> bool:
        self.match(BLANK)
        return not self.text.startswith("||", self.place) and (self.take("|&") or self.take("|"))

    def command(self) -> Node:
        self.skip_lines()
        line = self.line
        node = self._compound()
        if node is None:
            return self.simple(line)
        redirections: list[Redirection] = []
        self.match(BLANK)
        while self.redirection(redirections):
            self.match(BLANK)
        return Group((node,), redirections=tuple(redirections), line=line) if redirections else node

    def _compound(self) -> Node | None:
        readers: dict[str, Callable[[], Node]] = {
            "if": self._if,
            "case": self._case,
            "for": self._for,
            "while": self._while,
            "until": self._while,
            "{": self._braces,
            "function": self._function,
        }
        keyword = self.peek()
        if keyword in readers:
            self.place += len(keyword)
            self._descend()
            node = readers[keyword]()
            self.depth -= 1
            return node
        if self.text.startswith("((", self.place):
            return Group(self.arithmetic())
        if self.take("("):
            self._descend()
            body = self.script()
            self.depth -= 1
            self.expect(")")
            return Group(body, subshell=True)
        return None

    def _if(self) -> Node:
        arms = []
        while True:
            condition = self.script()
            self.need("then")
            arms.append((condition, self.script()))
            if not self.keyword("elif"):
                break
        otherwise = self.script() if self.keyword("else") else ()
        self.need("fi")
        return If(tuple(arms), otherwise)

    def _case(self) -> Node:
        self.match(BLANK)
        word = self.word()
        self.need("in")
        arms = []
        while not self.keyword("esac"):
            self.take("(")
            patterns = [self._pattern()]
            while self.take("|"):
                patterns.append(self._pattern())
            self.expect(")")
            arms.append((tuple(patterns), self.script()))
            if not (self.take(";;&") or self.take(";;") or self.take(";&")):
                self.need("esac")
                break
        return Case(word, tuple(arms))

    def _pattern(self) -> Word:
        self.match(BLANK)
        word = self.word()
        self.match(BLANK)
        return word

    def _for(self) -> Node:
        self.match(BLANK)
        name = self.match(_NAME)
        words: tuple[Word, ...] | None = None
        if self.keyword("in"):
            words = tuple(self._arguments())
        self.match(BLANK)
        self.take(";")
        return For(name, words, self._do())

    def _arguments(self) -> list[Word]:
        words = []
        self.match(BLANK)
        while not self.at_operator():
            words.append(self.word())
            self.match(BLANK)
        return words

    def _while(self) -> Node:
        return While(self.script(), self._do())

    def _do(self) -> Script:
        self.need("do")
        body = self.script()
        self.need("done")
        return body

    def _braces(self) -> Node:
        body = self.script()
        self.need("}")
        return Group(body)

    def _function(self) -> Node:
        self.match(BLANK)
        name = self.match(_FUNCTION)
        self.match(BLANK)
        if self.take("("):
            self.expect(")")
        return Function(name, self.command())
