"""`doit why`: which images a build would bring up to date and what led to that, or what led to it in the last run."""

from __future__ import annotations

import sys
import time
from typing import Any

from doit.exceptions import InvalidCommand

from procession_tasks.graph import selection
from procession_tasks.graph.located import FAILED, Located

_OPTIONS = (
    {
        "name": "last",
        "long": "last",
        "type": bool,
        "default": False,
        "help": "tell of the last run that had work to do",
    },
    {"name": "json", "long": "json", "type": bool, "default": False, "help": "tell it in JSON"},
)
_STEPS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Why(Located):
    """Says why images or tasks are stale; runs nothing and writes nothing."""

    name = "why"
    doc_purpose = "say which images a build would make anew, and why"
    doc_usage = "[IMAGE|TASK ...]"
    doc_description = (
        "Of each image, or of the tasks or images named: the shortest chain from what changed to what is made of it.\n"
        "With --last: why it was built in the last run that had work to do, and where the chain was cut off."
    )
    cmd_options = _OPTIONS

    def execute(self, params: Any, args: list[str]) -> int:
        # An image is meant unless it is a task of a stage: only its definition need be read then.
        words = [word if selection.is_stage(word) else f"build:{word}" for word in args]
        selection.select(words if all(map(selection.is_plain, words)) else [])
        return super().execute(params, args)

    def _execute(self, pos_args: list[str], last: bool, json: bool) -> int:  # noqa: FBT001  # doit's way
        from procession_tasks.graph.verdicts import Graph  # commands are loaded by who runs another

        if not self.is_ours:
            raise InvalidCommand("why must be used where images are built")
        self.dep_manager.remove = lambda _: None  # what doit forgets on a look is for a run to forget
        tasks = {task.name: task for task in self.task_list}
        subjects = self._subjects(pos_args, tasks, graph := Graph(tasks))
        return _tell_last(subjects, graph, json) if last else _tell(subjects, graph, _is_settled(pos_args, tasks), json)

    @staticmethod
    def _subjects(words: list[str], tasks: dict[str, Any], graph: Any) -> list[Any]:
        """Find what the words name; without one, every image."""
        from procession_tasks.graph.whytext import Subject

        if not words:
            words = [name.partition(":")[2] for name in tasks["build"].task_dep] if "build" in tasks else []
        found = []
        for word in words:
            name = word if word in tasks else f"build:{word}"
            if name not in tasks:
                raise _unknown(word)
            made = graph.artefacts(name)
            found.append(Subject(word, tuple(made), tuple(graph.in_order(made))))
        return found


def _unknown(word: str) -> InvalidCommand:
    error = InvalidCommand(f"{word!r} is not an image or a task")
    error.not_found = word
    return error


def _is_settled(words: list[str], tasks: dict[str, Any]) -> bool:
    """Tell whether a build of the same is known to find nothing to do, and so would look no further."""
    from procession_tasks.graph.session import session
    from procession_tasks.graph.settled import still_settled

    named = [word if word in tasks else f"build:{word}" for word in words] or ["build"]
    return selection.is_plain_build(named) and still_settled(named, session()) is not None


def _tell(subjects: list[Any], graph: Any, is_settled: bool, as_json: bool) -> int:  # noqa: FBT001
    from procession_tasks.graph.whytext import to_json, to_text

    names = [name for subject in subjects for name in subject.artefacts]
    verdicts = graph.all_fresh(names) if is_settled else graph.judge(names)
    if as_json:
        sys.stdout.write(to_json(subjects, verdicts))
    else:
        sys.stdout.writelines(f"{line}\n" for line in to_text(subjects, verdicts))
    return 0


def _tell_last(subjects: list[Any], graph: Any, as_json: bool) -> int:  # noqa: FBT001
    from procession_tasks.graph.lasttext import to_json, to_text  # as above
    from procession_tasks.graph.record import last
    from procession_tasks.graph.session import session

    if (run := last(session().root)) is None:
        sys.stderr.write("doit: why --last must come after a build here\n  hint: doit why says what one would do\n")
        return FAILED
    needs = {name: graph.behind(name) for subject in subjects for name in subject.tasks}
    if as_json:
        sys.stdout.write(to_json(subjects, run, needs))
        return 0
    ended = {0: "", 130: ", interrupted"}.get(run.status, ", failed")
    print(f"doit {' '.join(run.words)}: {_ago(time.time() - run.begun)}, took {run.seconds:.1f} s{ended}")
    sys.stdout.writelines(f"{line}\n" for line in to_text(subjects, run, needs))
    return 0


def _ago(seconds: float) -> str:
    for size, name in _STEPS:
        if (count := int(seconds // size)) >= 1:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "now"
