"""Turns work into doit actions: errors a user can mend fail the task, without a traceback."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from doit.exceptions import TaskFailed

from procession_tasks import interruption, process
from procession_tasks.errors import BuildError
from procession_tasks.graph.session import Session
from procession_tasks.interruption import InterruptedWorkError
from procession_tasks.step import Step

FULL_DISK = "make room on the disk, then run the build again"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PATIENCE_S = 5.0
_idle = threading.Condition()
_busy = 0


def tool(name: str, *arguments: Any) -> Callable[[], Any]:
    """Call a function of this package later, such as ``tools.pack``: what it needs is imported when there is work."""
    module, _, function = name.partition(".")
    return lambda: getattr(importlib.import_module(f"procession_tasks.graph.{module}"), function)(*arguments)


def interrupt() -> None:
    """Stop what runs and let nothing begin; returns when all has cleaned up after itself."""
    interruption.ask()
    process.stop_all()
    with _idle:
        _idle.wait_for(lambda: _busy == 0, timeout=_PATIENCE_S)


@contextlib.contextmanager
def _at_work() -> Iterator[None]:
    global _busy  # noqa: PLW0603  # one count for all threads of the process
    with _idle:
        _busy += 1
    try:
        yield
    finally:
        with _idle:
            _busy -= 1
            _idle.notify_all()


def guarded(step: Step, session: Session, do: Callable[[], None]) -> Callable[[], TaskFailed | None]:
    """Make the action of a step: runs it, then looks that its outputs are there."""
    run = told(do, session)

    def action() -> TaskFailed | None:
        gc.freeze()  # what is loaded by now stays to the end
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
            interruption.check()
            with _at_work():
                do()
        except InterruptedWorkError:
            return TaskFailed("interrupted")
        except BuildError as error:
            return TaskFailed(str(error))
        except OSError as error:
            where = str(error.filename or "the disk").removeprefix(f"{session.root}/")
            hint = f"\n  hint: {FULL_DISK}" if error.errno in _FULL else ""
            return TaskFailed(f"{where}: {error.strerror}{hint}")
        return None

    return action
