"""doit's commands that work, where this build needs more: run, lock and clean."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from doit.cmd_base import check_tasks_exist
from doit.cmd_clean import Clean as DoitClean
from doit.cmd_run import Run as DoitRun
from doit.cmdparse import CmdParseError

from procession_tasks.errors import BuildError
from procession_tasks.graph import asked, selection
from procession_tasks.graph.located import DEFINITION, FAILED, USAGE, Located
from procession_tasks.graph.lock import exclusive
from procession_tasks.graph.reporter import BuildReporter, nothing_to_do
from procession_tasks.graph.session import STATE, session
from procession_tasks.graph.settled import remember, still_settled

if TYPE_CHECKING:
    from procession_tasks.graph.happened import Happened
    from procession_tasks.graph.notes import Notes

BUG, INTERRUPTED = 2, 130


class _NothingToDoError(Exception):
    """Ends a run before it makes a task."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count


class Run(Located, DoitRun):  # type: ignore[misc]
    """Runs tasks: reads only the definitions it needs, one run at a time, ends well when stopped."""

    doc_purpose = "bring images up to date, or run other tasks (what doit does without a command)"
    doc_usage = "[TASK ...]"
    cmd_options = (
        *DoitRun.cmd_options,
        {
            "name": "report",
            "long": "report",
            "type": str,
            "default": "",
            "help": "a file for what happened, in JSON: images, digests, sizes, why, what caches had (default: none)",
        },
    )
    _happened: Happened | None = None
    _notes: Notes | None = None

    def execute(self, params: Any, args: list[str]) -> int:
        file = params.get("report")
        self._report = os.path.abspath(file) if file else None  # before doit changes folders
        status = self._work(params, args)
        if self._happened:
            status = self._happened.tell(status)
        if self._notes:
            self._notes.keep(self.sel_tasks, status)
        return self._afterwards() if status == 0 else status

    def complain(self, message: str) -> None:
        super().complain(message)
        if self._happened:
            self._happened.failed("", message)

    def _work(self, params: Any, args: list[str]) -> int:
        """Run the tasks and return the exit status."""
        selection.select(args)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._short_cut(params)
        try:
            status: int = super().execute(params, args)
        except _NothingToDoError as nothing:
            told = params["outfile"] if hasattr(params["outfile"], "write") else sys.stdout
            told.write(nothing_to_do(nothing.count))
            return 0
        except KeyboardInterrupt:
            from procession_tasks.graph.actions import interrupt  # loaded already if there is work

            interrupt()
            self._close_caches(wait=False)
            sys.stderr.write("interrupted: what was finished is kept, run the same command to go on\n")
            return INTERRUPTED
        if status == 0 and self._words:
            remember(self._words, session())
        return status

    def parse_execute(self, in_args: list[str]) -> int:
        """Take what follows `run:IMAGE` for options and arguments of the image."""
        at = next((number for number, word in enumerate(in_args) if word.startswith("run:")), len(in_args))
        if at < len(in_args):
            asked.running.set(tuple(in_args[at + 1 :]))
        status: int = super().parse_execute(in_args[: at + 1])
        return status

    @staticmethod
    def _close_caches(*, wait: bool) -> None:
        """Send what is left to send to caches; other runs may use the tree meanwhile."""
        caches, session().caches = session().caches, None
        if caches:
            caches.close(wait=wait)
            if (happened := session().happened) is not None:
                happened.account = caches.store.account
            if (notes := session().notes) is not None:
                notes.moves = caches.store.account.moves

    @staticmethod
    def _afterwards() -> int:
        """Do what a task has left for when the tree is free again."""
        if (do := session().afterwards) is None:
            return 0
        try:
            return do()
        except BuildError as error:
            sys.stderr.write(f"{error}\n")
            return FAILED

    def _short_cut(self, params: Any) -> None:
        """Look, before any task is made, whether this is a run that is known to find nothing to do."""
        self._words: list[str] = []
        load_tasks = self.loader.load_tasks

        def load(cmd: Any, pos_args: list[str]) -> Any:
            self._take_notes(params)
            asked_otherwise = params["always"] or params["single"] or params["reporter"] is not BuildReporter
            asked_otherwise = asked_otherwise or self._happened is not None
            if self.is_ours and not asked_otherwise and selection.is_plain_build(self.sel_tasks):
                self._words = self.sel_tasks
                if (count := still_settled(self._words, session())) is not None:
                    session().states.save()
                    raise _NothingToDoError(count)
            return load_tasks(cmd, pos_args)

        self.loader.load_tasks = load

    def _take_notes(self, params: Any) -> None:
        """Have the run noted if somebody wants to know about it; raises CmdParseError if that cannot be."""
        reporter = params["reporter"]
        if self._report and not self.is_ours:
            raise CmdParseError("--report must be used where images are built")
        if self._report and reporter is not BuildReporter:
            raise CmdParseError("--report must be used without --reporter")
        is_for_machines = self.is_ours and reporter == "json"
        on_github = os.environ.get("GITHUB_ACTIONS") == "true" and self.is_ours and reporter is BuildReporter
        if self._report or on_github or is_for_machines:
            from procession_tasks.graph.happened import Happened  # other runs have nobody to tell

            summarizes = selection.is_plain_build(self.sel_tasks)
            self._happened = session().happened = Happened(session(), self._report, summarizes=summarizes)
        if self._happened and is_for_machines:
            from procession_tasks.graph.jsonlines import JsonReporter, summarize  # as above

            params["reporter"] = JsonReporter
            self._happened.listens = functools.partial(summarize, outfile=params["outfile"])

    @functools.wraps(DoitRun._execute)
    def _execute(self, *args: Any, **options: Any) -> int:
        from procession_tasks.graph.plans import plans  # a run with nothing to do has none

        if not self.is_ours or selection.is_only_a_check(self.sel_tasks):
            checked: int = super()._execute(*args, **options)
            return checked
        during = session()
        with exclusive(during.root / STATE / "lock") as waited:
            if waited:
                during.states.look_again()  # who had the lock may have changed what was seen
            try:
                status: int = super()._execute(*args, **options)
            finally:
                plans().save()
                during.states.save()
                self._notes = during.notes
        self._close_caches(wait=True)
        # doit counts tasks that were left out because of others as errors of its own.
        return FAILED if status == BUG and not during.bug else status


