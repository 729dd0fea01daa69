"""BuildGrid compiles programs on its workers: the same bytes, the compiler's words, and nothing lost with a worker.

BuildGrid, its scheduler with PostgreSQL, its storage, and each worker's buildbox-casd and buildbox-run are what
users have.  Only the worker that asks for leases is a stand-in, because buildbox-worker comes in no package.
"""
# ruff: noqa: RUF009  # `wire` makes fields

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.cache import reapi, wire
from procession_tasks.cache.channel import Channel
from procession_tasks.cache.remote import RemoteError
from procession_tasks.cache.services import Status
from procession_tasks.cache.settings import Access, Endpoint

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"
INSTANCE = "main"
PATIENCE_S = 60.0
SILENCE_S = 5  # a worker that says nothing for so long is taken for dead
MADE = ("build/bin", "build/rootfs", "build/aci", "build/oci")


# PostgreSQL and BuildGrid


def bgd() -> str:
    """Find BuildGrid's program, which has a Python environment of its own, or skip the test."""
    found = shutil.which(os.environ.get("BUILDGRID") or "bgd")
    if found is None:
        pytest.skip("bgd, of the package BuildGrid, is neither on PATH nor what BUILDGRID says")
    return str(Path(found).absolute())


def postgresql() -> tuple[str, str]:
    """Find initdb and postgres, which are in one folder, also where Debian has them, or skip the test."""
    places = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb") or shutil.which("initdb", path=os.pathsep.join(places))
    postgres = initdb and Path(initdb).resolve().with_name("postgres")
    if not postgres or not postgres.exists():
        pytest.skip("initdb and postgres, of PostgreSQL, are not installed")
    return str(initdb), str(postgres)


def as_nobody() -> list[str]:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed, and PostgreSQL does not run as root")
    nobody = pwd.getpwnam("nobody")
    who = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    return ["setpriv", *who, "--pdeathsig", "TERM"]  # a new user is told nothing unless that is said again


def run(argv: list[str], folder: Path) -> None:
    """Run a program to its end, which is a good one."""
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


CONFIGURATION = """\
server:
  - !channel
    address: {host}:{port}
    insecure-mode: true
connections:
  - !sql-connection &sql
    connection-string: {database}
storages:
  - !disk-storage &storage
    path: {folder}
caches:
  - !lru-action-cache &results
    storage: *storage
    max-cached-refs: 256
    allow-updates: true
    cache-failed-actions: false
schedulers:
  - !sql-scheduler &scheduler
    sql: *sql
    storage: *storage
    action-cache: *results
    bot-session-keepalive-timeout: {silence}
    session-expiry-timer-interval: 0.5
    assigners:
      - !priority-age-assigner
        interval: 0.05
        jitter-factor: 0.05
instances:
  - name: main
    services:
      - !action-cache
        cache: *results
      - !execution
        scheduler: *scheduler
      - !cas
        storage: *storage
      - !bytestream
        storage: *storage
thread-pool-size: 40
"""


@pytest.fixture(scope="module")
def programs(pytestconfig: pytest.Config) -> Any:
    """What starts and stops servers, as the other tests of the cache have it."""
    return pytestconfig.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py"))).Program


@pytest.fixture(scope="module")
def database(programs: Any) -> Iterator[str]:
    """An empty database; its folder is nobody's, who could not get to those of pytest."""
    (initdb, postgres), user = postgresql(), as_nobody()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
        if user:
            shutil.chown(home, "nobody")
        how = ["--username=bgd", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]
        run([*user, initdb, *how, str(home / "data")], home)
        server = programs(home, [*user, postgres, "-D", str(home / "data")])
        stack.callback(server.close)
        with (home / "data/postgresql.conf").open("a") as settings:
            settings.write(f"port = {server.port.number}\nlisten_addresses = '{HOST}'\n")
            settings.write("unix_socket_directories = ''\nfsync = off\nmax_connections = 60\n")
        server.start()
        # With a mere postgresql:// it would have psycopg 3, with which it does not hear what its workers did.
        yield f"postgresql+psycopg2://bgd@{HOST}:{server.port.number}/postgres"


