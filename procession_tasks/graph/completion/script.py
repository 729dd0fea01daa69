"""Writes the vocabulary into the script of a shell.  The scripts beside this module are shell, and read as that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from procession_tasks.graph.completion.vocabulary import Stage, Vocabulary, Word

_MARK = "# @tables@\n"


def script(shell: str, words: Vocabulary) -> str:
    """Return the script of bash, zsh or fish."""
    text = Path(__file__).with_name(f"doit.{shell}").read_text(encoding="utf-8")
    return text.replace(_MARK, TABLES[shell](words))


def _shell(words: Vocabulary) -> str:
    """Tables as functions that bash and zsh read alike: they set variables of their caller."""
    commands = [
        f"        {one.name}) takes={_quoted(' '.join(one.takes))} options={_quoted(' '.join(one.options))} ;;"
        for one in words.commands
    ]
    stages = [f"        {one.name}) of={one.of} once={'1' if one.once else ''} ;;" for one in words.stages]
    return "\n".join(
        [
            f"_doit_commands={_quoted(' '.join(one.name for one in words.commands))}",
            f"_doit_stages={_quoted(' '.join(one.name for one in words.stages))}",
            *("_doit_command() {", "    case $1 in", *commands, "        *) takes='' options='' ;;", "    esac", "}"),
            *("_doit_stage() {", "    case $1 in", *stages, "        *) return 1 ;;", "    esac", "}", ""),
        ]
    )


def _zsh(words: Vocabulary) -> str:
    commands = {one.name for one in words.commands}
    stages = [one for one in words.stages if one.name not in commands]
    return _shell(words) + _described("commands", words.commands) + _described("stages", stages)


def _described(what: str, words: Iterable[Word | Stage]) -> str:
    lines = "\n".join("    " + _quoted(f"{one.name}:{one.purpose}") for one in words)
    return f"typeset -ga _doit_described_{what}=(\n{lines}\n)\n"


def _fish(words: Vocabulary) -> str:
    commands = [
        f"        case {one.name}\n{' ' * 12}set takes {_each(one.takes)}\n{' ' * 12}set options {_each(one.options)}"
        for one in words.commands
    ]
    stages = [
        f"        case {one.name}\n            set of {one.of}\n            set once {'1' if one.once else ''}".rstrip()
        for one in words.stages
    ]
    return "\n".join(
        [
            f"set -g __doit_commands {_each(one.name for one in words.commands)}",
            f"set -g __doit_command_purposes {_each(one.purpose for one in words.commands)}",
            f"set -g __doit_stages {_each(one.name for one in words.stages)}",
            f"set -g __doit_stage_purposes {_each(one.purpose for one in words.stages)}",
            *("function __doit_command --no-scope-shadowing", "    switch $argv[1]", *commands, "    end", "end"),
            *("function __doit_stage --no-scope-shadowing", "    switch $argv[1]", *stages, "    end", "end", ""),
        ]
    )


def _each(words: Iterable[str]) -> str:
    return " ".join(_fish_quoted(word) for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


TABLES: dict[str, Callable[[Vocabulary], str]] = {"bash": _shell, "zsh": _zsh, "fish": _fish}
