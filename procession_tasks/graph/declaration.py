"""Which part of a step's declaration is another than before.  Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from procession_tasks.graph.cause import COMMAND, DECLARATION, ENVIRONMENT, TOOLCHAIN, Cause
from procession_tasks.step import Step

_PLAIN = re.compile(r"[^\s\"'\\]+")
_ARGUMENT = "argument"


def changes(before: Step, after: Step) -> tuple[Cause, ...]:
    """Say what makes two declarations of a step different; nothing for equal ones."""
    if before == after:
        return ()
    found = (
        *_pairs(TOOLCHAIN, before.properties, after.properties),
        *_pairs(ENVIRONMENT, before.environment, after.environment),
        *_command(before.command, after.command),
    )
    return found or (Cause(DECLARATION),)  # a path that is no word of the command


def _pairs(what: str, before: Iterable[tuple[str, str]], after: Iterable[tuple[str, str]]) -> Iterator[Cause]:
    old, new = dict(before), dict(after)
    for name in sorted(old | new):
        if old.get(name) != new.get(name):
            yield Cause(what, name, _said(old.get(name)), _said(new.get(name)))


def _command(before: Iterable[str], after: Iterable[str]) -> Iterator[Cause]:
    """Compare words, each flag with the one of its name; where a flag stands does not show."""
    old, new = _by_flag(before), _by_flag(after)
    for name in sorted(old | new):
        went = [*(old.get(name, Counter()) - new.get(name, Counter())).elements()]
        came = [*(new.get(name, Counter()) - old.get(name, Counter())).elements()]
        for number in range(max(len(went), len(came))):
            values = (_said(values[number]) if number < len(values) else "" for values in (went, came))
            yield Cause(COMMAND, name, *values)


def _by_flag(words: Iterable[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for word in words:
        name, _, value = word.partition("=") if word.startswith("-") and "=" in word else (_ARGUMENT, "", word)
        found.setdefault(name, Counter())[value] += 1
    return found


def _said(value: str | None) -> str:
    """Write a value so that it is seen where it ends; nothing for one that is not there."""
    if value is None:
        return ""
    if _PLAIN.fullmatch(value):
        return value
    return f"'{value}'" if '"' in value and "'" not in value else json.dumps(value, ensure_ascii=False)
