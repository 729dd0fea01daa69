"""An engine, as buildbox-casd is, executes actions; what it cannot do is told from what an action does wrong."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.cache import execution
from procession_tasks.cache.action import Keyed, with_root
from procession_tasks.cache.compile_root import Worker, compile_action, grafted, warm_action
from procession_tasks.cache.execution import Engine, FailedActionError
from procession_tasks.cache.merkle import File, merkle
from procession_tasks.cache.module_root import modules
from procession_tasks.cache.part import file_blob
from procession_tasks.cache.reapi import ActionResult, Digest, digest_of
from procession_tasks.cache.remote import Blob, RemoteError
from procession_tasks.cache.settings import Access, Endpoint
from procession_tasks.cache.toolchain_root import toolchain_part
from procession_tasks.golang import closure, toolchain
from procession_tasks.golang.command import run_go
from procession_tasks.golang.context import Context
from procession_tasks.golang.program import Mode, Program, build_command, list_command
from procession_tasks.golang.said import said
from procession_tasks.platform import Platform, host
from procession_tasks.states import States
from procession_tasks.step import Step

pytestmark = pytest.mark.slow  # an engine is started for each

REPOSITORY = Path(__file__).resolve().parents[2]
VERSION = "1.27.3"
ACTOR = """\
package main

import ("fmt"; "os"; "strconv"; "time")

