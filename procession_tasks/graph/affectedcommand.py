"""`doit affected`: which images the changes since a revision touch."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from doit.cmdparse import CmdParseError

from procession_tasks.errors import BuildError
from procession_tasks.graph.checker import ContentChecker
from procession_tasks.graph.commands import INTERRUPTED
from procession_tasks.graph.located import DEFINITION, FAILED, USAGE, Located

if TYPE_CHECKING:
    from procession_tasks.graph.affected import Affected
    from procession_tasks.graph.side import Side

_AT_ONCE = 2  # of `go list`, each of which is slow to begin and then uses all processors
_LOOK_S = 0.1
_MATRICES = [("", "no matrix"), ("github", "a job's matrix"), ("gitlab", "what jobs of a child pipeline extend")]


class WrongHereError(BuildError):
    """A definition of the tree that is worked on is wrong."""


class AffectedImages(Located):
    """Says which images differ between a revision of Git and the files that are here."""

    name = "affected"
    doc_purpose = "say which images the changes since a revision of git touch"
    doc_usage = "--since REVISION"
    doc_description = (
        "Compares what images are made from in the revision and here, what is not committed included.\n"
        "Builds nothing.  Never misses an image that differs; it may name one that would come out the same."
    )
    cmd_options = (
        {"name": "since", "long": "since", "type": str, "default": "", "help": "the revision to compare with"},
        {"name": "json", "long": "json", "type": bool, "default": False, "help": "tell it in JSON, with each task"},
        {
            "name": "matrix",
            "long": "matrix",
            "type": str,
            "default": "",
            "choices": _MATRICES,
            "help": "print a matrix",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        if args:
            raise CmdParseError(f"affected must be followed by options alone, got {args[0]!r}")
        if not params["since"]:
            raise CmdParseError("affected must have --since REVISION")
        if params["json"] and params["matrix"]:
            raise CmdParseError("--json must be used without --matrix")
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job that is cancelled leaves no tree either
        self.loader.setup(params)
        if self.loader.load_doit_config().get("check_file_uptodate") is not ContentChecker:
            raise CmdParseError("affected must be used where images are built")
        return _answer(params["since"], params["matrix"] or ("json" if params["json"] else "text"))


def _answer(since: str, form: str) -> int:
    from procession_tasks.graph.revision import RevisionError  # commands are loaded by who runs another

    try:
        found = _compared(since)
    except (RevisionError, WrongHereError) as error:
        sys.stderr.write(f"{error}\n")
        return USAGE if isinstance(error, RevisionError) else DEFINITION
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    _tell(found, since, form)
    return 0


def _tell(found: Sequence[Affected], since: str, form: str) -> None:
    from procession_tasks.graph import affectedtext  # as above

    forms = {
        "json": lambda found: affectedtext.to_json(found, since),
        "github": affectedtext.to_github,
        "gitlab": affectedtext.to_gitlab,
    }
    if form in forms:
        sys.stdout.write(forms[form](found))
    elif found:
        sys.stdout.writelines(f"{line}\n" for line in affectedtext.to_text(found))
    else:
        sys.stderr.write(f"no image is affected: all are made from what they were made from at {since}\n")


def _compared(since: str) -> Sequence[Affected]:
    """Compare the tree here with that of a revision; raises BuildError when one of them cannot be read."""
    from procession_tasks.graph.git import repository  # as above
    from procession_tasks.graph.revision import QUESTIONS, ask, materialized
    from procession_tasks.graph.session import STATE, session

    here = session()
    git = repository(here.root, here.environment)
    gits, lists = ThreadPoolExecutor(QUESTIONS + 1), ThreadPoolExecutor(_AT_ONCE)
    with ExitStack() as stack, gits, lists, _stopping(gits, lists):
        asked = ask(since, git, gits)
        coming = gits.submit(asked.wait)
        from procession_tasks.graph.affected import affected, alike  # git is at work meanwhile
        from procession_tasks.graph.golists import GoLists
        from procession_tasks.graph.side import Side, beside, see_project

        new = Side(here, GoLists(here.go, lists))
        try:
            new.load()
        except BuildError as error:
            raise WrongHereError(error.message, hint=error.hint) from None
        new.lists.ask(new.programs, closures := here.root / STATE / "closures")
        new.lists.learn_until(coming)
        there = gits.submit(stack.enter_context, materialized(asked, here.root)).result()  # to be stopped with them
        see_project(there.root, since)
        before = beside(here, there)
        new.lists.ask_rest(before.go)
        old = Side(before, GoLists(before.go, lists), new)
        _load_old(old, new)
        old.lists.ask(alike(old, new), closures, new.lists)
        return affected(old, new, git.top)


@contextmanager
def _stopping(*pools: ThreadPoolExecutor) -> Iterator[None]:
    """Stop what runs beside us when we give up: whoever leaves waits for it."""
    try:
        yield
    except BaseException:
        from procession_tasks.graph.actions import interrupt  # nobody else needs it

        endings = [threading.Thread(target=pool.shutdown, kwargs={"cancel_futures": True}) for pool in pools]
        for ending in endings:
            ending.start()
        while any(ending.is_alive() for ending in endings):  # what was about to start is stopped then
            interrupt()
            endings[-1].join(_LOOK_S)
        raise


def _load_old(old: Side, new: Side) -> None:
    """Plan the old side; with settings that are wrong there, nothing can be told of any image."""
    try:
        old.load_sound()
    except BuildError as error:
        old.problems = dict.fromkeys(new.plans, error.message.partition("\n")[0])
