"""Go's own build cache in the caches of this build, while `go build` runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from procession_tasks import process
from procession_tasks.golang.cacheprog import cacheprog, context, handed_on
from procession_tasks.golang.command import run_go
from procession_tasks.golang.program import Mode
from procession_tasks.graph.caching import Caching, caching
from procession_tasks.graph.session import Session

_STATISTICS = "gocache.json"


def run_go_build(mode: Mode, command: Sequence[str], scratch: Path, session: Session) -> process.Finished:
    """Run `go build`, which takes packages that somebody compiled before from a server, if one is set.

    Raises BuildError as `run_go`.
    """
    caches = caching(session)
    helper = _helper(mode, scratch, caches, session) if caches else {}
    finished = run_go(session.go, mode, command, scratch, helper)
    if caches and helper:
        _account(scratch / _STATISTICS, caches)
        if finished.status != 0 and b"GOCACHEPROG" in finished.stderr:  # what was to help did not start, or ended
            return run_go(session.go, mode, command, scratch)
    return finished


def _helper(mode: Mode, scratch: Path, caches: Caching, session: Session) -> dict[str, str]:
    """Return what tells go to use the helper; nothing where it is of no use, or somebody else's is set."""
    if not mode.is_portable:
        return {}  # Go does not know the headers of a machine either
    if not caches.settings.go or not caches.store.is_answering or session.environment.get("GOCACHEPROG"):
        return {}
    value = cacheprog(sys.executable, session.root, context(mode), scratch, scratch / _STATISTICS)
    # The helper runs in the module's folder: relative paths would mean something else there.
    place = {"PROCESSION_CACHE_DIR": str(caches.disk.folder)} if caches.settings.disk else {}
    return handed_on(session.environment) | place | {"GOCACHEPROG": value} if value else {}


def _account(file: Path, caches: Caching) -> None:
    """Add what the helper did to what the run did."""
    try:
        said = json.loads(file.read_bytes())
        written, fetched, sent = (int(said["bytes"][name]) for name in ("written", "fetched", "sent"))
        caches.store.add(written, fetched, sent, map(str, said["warnings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return  # it ended before it could say
