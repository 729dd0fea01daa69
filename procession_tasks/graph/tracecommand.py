"""`doit trace`: where the time of the last run went."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError
from procession_tasks.graph.located import FAILED, USAGE, Located


class Trace(Located):
    """Shows the last run that had work to do: as a trace for viewers, and as a summary."""

    name = "trace"
    doc_purpose = "show where the time of the last run went"
    doc_usage = ""
    doc_description = (
        "The trace, on stdout or in a file, is for ui.perfetto.dev or chrome://tracing; the summary, on stderr, says\n"
        "which tasks the run could not have been faster than, and what would make them faster."
    )
    cmd_options = (
        {
            "name": "output",
            "short": "o",
            "long": "output",
            "type": str,
            "default": "",
            "help": "a file for the trace (default: stdout)",
        },
        {"name": "summary", "long": "summary", "type": bool, "default": False, "help": "the summary alone, on stdout"},
    )

    def execute(self, params: Any, args: list[str]) -> int:
        if args:
            sys.stderr.write(f"doit: trace must be given no tasks, got {args[0]!r}\n")
            return USAGE
        output = Path(os.path.abspath(params["output"])) if params["output"] else None  # before doit changes folders
        self.loader.setup(params)
        from procession_tasks.graph.record import last  # a run of tasks needs none of this
        from procession_tasks.graph.session import session

        if (run := last(session().root)) is None:
            sys.stderr.write("doit: trace must follow a run that had work to do\n  hint: doit build, then doit trace\n")
            return FAILED
        return _show(run, output, is_brief=params["summary"])


def _show(run: Any, output: Path | None, *, is_brief: bool) -> int:
    from procession_tasks.graph.critical import summary  # as above

    needs = _known_needs()
    text = summary(run, needs, os.cpu_count() or 1)
    try:
        if is_brief:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            _write(run, needs, output)
            sys.stderr.write(text)
    except BrokenPipeError:  # who read our output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        rule = "must be a file that can be written"
        sys.stderr.write(f"doit: --output: {rule}, got {str(output or 'stdout')!r}: {error.strerror}\n")
        return FAILED
    return 0


def _write(run: Any, needs: dict[str, set[str]], output: Path | None) -> None:
    from procession_tasks import files  # as above
    from procession_tasks.graph.tracing import to_trace

    trace = to_trace(run, needs)
    if output:
        files.write(output, trace)
    else:
        sys.stdout.buffer.write(trace)
        sys.stdout.flush()


def _known_needs() -> dict[str, set[str]]:
    """Say which tasks each task needs, as the definitions are now; nothing where one is wrong."""
    from procession_tasks.graph.plans import plans  # as above

    try:
        return needs_of(plans().load().values())
    except BuildError:
        return {}


def needs_of(images: Iterable[Iterable[Any]]) -> dict[str, set[str]]:
    """Say which tasks each task needs, by the plans of images: those that make what it reads.

    A program is compiled when the inputs of all of its mode are listed.
    """
    steps = list(_steps(images))
    makers = {path: name for name, step, _ in steps for path in step.outputs}
    listing: dict[Any, set[str]] = {}
    for name, _, mode in steps:
        if name.startswith("go-inputs:"):
            listing.setdefault(mode, set()).add(name)
    needs = {name: {maker for path in step.inputs if (maker := _maker(path, makers))} for name, step, _ in steps}
    for name, _, mode in steps:
        if name.startswith("go-compile:"):
            needs[name] |= listing[mode]
    return needs


def _steps(images: Iterable[Iterable[Any]]) -> Iterator[tuple[str, Any, Any]]:
    """List each step with the name of its task, and its mode if it is of a program."""
    from procession_tasks.graph.indexing import index  # as above

    for of_image in map(tuple, images):
        for plan in of_image:
            of_programs = [(step, one.program.mode) for one in plan.programs for step in (one.list, one.compile)]
            others = (plan.fetch, plan.inject, plan.pack, plan.pack_oci, plan.archive_oci)
            for step, mode in (*of_programs, *((step, None) for step in others if step)):
                yield f"{step.kind}:{step.subject}", step, mode
        joined = index(of_image)
        yield f"{joined.kind}:{joined.subject}", joined, None


def _maker(path: str, makers: dict[str, str]) -> str | None:
    """Name the task that makes a path, or a folder above it."""
    while path and path not in makers:
        path = os.path.dirname(path)
    return makers.get(path)
