"""What doit's commands have in common here: mistakes are told where they are, without a traceback."""

from __future__ import annotations

import getopt
import sys
from typing import Any

from doit.cmd_base import Command, DoitCmdBase
from doit.cmdparse import CmdParseError
from doit.exceptions import InvalidCommand, InvalidDodoFile

from procession_tasks.graph import selection
from procession_tasks.graph.checker import ContentChecker

FAILED, USAGE, DEFINITION = 1, 2, 3  # exit statuses


class Explained(Command):  # type: ignore[misc]  # doit has no types
    """Says how it is used: with --help, and where it is used wrongly.  Options may stand anywhere."""

    def parse_execute(self, in_args: list[str]) -> int:
        if "--help" in in_args:
            sys.stdout.write(f"{self.help()}\n")
            return 0
        try:
            status: int = super().parse_execute(self.arranged(in_args))
        except CmdParseError as error:
            what = str(error).partition(" (parsing options")[0].removeprefix("Error parsing Command: ")
            return self.misused(what, f"doit {self.name or 'run'} --help lists the options")
        return status

    def help(self) -> str:
        from procession_tasks.graph.manual import page  # only who asks for it needs it

        return page(self)

    def arranged(self, words: list[str]) -> list[str]:
        """Put options first, where doit reads them; raises CmdParseError."""
        try:
            options, others = getopt.gnu_getopt(words, self.cmdparser.get_short(), self.cmdparser.get_long())
        except getopt.GetoptError as error:
            raise CmdParseError(str(error)) from None
        flags = {name for name, _ in options if self.cmdparser.get_option(name)[0].type is bool}
        return [*(part for name, value in options for part in (name, value)[: 1 + (name not in flags)]), "--", *others]

    def misused(self, what: str, hint: str | None = None) -> int:
        """Tell what is wrong with the command line, and return the exit status for that."""
        sys.stderr.write(f"doit: {what}\n" + (f"  hint: {hint}\n" if hint else ""))
        return USAGE


class Located(Explained, DoitCmdBase):  # type: ignore[misc]  # as above
    """Tells mistakes as they are: a wrong definition ends with 3, an unknown task with 2."""

    @property
    def is_ours(self) -> bool:
        """Whether the dodo.py is one of ours: in any other, doit's commands are as they always were."""
        return isinstance(self.dep_manager.checker, ContentChecker)

    def is_foreign(self) -> bool:
        """Tell, before anything is loaded, whether the dodo.py here is somebody else's."""
        try:
            self.loader.setup(self.cmdparser.parse([])[0])
            checker = self.loader.load_doit_config().get("check_file_uptodate")
        except Exception:  # noqa: BLE001  # none, or a broken one: help is needed then as well
            return False
        return checker is not ContentChecker

    def help(self) -> str:
        text: str = DoitCmdBase.help(self) if self.is_foreign() else super().help()
        return text

    def arranged(self, words: list[str]) -> list[str]:
        return _options_first(words, self.cmdparser)

    def execute(self, params: Any, args: list[str]) -> int:
        try:
            status: int | None = super().execute(params, args)
        except InvalidDodoFile as error:
            self.complain(str(error))
            return DEFINITION
        except InvalidCommand as error:
            self.complain(_unknown(error, self))
            return USAGE
        return status or 0

    def complain(self, message: str) -> None:
        """Tell what kept the command from its work."""
        sys.stderr.write(f"{message}\n")


def _options_first(words: list[str], parser: Any) -> list[str]:
    """Let options stand after tasks too, which doit takes for tasks (ours have no options)."""
    try:
        options, tasks = getopt.gnu_getopt(words, parser.get_short(), parser.get_long())
    except getopt.GetoptError:
        return words  # doit says what is wrong
    if not all(map(selection.is_plain, tasks)):
        return words
    return [part for option in options for part in option if part] + tasks


def _unknown(error: InvalidCommand, command: Located) -> str:
    """Say which word is not a task, and which tasks there are."""
    word = getattr(error, "not_found", None)
    names = [task.name for task in command.task_list or () if not task.name.startswith("_")]
    if word is None or not names:
        return str(error)
    from procession_tasks.definition.shape import did_you_mean  # only a mistake pays for it

    stage, _, image = word.partition(":")
    stages = {name.partition(":")[0] for name in names}
    of = f"{stage if stage in stages else 'build'}:"
    images = sorted({name.removeprefix(of).partition("@")[0] for name in names if name.startswith(of)})
    near = did_you_mean(image, images) if image else did_you_mean(stage, [*names, *images])
    hint = f"{near} " if near else ""
    return f"doit: must be a task or a file it makes, got {word!r}\n  hint: {hint}images are {', '.join(images)}"
