"""`doit help`: what people do every day on one screen, and a page for each command, stage and task."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from doit.cmd_help import Help as DoitHelp
from doit.exceptions import InvalidDodoFile

from procession_tasks.graph import manual, selection
from procession_tasks.graph.located import DEFINITION, Located
from procession_tasks.graph.subjects import ONCE
from procession_tasks.graph.topics import COMMANDS, STAGES

# Group, the command or stage that must be there, what is typed, what it does.
_OVERVIEW = (
    ("build", "run", "doit", "bring every stale image up to date"),
    ("", "run", "doit build:IMAGE", "one of them, such as build:api"),
    ("", "release", "doit release", "for all platforms, with indexes and archives"),
    ("", "watch", "doit watch", "build again on every change"),
    ("look", "list", "doit list [--all]", "the stages, or all tasks"),
    ("", "why", "doit why [IMAGE]", "what is stale, and which change made it so"),
    ("", "affected", "doit affected --since REV", "which images the changes since a revision touch"),
    ("", "info", "doit info TASK", "what a task is made from, and why it would run"),
    ("", "graph", "doit graph, doit trace", "the tasks as a picture; where a run's time went"),
    ("", "diff", "doit diff A B", "what differs between two images"),
    ("define", "new", "doit new NAME", "begin the definition of an image"),
    ("", "validate", "doit validate", "check definitions without building"),
    ("", "lock", "doit lock, doit outdated", "choose packages anew; which have newer versions"),
    ("run", "up", "doit up, ps, logs, down", "the system on this machine"),
    ("ship", "push", "doit push", "to a registry, for all platforms"),
    ("", "deploy", "doit kubernetes, doit deploy", "render for a cluster, bring a cluster to it"),
    ("tend", "doctor", "doit doctor", "what this machine lacks, and how to get it"),
    ("", "clean", "doit clean, doit cache", "remove what was built, look after the cache"),
    ("", "completion", "doit completion SHELL", "have TAB complete all of this"),
)
_GROUP, _TYPED = 9, 30
_DOITS = ("dumpdb", "forget", "help", "ignore", "reset-dep", "schema", "strace", "tabcompletion", "run")


class Help(Located, DoitHelp):  # type: ignore[misc]  # doit has no types
    """Tells what can be done here; where the dodo.py is not of this build, doit's own help."""

    name = "help"
    doc_purpose = "tell what people do every day, or all about one command, stage or task"
    doc_usage = "[COMMAND|STAGE|TASK]"

    def __init__(self, cmds: Any = None, **kwargs: Any) -> None:
        self.known = cmds
        super().__init__(cmds=cmds, **kwargs)

    def execute(self, params: Any, args: list[str]) -> int:
        if self.is_foreign():
            status: int = DoitHelp.execute(self, params, args)
            return status
        if len(args) > 1:
            return self.misused(f"help must be given one topic, got {' '.join(args)!r}")
        pages = list(self._pages(args[0])) if args else [overview(self.cmds)]
        if pages:
            print("\n\n".join(pages))
            return 0
        return self._task(params, args[0])

    def _pages(self, topic: str) -> Iterator[str]:
        """Describe the command and the stage of a name: some names are both."""
        if topic in self.cmds:
            command = self.cmds[topic](cmds=self.known, **self.init_kwargs)
            yield manual.page(command) if is_ours(command) or topic in COMMANDS else command.help()
        if (purpose := stages().get(topic)) and (topic not in self.cmds or topic in STAGES):
            yield manual.stage_page(topic, purpose, everywhere=topic not in ONCE)

    def _task(self, params: Any, name: str) -> int:
        """Describe a task, which needs the definitions; say so if it is none, and what is nearest."""
        tasks: dict[str, Any] = {}
        if ":" in name:
            selection.select([name])
            try:
                self.loader.setup(params)
                self.loader.load_doit_config()
                tasks = {task.name: task for task in self.loader.load_tasks(self, [])}
            except InvalidDodoFile as error:
                self.complain(str(error))
                return DEFINITION
        if name in tasks:
            print(manual.task_page(tasks[name]))
            return 0
        from procession_tasks.definition.shape import did_you_mean  # only a mistake pays for it

        near = did_you_mean(name, [*self.cmds, *stages(), *tasks])
        return self.misused(f"must be a command, a stage or a task, got {name!r}", near or "doit help lists them")


def overview(commands: Iterable[str]) -> str:
    """Show on one screen what people do, of the commands that there are."""
    there = {*commands, *stages()}
    lines, group = ["Builds the container images that definitions describe, and of them only what is stale.", ""], ""
    for starts, needed, typed, does in _OVERVIEW:
        group = starts or group
        if needed in there:
            lines.append(f"{group:<{_GROUP}}{typed:<{_TYPED}}{does}")
            group = " " if group else group
    shown = {name for _, needed, typed, _ in _OVERVIEW for name in (needed, *typed.replace(",", "").split())}
    rest = sorted({*commands} - shown - {*_DOITS})
    also = f"There are also: {', '.join(rest)}.  " if rest else ""
    return "\n".join([*lines, "", f"{also}doit help COMMAND, STAGE or TASK says more, such as: doit help build"])


@functools.cache
def stages() -> dict[str, str]:
    """Name the stages, each with what it does."""
    from procession_tasks.graph.tasks import stage_purposes  # a page of a command needs none

    return stage_purposes()


def is_ours(command: Any) -> bool:
    """Tell a command of this build from doit's own."""
    return type(command).__module__.startswith("procession_tasks.")
