"""doit's commands that look, where this build tells more: list, info and schema."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import Any

from doit.cmd_base import check_tasks_exist
from doit.cmd_info import Info as DoitInfo
from doit.cmd_list import List as DoitList

from procession_tasks.graph.located import FAILED, Explained, Located


class List(Located, DoitList):  # type: ignore[misc]
    """Lists tasks; with --deps, the sources behind a list of inputs too."""

    doc_purpose = "list the stages, or the tasks of every image and platform"

    def _print_task(self, template: str, task: Any, status: bool, list_deps: bool, tasks: Any) -> None:  # noqa: FBT001  # doit's signature
        super()._print_task(template, task, status, list_deps, tasks)
        if list_deps:
            for path in sources_of(task):
                self.outstream.write(f" -  {path}\n")


class Info(Located, DoitInfo):  # type: ignore[misc]
    """Shows a task and why it would run; of a Go program, the sources too."""

    doc_purpose = "say what a task is made from and what it makes, and why it would run"

    @functools.wraps(DoitInfo._execute)
    def _execute(self, pos_args: list[str], hide_status: bool = False) -> int:  # noqa: FBT001, FBT002  # doit's signature
        check_tasks_exist({task.name: task for task in self.task_list}, pos_args)
        status: int = super()._execute(pos_args, hide_status)
        for task in self.task_list:
            if task.name in pos_args and (paths := sources_of(task)):
                self.outstream.write("\nsources    : \n" + "".join(f" - {path}\n" for path in paths))
        return status

    @staticmethod
    def get_reasons(reasons: Any) -> str:
        """Say why a task would run, in words rather than objects."""
        why = [f" * {item}" for item, _, _ in reasons.pop("uptodate_false", ())]
        rest = DoitInfo.get_reasons(reasons)
        return "\n".join([*why, *([rest] if rest else ())])


class Schema(Explained):
    """Prints the JSON Schema of image.yaml or of system.yaml, for editors."""

    name = "schema"
    doc_purpose = "print the JSON Schema of image.yaml or of system.yaml, for editors"
    doc_usage = "[image|system]"
    cmd_options = (
        {
            "name": "output",
            "short": "o",
            "long": "output",
            "type": str,
            "default": "",
            "metavar": "FILE",
            "help": "a file to write it to (default: stdout)",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        from procession_tasks import files  # needed here alone
        from procession_tasks.definition.schema import image_schema, schema_text
        from procession_tasks.definition.system import system_schema

        schemas = {(): image_schema, ("image",): image_schema, ("system",): system_schema}
        if (schema := schemas.get(tuple(args))) is None:
            return self.misused(f"must be image or system, got {' '.join(args)!r}")
        text = schema_text(schema())
        if not params["output"]:
            sys.stdout.write(text)
            return 0
        try:
            files.write_if_changed(Path(params["output"]), text.encode())
        except OSError as error:
            sys.stderr.write(f"{params['output']}: {error.strerror}\n")
            return FAILED
        return 0


def sources_of(task: Any) -> list[str]:
    """List the files or packages behind the lists that a task makes or depends on."""
    found: list[str] = []
    for path in sorted({*task.targets, *task.file_dep}):
        read = _LISTS.get(os.path.splitext(path)[1])
        with contextlib.suppress(OSError, ValueError):  # nothing is listed before the first build
            found += read(Path(path).read_bytes()) if read else []
    return found


def _go_sources(text: bytes) -> list[str]:
    from procession_tasks.golang.ingredients import sources  # only who asks for details pays for it

    return sources(text)


def _packages(text: bytes) -> list[str]:
    from procession_tasks.debian.lock import parse_pins  # as above

    return [str(pin) for pin in parse_pins(text)]


_LISTS = {".inputs": _go_sources, ".packages": _packages}
