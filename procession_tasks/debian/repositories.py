"""Where Debian's repositories are for this machine: no address of one stands in a definition or a lock."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError

MIRROR, SNAPSHOT = "PROCESSION_DEBIAN_MIRROR", "PROCESSION_DEBIAN_SNAPSHOT"
_KNOWN = ("debian", "debian-security")
_HINT = (
    f"set {MIRROR}, or mirror under [tool.procession.debian], to the URL of a mirror;"
    " or add the suite to this machine's apt sources"
)


@dataclass(frozen=True, slots=True)
class Place:
    """The base of a repository, without a slash at its end, and how it is reached from here.

    Without a `proxy` the environment's are used.  `dates_count` is False where apt is told not
    to mind how long an index is valid.
    """

    url: str
    proxy: str | None = None
    dates_count: bool = True


def repository_of(suite: str) -> str:
    """Name the repository that holds a suite."""
    return "debian-security" if suite.endswith("-security") else "debian"


class Repositories:
    """Finds repositories: by the environment, else by the setting, else as the machine's apt does.

    A mirror's URL is the folder that repositories are in, or one of them with the others beside it.
    """

    def __init__(self, mirror: str | None, snapshot: str | None, environment: Mapping[str, str]) -> None:
        self._mirror = environment.get(MIRROR) or mirror
        self._snapshot = environment.get(SNAPSHOT) or snapshot
        self._environment = environment
        self._lock = threading.Lock()
        self._targets: list[dict[str, str]] | None = None
        self._config: dict[str, str] = {}

    def place(self, repository: str, suite: str) -> Place:
        """Say where a repository with a suite is; raises BuildError when nothing says it."""
        if self._mirror:
            return Place(_beside(self._mirror.rstrip("/"), repository))
        with self._lock:
            if self._targets is None:
                self._targets = self._ask_apt()
        for target in self._targets:
            base = target.get("Repo-URI", "").rstrip("/")
            if suite in (target.get("Release"), target.get("Codename")) and base.endswith(f"/{repository}"):
                dates_count = self._config.get("Acquire::Check-Valid-Until", "true").lower() not in _NO
                return Place(base, self._proxy(base), dates_count)
        raise BuildError(f"{repository}: nothing says where it is, with the suite {suite}", hint=_HINT)

    def snapshot(self, repository: str, date: str) -> Place | None:
        """Say where a repository is as it was on a date such as 20260711T101637Z, if anything does."""
        return Place(f"{self._snapshot.rstrip('/')}/{repository}/{date}") if self._snapshot else None

    def _proxy(self, url: str) -> str | None:
        return self._config.get(f"Acquire::{url.partition(':')[0]}::Proxy") or None

    def _ask_apt(self) -> list[dict[str, str]]:
        """List what apt would download: apt-get(8), indextargets."""
        asked = ("apt-get", "--no-release-info", "indextargets", "Created-By: Packages")
        try:
            targets = process.run(asked, folder=Path("/"), environment=self._environment)
            config = process.run(("apt-config", "dump"), folder=Path("/"), environment=self._environment)
        except BuildError:
            return []
        for line in config.stdout.decode(errors="replace").splitlines():
            name, _, value = line.partition(" ")
            self._config[name] = value.strip('";')
        blocks = targets.stdout.decode(errors="replace").split("\n\n")
        return [dict(line.partition(": ")[::2] for line in block.splitlines()) for block in blocks]


_NO = ("false", "no", "off", "0", "without", "disable")  # apt.conf(5)


def _beside(mirror: str, repository: str) -> str:
    parent, _, last = mirror.rpartition("/")
    return f"{parent}/{repository}" if last in _KNOWN else f"{mirror}/{repository}"
