"""The folders that a build writes, the room on their disks, and the servers that settings name."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from procession_tasks import web
from procession_tasks.cache import settings
from procession_tasks.cache.collect import tally
from procession_tasks.cache.settings import Endpoint
from procession_tasks.errors import BuildError
from procession_tasks.graph.cachecommand import amount
from procession_tasks.graph.doctor import python
from procession_tasks.graph.doctor.finding import Finding
from procession_tasks.graph.doctor.needs import Needs
from procession_tasks.xdg import cache_folder

ROOM = 1024**3  # a build of a few images and their packages
_ANSWERS_S = 2.0
_SILENT = "does not answer"
_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


def folders(needs: Needs) -> Iterator[Finding]:
    """Look whether the build's folder and the cache can be written, and have room."""
    yield _folder("build", needs.root / "build", "what is built", "")
    try:
        chosen = settings.chosen(needs.project.cache, needs.root, needs.environment)
        folder = cache_folder(needs.environment)
    except BuildError as error:
        yield Finding(
            "cache",
            error.message,
            "packages, and results of earlier builds",
            there=False,
            needed=True,
            remedy=error.hint or "",
        )
        return
    size = tally(folder)
    held = f", {amount(size)} of {amount(chosen.size)}" if size is not None else ""
    yield _folder(
        "cache", folder, "packages, and results of earlier builds", held if chosen.disk else ", turned off for results"
    )


def servers(needs: Needs) -> Iterator[Finding]:
    """Look whether the cache and the engine of the settings answer, and whether we can talk to them."""
    project, root, environment = needs.project, needs.root, needs.environment
    try:
        chosen = settings.chosen(project.cache, root, environment)
        engine = settings.engine(project.remote, project.cache, root, environment)
    except BuildError:
        return  # told of the folders
    named = [one for one in (chosen.remote, engine) if one]
    if chosen.remote:
        yield _server("remote cache", chosen.remote, "what others have built; builds work without it", needs)
    if engine:
        yield _server("remote engine", engine, "compiling programs elsewhere", needs)
    speaks = any(one.url.startswith("grpc") for one in named)
    yield python.package("grpcio", "speaking to caches and engines over gRPC", "remote", needed=speaks)
    signs = bool(chosen.signers or chosen.signing_key)
    yield python.package("cryptography", "signing results of caches, and checking that", "signing", needed=signs)


def _folder(name: str, folder: Path, use: str, more: str) -> Finding:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    found = f"{folder}{more}, {amount(free)} free"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        rule = f"{folder}: must be a folder that can be written"
        return Finding(name, rule, use, there=False, needed=True, remedy=f"see to {there}: whose it is, and its mode")
    remedy = "make room on the disk: doit clean, doit cache gc, or a smaller size under [tool.procession.cache]"
    return Finding(name, found, use, there=free >= ROOM, needed=True, remedy=remedy)


def _server(name: str, endpoint: Endpoint, use: str, needs: Needs) -> Finding:
    """See whether anybody listens: at the proxy that leads there, if there is one."""
    url = urlsplit(endpoint.url)
    proxy = web.proxy("https" if url.scheme.endswith("s") else "http", url.netloc, needs.environment)
    asked = urlsplit(proxy) if proxy else url
    port = asked.port or _PORTS.get(asked.scheme, 80)
    if why := _unreachable(asked.hostname or "", port):
        remedy = "see whether the network and the server work; PROCESSION_CACHE=off does without caches"
        return Finding(name, f"{endpoint.name}: {why}", use, there=False, needed=True, remedy=remedy)
    return Finding(name, f"{endpoint.name} answers" + (" at its proxy" if proxy else ""), use, needed=True)


def _unreachable(host: str, port: int) -> str:
    """Say why a port cannot be connected to; empty if it can.  Looking up a name cannot be timed out: it is left."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=_ANSWERS_S).close()
            said.put("")
        except TimeoutError:
            said.put(_SILENT)
        except OSError as error:
            said.put(str(error.strerror or error).lower())

    threading.Thread(target=connect, daemon=True).start()
    try:
        return said.get(timeout=_ANSWERS_S)
    except queue.Empty:
        return _SILENT
