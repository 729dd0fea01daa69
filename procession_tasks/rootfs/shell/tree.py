"""What a shell script is made of.  Values only.

Source: POSIX.1-2017, Shell Command Language, 2.6 to 2.10.
"""

from __future__ import annotations

from dataclasses import dataclass


class UnreadableError(Exception):
    """A text is no shell script, or none that is understood here; says why, with the line."""


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves, or for a pattern where they are not quoted."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """``$name`` or ``${name:-operand}``; `operator` is ``other`` for all that is not a default or an alternative."""

    name: str
    quoted: bool
    operator: str = ""
    operand: Word | None = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """``$(body)``; of an arithmetic expression, the commands substituted within it."""

    body: Script
    quoted: bool
    arithmetic: bool = False


Part = Text | Parameter | Substitution


@dataclass(frozen=True, slots=True)
class Word:
    """What the shell makes an argument of, or several."""

    parts: tuple[Part, ...]

    @property
    def literal(self) -> str | None:
        """The text of a word in which nothing is quoted or replaced."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Text) and not self.parts[0].quoted:
            return self.parts[0].text
        return None


@dataclass(frozen=True, slots=True)
class Redirection:
    """``operator target``, where the target of a here-document is its text."""

    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its arguments; `line` counts from 1."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class AndOr:
    """``left && right``, or ``left || right``."""

    left: Node
    operator: str
    right: Node


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``, or one that is negated."""

    commands: tuple[Node, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class If:
    """Pairs of condition and body, and what is done otherwise."""

    arms: tuple[tuple[Script, Script], ...]
    otherwise: Script


@dataclass(frozen=True, slots=True)
class Case:
    """A word, and pairs of patterns and body."""

    word: Word
    arms: tuple[tuple[tuple[Word, ...], Script], ...]


@dataclass(frozen=True, slots=True)
class For:
    """A loop over words; over the arguments where it names none."""

    name: str
    words: tuple[Word, ...] | None
    body: Script


@dataclass(frozen=True, slots=True)
class While:
    """A loop with a condition, ``until`` included."""

    condition: Script
    body: Script


@dataclass(frozen=True, slots=True)
class Function:
    """A definition, which does nothing until it is called."""

    name: str
    body: Node


@dataclass(frozen=True, slots=True)
class Group:
    """Commands in braces or parentheses, or another compound command with redirections."""

    body: Script
    subshell: bool = False
    redirections: tuple[Redirection, ...] = ()
    line: int = 0


Node = Simple | AndOr | Pipeline | If | Case | For | While | Function | Group
Script = tuple[Node, ...]
