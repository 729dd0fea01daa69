"""How the go command is told to keep its build cache in the project's own caches (GOCACHEPROG).  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from procession_tasks.golang.program import Mode

_MODULE = "procession_tasks.cache.gocacheprog"
_SPACE = frozenset(" \t\r\n")
# What its settings are read from, beside what go is told anyway (`toolchain.places`); and Python's own.
_PREFIX = "PROCESSION_CACHE"
_HANDED_ON = ("CI_MERGE_REQUEST_IID", "GITHUB_EVENT_NAME", "PYTHONHOME", "PYTHONPATH")


def cacheprog(interpreter: str, root: Path, context: str, scratch: Path, statistics: Path) -> str | None:
    """Return the value of GOCACHEPROG, or None for paths that it cannot have.

    `context` is that of a mode (`context`); `scratch` is a folder of this go command alone, and
    `statistics` the file that says in JSON how it went, once the command has ended.
    """
    options = {"root": root, "context": context, "scratch": scratch, "statistics": statistics}
    words = [f"--{name}={value}" for name, value in options.items()]
    # -P: go runs it in the module's folder, whose files are not to be imported.
    return _joined([interpreter, "-P", "-m", _MODULE, *words])


def context(mode: Mode) -> str:
    """Name what decides which objects a build uses: builds of one context fetch what the last one used."""
    return f"go{mode.version} {mode.name}"


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Select the variables that go has to hand on to the program."""
    return {name: text for name, text in environment.items() if name.startswith(_PREFIX) or name in _HANDED_ON}


def _joined(words: Sequence[str]) -> str | None:
    """Join words as `cmd/internal/quoted` splits them, which knows quotes around a word and no escapes."""
    quoted = []
    for word in words:
        if word and not _SPACE.intersection(word) and word[0] not in "'\"":
            quoted.append(word)
        elif "'" not in word:
            quoted.append(f"'{word}'")
        elif '"' not in word:
            quoted.append(f'"{word}"')
        else:
            return None
    return " ".join(quoted)
