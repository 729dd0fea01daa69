"""Where this user keeps what outlives a build folder: XDG base directory specification 0.8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from procession_tasks.errors import BuildError


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of caches; raises BuildError when the environment names none."""
    if chosen := environment.get("PROCESSION_CACHE_DIR"):
        return Path(chosen).absolute()
    if (base := environment.get("XDG_CACHE_HOME", "")).startswith("/"):
        return Path(base, "procession")
    if (home := environment.get("HOME", "")).startswith("/"):
        return Path(home, ".cache/procession")
    raise BuildError("HOME: must be set, to find the cache", hint="or set PROCESSION_CACHE_DIR to a folder for it")
