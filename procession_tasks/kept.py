"""What one run keeps for the next: plain values behind a checksum, nothing when it is torn."""

from __future__ import annotations

import gc
import marshal
import sys
from pathlib import Path
from typing import Any

import xxhash

from procession_tasks import files

_MAGIC = f"procession kept 1 {sys.implementation.cache_tag}\n".encode()


def load(path: Path) -> Any:
    """Read what `save` wrote, or None when it is missing, damaged or another Python's."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = memoryview(content)[len(_MAGIC) + 16 :]
    if content[: len(_MAGIC) + 16] != _MAGIC + xxhash.xxh3_128_digest(body):
        return None
    collecting = gc.isenabled()
    gc.disable()  # thousands of tuples without a cycle among them
    try:
        return marshal.loads(body)
    finally:
        if collecting:
            gc.enable()


def save(path: Path, value: Any) -> None:
    """Keep numbers, strings, tuples, lists and dicts of them; whole under its name, or not at all."""
    body = marshal.dumps(value)
    files.write(path, _MAGIC + xxhash.xxh3_128_digest(body) + body)
