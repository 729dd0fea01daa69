"""The store of packages: files under their SHA-256, outside of every repository, shared by all of them.

A file counts only while its bytes are what its name says; whoever has a package may put it there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import interruption
from procession_tasks.debian.download import Wanted, download
from procession_tasks.debian.failure import FailedDownloadError, NoAnswerError
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.progress import Progress
from procession_tasks.debian.repositories import TRY_ANOTHER, Place
from procession_tasks.errors import BuildError

_AT_ONCE = 4
# Says where a package may be had, the likeliest place first.
Places = Callable[[Pin], Sequence[Place]]
# Says which version of a package there is now, if that can be found out.
Newest = Callable[[Pin], str | None]


@dataclass(frozen=True, slots=True)
class Request:
    """Packages to be had, and for what: `lock` is the file that asks, `image` its name for hints."""

    lock: str
    image: str
    pins: tuple[Pin, ...]


class Store:
    """Packages in a folder; a file is verified when it is first used by a process, and after it changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # By digest the size, time of change and number of the file that had it.  One changed within
        # the clock's tick keeps its key; `unpacked` digests once more, so that costs a message.
        self._verified: dict[str, tuple[int, int, int]] = {}

    def path(self, pin: Pin) -> Path:
        """Return where a package is, if it is there."""
        return self.folder / f"{pin.sha256}.deb"

    def holds(self, pin: Pin) -> bool:
        """Tell whether a package is there, to the byte."""
        path = self.path(pin)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return False
        key = (stat.st_size, stat.st_ctime_ns, stat.st_ino)
        if self._verified.get(pin.sha256) != key:
            if not _wanted(pin).is_in(path):
                return False
            self._verified[pin.sha256] = key
        return True

    def ensure(self, request: Request, places: Places, newest: Newest) -> None:
        """Have all packages in the store; nothing is asked of the network for those that are.

        Tells on stderr of files that are not what their names say, and replaces them.  Raises
        BuildError that tells of every package that cannot be had.
        """
        missing = [(pin, places(pin)) for pin in request.pins if not self.holds(pin)]
        if not missing:
            return
        for pin, _ in missing:
            if self.path(pin).exists():
                _note(f"{self.path(pin)}: must be {pin} to the byte, got something else; it is downloaded anew")
        progress = Progress(f"downloading packages of {request.image}", sum(pin.size for pin, _ in missing))
        delivery = _Delivery(self, progress)
        try:
            interruption.few_at_once(delivery.bring, missing, _AT_ONCE)
        finally:
            progress.finish()
        if delivery.failures:
            raise BuildError(_told(request, delivery.failures, newest), hint=_ways_out(request, delivery, self.folder))


class _Delivery:
    """What came of fetching packages; a place where nobody answered is not asked again."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self.failures: dict[Pin, FailedDownloadError] = {}
        self._silent: dict[Place, NoAnswerError] = {}
        self._store = store
        self._progress = progress

    def bring(self, wish: tuple[Pin, Sequence[Place]]) -> None:
        """Try one place after the other; the first one's failure is the one to tell."""
        pin, places = wish
        first: FailedDownloadError | None = None
        for place in places:
            interruption.check()
            try:
                self._ask(place, pin)
            except FailedDownloadError as failure:
                first = first or failure
            else:
                return
        self.failures[pin] = first or FailedDownloadError("unreachable", "nothing says where it may be had")

    def _ask(self, place: Place, pin: Pin) -> None:
        if place in self._silent:
            raise self._silent[place]
        try:
            download(place, pin.path, self._store.path(pin), _wanted(pin), self._progress.advance)
        except NoAnswerError as failure:
            self._silent[place] = failure
            raise


def _wanted(pin: Pin) -> Wanted:
    return Wanted(pin.sha256, pin.size)


def _note(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")
    sys.stderr.flush()


def _told(request: Request, failures: Mapping[Pin, FailedDownloadError], newest: Newest) -> str:
    lines = [f"{request.lock}: {len(failures)} of {len(request.pins)} packages cannot be had"]
    for pin, failure in sorted(failures.items(), key=lambda pair: pair[0].name):
        now = None if failure.kind == "unreachable" else newest(pin)
        version = "the same version" if now == pin.version else now
        lines.append(f"  {pin}: {failure}" + (f"; {pin.suite} has {version} now" if now else ""))
        lines.append(f"    {pin.repository}/{pin.path} sha256 {pin.sha256}")
    return "\n".join(lines)


def _ways_out(request: Request, delivery: _Delivery, folder: Path) -> str:
    kinds = {failure.kind for failure in delivery.failures.values()}
    first = TRY_ANOTHER if kinds == {"unreachable"} else f"doit lock:{request.image} chooses anew"
    return f"{first}; or put each file into {folder} as <sha256>.deb; or set snapshot under [tool.procession.debian]"