@pytest.fixture(scope="module")
def buildgrid(tmp_path_factory: pytest.TempPathFactory, programs: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A BuildGrid without workers; what it has made is there for all tests of the module."""
    program = bgd()  # what is missing first is said first
    database = request.getfixturevalue("database")
    home = tmp_path_factory.mktemp("buildgrid")
    run([program, "migrate", "apply", database], home)
    server = programs(home, [program, "server", "start", "configuration.yml"])
    text = CONFIGURATION.format(
        host=HOST, port=server.port.number, database=database, folder=home / "storage", silence=SILENCE_S
    )
    (home / "configuration.yml").write_text(text)
    server.url = f"grpc://{HOST}:{server.port.number}"
    try:
        server.start()
        yield server
    finally:
        server.close()


# A worker

ACTIVE, COMPLETED = 2, 4  # LeaseState
HEALTHY = 1  # BotStatus
INTERNAL = 13  # google.rpc.Code


@dataclass(frozen=True, slots=True)
class Device:
    """google.devtools.remoteworkers.v1test2.Device."""

    handle: str = wire.string(1)


@dataclass(frozen=True, slots=True)
class Machine:
    """google.devtools.remoteworkers.v1test2.Worker."""

    devices: tuple[Device, ...] = wire.messages(1, Device)


@dataclass(frozen=True, slots=True)
class Lease:
    """google.devtools.remoteworkers.v1test2.Lease: its payload is an Action, its result an ActionResult."""

    state: int = wire.integer(2)
    status: Status | None = wire.message(3, Status)
    id: str = wire.string(7)
    payload: reapi.Any | None = wire.message(8, reapi.Any)
    result: reapi.Any | None = wire.message(9, reapi.Any)


@dataclass(frozen=True, slots=True)
class BotSession:
    """google.devtools.remoteworkers.v1test2.BotSession."""

    name: str = wire.string(1)
    bot_id: str = wire.string(2)
    status: int = wire.integer(3)
    worker: Machine | None = wire.message(4, Machine)
    leases: tuple[Lease, ...] = wire.messages(5, Lease)
    version: str = wire.string(7)


@dataclass(frozen=True, slots=True)
class CreateBotSessionRequest:
    """Bots.CreateBotSession."""

    parent: str = wire.string(1)
    bot_session: BotSession | None = wire.message(2, BotSession)


@dataclass(frozen=True, slots=True)
class UpdateBotSessionRequest:
    """Bots.UpdateBotSession."""

    name: str = wire.string(1)
    bot_session: BotSession | None = wire.message(2, BotSession)


class Worker:
    """Takes one lease after the other and runs it with buildbox-run; its casd gets from BuildGrid what it lacks.

    `taken` are the leases so far; who has set `together` holds the next until all that share it have one.
    """

    def __init__(self, name: str, home: Path, url: str, casd: Any) -> None:
        self.taken: list[str] = []
        self.busy = threading.Event()
        self.together: threading.Barrier | None = None
        self._name = name
        self._home = home
        self._casd = casd
        self._gone = threading.Event()
        self._channel = Channel(Endpoint(url, "", Access()))
        self._session = BotSession()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def kill(self) -> None:
        """Take it away in the middle of what it does, without a word."""
        self._casd._process.kill()
        self.close()

    def close(self) -> None:
        """Stop it."""
        self._gone.set()
        self._channel.close()
        self._thread.join()

    # What follows runs in the thread.

    def _work(self) -> None:
        while not self._gone.wait(0.1):
            with contextlib.suppress(RemoteError):  # BuildGrid is no more, or takes the worker for dead
                bot = BotSession(bot_id=self._name, status=HEALTHY, worker=Machine((Device(self._name),)))
                self._tell("Create", CreateBotSessionRequest(INSTANCE, bot))
                while not self._gone.is_set():
                    self._update([self._done(lease) for lease in self._session.leases])

    def _update(self, leases: list[Lease]) -> None:
        """Say what has become of leases, and hear which there are; without any that waits for one."""
        session = replace(self._session, leases=tuple(leases))
        self._tell("Update", UpdateBotSessionRequest(session.name, session))

    def _tell(self, verb: str, request: Any) -> None:
        method = f"google.devtools.remoteworkers.v1test2.Bots/{verb}BotSession"
        self._session = self._channel.ask(method, request, BotSession, 2 * SILENCE_S)

    def _done(self, lease: Lease) -> Lease:
        self.taken.append(lease.id)
        self.busy.set()
        if self.together:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.together.wait(SILENCE_S - 1)
        action, result = self._home / "action", self._home / "result"
        action.write_bytes(lease.payload.value if lease.payload else b"")
        result.unlink(missing_ok=True)
        runner = Path(self._casd._argv[0]).with_name("buildbox-run")
        place = f"http://{HOST}:{self._casd.port.number}"
        argv = [runner, f"--action={action}", f"--action-result={result}", f"--remote={place}"]
        with subprocess.Popen(argv, cwd=self._home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            try:
                self._await(running, lease)
            finally:
                running.kill()
        if not result.exists():
            return replace(lease, state=COMPLETED, status=Status(INTERNAL, "buildbox-run failed"))
        packed = reapi.Any(f"{reapi.TYPES}{reapi.PACKAGE}.ActionResult", result.read_bytes())
        return replace(lease, state=COMPLETED, status=Status(), result=packed)

    def _await(self, running: subprocess.Popen[bytes], lease: Lease) -> None:
        """Wait until it has ended, and say now and then that it has not."""
        while not self._gone.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(1)
                return
            self._update([replace(lease, state=ACTIVE)])


@pytest.fixture
def worker(buildgrid: Any, casd: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Start a worker of BuildGrid."""
    started: list[Worker] = []

    def start() -> Worker:
        arguments = (f"--cas-remote=http://{HOST}:{buildgrid.port.number}", f"--cas-instance={INSTANCE}")
        behind = casd(execution=True, arguments=arguments)
        home = tmp_path / f"worker{len(started)}"
        home.mkdir()
        started.append(Worker(f"{tmp_path.name}-{len(started)}", home, buildgrid.url, behind))
        return started[-1]

    yield start
    for one in started:
        one.close()


# Programs


def executed(out: str) -> set[str]:
    """The tasks whose work an engine did."""
    return set(re.findall(r"^(\S+) +[0-9.]+ s  on grpc://\S+$", out, re.MULTILINE))


@pytest.fixture
def remote(clone: Callable[..., Any], buildgrid: Any) -> Callable[..., Any]:
    """Make copies of one repository whose programs BuildGrid compiles."""

    def cloned(**options: Any) -> Any:
        workspace = clone(PROCESSION_REMOTE_EXECUTION=buildgrid.url, **options)
        workspace.edit("pyproject.toml", "[tool", f'[tool.procession.remote]\ninstance = "{INSTANCE}"\n\n[tool')
        return workspace

    return cloned


def test_programs_for_all_platforms_are_compiled_on_workers_to_the_same_bytes(
    remote: Callable[..., Any], clone: Callable[..., Any], worker: Callable[[], Worker]
) -> None:
    one, two = worker(), worker()
    workspace, plain = remote(), clone(PROCESSION_CACHE="off")
    built = workspace.build("release")
    plain.build("release")

    compiled = {"go-compile:api", "go-compile:iam", "go-compile:api@linux-arm64", "go-compile:iam@linux-arm64"}
    assert executed(built.out) == compiled
    assert built.err == ""
    assert workspace.files(*MADE) == plain.files(*MADE)

    before = [len(each.taken) for each in (one, two)]
    one.together = two.together = threading.Barrier(2)
    workspace.edit("services/internal/shared/shared.go", '"shared"', '"edited"')
    assert executed(workspace.build().out) == {"go-compile:api", "go-compile:iam"}
    assert [len(each.taken) for each in (one, two)] == [count + 1 for count in before]
    assert not one.together.broken  # they had them at the same time

    one.close()
    two.close()
    other = remote()  # BuildGrid remembers, and nobody is there to do it again
    assert executed(other.build("release").out) == compiled
    assert other.files(*MADE) == plain.files(*MADE)


def test_what_the_compiler_says_on_a_worker_is_what_it_says_here(
    remote: Callable[..., Any], worker: Callable[[], Worker]
) -> None:
    worker()
    workspace = remote()
    workspace.edit("services/internal/apionly/api.go", "return", "retrun")
    elsewhere = workspace.doit("-c")
    here = workspace.doit("-c", PROCESSION_REMOTE="off")

    assert elsewhere.status == here.status == 1
    assert elsewhere.err == here.err
    assert "services/internal/apionly/api.go:4" in elsewhere.err
    assert executed(elsewhere.out) == {"go-compile:iam"}


class Building:
    """A build that goes on while a test does something to it; nothing that it needs is made yet."""

    def __init__(self, remote: Callable[..., Any], salt: str) -> None:
        self._workspace = remote(services=("api",), PROCESSION_CACHE_SALT=salt)
        self._ended: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._ended.append(self._workspace.doit()))
        self._thread.start()

    def end(self) -> Any:
        """Wait for its end."""
        self._thread.join()
        return self._ended[0]


