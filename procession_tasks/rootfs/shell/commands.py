"""Follows the simple commands of a script: notes what would be run, and does what the shell itself does.  Pure.

Source: POSIX.1-2017, Shell Command Language, 2.9.1 and 2.14.
"""

from __future__ import annotations

import abc
import dataclasses
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from procession_tasks.rootfs.shell.conditions import UNKNOWN, Lookup, compared_versions, tested
from procession_tasks.rootfs.shell.expansion import Expansion, State
from procession_tasks.rootfs.shell.grammar import parse_shell
from procession_tasks.rootfs.shell.tree import Node, Redirection, Script, Simple, Substitution

# What mktemp names; a file there is the script's own affair.
SCRATCH = "/tmp/scratch"  # noqa: S108  # a name, at which nothing is written
LEFT, RETURNED, EXITED = 1, 2, 3
_LEVELS = {"break": LEFT, "continue": LEFT, "return": RETURNED, "exit": EXITED}
_PREFIXES = ("command", "exec", "builtin", "nohup", "env", "time")
_WRITING = (">", ">>", ">|", "&>", "&>>", "<>", ">&")
# What is known of a command's output without running it, for one argument.
_COMPUTED = {"dirname": posixpath.dirname, "basename": posixpath.basename}

# How a command ends: well, not well, or either.
Status = bool | None


@dataclass(frozen=True, slots=True)
class Call:
    """A command that a script would run.

    Text that is not known holds `UNKNOWN`.  `writes` are the files that its output goes to;
    a command with the name ``>`` does nothing else.  Relative paths count from `folder`.
    """

    argv: tuple[str, ...]
    writes: tuple[str, ...]
    folder: str
    line: int


class Ended(Exception):  # noqa: N818  # no error: the way ends here
    """The way through a loop, a function or the script ends; the level says which."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.level = level


class Commands(Expansion):
    """Follows simple commands."""

    def __init__(self, state: State, lookup: Lookup) -> None:
        super().__init__(state)
        self.calls: list[Call] = []
        self.traps: list[Script] = []
        self.functions: dict[str, list[Node]] = {}
        self.line = 1
        self._lookup = lookup
        self._builtins: dict[str, Callable[[list[str]], Status]] = {
            ":": lambda _: True,
            "true": lambda _: True,
            "false": lambda _: False,
            **dict.fromkeys(("test", "[", "[["), lambda argv: tested(argv, self._lookup)),
            **dict.fromkeys(("local", "export", "readonly", "declare", "typeset"), self._declare),
            **dict.fromkeys(_LEVELS, self._end),
            **dict.fromkeys(("read", "unset"), self._forget),
            **dict.fromkeys(("eval", "trap"), self._again),
            "set": self._set,
            "shift": self._shift,
            "cd": self._go,
        }

    @abc.abstractmethod
    def run(self, script: Script) -> Status:
        """Follow commands one after another."""

    @abc.abstractmethod
    def apart(self, script: Script) -> None:
        """Follow commands that a process of its own would run."""

    @abc.abstractmethod
    def function(self, name: str, arguments: list[str]) -> Status:
        """Follow a function."""

    def simple(self, node: Simple) -> Status:
        """Follow one command."""
        substitutes = False
        for name, word in node.assignments:
            value = self.value(word)
            if not node.words:
                self.assign(name, value)
                substitutes |= any(isinstance(part, Substitution) for part in word.parts)
        argv = self.fields(node.words)
        writes = self._written(node.redirections)
        self.line = node.line  # after what is substituted, which is before it in time but not in the text
        if argv and argv[0] in self.functions:
            self._note_writes(writes)
            return self.function(argv[0], argv[1:])
        while argv and argv[0] in _PREFIXES:
            if argv[1:2] in (["-v"], ["-V"]):
                return None
            argv = _without_prefix(argv)
        if not argv:
            self._note_writes(writes)
            return None if substitutes else True
        if argv[0] in self._builtins:
            self._note_writes(writes)
            return self._builtins[argv[0]](argv)
        self._note(argv, writes)
        return compared_versions(argv) if posixpath.basename(argv[0]) == "dpkg" else None

    def write(self, redirections: Iterable[Redirection], line: int) -> None:
        """Note what is written by any of several commands."""
        writes = self._written(redirections)
        self.line = line
        self._note_writes(writes)

    def _note_writes(self, writes: tuple[str, ...]) -> None:
        if writes:
            self._note([">"], writes)

    def _written(self, redirections: Iterable[Redirection]) -> tuple[str, ...]:
        targets = [(redirection.operator, self.value(redirection.target)) for redirection in redirections]
        return tuple(target for sign, target in targets if sign in _WRITING and not _is_descriptor(sign, target))

    def _note(self, argv: list[str], writes: tuple[str, ...] = ()) -> None:
        self.calls.append(Call(tuple(argv), writes, self.state.variables.get("PWD", UNKNOWN), self.line))

    def substituted(self, part: Substitution) -> str:
        """Follow commands, and return what they print where that is known."""
        first = len(self.calls)
        self.apart(part.body)
        if part.arithmetic or len(self.calls) != first + 1:
            return UNKNOWN
        argv = self.calls[first].argv
        if argv[0] == "mktemp":
            return SCRATCH
        compute = _COMPUTED.get(argv[0])
        return compute(argv[1]) if compute and len(argv) == len(("name", "path")) else UNKNOWN

    def _declare(self, argv: list[str]) -> Status:
        for word in argv[1:]:
            name, is_assignment, value = word.partition("=")
            if is_assignment:
                self.assign(name, value)
        return True

    def _end(self, argv: list[str]) -> Status:
        raise Ended(_LEVELS[argv[0]])

    def _forget(self, argv: list[str]) -> Status:
        for name in argv[1:]:
            self.assign(name, "" if argv[0] == "unset" else UNKNOWN)
        return None

    def _again(self, argv: list[str]) -> Status:
        """Take text for a script: what is evaluated now, or done when a signal comes or all ends."""
        text = " ".join(argv[1:]) if argv[0] == "eval" else argv[1] if len(argv) > len(("trap", "text")) else ""
        if UNKNOWN in text:
            self._note(argv)
            return None
        script = tuple(self._here(node) for node in parse_shell("" if text == "-" else text))
        if argv[0] == "eval":
            return self.run(script)
        self.traps.append(script)
        return True

    def _here(self, node: Node) -> Node:
        return dataclasses.replace(node, line=self.line) if isinstance(node, Simple) else node

    def _set(self, argv: list[str]) -> Status:
        if "--" in argv:
            self.state.arguments = argv[argv.index("--") + 1 :]
        return True

    def _shift(self, argv: list[str]) -> Status:
        count = int(argv[1]) if len(argv) > 1 and argv[1].isdigit() else 1
        self.state.arguments = self.state.arguments[count:]
        return None

    def _go(self, argv: list[str]) -> Status:
        target = argv[1] if len(argv) > 1 else UNKNOWN
        self.assign("PWD", posixpath.join(self.state.variables.get("PWD", UNKNOWN), target))
        return None


def _is_descriptor(sign: str, target: str) -> bool:
    return (sign == ">&" and target.removesuffix("-").isdigit()) or target == "-"


def _without_prefix(argv: list[str]) -> list[str]:
    rest = argv[1:]
    while rest and (rest[0].startswith("-") or (argv[0] == "env" and "=" in rest[0])):
        rest = rest[1:]
    return rest
