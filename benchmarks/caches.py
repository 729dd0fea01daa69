"""Measures what caches spare, and what keeping results costs."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks import competitors, tools
from benchmarks.absent import absent
from benchmarks.generate import LDFLAGS, Workspace, generate
from benchmarks.measure import Case, Command, Launcher, rounds
from benchmarks.scenarios import Results
from benchmarks.tools import BASH, MAKE, Tools

GO = "one go build of all, Go's cache warm"
UNCACHED = "procession, without a cache, Go's cache warm"
DISK = "procession, this machine's cache, no Go"
SERVER = "procession, nginx, nothing on this machine, no Go"
KEPT, NOT_KEPT, SHARED = "procession, kept", "procession, not kept", "procession, kept and sent to nginx"
HELPED = "procession, Go's packages from nginx"

_CONFIGURATION = """\
user root; worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 100000;
  client_body_temp_path {folder}/tmp; types {{ }} default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port}; root {folder}/data;
    location ~ "^/(ac|cas)/[0-9a-f]{{64}}$" {{
      dav_methods PUT; create_full_put_path on; dav_access user:rw group:r all:r;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Serve an empty cache, as docs/cache.md has it but for TLS and tokens, and give its URL."""
    program = shutil.which("nginx")
    if program is None:
        raise SystemExit("nginx is not installed")
    for name in ("data", "tmp"):
        (folder / name).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port))
    server = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def measure(found: Tools, launcher: Launcher, work: Path, services: int, count: int) -> Results:
    """Generate a workspace, fill the caches, and measure."""
    workspace = generate(work / f"services-{services}", services)
    competitors.write_all(workspace, found.go)
    with nginx(work / "nginx") as url:
        suite = Suite(found, launcher, workspace, work, url)
        suite.fill()
        cases = [suite.clones(count), suite.edits(count), suite.machines(max(2, count // 2))]
    notes = ["of the others each makes one archive an image and no OCI layout; procession makes both here"]
    return Results(services, cases, notes)


class Suite:
    """The measurements of one workspace, with a cache on this machine and one behind nginx."""

    def __init__(self, found: Tools, launcher: Launcher, workspace: Workspace, work: Path, url: str) -> None:
        self._found = found
        self._launcher = launcher
        self._workspace = workspace
        self._work = work
        self._folder = work / "cache"
        self._disk = {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(self._folder)}
        self._server = self._disk | {"PROCESSION_CACHE_URL": url, "PROCESSION_CACHE_WRITE": "on"}
        self._others = tools.others(found, workspace)

    def fill(self) -> None:
        """Build with every tool, so that Go's cache, this machine's and the server's are warm."""
        for command in (self._ours("fill", self._server), self._others[MAKE], self._others[BASH]):
            self._launcher.run(command)

    def clones(self, count: int) -> Case:
        """Measure builds of everything where nothing is built."""
        no_go = {"PROCESSION_GO": "/nowhere/go"}
        read = {name: text for name, text in self._server.items() if name != "PROCESSION_CACHE_WRITE"}
        elsewhere = read | no_go | {"PROCESSION_CACHE_DIR": str(self._work / "empty-cache")}
        commands = [
            self._go(),
            self._removing(self._others[MAKE], "make/bin", "make/aci"),
            self._removing(self._others[BASH], "bash/bin", "bash/aci"),
            self._fresh(UNCACHED, {"PROCESSION_CACHE": "off"}),
            self._fresh(DISK, self._disk | no_go),
            self._fresh(SERVER, elsewhere, self._work / "empty-cache"),
        ]
        return rounds(self._launcher, "a fresh clone", commands, count)

    def edits(self, count: int) -> Case:
        """Measure builds after a change in one service: what keeping its results costs."""
        commands = [
            self._others[MAKE],
            self._ours(NOT_KEPT, {"PROCESSION_CACHE": "off"}),
            self._ours(KEPT, self._disk),
            self._ours(SHARED, self._server | {"PROCESSION_CACHE_GO": "off"}),
        ]
        for command in commands:
            self._launcher.run(command)
        before = self._workspace.edit_code
        return rounds(self._launcher, "code changed in one service", commands, count, before=before)

    def machines(self, count: int) -> Case:
        """Measure builds of one service after a change where Go has never compiled."""
        words = (f"build:{self._workspace.middle}",)
        cold, mine = self._work / "cold-go", self._work / "empty-cache"
        single = tools.others(self._found, self._workspace, self._workspace.middle)[MAKE]
        empty = {"GOCACHE": str(cold)}
        commands = [
            single,
            self._ours(NOT_KEPT, {"PROCESSION_CACHE": "off"}, words),
            dataclasses.replace(
                single,
                name="GNU make, Go's cache cold",
                environment={**single.environment, **empty},
                before=partial(absent, cold),
            ),
            dataclasses.replace(
                self._ours(HELPED, self._server | empty | {"PROCESSION_CACHE_DIR": str(mine)}, words),
                before=partial(absent, cold, mine),
            ),
        ]
        self._launcher.run(commands[-1])  # so that the server has Go's packages
        before = self._workspace.edit_code
        return rounds(self._launcher, "code changed in one service, on another machine", commands, count, before=before)

    def _ours(self, name: str, more: Mapping[str, str], words: tuple[str, ...] = ()) -> Command:
        environment = {**self._found.environment, **more}
        return Command(name, (str(self._found.doit), *words), self._workspace.root, environment)

    def _fresh(self, name: str, more: Mapping[str, str], *folders: Path) -> Command:
        before = partial(absent, self._workspace.root / "build", *folders)
        return dataclasses.replace(self._ours(name, more), before=before)

    def _removing(self, command: Command, *folders: str) -> Command:
        before = partial(_emptied, *(self._workspace.root / folder for folder in folders))
        return dataclasses.replace(command, before=before)

    def _go(self) -> Command:
        output = self._workspace.root / "go-bin"
        argv = (str(self._found.go), "build", "-trimpath", "-buildvcs=false", f"-ldflags={LDFLAGS}", "-o", f"{output}/")
        return Command(
            GO,
            (*argv, "./cmd/..."),
            self._workspace.module,
            self._found.environment,
            before=partial(_emptied, output),
        )


def _emptied(*folders: Path) -> None:
    absent(*folders)
    for folder in folders:
        folder.mkdir()
