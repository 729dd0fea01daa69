"""Whether a server does what we need, from what it says of itself.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from procession_tasks.cache.remote import RemoteError
from procession_tasks.cache.services import SHA256, SemVer, ServerCapabilities

_API = 2  # the major version of the Remote Execution API that is spoken here
# DigestFunction.Value
_FUNCTIONS = ("unknown", "SHA256", "SHA1", "MD5", "VSO", "SHA384", "SHA512", "MURMUR3", "SHA256TREE", "BLAKE3")
_LARGEST_MESSAGE = 4 * 1024 * 1024  # what gRPC takes by default
_SLACK = 64 * 1024


def check_cache(server: ServerCapabilities) -> None:
    """Raise RemoteError for a server that cannot be our cache."""
    _check_api(server)
    if server.cache_capabilities is None:
        raise RemoteError("is no cache", lasts=True)
    _check_function(server.cache_capabilities.digest_functions)


def check_engine(server: ServerCapabilities) -> None:
    """Raise RemoteError for a server that cannot execute our actions."""
    check_cache(server)
    execution = server.execution_capabilities
    if execution is None or not execution.exec_enabled:
        raise RemoteError("executes nothing", lasts=True)
    _check_function((execution.digest_function, *execution.digest_functions))


def takes_results(server: ServerCapabilities) -> bool:
    """Tell whether clients may write results."""
    cache = server.cache_capabilities
    update = cache.action_cache_update_capabilities if cache else None
    return update is not None and update.update_enabled


def batch_limit(server: ServerCapabilities) -> int:
    """Return how many bytes of blobs one message may hold; a server that names no limit has that of gRPC."""
    named = server.cache_capabilities.max_batch_total_size_bytes if server.cache_capabilities else 0
    return max(0, min(named if named > 0 else _LARGEST_MESSAGE, _LARGEST_MESSAGE) - _SLACK)


def _check_api(server: ServerCapabilities) -> None:
    low = server.deprecated_api_version or server.low_api_version or SemVer(_API)
    high = server.high_api_version or SemVer(_API)
    if not low.major <= _API <= high.major:
        spoken = f"{low.major}.{low.minor} to {high.major}.{high.minor}"
        raise RemoteError(f"must speak version {_API} of the API, got {spoken}", lasts=True)


def _check_function(numbers: Iterable[int]) -> None:
    if SHA256 not in numbers:
        names = (_FUNCTIONS[number] if 0 < number < len(_FUNCTIONS) else f"number {number}" for number in numbers)
        raise RemoteError(f"must know digests by SHA256, got {', '.join(names) or 'none'}", lasts=True)
