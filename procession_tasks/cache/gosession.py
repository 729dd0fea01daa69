"""The caches that objects of Go's are kept in, as the settings of the repository and the environment say."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from procession_tasks import files, interruption
from procession_tasks.cache.goobjects import Objects
from procession_tasks.cache.opening import connect, open_disk
from procession_tasks.cache.remote import Remote, RemoteError
from procession_tasks.cache.settings import Chosen, Endpoint, chosen
from procession_tasks.cache.signing import Signer, Verifier
from procession_tasks.cache.store import Store
from procession_tasks.definition.cache import NO_CACHE
from procession_tasks.definition.project import load_project
from procession_tasks.errors import BuildError

_LEAVING_S = 0.2


class GoSession:
    """The caches of one go command, and what it had of them."""

    def __init__(self, settings: Chosen, asked: argparse.Namespace, environment: Mapping[str, str]) -> None:
        self._writes = settings.write
        self._statistics = asked.statistics
        self._warnings: list[str] = []
        self._disk = open_disk(settings, environment, asked.scratch / "cache", lambda _: None)
        verifier = Verifier(settings.signers) if settings.signers else None
        self._here = Store(self._disk, None, self._warn, verifier=verifier)
        self._everywhere = self._store(settings, environment, verifier)
        self.objects = Objects(
            self._disk,
            self._here,
            self._everywhere,
            settings.salt,
            asked.context,
            settings.signers,
            asked.scratch / "aside",
        )

    def close(self, *, is_whole: bool, seconds: float) -> None:
        """End: if go did what it was to do, share what it made; and say how it went."""
        store = self._everywhere or self._here
        try:
            self.objects.stop()
            if is_whole:
                interruption.check()
                self.objects.end(share=self._writes)
            store.close(wait=is_whole)
        finally:
            interruption.ask()
            self.objects.join(_LEAVING_S)
            self._say(seconds)

    def _store(self, settings: Chosen, environment: Mapping[str, str], verifier: Verifier | None) -> Store | None:
        if settings.remote is None:
            return None
        signer = Signer(settings.signing_key) if settings.signing_key and settings.write else None
        remote = cast(Remote, _Later(settings.remote, environment))
        return Store(self._disk, remote, self._warn, writes=settings.write, signer=signer, verifier=verifier)

    def _warn(self, text: str) -> None:
        self._warnings.append(text)

    def _say(self, seconds: float) -> None:
        counts, account = self.objects.counts, self._everywhere.account if self._everywhere else None
        said = {
            "disk": counts.disk,
            "remote": counts.remote,
            "misses": counts.misses,
            "puts": counts.puts,
            "bytes": {
                "put": counts.bytes,
                "written": self._disk.written,
                "fetched": account.fetched if account else 0,
                "sent": account.sent if account else 0,
            },
            "seconds": round(seconds, 3),
            "warnings": self._warnings,
        }
        if self._statistics:
            files.write(self._statistics, json.dumps(said, indent=1).encode() + b"\n")
        else:
            sys.stderr.write("".join(f"warning: {text}\n" for text in self._warnings))


def opened(arguments: list[str], environment: Mapping[str, str]) -> GoSession:
    """Open the caches that the command line and the environment name."""
    parser = argparse.ArgumentParser()
    for name in ("root", "scratch"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--statistics", type=Path)
    parser.add_argument("--context", default="")
    asked = parser.parse_args(arguments)
    return GoSession(_settings(asked.root, environment), asked, environment)


def _settings(root: Path, environment: Mapping[str, str]) -> Chosen:
    """Read the settings; with wrong ones there is no server, and whoever began the build has been told."""
    try:
        return chosen(load_project(root).cache, root, environment)
    except BuildError:
        return chosen(NO_CACHE, root, {})


class _Later:
    """A `Remote` that is made when it is first asked: a build that finds everything here needs none."""

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str]) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._environment = environment

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._remote, name)

    def close(self) -> None:
        if "_remote" in vars(self):
            self._remote.close()

    @functools.cached_property
    def _remote(self) -> Remote:
        try:
            return connect(self._endpoint, self._environment)
        except (BuildError, ImportError, OSError, ValueError) as error:
            raise RemoteError(getattr(error, "message", "cannot be reached with these settings"), lasts=True) from None
