"""Opens the caches that settings name: this machine's, and the one on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from procession_tasks.cache.disk import Disk
from procession_tasks.cache.remote import Remote
from procession_tasks.cache.settings import Chosen, Endpoint
from procession_tasks.errors import BuildError
from procession_tasks.xdg import cache_folder


def connect(endpoint: Endpoint, environment: Mapping[str, str]) -> Remote:
    """Make the client for a cache's URL; nothing is asked of it yet.  Raises BuildError."""
    if endpoint.url.startswith("http"):
        from procession_tasks.cache.http_cache import HttpCache  # the one protocol or the other

        return HttpCache(endpoint, environment)
    from procession_tasks.cache.grpc_cache import GrpcCache

    return GrpcCache(endpoint)


def open_disk(settings: Chosen, environment: Mapping[str, str], scratch: Path, warn: Callable[[str], None]) -> Disk:
    """Open this machine's cache; where there is none to write to, contents are kept in `scratch` for this run alone."""
    for folder in _folders(settings, environment, scratch, warn):
        disk = Disk(folder)
        try:
            disk.open()
        except OSError as error:
            warn(f"cache {folder}: cannot be written: {error.strerror}; going on without it")
        else:
            break
    return disk


def _folders(
    settings: Chosen, environment: Mapping[str, str], scratch: Path, warn: Callable[[str], None]
) -> Iterator[Path]:
    if settings.disk:
        try:
            yield cache_folder(environment)
        except BuildError as error:
            warn(f"cache: {error.message}; going on without it")
    yield scratch
