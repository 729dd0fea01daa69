"""What a dodo.py imports: the creator of the tasks, and doit's configuration."""

from __future__ import annotations

import gc
import os
from typing import Any

from procession_tasks.graph.checker import ContentChecker
from procession_tasks.graph.reporter import BuildReporter
from procession_tasks.graph.session import STATE
from procession_tasks.graph.tasks import task_images

# Deciding what is stale makes many objects and no cycles; the first action turns this back on.
gc.disable()

DOIT_CONFIG: dict[str, Any] = {
    "default_tasks": ["build"],
    "check_file_uptodate": ContentChecker,
    "reporter": BuildReporter,
    "backend": "statelog",
    "dep_file": f"{STATE}/tasks.log",
    # Threads: the work is in processes and in C code that lets other threads run.
    "par_type": "thread",
    "num_process": max(2, os.cpu_count() or 1),
}

__all__ = ["DOIT_CONFIG", "task_images"]
