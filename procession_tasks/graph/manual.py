"""The pages of `doit help`: a command's or a stage's purpose, usage, examples and options.  Pure but for the width."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from doit.cmd_clean import Clean as DoitClean
from doit.cmd_info import Info as DoitInfo
from doit.cmd_list import List as DoitList
from doit.cmd_run import Run as DoitRun

from procession_tasks.graph.topics import COMMANDS, STAGES, Topic

_NARROW, _WIDE = 60, 100
_COLUMN = 26
# doit's options in the words of this build; those that it has no use for are left out.
_OURS = {
    "always": "run tasks though they are up to date",
    "continue": "go on with the other images when one fails",
    "verbosity": "how much is told, from 0 to 2 (default: 1)",
    "reporter": "how it is told; json is for machines (default: for people)",
    "outfile": "a file for what is told (default: stdout)",
    "num_process": "how many tasks run at once (default: one a processor)",
    "single": "the named tasks alone, not those that they need",
    "subtasks": "each task of every image and platform",
    "quiet": "names alone",
    "status": "whether each would run (R), is up to date (U) or ignored (I)",
    "list_deps": "what each depends on",
    "sort": "by name, or as defined (default: name)",
    "hide_status": "do not find out whether it would run",
    "cleandep": "what it needs too",
    "dryrun": "remove nothing, say what would be removed",
    "cleanforget": "forget that the tasks ran, too",
    "seek_file": "find the repository in a folder above this one",
}
_NAMES = {
    "outfile": "FILE",
    "num_process": "NUMBER",
    "verbosity": "NUMBER",
}


def page(command: Any) -> str:
    """Describe a command, a doit command object."""
    topic = COMMANDS.get(command.name, Topic())
    own, shared = _options(command)
    parts = [
        [f"doit {command.name}", *_wrapped(purpose(command), "  ")],
        ["usage", *_wrapped(_usage(command, options=bool(own or shared)), "  ")],
        _paragraphs(topic.text or (command.doc_description or "")),
        _examples(topic),
        ["options", *own] if own else [],
        ["options of every build", *shared] if shared else [],
        [f"{topic.document} has more"] if topic.document else [],
    ]
    return _joined(parts)


def purpose(command: Any) -> str:
    """Say in a line what a command is for."""
    text: str = COMMANDS.get(command.name, Topic()).purpose or command.doc_purpose
    return text


def stage_page(name: str, does: str, *, everywhere: bool) -> str:
    """Describe a stage; `everywhere` if it has a task for each platform."""
    topic = STAGES.get(name, Topic())
    usage = [f"doit {name}", f"doit {name}:IMAGE" + ("[@OS-ARCH]" if everywhere else "")]
    parts = [
        [f"{name}, a stage of the build", *_wrapped(does, "  ")],
        ["usage", *(f"  {line}" for line in (usage if name != "run" else [f"{usage[1]} [WORD ...]"]))],
        _paragraphs(topic.text),
        _examples(topic),
        [f"doit list {name} --all lists its tasks", f"doit info {name}:IMAGE says why one would run"],
        [f"{topic.document} has more"] if topic.document else [],
    ]
    return _joined(parts)


def task_page(task: Any) -> str:
    """Describe a task, a doit task object."""
    return _joined(
        [
            [task.name, *_wrapped(task.doc or "", "  ")],
            _named("after", [name for name in task.task_dep if not name.startswith("_")]),
            _named("made from", sorted(task.file_dep)),
            _named("makes", list(task.targets)),
            [f"doit info {task.name} says whether it would run, and why"],
        ]
    )


def rows(pairs: Iterable[tuple[str, str]], column: int = _COLUMN) -> Iterator[str]:
    """Lay out pairs in two columns; a left part that is too long has a line of its own."""
    for left, right in pairs:
        lines = textwrap.wrap(right, _width() - column - 2) or [""]
        if len(left) > column - 2:
            yield f"  {left}"
        else:
            yield f"  {left.ljust(column - 2)}  {lines.pop(0)}".rstrip()
        yield from (f"{' ' * column}  {line}" for line in lines)


def _options(command: Any) -> tuple[list[str], list[str]]:
    """Describe the options of a command itself, and those that it has as every build has them."""
    shared_names = {option["name"] for option in DoitRun.cmd_options} if isinstance(command, DoitRun) else set()
    own: list[tuple[str, str]] = []
    shared: list[tuple[str, str]] = []
    for option in command.cmdparser.options:
        if (option.short or option.long) and (text := meaning(option)) is not None:
            is_shared = option.name in shared_names | {"report", "seek_file"} and command.name != "run"
            (shared if is_shared else own).append((_shown(option), text))
    return list(rows(own)), list(rows(shared)) if len(shared) > 1 else []


def meaning(option: Any) -> str | None:
    """Say what an option does; None for one of doit's that this build has no use for."""
    if _doits().get(option.name) != option.help:
        text: str = option.help % {"default": option.default}
        return " ".join(text.split())
    return _OURS.get(option.name)


def value_of(option: Any) -> str:
    """Name what an option takes: FILE, one|another, or ARG; nothing for one that takes nothing."""
    if option.type is bool:
        return ""
    if option.choices:
        return "|".join(sorted(filter(None, option.choices)))
    if option.metavar != "ARG":
        return str(option.metavar)
    if option.help.startswith("a file"):
        return "FILE"
    if option.help.startswith("a folder"):
        return "FOLDER"
    return _NAMES.get(option.name, "ARG")


def _doits() -> dict[str, str]:
    from doit.cmd_base import DodoTaskLoader, DoitCmdBase

    classes = (DoitCmdBase, DodoTaskLoader, DoitRun, DoitList, DoitInfo, DoitClean)
    lists = (getattr(cls, "base_options", ()) + cls.cmd_options for cls in classes)
    return {option["name"]: option["help"] for options in lists for option in options}


def _shown(option: Any) -> str:
    value = value_of(option)
    short = f"-{option.short}" + (f" {value}" if value and not option.long else "") if option.short else ""
    long = f"--{option.long}" + (f"={value}" if value else "") if option.long else ""
    return ", ".join(part for part in (short, long) if part)


def _usage(command: Any, *, options: bool) -> str:
    words = [f"doit {command.name}", command.doc_usage, "[OPTION ...]" if options else ""]
    return " ".join(word for word in words if word)


def _examples(topic: Topic) -> list[str]:
    column = min(max((len(line) for line, _ in topic.examples), default=0) + 2, 36)
    return ["examples", *rows(topic.examples, column)] if topic.examples else []


def _named(title: str, names: list[str]) -> list[str]:
    return [title, *(f"  {name}" for name in names)] if names else []


def _paragraphs(text: str) -> list[str]:
    return [line for paragraph in text.splitlines() for line in _wrapped(paragraph, "")]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _joined(parts: Iterable[list[str]]) -> str:
    return "\n\n".join("\n".join(part) for part in parts if part)


def _width() -> int:
    return max(_NARROW, min(_WIDE, shutil.get_terminal_size((80, 24)).columns))