def test_what_a_dead_worker_has_not_done_another_does(remote: Callable[..., Any], worker: Callable[[], Worker]) -> None:
    one = worker()
    building = Building(remote, "a worker that dies")
    assert one.busy.wait(PATIENCE_S)
    one.kill()
    two = worker()
    built = building.end()

    assert (built.status, built.err) == (0, "")
    assert executed(built.out) == {"go-compile:api"}
    assert set(one.taken) < set(two.taken)


def test_without_the_name_of_its_instance_programs_are_compiled_here(clone: Callable[..., Any], buildgrid: Any) -> None:
    built = clone(services=("api",), PROCESSION_REMOTE_EXECUTION=buildgrid.url).build()
    assert built.err == f"warning: engine {buildgrid.url}: needs an instance name; compiling here\n"
    assert "go-compile:api" in built.ran


def test_it_is_a_cache_too(clone: Callable[..., Any], buildgrid: Any) -> None:
    one, two = (
        clone(services=("api",), PROCESSION_CACHE_URL=buildgrid.url, PROCESSION_CACHE_GO="off") for _ in range(2)
    )
    for workspace in (one, two):
        workspace.edit("pyproject.toml", "[tool", f'[tool.procession.cache]\ninstance = "{INSTANCE}"\n\n[tool')
    assert one.build(PROCESSION_CACHE_WRITE="on").err == ""
    built = two.build(PROCESSION_GO="/nowhere/go")

    assert built.err == ""
    assert f"from {buildgrid.url}" in built.out
    assert one.files(*MADE) == two.files(*MADE)


def test_what_it_does_not_end_is_compiled_here(
    remote: Callable[..., Any], buildgrid: Any, worker: Callable[[], Worker]
) -> None:
    one = worker()
    building = Building(remote, "a server that dies")
    assert one.busy.wait(PATIENCE_S)
    buildgrid.stop()
    built = building.end()
    buildgrid.start()

    assert built.status == 0
    assert built.err.startswith(f"warning: engine {buildgrid.url}: ")
    assert built.err.endswith("; compiling here\n")
    assert built.err.count("\n") == 1
    assert "go-compile:api" in built.ran