func main() {
	number, _ := strconv.Atoi(os.Args[2])
	switch os.Args[1] {
	case "make":
		fmt.Println("made")
		os.WriteFile("out", []byte(fmt.Sprint(time.Now().UnixNano())), 0o644)
	case "fail":
		fmt.Fprintln(os.Stderr, "input.txt:3: is wrong")
		os.Exit(number)
	case "sleep":
		time.Sleep(time.Duration(number) * time.Millisecond)
		os.WriteFile("out", []byte(fmt.Sprint(time.Now().UnixNano())), 0o644)
	}
}
"""


def go_environment() -> dict[str, str]:
    return toolchain.places(os.environ) | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOENV": "off", "GOWORK": "off"}


@pytest.fixture(scope="session")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Blob:
    """A program that needs nothing else and does what it is told."""
    folder = tmp_path_factory.mktemp("actor")
    (folder / "main.go").write_text(ACTOR)
    go = toolchain.find(VERSION, os.environ).go
    argv = [go, "build", "-trimpath", "-o", "actor", "main.go"]
    subprocess.run(argv, cwd=folder, env=go_environment(), check=True)
    content = (folder / "actor").read_bytes()
    return Blob(digest_of(content), content)


@pytest.fixture
def engine() -> Iterator[Callable[..., Engine]]:
    with contextlib.ExitStack() as stack:

        def start(url: str, **options: Any) -> Engine:
            found = Engine(Endpoint(url, "", Access()), **options)
            stack.callback(found.close)
            return found

        yield start


def acting(actor: Blob, *words: str, outputs: tuple[str, ...] = ("out",), salt: str = "") -> Keyed:
    nodes = {"bin/actor": File(actor.digest, is_executable=True)}
    step = Step("act", words[0], "linux-amd64", ("/bin/actor", *words), (), outputs)
    return with_root(step, merkle(nodes), salt)


def brought(actor: Blob) -> Mapping[Digest, Blob | bytes]:
    return {actor.digest: actor}


def content(engine: Engine, result: ActionResult) -> bytes:
    assert result.output_files[0].digest is not None
    return engine.cache.read(result.output_files[0].digest)


def test_an_action_is_executed_once(casd: Any, engine: Any, actor: Blob) -> None:
    here = engine(casd(execution=True).url)
    action = acting(actor, "make", "0")

    first = here.execute(action, brought(actor))
    again = here.execute(action, {})  # needs none of it
    disowned = here.execute(acting(actor, "make", "0", salt="other"), brought(actor))

    assert [file.path for file in first.output_files] == ["out"]
    assert content(here, first) == content(here, again) != content(here, disowned)


def test_what_is_wrong_with_an_action_comes_out_with_its_words(casd: Any, engine: Any, actor: Blob) -> None:
    here = engine(casd(execution=True).url)

    for _ in range(2):  # a failure is not kept
        with pytest.raises(FailedActionError, match="^act:fail: input.txt:3: is wrong$") as raised:
            here.execute(acting(actor, "fail", "7"), brought(actor))
        assert (raised.value.exit_code, raised.value.stderr) == (7, b"input.txt:3: is wrong\n")


def test_an_action_without_its_output_is_the_engine_s_fault(casd: Any, engine: Any, actor: Blob) -> None:
    here = engine(casd(execution=True).url)

    for _ in range(2):  # the engine keeps such a result
        with pytest.raises(RemoteError, match="did not make elsewhere"):
            here.execute(acting(actor, "make", "0", outputs=("elsewhere",)), brought(actor))


def test_a_server_that_executes_nothing_is_told(casd: Any, engine: Any, actor: Blob) -> None:
    with pytest.raises(RemoteError, match="^executes nothing$") as raised:
        engine(casd().url).execute(acting(actor, "make", "0"), brought(actor))
    assert raised.value.lasts


def test_an_input_that_nobody_has_is_no_failure_of_the_action(casd: Any, engine: Any, actor: Blob) -> None:
    with pytest.raises(RemoteError):
        engine(casd(execution=True).url).execute(acting(actor, "make", "0"), {})


def test_an_input_that_the_engine_lost_is_sent_again(
    casd: Any, engine: Any, actor: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = engine(casd(execution=True).url)
    send, calls = here.cache.send, []

    def lost_once(blobs: list[Blob]) -> None:
        calls.append(blobs)
        send([blob for blob in blobs if len(calls) > 1 or blob.digest != actor.digest])

    monkeypatch.setattr(here.cache, "send", lost_once)

    assert here.execute(acting(actor, "make", "0"), brought(actor)).exit_code == 0
    assert len(calls) == 2


def test_two_actions_are_executed_at_once(casd: Any, engine: Any, actor: Blob) -> None:
    here = engine(casd(execution=True, jobs=2).url)
    here.execute(acting(actor, "make", "0"), brought(actor))
    ends: list[int] = []

    def work(length: str) -> None:
        ends.append(int(content(here, here.execute(acting(actor, "sleep", length), brought(actor)))))

    interruption.few_at_once(work, ("1000", "1001"), 2)

    assert abs(ends[1] - ends[0]) < 900_000_000  # nanoseconds


def test_who_asks_to_stop_waits_for_no_engine(
    casd: Any, engine: Any, actor: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = engine(casd(execution=True).url)
    asked = threading.Event()
    monkeypatch.setattr(interruption, "_asked", asked)
    threading.Timer(0.7, asked.set).start()
    started = time.monotonic()

    with pytest.raises(interruption.InterruptedWorkError):
        here.execute(acting(actor, "sleep", "5000"), brought(actor))
    assert time.monotonic() - started < 3


def test_an_action_that_takes_too_long_is_given_up(casd: Any, engine: Any, actor: Blob) -> None:
    here = engine(casd(execution=True).url, longest_s=0.8)

    with pytest.raises(RemoteError, match="no answer in time"):
        here.execute(acting(actor, "sleep", "5000"), brought(actor))


def test_an_engine_may_say_that_an_action_took_too_long(casd: Any, engine: Any, actor: Blob) -> None:
    nodes = {"bin/actor": File(actor.digest, is_executable=True)}
    step = Step("act", "sleep", "linux-amd64", ("/bin/actor", "sleep", "60000"), (), ("out",))

    with pytest.raises(RemoteError, match="the action took longer than it may"):
        engine(casd(execution=True).url).execute(with_root(step, merkle(nodes), "", timeout_s=1), brought(actor))


def test_a_connection_that_breaks_is_made_again(
    casd: Any, engine: Any, faulty: Any, actor: Blob, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = casd(execution=True)
    proxy = faulty(behind.url)
    here = engine(proxy.url)
    here.execute(acting(actor, "make", "0"), brought(actor))

    def broken() -> None:
        proxy.reset()
        proxy.heal()

    listen, asked = here.cache.channel.listen, []

    def heard(method: str, *arguments: Any, **options: Any) -> Any:
        asked.append(method.rpartition("/")[2])
        return listen(method, *arguments, **options)

    monkeypatch.setattr(here.cache.channel, "listen", heard)
    threading.Timer(0.5, broken).start()

    assert here.execute(acting(actor, "sleep", "1500"), brought(actor)).exit_code == 0
    assert asked == ["Execute", "WaitExecution"]


def test_an_engine_that_begins_anew_is_given_the_action_anew(casd: Any, engine: Any, actor: Blob) -> None:
    behind = casd(execution=True)
    here = engine(behind.url)

    def restarted() -> None:
        behind.stop()
        behind.start()

    restarting = threading.Timer(1.0, restarted)
    restarting.start()
    result = here.execute(acting(actor, "sleep", "2500"), brought(actor))
    restarting.join()

    assert result.exit_code == 0


def test_an_engine_that_is_gone_for_good_is_given_up(casd: Any, engine: Any, actor: Blob) -> None:
    behind = casd(execution=True)
    here = engine(behind.url)
    threading.Timer(0.7, behind.stop).start()
    started = time.monotonic()

    with pytest.raises(RemoteError) as raised:
        here.execute(acting(actor, "sleep", "9000"), brought(actor))
    assert not raised.value.lasts
    assert time.monotonic() - started < 6


# Programs


class Compiling:
    """What it takes to compile a program of a repository elsewhere."""

    def __init__(self, root: Path, mode: Mode, record: Path) -> None:
        self.root, self.mode = root, mode
        self.context = Context(root, States(root, record.with_name("states")), dict(os.environ))
        found = toolchain.find(VERSION, os.environ)
        self.worker = Worker(toolchain=toolchain_part(found.go.parent.parent, record))
        self.modules = modules(root, mode, os.environ)

    def program(self, package: str) -> Program:
        return Program(self.mode, package, "-s -w -buildid= -X main.version=1", f"build/bin/{Path(package).name}")

    def listed(self, package: str) -> tuple[list[str], set[str]]:
        """The program's sources, and what it imports from elsewhere."""
        done = run_go(self.context, self.mode, list_command(self.mode, [package]))
        packages = closure.packages(closure.parse_list(done.stdout.decode()), self.root, {})
        main = closure.main_package(package, packages, self.mode.module)
        below = closure.closure(main, packages)
        ours = {one.path for one in below if one.home is not None}
        return [path for one in below for path in one.files], {name for one in below for name in one.imports} - ours


