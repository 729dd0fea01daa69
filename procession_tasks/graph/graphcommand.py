"""`doit graph`: the tasks and what is stale among them, as Mermaid, DOT or SVG."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from doit.control import TaskControl
from doit.exceptions import InvalidCommand

from procession_tasks import files
from procession_tasks.errors import BuildError
from procession_tasks.graph import selection
from procession_tasks.graph.located import FAILED, USAGE, Located

_FORMATS = {"mermaid": "for Markdown and editors", "dot": "for Graphviz", "svg": "a picture"}
_STDOUT = "/proc/self/fd/1"
_SUFFIXES = {".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".svg": "svg"}


def _redirected() -> str:
    """Name the file that the shell has led stdout to, if it is one: people type `doit graph > graph.svg`."""
    try:
        return os.readlink(_STDOUT) if os.path.isfile(_STDOUT) else ""
    except OSError:
        return ""


class Graph(Located):
    """Draws tasks with all they depend on; starts nothing and changes nothing."""

    name = "graph"
    doc_purpose = "draw the tasks, and which are stale, as Mermaid, DOT or SVG"
    doc_usage = "[NAME ...]"
    doc_description = "NAME is an image or a task; without one all images are drawn."
    cmd_options = (
        {
            "name": "format",
            "long": "format",
            "type": str,
            "choices": list(_FORMATS.items()),
            "default": "",
            "help": "what to draw it as (default: mermaid, or what the file's name ends with, also after >)",
        },
        {
            "name": "output",
            "short": "o",
            "long": "output",
            "type": str,
            "default": "",
            "help": "a file for it, .mmd, .dot or .svg (default: stdout)",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        self._file = os.path.abspath(params["output"]) if params["output"] else ""  # before doit changes folders
        named = self._file or _redirected()
        self._form = params["format"] or _SUFFIXES.get(os.path.splitext(named)[1], "" if self._file else "mermaid")
        if not self._form:
            sys.stderr.write(f"doit: --output must end with {', '.join(_SUFFIXES)}, got {params['output']!r}\n")
            sys.stderr.write("  hint: or say --format mermaid, dot or svg\n")
            return USAGE
        self._words = list(args)
        selection.select(selection.built(args))
        return super().execute(params, args)

    def _execute(self) -> int:
        from procession_tasks.graph.picture import picture, reached  # only this command draws

        if not self.is_ours:
            raise InvalidCommand("doit: graph must be used where images are built")
        control = TaskControl(self.task_list)
        names = self._names(control)
        chosen = reached(names, control.tasks)
        try:
            stale = self._stale(chosen, control.tasks)
        except BuildError as error:
            self.complain(str(error))
            return FAILED
        return self._tell(_render(self._form)(picture(" ".join(self._words) or "build", chosen, stale)))

    def _names(self, control: TaskControl) -> list[str]:
        """Name the tasks that were asked for, be it as images or by what they make."""
        if not self._words:
            return list(self.sel_tasks)
        names = [control.targets.get(word, word) for word in selection.built(self._words)]
        for name, word in zip(names, self._words, strict=True):
            if name not in control.tasks:
                raise InvalidCommand(not_found=word)
        return names

    def _stale(self, chosen: Sequence[Any], tasks: Mapping[str, Any]) -> dict[str, str]:
        """Say of each task that is not up to date why it would run; doit decides, task by task."""
        from procession_tasks.graph.cause import words  # only what is stale has causes
        from procession_tasks.graph.verdicts import STALE
        from procession_tasks.graph.verdicts import Graph as Tasks

        verdicts = Tasks(tasks).judge(task.name for task in chosen if task.targets)
        return {name: words(verdict.causes) for name, verdict in verdicts.items() if verdict.how == STALE}

    def _tell(self, text: str) -> int:
        content = text.encode("utf-8", "replace")
        try:
            if self._file:
                files.write(Path(self._file), content)
            else:
                sys.stdout.buffer.write(content)
                sys.stdout.buffer.flush()
        except BrokenPipeError:  # who read our output has ended, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except OSError as error:
            self.complain(f"{self._file or 'stdout'}: cannot be written: {error.strerror}")
            return FAILED
        return 0


def _render(form: str) -> Callable[[Any], str]:
    """Return what draws in a format; only that is imported."""
    if form == "svg":
        from procession_tasks.graph.svg import to_svg

        return to_svg
    if form == "dot":
        from procession_tasks.graph.dot import to_dot

        return to_dot
    from procession_tasks.graph.mermaid import to_mermaid

    return to_mermaid
