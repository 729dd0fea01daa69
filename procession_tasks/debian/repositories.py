"""Where Debian's repositories are for this machine: no address of one stands in a definition or a lock."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError

MIRROR, SNAPSHOT = "PROCESSION_DEBIAN_MIRROR", "PROCESSION_DEBIAN_SNAPSHOT"
TRY_ANOTHER = f"see whether the network and the mirror work, or set {MIRROR} to another mirror"
_TABLE = "[tool.procession.debian]"
_PATIENCE_S = 30.0  # apt reads a few files
_KNOWN = ("debian", "debian-security")
_NO = ("false", "no", "off", "0", "without", "disable")  # apt.conf(5)
_HINT = (
    f"set {MIRROR}, or mirror under {_TABLE}, to the URL of a mirror;"
    " or add the repository to this machine's apt sources"
)


@dataclass(frozen=True, slots=True)
class Place:
    """The base of a repository, without a slash at its end, and how it is reached from here.

    Without a `proxy` the environment's are used, with an empty one none.  `dates_count` is
    False where apt is told not to mind how long an index is valid.
    """

    url: str = field(repr=False)  # both can hold passwords
    proxy: str | None = field(default=None, repr=False)
    dates_count: bool = True


def repository_of(suite: str) -> str:
    """Name the repository that holds a suite."""
    return "debian-security" if suite.endswith("-security") else "debian"


class Repositories:
    """Finds repositories: by the environment, else by the setting, else as the machine's apt does.

    A mirror's URL is the folder that repositories are in, or one of them with the others beside it.
    """

    def __init__(self, mirror: str | None, snapshot: str | None, environment: Mapping[str, str]) -> None:
        self._mirror = _chosen(MIRROR, environment, "mirror", mirror)
        self._snapshot = _chosen(SNAPSHOT, environment, "snapshot", snapshot)
        self._environment = environment
        self._lock = threading.Lock()
        self._apt: _Apt | None = None

    def place(self, repository: str, suite: str) -> Place:
        """Say where a repository with a suite is; raises BuildError when nothing says it."""
        if self._mirror:
            return Place(_beside(_checked(*self._mirror), repository))
        with self._lock:
            self._apt = self._apt or _ask_apt(self._environment)
        place = self._apt.place(repository, suite)
        if place is None:
            raise BuildError(f"{repository}: nothing says where this repository is", hint=_HINT)
        return place

    def snapshot(self, repository: str, date: str) -> Place | None:
        """Say where a repository is as it was on a date such as 20260711T101637Z, if anything does."""
        if not self._snapshot or not date:
            return None
        return Place(f"{_checked(*self._snapshot)}/{repository}/{date}")


@dataclass(frozen=True, slots=True)
class _Apt:
    """What the machine's apt would download, and its configuration with names in lower case."""

    targets: list[dict[str, str]]
    configuration: dict[str, str]

    def place(self, repository: str, suite: str) -> Place | None:
        """Find a repository, rather where apt has the suite from; a pool is the same for all of them."""
        found = [target for target in self.targets if _base(target).endswith(f"/{repository}")]
        found.sort(key=lambda target: suite not in (target.get("Release"), target.get("Codename")))
        if not found:
            return None
        said = (self.configuration.get(f"acquire::{name}", "true") for name in ("check-valid-until", "check-date"))
        dates_count = all(word.lower() not in _NO for word in said)
        return Place(_base(found[0]), self._proxy(_base(found[0])), dates_count)

    def _proxy(self, url: str) -> str | None:
        """Find apt's own proxy, rather one for this host: apt-transport-http(1), apt-transport-https(1)."""
        from urllib.parse import urlsplit  # a warm build downloads nothing

        parts = urlsplit(url)
        for method in dict.fromkeys((parts.scheme, "http")):
            for name in (f"acquire::{method}::proxy::{parts.hostname}", f"acquire::{method}::proxy"):
                if proxy := self.configuration.get(name):
                    return "" if proxy.upper() == "DIRECT" else proxy
        return None


def _ask_apt(environment: Mapping[str, str]) -> _Apt:
    """Ask for targets and configuration; without apt there are none.  Source: apt-get(8), indextargets."""
    # With lists and a status apt would spend a second on a cache of what they hold.
    nothing = ("-o", "Dir::State::lists=/nonexistent/", "-o", "Dir::State::status=/dev/null")
    asked = ("apt-get", *nothing, "--no-release-info", "indextargets", "Created-By: Packages")
    try:
        targets = _said(asked, environment)
        dump = _said(("apt-config", "dump"), environment)
    except BuildError:
        return _Apt([], {})
    settings = (line.partition(" ") for line in dump.splitlines())
    return _Apt(
        [dict(line.partition(": ")[::2] for line in block.splitlines()) for block in targets.split("\n\n")],
        {name.lower(): value.strip('";') for name, _, value in settings},
    )


def _said(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    ended = process.run(argv, folder=Path("/"), environment=environment, timeout=_PATIENCE_S)
    return ended.stdout.decode(errors="replace")


def _base(target: Mapping[str, str]) -> str:
    """Return the base of a target's repository; nothing for one that only apt can reach."""
    base = target.get("Repo-URI", "").rstrip("/")
    return base if base.startswith(("http://", "https://", "file:")) else ""


def _chosen(variable: str, environment: Mapping[str, str], setting: str, value: str | None) -> tuple[str, str] | None:
    """Return who says where it is, and what it says; the environment wins."""
    if said := environment.get(variable):
        return variable, said
    return (f"{_TABLE} {setting}", value) if value else None


def _checked(name: str, url: str) -> str:
    """Return a URL without slashes at its end; raises BuildError, which does not show it, for another text."""
    from urllib.parse import urlsplit  # as above

    try:
        parts = urlsplit(url)
        is_remote = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_local = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    except ValueError:
        is_remote = is_local = False
    if not (is_remote or is_local) or "?" in url or "#" in url or not url.isprintable() or " " in url:
        hint = "such as http://mirror.example/debian or file:///srv/mirror/debian"
        raise BuildError(f"{name}: must be the URL of a folder", hint=hint)
    return url.rstrip("/")


def _beside(mirror: str, repository: str) -> str:
    parent, _, last = mirror.rpartition("/")
    return f"{parent}/{repository}" if last in _KNOWN else f"{mirror}/{repository}"
