"""Replaces what the words of a script hold, as far as that is known without running it.  Pure.

Source: POSIX.1-2017, Shell Command Language, 2.5 and 2.6.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from procession_tasks.rootfs.shell.conditions import UNKNOWN
from procession_tasks.rootfs.shell.tree import Parameter, Substitution, Text, Word

MOST_ARGUMENTS = 9  # that are named one by one


@dataclass(slots=True)
class State:
    """The variables and arguments at a place of a script; a variable that is not there is unknown."""

    variables: dict[str, str]
    arguments: list[str]

    def copy(self) -> State:
        """Return a state that changes on its own."""
        return State(dict(self.variables), list(self.arguments))


def joined(states: Sequence[State]) -> State:
    """Return what is known after one of several ways was gone, whichever it was."""
    if len(states) == 1:
        return states[0]
    first = states[0]
    variables = {
        name: value
        for name, value in first.variables.items()
        if all(state.variables.get(name) == value for state in states[1:])
    }
    is_same = all(state.arguments == first.arguments for state in states)
    return State(variables, first.arguments if is_same else [UNKNOWN] * MOST_ARGUMENTS)


class Expansion(abc.ABC):
    """Expands words in a state that changes as a script is followed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.assigned: dict[str, set[str]] = {}  # every value that a variable ever had

    @abc.abstractmethod
    def substituted(self, part: Substitution) -> str:
        """Follow commands, and return what they print."""

    def assign(self, name: str, value: str) -> None:
        """Set a variable."""
        self.state.variables[name] = value
        self.assigned.setdefault(name, set()).add(value)

    def fields(self, words: Iterable[Word]) -> list[str]:
        """Replace what words hold, and split it into arguments."""
        return [field for word in words for field in self._split(word)]

    def value(self, word: Word) -> str:
        """Replace what a word holds, without splitting it."""
        return "".join(part.text if isinstance(part, Text) else " ".join(self._replaced(part)) for part in word.parts)

    def _split(self, word: Word) -> list[str]:
        """Replace what a word holds and split it, at blanks that are not quoted."""
        if (literal := word.literal) is not None:
            return [literal]
        fields, current, is_word = [], "", False
        for part in word.parts:
            pieces = [part.text] if isinstance(part, Text) else self._replaced(part)
            if not part.quoted and not isinstance(part, Text):
                pieces = _at_blanks(" ".join(pieces))
            is_word = is_word or (part.quoted and not _is_all(part)) or bool("".join(pieces))
            for number, piece in enumerate(pieces):
                if number:
                    fields.append(current)
                    current = ""
                current += piece
        return [*fields, current] if is_word else fields

    def _replaced(self, part: Parameter | Substitution) -> list[str]:
        """Return the value of a parameter or command; of ``$@`` several."""
        if isinstance(part, Substitution):
            return [self.substituted(part)]
        if _is_all(part):
            return self.state.arguments
        value = self._variable(part.name)
        if not part.operator:
            return [value]
        operand = part.operand or Word(())
        is_alternative = part.operator.endswith("+")
        if part.operator == "other" or UNKNOWN in value:
            self.value(operand)
            return [UNKNOWN]
        if bool(value) == is_alternative:
            value = self.value(operand)
            if part.operator.endswith("="):
                self.assign(part.name, value)
        return [value]

    def _variable(self, name: str) -> str:
        arguments = self.state.arguments
        if name.isdigit() and name != "0":
            return arguments[int(name) - 1] if int(name) <= len(arguments) else ""
        if name == "#":
            return UNKNOWN if UNKNOWN in arguments else str(len(arguments))
        return self.state.variables.get(name, UNKNOWN)


def _is_all(part: Text | Parameter | Substitution) -> bool:
    return isinstance(part, Parameter) and part.name in ("@", "*") and not part.operator


def _at_blanks(text: str) -> list[str]:
    pieces = text.split()
    if not pieces:
        return ["", ""] if text else []
    return ([""] if text[0].isspace() else []) + pieces + ([""] if text[-1].isspace() else [])