@pytest.fixture
def services(tmp_path: Path) -> Compiling:
    """The services of this repository."""
    shutil.copytree(REPOSITORY / "services", tmp_path / "repository" / "services")
    mode = Mode("services", None, host(), (), "", trimpath=True, cc="", environment=(), version=VERSION)
    return Compiling(tmp_path / "repository", mode, tmp_path / "record")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_a_service_compiled_elsewhere_is_what_is_compiled_here(
    arch: str, services: Compiling, casd: Any, engine: Any
) -> None:
    mode = Mode(
        "services", None, Platform("linux", arch), (), "", trimpath=True, cc="", environment=(), version=VERSION
    )
    compiling = Compiling(services.root, mode, services.root.parent / "record")
    here = engine(casd(execution=True).url)
    program = compiling.program("./cmd/procession-api")
    sources, imported = compiling.listed(program.package)
    place = (compiling.root, compiling.modules, compiling.worker)

    warm = warm_action(mode, imported, *place)
    graft = grafted(here.cache, here.execute(warm.action, warm.blobs))
    started = time.monotonic()
    prepared = compile_action(program, sources, *place, graft)
    result = here.execute(prepared.action, prepared.blobs)
    took = time.monotonic() - started

    done = run_go(compiling.context, mode, build_command(program))
    assert (done.status, done.stderr) == (0, b"")
    local = (compiling.root / program.output).read_bytes()
    assert hashlib.sha256(content(here, result)).hexdigest() == hashlib.sha256(local).hexdigest()
    assert result.output_files[0].is_executable
    assert took < 8  # without the graft it is tens of seconds


def test_what_the_compiler_says_elsewhere_is_what_it_says_here(services: Compiling, casd: Any, engine: Any) -> None:
    source = services.root / "services/cmd/procession-api/main.go"
    source.write_text(
        'package main\n\nimport "procession.example/services/internal/wrong"\n\nfunc main() { wrong.Do() }\n'
    )
    wrong = services.root / "services/internal/wrong/wrong.go"
    wrong.parent.mkdir()
    wrong.write_text("package wrong\n\n// Do does nothing.\nfunc Do() { undefined() }\n")
    here = engine(casd(execution=True).url)
    program = services.program("./cmd/procession-api")
    sources, _ = services.listed(program.package)
    prepared = compile_action(program, sources, services.root, services.modules, services.worker)

    with pytest.raises(FailedActionError) as raised:
        here.execute(prepared.action, prepared.blobs)
    done = run_go(services.context, services.mode, build_command(program))

    heard = said(raised.value.stderr, "services", services.worker.root)
    assert heard == said(done.stderr, "services", str(services.root))
    assert "services/internal/wrong/wrong.go:4:13: undefined: undefined" in heard


def test_a_blob_is_what_its_file_was(tmp_path: Path) -> None:
    for size in (0, 5, 3 * 1024 * 1024):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(size))
        blob = file_blob(path)
        assert blob.digest == digest_of(path.read_bytes())
        assert b"".join(blob.chunks()) == path.read_bytes()


def test_waits_differ_and_may_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr(interruption, "_asked", asked)
    asked.set()

    with pytest.raises(interruption.InterruptedWorkError):
        execution._pause(60)
