"""Turns work into doit actions: errors a user can mend fail the task, without a traceback."""

from __future__ import annotations

import errno
import gc
import importlib
import threading
from collections.abc import Callable
from typing import Any

from doit.exceptions import TaskFailed

from procession_tasks import process
from procession_tasks.errors import BuildError
from procession_tasks.graph.session import Session
from procession_tasks.step import Step

_TOOLS = "procession_tasks.graph.tools"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_interrupted = threading.Event()


def tool(name: str, *arguments: Any) -> Callable[[], Any]:
    """Call a function of `tools` later: what it needs is imported when there is work to do."""
    return lambda: getattr(importlib.import_module(_TOOLS), name)(*arguments)


def interrupt() -> None:
    """Stop every process a step has started, and let no further step begin."""
    _interrupted.set()
    process.stop_all()


def guarded(step: Step, session: Session, do: Callable[[], None]) -> Callable[[], TaskFailed | None]:
    """Make the action of a step: runs it, then looks that its outputs are there."""
    run = told(do, session)

    def action() -> TaskFailed | None:
        if _interrupted.is_set():
            return TaskFailed("interrupted")
        gc.enable()
        if failed := run():
            return failed
        missing = [path for path in step.outputs if not (session.root / path).exists()]
        return TaskFailed(f"{missing[0]}: was not made by {step.kind}:{step.subject}") if missing else None

    return action


def told(do: Callable[[], None], session: Session) -> Callable[[], TaskFailed | None]:
    """Make an action of work that tells what a user can mend by BuildError, or is told by the system."""

    def action() -> TaskFailed | None:
        try:
            do()
        except BuildError as error:
            return TaskFailed(str(error))
        except OSError as error:
            where = str(error.filename or "the disk").removeprefix(f"{session.root}/")
            hint = "\n  hint: make room on the disk, then run the build again" if error.errno in _FULL else ""
            return TaskFailed(f"{where}: {error.strerror}{hint}")
        return None

    return action
