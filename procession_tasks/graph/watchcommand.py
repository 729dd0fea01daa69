"""`doit watch`: builds again on every change, each time in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procession_tasks import process
from procession_tasks.errors import BuildError
from procession_tasks.graph import selection
from procession_tasks.graph.checker import ContentChecker
from procession_tasks.graph.commands import INTERRUPTED, Run
from procession_tasks.graph.located import FAILED, USAGE
from procession_tasks.graph.outward import Up
from procession_tasks.graph.session import session

if TYPE_CHECKING:
    from procession_tasks.graph.watching import Built

# Set for the builds that watching starts: the file for their note.
_NOTE = "PROCESSION_WATCH_NOTE"
_GRACE_S = 5.0


class Watch(Up):
    """Builds when something changes that the last build looked at, until it is interrupted."""

    name = "watch"
    doc_purpose = "build whenever something changes that an image is made from"
    doc_usage = "[NAME ...]"
    doc_description = (
        "NAME is an image or a task that builds; without one all images are built.\n"
        "The options are those of each build."
    )
    cmd_options = (
        *Run.cmd_options,
        {
            "name": "run",
            "long": "run",
            "type": bool,
            "default": False,
            "help": "start the system too, and replace what its image changed of, as `doit up` does",
        },
    )

    def parse_execute(self, in_args: list[str]) -> int:
        """Keep the words as they were typed, for the builds."""
        self._given = in_args
        return super().parse_execute(in_args)

    def execute(self, params: Any, args: list[str]) -> int:
        if (note := os.environ.pop(_NOTE, "")) != "":
            return self._build(params, args, Path(note))
        place = Path.cwd()  # before doit changes folders
        self.loader.setup(params)
        if self.loader.load_doit_config().get("check_file_uptodate") is not ContentChecker:
            sys.stderr.write("doit: watch must be used where images are built\n")
            return USAGE
        if wrong := _mistake(args, runs=params["run"]):
            sys.stderr.write(f"doit: {wrong}\n")
            return USAGE
        return self._watch(place, runs=params["run"])

    def _build(self, params: Any, args: list[str], note: Path) -> int:
        """Build once, and start what is to run; then note what was looked at."""
        from procession_tasks.graph import noted  # only who watches needs notes

        started = time.time_ns()
        status = FAILED
        try:
            if params["run"]:
                status = super().execute(params, args)
            else:
                status = Run.execute(self, params, selection.built(args))
        finally:
            more = ("deploy/system.yaml",) if params["run"] else ()
            noted.note(note, session(), status, started, more)
        return status

    def _watch(self, place: Path, *, runs: bool) -> int:
        from procession_tasks.graph.watching import watch  # as above

        stop = _Stop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has SIGHUP
                signal.signal(number, stop)
        folder = Path(tempfile.mkdtemp(prefix="procession-watch-"))
        try:
            return watch(session().root, lambda: self._built(place, folder / "note", stop), _tell)
        except BrokenPipeError:  # who read our output has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except KeyboardInterrupt:
            more = ", what runs stays (doit down ends it)" if runs else ""
            sys.stderr.write(f"no longer watching{more}\n")
            return INTERRUPTED
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _built(self, place: Path, note: Path, stop: _Stop) -> Built:
        """Build in a process of its own, which begins with nothing that an earlier one has seen."""
        from procession_tasks.graph import noted  # as above
        from procession_tasks.graph.watched import Looked
        from procession_tasks.graph.watching import Built

        note.unlink(missing_ok=True)
        command = [sys.executable, "-m", "doit", self.name, *self._given]
        environment = {**session().environment, _NOTE: str(note)}
        status = process.foreground(command, folder=place, environment=environment)
        if stop.is_asked:
            raise KeyboardInterrupt
        return noted.read(note) or Built(status, Looked({}, {}), ())


class _Stop:
    """What a signal calls: it interrupts once, and again only if that was long ago."""

    def __init__(self) -> None:
        self._asked = -_GRACE_S

    @property
    def is_asked(self) -> bool:
        return self._asked > 0

    def __call__(self, *_: object) -> None:
        now = time.monotonic()
        if now - self._asked >= _GRACE_S:
            self._asked = now
            raise KeyboardInterrupt


def _mistake(words: list[str], *, runs: bool) -> str:
    """Say what is wrong with the words, or nothing."""
    from procession_tasks.graph.definitions import definitions  # only who names something needs it

    if not words:
        return ""
    try:
        images = definitions(session()).image_names()
    except BuildError:  # the build tells
        return ""
    for word in words:
        stage, _, image = selection.built([word])[0].partition(":")
        image = image.partition("@")[0].partition("/")[0]
        if not selection.is_plain_build([f"{stage}:x"]) or (runs and ":" in word):
            what = "an image" if runs else "an image or a task that builds"
            return f"must be {what}, got {word!r}\n  hint: images are {', '.join(images)}"
        if image and image not in images:
            from procession_tasks.definition.shape import did_you_mean  # only a mistake pays for it

            near = did_you_mean(image, images)
            hint = f"{near} " if near else ""
            return f"must be an image or a task that builds, got {word!r}\n  hint: {hint}images are {', '.join(images)}"
    return ""


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
