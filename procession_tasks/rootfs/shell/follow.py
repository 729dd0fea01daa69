"""Follows a script along every way it may take, and lists the commands it would run; none is run.  Pure.

A way is left out only where what is known decides it: the script's arguments, what it assigned
itself, what the finished image holds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
from collections.abc import Callable, Iterator, Mapping, Sequence

from procession_tasks.rootfs.shell.commands import EXITED, LEFT, RETURNED, Call, Commands, Ended, Status
from procession_tasks.rootfs.shell.conditions import UNKNOWN, Lookup
from procession_tasks.rootfs.shell.expansion import MOST_ARGUMENTS, State, joined
from procession_tasks.rootfs.shell.grammar import parse_shell
from procession_tasks.rootfs.shell.tree import (
    AndOr,
    Case,
    For,
    Function,
    Group,
    If,
    Pipeline,
    Script,
    Simple,
    UnreadableError,
    While,
)

_STEPS_LIMIT = 20_000


def follow(text: str, arguments: Sequence[str], environment: Mapping[str, str], lookup: Lookup) -> list[Call]:
    """List the commands that a script would run, in order; raises UnreadableError."""
    follower = _Follower(State(dict(environment), list(arguments)), lookup)
    follower.assign("PWD", "/")
    with contextlib.suppress(Ended):
        follower.run(parse_shell(text))
    follower.spring(environment)
    return follower.calls


class _Follower(Commands):
    def __init__(self, state: State, lookup: Lookup) -> None:
        super().__init__(state, lookup)
        self._active: list[str] = []
        # Where ways left a loop or function that others go on in, by level.
        self._ways: dict[int, list[State]] = {LEFT: [], RETURNED: []}
        self._steps = 0
        self._nodes: dict[type, Callable[..., Status]] = {
            Simple: self.simple,
            AndOr: self._and_or,
            Pipeline: self._pipeline,
            If: lambda node: self._if(node.arms, node.otherwise),
            Case: self._case,
            For: self._for,
            While: self._while,
            Function: self._define,
            Group: self._group,
        }

    def run(self, script: Script) -> Status:
        status: Status = True
        for node in script:
            self._steps += 1
            if self._steps > _STEPS_LIMIT:
                raise UnreadableError(f"line {self.line}: more than {_STEPS_LIMIT} steps")
            status = self._nodes[type(node)](node)
        return status

    def spring(self, environment: Mapping[str, str]) -> None:
        """Follow what is done when the script ends, wherever that is: with values that variables had somewhere."""
        known = {name: values - {""} for name, values in self.assigned.items()}
        single = {name: next(iter(values)) for name, values in known.items() if len(values) == 1}
        for script in self.traps:
            self.state = State({**single, **environment}, [])
            self.apart(script)

    def apart(self, script: Script) -> None:
        before, ways = self.state, self._ways
        self.state, self._ways = before.copy(), {LEFT: [], RETURNED: []}
        with contextlib.suppress(Ended):
            self.run(script)
        self.state, self._ways = before, ways

    def function(self, name: str, arguments: list[str]) -> Status:
        """Follow a function; any of its definitions, where there are several."""
        calls = self._active.count(name)
        if calls > 1:  # what it does with arguments that are not known was followed
            return None
        mine = self.state.arguments
        self.state.arguments = [UNKNOWN] * MOST_ARGUMENTS if calls else arguments
        self._active.append(name)
        try:
            bodies = self.functions[name]
            return self._within(
                RETURNED, lambda: self._either(*(lambda body=body: self.run((body,)) for body in bodies))
            )
        finally:
            self._active.pop()
            self.state.arguments = mine

    # Ways

    def _either(self, *ways: Callable[[], Status]) -> Status:
        """Go each way from here."""
        if len(ways) == 1:
            return ways[0]()
        start, ends, statuses, level = self.state, [], set(), 0
        for way in ways:
            self.state = start.copy()
            try:
                statuses.add(way())
                ends.append(self.state)
            except Ended as end:
                self._leave(end.level)
                level = max(level, end.level)
        if not ends:
            raise Ended(level)
        self.state = joined(ends)
        return statuses.pop() if len(statuses) == 1 else None

    def _leave(self, level: int) -> None:
        if level < EXITED:
            self._ways[level].append(self.state)

    def _within(self, level: int, way: Callable[[], Status]) -> Status:
        """Go through a loop or function, out of which ways may lead before it ends."""
        outer, self._ways[level] = self._ways[level], []
        ends: list[State] = []
        status: Status = None
        try:
            status = way()
            ends.append(self.state)
        except Ended as end:
            self._leave(end.level)
            if end.level > level and not self._ways[level]:
                raise
        finally:
            ends += self._ways[level]
            self._ways[level] = outer
        self.state = joined(ends)
        return status if len(ends) == 1 else None

    def _and_or(self, node: AndOr) -> Status:
        status = self.run((node.left,))
        if status is None:
            self._either(lambda: self.run((node.right,)), lambda: None)
            return None
        return self.run((node.right,)) if status == (node.operator == "&&") else status

    def _pipeline(self, node: Pipeline) -> Status:
        status = None
        if len(node.commands) == 1:
            status = self.run(node.commands)
        else:
            for command in node.commands:
                self.apart((command,))
        return not status if node.negated and status is not None else status

    def _if(self, arms: tuple[tuple[Script, Script], ...], otherwise: Script) -> Status:
        if not arms:
            return self.run(otherwise)
        (condition, body), *rest = arms
        status = self.run(condition)
        if status is None:
            return self._either(lambda: self.run(body), lambda: self._if(tuple(rest), otherwise))
        return self.run(body) if status else self._if(tuple(rest), otherwise)

    def _case(self, node: Case) -> Status:
        word = self.value(node.word)
        possible: list[Script] = []
        for patterns, body in node.arms:
            matched = [_matches(word, self.value(pattern)) for pattern in patterns]
            if any(matched) or None in matched:
                possible.append(body)
            if any(matched):
                break
        else:
            possible.append(())
        return self._either(*(lambda body=body: self.run(body) for body in possible))

    def _for(self, node: For) -> Status:
        for word in self.state.arguments if node.words is None else self.fields(node.words):
            self.assign(node.name, word)
            if UNKNOWN in word:  # which may be any number of words
                self._change(node.body)
                self._within(LEFT, lambda: self._either(lambda: self.run(node.body), lambda: None))
            else:
                self._within(LEFT, lambda: self.run(node.body))
        return None

    def _while(self, node: While) -> Status:
        self._change((*node.condition, *node.body))
        self._within(LEFT, lambda: self._round(node))
        return None

    def _round(self, node: While) -> Status:
        if self.run(node.condition) is not False:
            self._either(lambda: self.run(node.body), lambda: None)
        return None

    def _change(self, script: Script) -> None:
        """Forget what a loop may have changed in an earlier round."""
        for name in _assigned(script):
            self.assign(name, UNKNOWN)

    def _define(self, node: Function) -> Status:
        bodies = self.functions.setdefault(node.name, [])
        bodies += [] if node.body in bodies else [node.body]
        return True

    def _group(self, node: Group) -> Status:
        self.write(node.redirections, node.line)
        if not node.subshell:
            return self.run(node.body)
        self.apart(node.body)
        return None


def _matches(word: str, pattern: str) -> Status:
    if pattern == "*":
        return True
    return None if UNKNOWN in word + pattern else fnmatch.fnmatchcase(word, pattern)


def _assigned(value: object) -> Iterator[str]:
    """Name every variable that commands may assign, however deep."""
    if isinstance(value, Simple):
        yield from (name for name, _ in value.assignments)
        literals = [word.literal for word in value.words]
        if literals[:1] in (["read"], ["local"], ["export"], ["unset"]):
            yield from (literal.partition("=")[0] for literal in literals[1:] if literal)
    elif isinstance(value, For):
        yield value.name
    if isinstance(value, tuple):
        for item in value:
            yield from _assigned(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _assigned(getattr(value, field.name))
