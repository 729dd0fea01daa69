"""What a dodo.py imports: the creator of the tasks, and doit's configuration."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from procession_tasks.graph.checker import ContentChecker
from procession_tasks.graph.reporter import BuildReporter
from procession_tasks.graph.session import DATABASE

if TYPE_CHECKING:
    from doit.task import Task

# Deciding what is stale makes many objects and no cycles; the first action turns this back on.
gc.disable()
# What is there in the end goes with the process: to look through it for garbage is a tenth of a short command.
atexit.register(gc.freeze)

DOIT_CONFIG: dict[str, Any] = {
    "default_tasks": ["build"],
    "check_file_uptodate": ContentChecker,
    "reporter": BuildReporter,
    "backend": "statelog",
    "dep_file": DATABASE,
    # Threads: the work is in processes and in C code that lets other threads run.
    "par_type": "thread",
    "num_process": max(2, os.cpu_count() or 1),
}


def task_images() -> Iterator[Task]:
    """Create the tasks of every image."""
    from procession_tasks.graph.tasks import create_tasks  # a run with nothing to do makes none

    yield from create_tasks()


__all__ = ["DOIT_CONFIG", "task_images"]
