"""Values that are made once, whichever threads ask for them first."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def once(make: Callable[P, T]) -> Callable[P, T]:
    """Have a function make its value for each combination of arguments once; what it raises is not kept.

    `functools.cache` may make two when two threads ask at the same time.
    """
    made: dict[Hashable, Any] = {}
    lock = threading.RLock()

    @functools.wraps(make)
    def value(*args: P.args, **options: P.kwargs) -> T:
        key = (args, tuple(sorted(options.items())))
        with lock:
            if key not in made:
                made[key] = make(*args, **options)
            found: T = made[key]
            return found

    return value
