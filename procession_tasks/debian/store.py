"""The store of packages: files under their SHA-256, outside of every repository, shared by all of them.

A file counts only while its bytes are what its name says; whoever has a package may put it there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import files, interruption
from procession_tasks.debian.download import FailedDownloadError, Wanted, download
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.progress import Progress
from procession_tasks.debian.repositories import Place
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


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of what outlives a build folder: XDG base directory specification 0.8."""
    if chosen := environment.get("PROCESSION_CACHE_DIR"):
        return Path(chosen).absolute()
    base = environment.get("XDG_CACHE_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".cache", "procession")


class Store:
    """Packages in a folder; a file is verified when it is first used by a process, and after it changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._verified: dict[str, tuple[int, int, int]] = {}

    def path(self, pin: Pin) -> Path:
        """Return where a package is, if it is there."""
        return self.folder / f"{pin.sha256}.deb"

    def holds(self, pin: Pin) -> bool:
        """Tell whether a package is there, to the byte; what has its name and is not it is removed."""
        path = self.path(pin)
        try:
            stat = path.stat()
        except FileNotFoundError:
            return False
        key = (stat.st_size, stat.st_ctime_ns, stat.st_ino)
        if self._verified.get(pin.sha256) != key:
            if stat.st_size != pin.size or files.sha256(path) != pin.sha256:
                path.unlink(missing_ok=True)
                return False
            self._verified[pin.sha256] = key
        return True

    def ensure(self, request: Request, places: Places, newest: Newest) -> None:
        """Have all packages in the store; nothing is asked of the network for those that are.

        Raises BuildError that tells of every package that cannot be had.
        """
        unique = {pin.sha256: pin for pin in request.pins}.values()
        missing = [pin for pin in unique if not self.holds(pin)]
        if not missing:
            return
        progress = Progress(f"downloading packages of {request.image}", sum(pin.size for pin in missing))
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                failures = list(pool.map(lambda pin: self._fetch(pin, places(pin), progress), missing))
        finally:
            progress.finish()
        failed = [(pin, failure) for pin, failure in zip(missing, failures, strict=True) if failure]
        if failed:
            raise BuildError(_told(request, failed, newest), hint=_ways_out(request, self.folder))

    def _fetch(self, pin: Pin, places: Sequence[Place], progress: Progress) -> FailedDownloadError | None:
        """Try one place after the other; the first one's failure is the one to tell."""
        first: FailedDownloadError | None = None
        for place in places:
            interruption.check()
            try:
                url = f"{place.url}/{pin.path.replace('+', '%2b')}"
                download(url, self.path(pin), Wanted(pin.size, pin.sha256), place.proxy, progress.advance)
            except FailedDownloadError as failure:
                first = first or failure
            else:
                return None
        return first


def _told(request: Request, failed: Iterable[tuple[Pin, FailedDownloadError]], newest: Newest) -> str:
    lines = []
    for pin, failure in sorted(failed, key=lambda pair: pair[0].name):
        what = f"{failure.kind}: {failure.what}"
        if failure.kind != "unreachable" and (version := newest(pin)):
            same = version == pin.version
            what += f"; {pin.suite} has {'the same version' if same else version} now"
        lines.append(f"  {pin} ({pin.repository}, {pin.path}): {what}")
    count = f"{len(lines)} of {len(request.pins)} packages"
    return "\n".join([f"{request.lock}: {count} cannot be had", *lines])


def _ways_out(request: Request, folder: Path) -> str:
    home = os.path.expanduser("~")
    shown = str(folder).replace(f"{home}/", "~/", 1) if str(folder).startswith(f"{home}/") else str(folder)
    return (
        f"doit lock:{request.image} chooses anew; or put each file into {shown} as SHA256.deb;"
        " or set snapshot under [tool.procession.debian]"
    )
