"""What can be typed after `doit`, from the commands themselves and the stages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from procession_tasks.graph import manual
from procession_tasks.graph.subjects import OF_PACKAGES, OF_PROGRAMS, ONCE, WITH_BUDGETS, WITHOUT_PACKAGES

# What a word of a usage line stands for.
_PLACES = {
    "COMMAND": ("COMMAND",),
    "FILE": ("FILE",),
    "IMAGE": ("IMAGE",),
    "NAME": ("IMAGE", "TASK"),
    "STAGE": ("TASK",),
    "TASK": ("TASK",),
}
_OPTION = re.compile(r"\[?--?[a-z-]+([ =][A-Z]+)?\]?")
_WORD = re.compile(r"[A-Za-z][A-Za-z-]*")


@dataclass(frozen=True, slots=True)
class Word:
    """A command: what it takes (TASK, IMAGE, COMMAND, FILE or a word as it is), and its options.

    An option that takes a value is written with it: ``--report=FILE``, ``-n=NUMBER``.
    """

    name: str
    purpose: str
    takes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: which images go through it, and whether once or for each platform."""

    name: str
    purpose: str
    of: str
    once: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Commands and stages, sorted by name."""

    commands: tuple[Word, ...]
    stages: tuple[Stage, ...]


def vocabulary(commands: Iterable[Any], purposes: Mapping[str, str]) -> Vocabulary:
    """Collect what can be typed from command objects of doit and the purposes of stages."""
    words = [Word(one.name, manual.purpose(one), taken(one), tuple(_options(one))) for one in commands]
    stages = [Stage(name, purpose, _subjects(name), name in ONCE) for name, purpose in purposes.items()]
    return Vocabulary(
        tuple(sorted(words, key=lambda word: word.name)), tuple(sorted(stages, key=lambda stage: stage.name))
    )


def taken(command: Any) -> tuple[str, ...]:
    """Say what a command takes: its `completes`, in the words of a usage line, or else its usage line."""
    usage = getattr(command, "completes", command.doc_usage)
    words = _WORD.findall(_OPTION.sub(" ", usage))
    found = [_PLACES.get(word, () if word.isupper() else (word,)) for word in words]
    return tuple(dict.fromkeys(place for places in found for place in places))


def _options(command: Any) -> Iterator[str]:
    for option in command.cmdparser.options:
        if manual.meaning(option) is not None:
            value = _place_of(manual.value_of(option))
            names = [f"--{option.long}"] * bool(option.long) + [f"-{option.short}"] * bool(option.short)
            yield from (f"{name}={value}" if value else name for name in names)
    yield "--help"


def _place_of(value: str) -> str:
    """Say what stands for a value; ARG where nothing is known of it."""
    return value if value in ("", "FILE", "FOLDER") or "|" in value else "ARG"


def _subjects(stage: str) -> str:
    of = {"programs": OF_PROGRAMS, "packages": OF_PACKAGES, "unpackaged": WITHOUT_PACKAGES, "budgets": WITH_BUDGETS}
    return next((kind for kind, stages in of.items() if stage in stages), "all")
