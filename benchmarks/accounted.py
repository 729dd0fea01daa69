"""Runs doit, and writes its seconds and those of its reporter: accounted.py FILE [doit's words].

A process of its own.  `within` are seconds that the run waited for the reporter, imports included; `beside` is
processor time of its threads, which draw while others work.
"""

import functools
import importlib
import json
import sys
import threading
import time

STARTED = time.perf_counter()
METHODS = ("initialize", "execute_task", "skip_uptodate", "add_success", "add_failure", "complete_run")
THREADS = ("terminal", "closing", "showing")
seconds = {"within": 0.0, "beside": 0.0}


def counted(function):
    """Count what a function takes; the reporter calls its own methods, which is counted once."""

    @functools.wraps(function)
    def call(*args, **options):
        global within  # noqa: PLW0603  # all are called from one thread
        if within:
            return function(*args, **options)
        within, begun = True, time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            within = False
            seconds["within"] += time.perf_counter() - begun

    return call


def counted_thread(run):
    """Count the processor time of a thread that draws."""

    @functools.wraps(run)
    def call(thread):
        begun = time.thread_time()
        run(thread)
        if thread.name in THREADS:
            seconds["beside"] += time.thread_time() - begun

    return call


within = False
for name in ("doit.doit_cmd", "procession_tasks.graph.session"):  # what they cost is not the reporter's
    importlib.import_module(name)
reporter = counted(importlib.import_module)("procession_tasks.graph.reporter")
from doit.doit_cmd import DoitMain  # noqa: E402

from procession_tasks.graph import commands  # noqa: E402

for name in METHODS:
    setattr(reporter.BuildReporter, name, counted(getattr(reporter.BuildReporter, name)))
commands.nothing_to_do = counted(commands.nothing_to_do)
for kind in (threading.Thread, threading.Timer):
    kind.run = counted_thread(kind.run)

status = DoitMain().run(sys.argv[2:])
with open(sys.argv[1], "w", encoding="ascii") as file:
    json.dump({"run": time.perf_counter() - STARTED, **seconds}, file)
sys.exit(status)
