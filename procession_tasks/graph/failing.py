"""What is told of an action that failed: what it said, what was run, where its log is."""

from __future__ import annotations

import contextlib
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from procession_tasks import files
from procession_tasks.graph.plaintext import plain
from procession_tasks.graph.reporter import log_of
from procession_tasks.step import Step

_LONGEST = 300  # characters of a command that are told; the log has all


def write_log(root: Path, name: str, step: Step, message: str) -> str | None:
    """Keep what a failed action said, and how it was run; returns the path, None where it cannot be written."""
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = "\n".join([f"task: {name}", f"failed: {begun}", *_details(step), "", plain(message).rstrip(), ""])
    with contextlib.suppress(OSError):
        files.write(root / log_of(name), text.encode("utf-8", "surrogateescape"))
        return log_of(name)
    return None


def block(name: str, message: str, step: Step | None, log: str | None, environment: Mapping[str, str]) -> str:
    """Lay out what is told; what only some need is folded where a CI can do so.  Pure but for the time of GitLab's."""
    lines = [f"{name}: failed", message.rstrip()]
    if step is None:
        return "\n".join([*lines, ""])
    if environment.get("GITHUB_ACTIONS") == "true":
        lines += [f"::group::{name}: how it was run", *_details(step), "::endgroup::"]
    elif environment.get("GITLAB_CI") == "true":
        section, now = re.sub(r"[^A-Za-z0-9_.-]", "_", name), int(time.time())
        head = f"\x1b[0Ksection_start:{now}:{section}[collapsed=true]\r\x1b[0K{name}: how it was run"
        lines += [head, *_details(step), f"\x1b[0Ksection_end:{now}:{section}\r\x1b[0K"]
    elif step.command[0] != step.kind:  # those are our own tools, which cannot be typed
        command = _command(step)
        lines.append(f"  command: {command[:_LONGEST]}{'…' if len(command) > _LONGEST else ''}")
    return "\n".join([*lines, *([f"  log: {log}"] if log else []), ""])


def _details(step: Step) -> list[str]:
    given = [
        ("command", _command(step)),
        ("environment", _words(f"{name}={value}" for name, value in step.environment)),
        ("needs", _words(f"{name} {value}" for name, value in step.properties)),
        ("inputs", _words(step.inputs)),
        ("outputs", _words(step.outputs)),
    ]
    return [f"{name}: {text}" for name, text in given if text]


def _command(step: Step) -> str:
    return _words(step.command)


def _words(words: Any) -> str:
    """Write words in a line as a shell would take them."""
    return " ".join(plain(shlex.join(words)).split("\n"))
