"""Reads a whole cache of this machine, and removes what is not what its name says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from procession_tasks.cache import entry, wire
from procession_tasks.cache.collect import held
from procession_tasks.cache.reapi import ActionResult

_NAME = re.compile(r"[0-9a-f]{64}")


def damaged(folder: Path) -> Iterator[tuple[str, str]]:
    """Go through the files of a cache, and say what is wrong with each: nothing, mostly.

    What is damaged is gone after that: it costs a build, and was never to be used.
    """
    for one in held(folder):
        path = Path(one.path)
        try:
            wrong = _result(path) if path.parent.parent.name == "ac" else _content(path)
        except FileNotFoundError:
            continue  # another run has just removed it
        except OSError as error:
            wrong = error.strerror.lower() if error.strerror else "cannot be read"
        if wrong:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        yield one.path, wrong


def _content(path: Path) -> str:
    if not _NAME.fullmatch(path.name):
        return "is no content"
    with path.open("rb") as stream:
        same = hashlib.file_digest(stream, "sha256").hexdigest() == path.name
    return "" if same else "is not what its name says"


def _result(path: Path) -> str:
    try:
        result = wire.decode(ActionResult, path.read_bytes())
    except ValueError:
        return "is no result"
    keys = entry.keys(result)  # other tools' results say nothing of the kind
    return "is of another action" if keys and path.name not in keys else ""
