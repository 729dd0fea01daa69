"""`doit cache`: what this machine's cache holds, whether it is sound, and making room in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph.located import DEFINITION, FAILED, Explained

_DAY_S = 24 * 3600
_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


class Cache(Explained):
    """Looks after the cache of this machine."""

    name = "cache"
    doc_purpose = "say what the cache of this machine holds, make room in it, or see whether it is sound"
    doc_usage = "stats | gc | verify | key"
    doc_description = (
        "stats   what it holds, and which cache elsewhere is in use\n"
        "gc      remove what was not used for longest, until it fits\n"
        "verify  read everything, and remove what is damaged\n"
        "key     make a pair of keys for signing results"
    )

    def execute(self, params: Any, args: list[str]) -> int:
        del params
        tasks: dict[tuple[str, ...], Callable[[], int]] = {
            ("stats",): _stats,
            ("gc",): _collect,
            ("verify",): _verify,
            ("key",): _key,
        }
        if (do := tasks.get(tuple(args))) is None:
            got = f", got {' '.join(args)!r}" if args else ""
            return self.misused(f"cache must be followed by stats, gc, verify or key{got}")
        try:
            return do()
        except DefinitionError as error:
            sys.stderr.write(f"{error}\n")
            return DEFINITION
        except BuildError as error:
            sys.stderr.write(f"{error}\n")
            return FAILED
        except OSError as error:
            sys.stderr.write(f"{error.filename or 'the cache'}: {error.strerror}\n")
            return FAILED


def _settings() -> tuple[Any, Path]:
    """Return the caches that are chosen, and the folder of this machine's."""
    from procession_tasks.cache.settings import chosen  # a run of tasks needs none of this module
    from procession_tasks.definition.project import load_project
    from procession_tasks.graph.session import session
    from procession_tasks.xdg import cache_folder

    root, environment = session().root, session().environment
    return chosen(load_project(root).cache, root, environment), cache_folder(environment)


def _stats() -> int:
    from procession_tasks.cache.collect import held

    settings, folder = _settings()
    found = list(held(folder))
    results = [one for one in found if Path(one.path).parent.parent.name == "ac"]
    total = sum(one.size for one in found)
    print(f"{folder}: {amount(total)} of {amount(settings.size)}")
    print(f"  {len(results)} results, {len(found) - len(results)} contents")
    if found:
        oldest = (time.time() - min(one.used for one in found) / 1e9) / _DAY_S
        print(f"  unused for longest: {oldest:.0f} days")
    if not settings.disk:
        print("  not in use: it is turned off")
    if settings.remote:
        print(f"{settings.remote.name}: {'read and written' if settings.write else 'read only'}")
        print(f"  Go's own build cache: {'there as well' if settings.go else 'not there'}")
        if settings.signers:
            print(f"  results must be signed by one of {len(settings.signers)} keys")
    return 0


def _collect() -> int:
    from procession_tasks.cache.collect import collect
    from procession_tasks.cache.disk import Disk

    settings, folder = _settings()
    if not folder.exists():
        print(f"{folder}: there is nothing")
        return 0
    with Disk(folder).alone() as is_alone:
        if not is_alone:
            raise BuildError(f"{folder}: is in use by another run", hint="run it again when that has ended")
        done = collect(folder, settings.size)
    removed = f"removed {done.files} files of {amount(done.removed)}"
    print(f"{folder}: {amount(done.left)} of {amount(settings.size)}; {removed}")
    return 0


def _verify() -> int:
    from procession_tasks.cache.inspect import damaged

    _, folder = _settings()
    count, found = 0, []
    for path, what in damaged(folder):
        count += 1
        if what:
            found.append(f"{path}: {what}; removed")
    print(*found, f"{folder}: {count} files read, {len(found)} damaged", sep="\n")
    return FAILED if found else 0


def _key() -> int:
    from procession_tasks.cache.signing import new_pair

    private, public = new_pair()
    print(f"private, for who writes: PROCESSION_CACHE_SIGNING_KEY={private}")
    print(f'public, for pyproject.toml: signers = ["{public}"] under [tool.procession.cache]')
    return 0


def amount(size: int) -> str:
    """Write a number of bytes for people."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"