class Lock(Run):
    """Chooses packages anew as `run lock:IMAGE` does; with --check it only says whether that is needed."""

    name = "lock"
    doc_purpose = "choose the packages of images anew and pin them, or check the pins"
    doc_usage = "[IMAGE ...]"
    cmd_options = (
        *Run.cmd_options,
        {
            "name": "check",
            "long": "check",
            "type": bool,
            "default": False,
            "help": "change nothing, say whether locks and definitions agree",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        names = [word.removeprefix("lock:") for word in args]
        if not params["check"]:
            return super().execute(params, [f"lock:{name}" for name in names] or ["lock"])
        self.loader.setup(params)
        return self._check(names)

    @staticmethod
    def _check(names: list[str]) -> int:
        from procession_tasks.graph.definitions import definitions  # a run with nothing to do has none

        declared = definitions(session())
        try:
            known = declared.image_names()
            if unknown := sorted({*names} - {*known}):
                sys.stderr.write(f"doit: must be an image, got {unknown[0]!r}\n  hint: images are {', '.join(known)}\n")
                return USAGE
            sys.stdout.writelines(f"{file}: ok\n" for file in declared.checked_locks(names or known))
        except BuildError as error:
            sys.stderr.write(f"{error}\n")
            return DEFINITION
        return 0


class Clean(Located, DoitClean):  # type: ignore[misc]
    """Removes what was built: of the named tasks, or without a name of all, releases too."""

    doc_purpose = "remove what was built"
    doc_description = None

    @functools.wraps(DoitClean._execute)
    def _execute(self, *args: Any, **options: Any) -> None:
        words = options.get("pos_args")
        if not self.is_ours:
            super()._execute(*args, **options)
            return
        if not words:
            options["cleanall"] = True
        else:
            check_tasks_exist({task.name: task for task in self.task_list}, words, skip_wildcard=True)
            options["pos_args"] = [name for word in words for name in self._made_for(word)]
        with contextlib.nullcontext() if options.get("dryrun") else exclusive(session().root / STATE / "lock"):
            super()._execute(*args, **options)

    def clean_tasks(self, tasks: Any, dryrun: bool, cleanforget: bool) -> None:  # noqa: FBT001  # doit's signature
        if not self.is_ours:
            super().clean_tasks(tasks, dryrun, cleanforget)
            return
        for task in tasks:
            for action in task.clean_actions:
                action.py_callable(dryrun)
            if cleanforget and not dryrun:
                self.dep_manager.remove(task.name)
        self.dep_manager.close()

    def _made_for(self, word: str) -> list[str]:
        """Name all tasks of an image for `build:image` or `release:image`, which make nothing themselves."""
        stage, _, subject = word.partition(":")
        if stage not in ("build", "release"):
            return [word]
        found = []
        for task in self.task_list:
            of_program, _, platform = task.name.partition(":")[2].partition("@")
            image = of_program.partition("/")[0] + (f"@{platform}" if platform else "")
            if image in (subject, *([f"{subject}@{platform}"] if stage == "release" else [])) or not subject:
                found.append(task.name)
        return found
