"""The program that go asks for objects: they come from this machine or a server, and no fault ends a build."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.cache import gomanifest
from procession_tasks.cache.goobjects import keyed
from procession_tasks.cache.reapi import digest_of
from procession_tasks.cache.signing import new_pair
from procession_tasks.golang import cacheprog, toolchain
from procession_tasks.golang.program import Mode
from procession_tasks.platform import Platform

pytestmark = pytest.mark.slow  # each builds, some more than once

VERSION = "1.27.3"
PATIENCE_S = 20.0
SETTINGS = f'[tool.procession.go]\nversion = "{VERSION}"\nmodules = ["services"]\n'
MAIN = 'package main\n\nimport "sample.example/services/word"\n\nfunc main() { println(word.Word()) }\n'
WORD = 'package word\n\n// Word says it.\nfunc Word() string { return "hello" }\n'


def action(name: str) -> bytes:
    """An ActionID, as go makes them."""
    return hashlib.sha256(f"action {name}".encode()).digest()


class Helper:
    """The program as go has it: started, and spoken to over pipes."""

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str], statistics: Path) -> None:
        self._statistics = statistics
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(argv, cwd=folder, env=environment, **streams)
        self._numbers = itertools.count(1)
        self._heard = b""
        assert self.hear() == {"ID": 0, "KnownCommands": ["get", "put", "close"]}

    def say(self, text: bytes) -> None:
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def hear(self) -> Any:
        """The next answer, None for the end."""
        while b"\n" not in self._heard:
            assert select.select([self.process.stdout], [], [], PATIENCE_S)[0], "no answer"
            if not (piece := os.read(self.process.stdout.fileno(), 65536)):
                return None
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def ask(self, command: str, body: bytes = b"", **words: Any) -> Any:
        """Ask as go does, and return the answer."""
        number = next(self._numbers)
        sized = {"BodySize": len(body)} if body else {}
        self.say(json.dumps({"ID": number, "Command": command, **words, **sized}).encode() + b"\n\n")
        if body:
            self.say(b'"' + base64.b64encode(body) + b'"\n')
        answer = self.hear()
        assert answer.pop("ID") == number
        assert "Err" not in answer
        return answer

    def put(self, name: str, body: bytes) -> Path:
        output = hashlib.sha256(body).digest()
        ids = {"ActionID": base64.b64encode(action(name)).decode(), "OutputID": base64.b64encode(output).decode()}
        return Path(self.ask("put", body, **ids)["DiskPath"])

    def get(self, name: str) -> bytes | None:
        """What the program has for an action, as go reads it; None for a miss."""
        answer = self.ask("get", ActionID=base64.b64encode(action(name)).decode())
        if answer == {"Miss": True}:
            return None
        content = Path(answer["DiskPath"]).read_bytes()
        assert len(content) == answer["Size"]
        assert hashlib.sha256(content).digest() == base64.b64decode(answer["OutputID"])
        return content

    def close(self) -> Any:
        """End as go does, and return the statistics."""
        assert self.ask("close") == {}
        return self.end()

    def end(self) -> Any:
        """Wait for the end, and return the statistics if there are any."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        assert self.process.wait(PATIENCE_S) == 0
        assert self.process.stdout.read() == b""
        assert self.process.stderr.read() == b""
        self.leave()
        return json.loads(self._statistics.read_text()) if self._statistics.exists() else None

    def leave(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Machine:
    """A machine with a cache of its own and a repository, where go and the program are started."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.root = home / "repository"
        self.cache = home / "cache"
        self.started: list[Helper] = []
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PROCESSION_CACHE": "on"}
        self.environment |= {"PROCESSION_CACHE_DIR": str(self.cache), **environment}
        self._numbers = itertools.count()
        for name, text in {
            "pyproject.toml": SETTINGS,
            "services/go.mod": f"module sample.example/services\n\ngo {VERSION}\n",
            "services/main.go": MAIN,
            "services/word/word.go": WORD,
        }.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def prog(self) -> tuple[str, Path]:
        """GOCACHEPROG for one more go command, and where its statistics will be."""
        scratch = self.home / f"scratch {next(self._numbers)}"  # paths may have spaces
        scratch.mkdir()
        statistics = scratch / "statistics.json"
        value = cacheprog.cacheprog(sys.executable, self.root, "a context", scratch, statistics)
        assert value
        return value, statistics

    def helper(self, **environment: str) -> Helper:
        value, statistics = self.prog()
        argv = split(value)
        helper = Helper(argv, self.root / "services", {**self.environment, **environment}, statistics)
        self.started.append(helper)
        return helper

    def build(self, **environment: str) -> Built:
        """Build with an empty cache of go's own, and return what came about."""
        value, statistics = self.prog()
        scratch = statistics.parent
        fixed = {"CGO_ENABLED": "0", "GOENV": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        fixed |= {"GOCACHE": str(scratch / "gocache"), "GOPATH": str(scratch / "gopath"), "GOCACHEPROG": value}
        go = toolchain.find(VERSION, {}).go
        argv = [str(go), "build", "-C", "services", "-trimpath", "-buildvcs=false", "-o", str(scratch / "out"), "."]
        started = time.monotonic()
        done = subprocess.run(
            argv, cwd=self.root, env={**self.environment, **fixed, **environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        seconds = time.monotonic() - started
        return Built((scratch / "out").read_bytes(), json.loads(statistics.read_text()), seconds)


@dataclasses.dataclass(frozen=True)
class Built:
    """A program, what the helper says that it did, and how long it took."""

    program: bytes
    said: dict[str, Any]
    seconds: float


def split(value: str) -> list[str]:
    """Take a command apart as go's `quoted.Split` does."""
    words = []
    while value := value.lstrip(" \t\r\n"):
        quote = value[0] if value[0] in "'\"" else ""
        word, _, value = value[1:].partition(quote) if quote else value.partition(" ")
        words.append(word)
    return words


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Set up one more machine, with these variables in its environment."""
    made: list[Machine] = []

    def new(**environment: str) -> Machine:
        made.append(Machine(tmp_path / f"machine {len(made)}", **environment))
        return made[-1]

    yield new
    for helper in (helper for one in made for helper in one.started):
        helper.leave()


@pytest.fixture(params=["nginx", "casd"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built]:
    """The cache of a machine that has built the program, and what it built."""
    one = Machine(tmp_path_factory.mktemp("compiled") / "machine")
    return one.cache, one.build()


def contents(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("cas/*/*") if path.stat().st_size)


# What go asks and is told


def test_what_was_put_is_got(machine: Any) -> None:
    helper = machine().helper()
    path = helper.put("one", b"an object\n")
    assert path.is_absolute()
    assert path.read_bytes() == b"an object\n"
    assert helper.get("one") == b"an object\n"
    assert helper.get("another") is None
    said = helper.close()
    assert (said["disk"], said["misses"], said["puts"], said["bytes"]["put"]) == (1, 1, 1, 10)


@pytest.mark.parametrize("body", [b"", b"x", random.Random(0).randbytes(5_000_000)], ids=["empty", "byte", "large"])
def test_an_object_has_any_size(body: bytes, machine: Any) -> None:
    one = machine()
    first = one.helper()
    assert first.put("one", body).read_bytes() == body
    assert first.get("one") == body
    first.close()
    second = one.helper()
    assert second.get("one") == body
    second.close()


def test_an_object_is_replaced(machine: Any) -> None:
    helper = machine().helper()
    helper.put("one", b"before")
    helper.put("one", b"after")
    assert helper.get("one") == b"after"
    helper.close()


def test_many_requests_are_under_way_at_once(machine: Any) -> None:
    one = machine()
    helper = one.helper()
    bodies = {n: random.Random(n).randbytes(10_000) for n in range(1, 101)}
    for number, body in bodies.items():
        ids = {"ActionID": action(str(number)), "OutputID": hashlib.sha256(body).digest()}
        named = {name: base64.b64encode(value).decode() for name, value in ids.items()}
        request = {"ID": number, "Command": "put", "BodySize": len(body), **named}
        helper.say(json.dumps(request).encode() + b'\n\n"' + base64.b64encode(body) + b'"\n')
    answers = [helper.hear() for _ in bodies]
    assert {answer["ID"] for answer in answers} == bodies.keys()
    assert all(Path(answer["DiskPath"]).read_bytes() == bodies[answer["ID"]] for answer in answers)
    helper.end()


def test_nothing_that_is_said_ends_it_or_makes_it_hang(machine: Any) -> None:
    one = machine()
    helper = one.helper()
    helper.say(b"\n\x00\xff garbage\n[]\n{}\nnull\n" + b"[" * 100_000 + b'\n{"ID": "x"}\n{"ID": null}\n')
    assert helper.get("one") is None
    assert helper.ask("get", ActionID="%%%") == {"Miss": True}
    assert helper.ask("get", ActionID=7) == {"Miss": True}
    assert helper.ask("get") == {"Miss": True}
    assert "DiskPath" in helper.ask("put", b"x" * 99, ActionID="QQ==", OutputID="QQ==")
    assert "DiskPath" in helper.ask("put", b"x" * 99, ActionID=base64.b64encode(action("one")).decode())
    helper.say(b'{"ID": 99, "Command": "dance"}\n')
    assert helper.hear() == {"ID": 99, "Err": "unknown command"}
    assert (
        helper.put("one", b"an object")
        == one.cache / "cas" / digest_of(b"an object").hash[:2] / digest_of(b"an object").hash
    )
    assert helper.get("one") == b"an object"
    helper.close()


def test_an_object_that_is_not_what_go_says_is_not_kept(machine: Any) -> None:
    helper = machine().helper()
    named = {"ActionID": base64.b64encode(action("one")).decode(), "OutputID": base64.b64encode(b"x" * 32).decode()}
    assert "DiskPath" in helper.ask("put", b"an object", **named)
    assert helper.get("one") is None
    helper.close()


@pytest.mark.parametrize("rest", [b"", b'{"ID": 5, "Comm', b'{"ID": 5, "Command": "put", "BodySize": 90}\n"QUJD'])
def test_it_ends_when_go_is_gone(rest: bytes, machine: Any) -> None:
    helper = machine().helper()
    helper.put("one", b"an object")
    helper.say(rest)
    helper.process.stdin.close()
    assert helper.process.wait(PATIENCE_S) == 0


def test_an_interruption_is_for_go_to_act_on(machine: Any) -> None:
    helper = machine().helper()
    helper.put("one", b"an object")
    helper.process.send_signal(signal.SIGINT)
    assert helper.get("one") == b"an object"
    assert helper.get("another") is None
    helper.put("two", b"another object")
    helper.close()


def test_files_of_the_module_are_not_imported(machine: Any) -> None:
    one = machine()
    for name in ("json", "base64", "procession_tasks", "queue"):
        one.write(f"services/{name}.py", "raise SystemExit(3)\n")
    helper = one.helper()
    helper.put("one", b"an object")
    helper.close()


# What is damaged


@pytest.mark.parametrize("damage", ["other bytes", "cut", "gone", "a folder"])
def test_a_damaged_object_is_a_miss_and_made_again(damage: str, machine: Any) -> None:
    one = machine()
    helper = one.helper()
    path = helper.put("one", b"an object")
    helper.close()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        path.write_bytes(b"xx object" if damage == "other bytes" else b"an")
    helper = one.helper()
    assert helper.get("one") is None
    assert helper.put("one", b"an object").read_bytes() == b"an object"
    assert helper.get("one") == b"an object"
    helper.close()


def test_a_put_is_not_answered_with_a_damaged_file(machine: Any) -> None:
    one = machine()
    helper = one.helper()
    path = helper.put("one", b"an object")
    helper.close()
    path.unlink()
    path.write_bytes(b"xx object")
    helper = one.helper()
    assert helper.put("two", b"an object").read_bytes() == b"an object"
    helper.close()


def test_an_entry_of_another_action_is_a_miss(machine: Any) -> None:
    one = machine()
    helper = one.helper()
    helper.put("one", b"an object")
    helper.close()
    entries = [one.cache / "ac" / key[:2] / key for key in (keyed(action(n), "").key.hash for n in ("one", "two"))]
    entries[1].parent.mkdir(exist_ok=True)
    shutil.copyfile(*entries)
    helper = one.helper()
    assert helper.get("two") is None
    assert helper.get("one") == b"an object"
    helper.close()


def test_a_salt_disowns_what_was_kept(machine: Any) -> None:
    one = machine()
    helper = one.helper()
    helper.put("one", b"an object")
    helper.close()
    helper = one.helper(PROCESSION_CACHE_SALT="other")
    assert helper.get("one") is None
    helper.close()


def test_without_a_cache_folder_objects_are_put_aside(machine: Any) -> None:
    one = machine()
    helper = one.helper(PROCESSION_CACHE_DIR="/dev/null/cache")
    assert one.home in helper.put("one", b"an object").parents
    assert helper.get("one") == b"an object"
    helper.close()


def test_a_cache_folder_that_fails_meanwhile(machine: Any) -> None:
    one = machine()
    helper = one.helper()
    helper.put("one", b"an object")
    shutil.rmtree(one.cache / "tmp")
    (one.cache / "tmp").write_text("no folder")
    assert helper.put("two", b"another").read_bytes() == b"another"
    assert helper.get("two") == b"another"
    assert helper.get("one") == b"an object"
    said = helper.close()
    assert [text for text in said["warnings"] if "cannot be written" in text]


@pytest.mark.parametrize("text", ["", "not TOML", '[tool.procession]\ncache = {url = "gopher://x"}\n'])
def test_wrong_settings_leave_the_cache_of_this_machine(text: str, machine: Any) -> None:
    one = machine()
    one.write("pyproject.toml", text)
    helper = one.helper()
    helper.put("one", b"an object")
    helper.close()
    helper = one.helper()
    assert helper.get("one") == b"an object"
    helper.close()


# A server


def shared(server: Any) -> dict[str, str]:
    return {"PROCESSION_CACHE_URL": server.url, "PROCESSION_CACHE_WRITE": "on"}


def filled(machine: Any, server: Any, count: int = 40) -> dict[str, bytes]:
    """Have a machine put objects of several sizes, and share them."""
    bodies = {f"{n}": random.Random(n).randbytes((n % 4) * 20_000) for n in range(count)}
    helper = machine(**shared(server)).helper()
    for name, body in bodies.items():
        assert helper.get(name) is None
        helper.put(name, body)
    said = helper.close()
    assert said["warnings"] == []
    assert said["bytes"]["sent"] >= sum(map(len, set(bodies.values())))
    return bodies


def test_another_machine_gets_what_one_has_put(machine: Any, server: Any) -> None:
    bodies = filled(machine, server)
    other = machine(PROCESSION_CACHE_URL=server.url)
    helper = other.helper()
    assert {name: helper.get(name) for name in bodies} == bodies
    said = helper.close()
    assert (said["remote"], said["misses"], said["warnings"]) == (len(bodies), 0, [])
    server.stop()
    helper = other.helper()
    assert {name: helper.get(name) for name in bodies} == bodies  # they are on this machine now
    assert helper.close()["disk"] == len(bodies)


def hashes(bodies: dict[str, bytes]) -> set[str]:
    return {digest_of(body).hash for body in bodies.values() if body}


def wait_for(wanted: set[str], machine: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not wanted <= {path.name for path in contents(machine.cache)}:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_that_was_used_last_time_comes_with_the_first_object(machine: Any, server: Any) -> None:
    bodies = filled(machine, server)
    other = machine(PROCESSION_CACHE_URL=server.url)
    helper = other.helper()
    assert helper.get("1") == bodies["1"]
    wait_for(hashes(bodies), other)
    server.stop()
    assert {name: helper.get(name) for name in bodies} == bodies
    helper.close()


def test_what_a_build_before_the_last_used_comes_with_the_first_object_of_it(machine: Any, server: Any) -> None:
    before = filled(machine, server, 20)
    last = {f"last {n}": random.Random(n).randbytes(50_000) for n in range(20)}
    helper = machine(**shared(server)).helper()
    for name, body in last.items():
        assert helper.get(name) is None
        helper.put(name, body)
    helper.close()
    other = machine(PROCESSION_CACHE_URL=server.url)
    helper = other.helper()
    assert helper.get("last 1") == last["last 1"]
    wait_for(hashes(last), other)
    assert not hashes(before) & {path.name for path in contents(other.cache)}
    assert helper.get("1") == before["1"]
    wait_for(hashes(before), other)
    helper.close()


def test_small_objects_come_with_the_manifest_and_not_without_end(machine: Any, nginx: Any) -> None:
    server = nginx()
    bodies = {f"{n}": random.Random(n).randbytes(gomanifest.SMALL) for n in range(300)}
    helper = machine(**shared(server)).helper()
    for name, body in bodies.items():
        assert helper.get(name) is None
        helper.put(name, body)
    helper.close()
    asked = len(server.log)
    helper = machine(PROCESSION_CACHE_URL=server.url).helper()
    assert {name: helper.get(name) for name in bodies} == bodies
    helper.close()
    fetched = [line for line in server.log[asked:] if "GET /cas/" in line]
    assert len(fetched) == 1 + len(bodies) - gomanifest.CARRIED // gomanifest.SMALL


def test_no_entry_is_asked_for_that_the_manifest_lists(machine: Any, nginx: Any) -> None:
    server = nginx()
    bodies = filled(machine, server)
    before = len(server.log)
    helper = machine(PROCESSION_CACHE_URL=server.url).helper()
    assert {name: helper.get(name) for name in bodies} == bodies
    helper.close()
    assert sum("GET /ac/" in line for line in server.log[before:]) == 1


def test_objects_are_found_without_the_manifest(machine: Any, nginx: Any) -> None:
    server = nginx()
    bodies = filled(machine, server)
    manifest = keyed(b"a context", "", "gocacheprog-manifest-v1").key.hash
    (path,) = (path for path in server.entries() if path.name == manifest)
    path.write_bytes(b"\xff\xff garbage")
    helper = machine(PROCESSION_CACHE_URL=server.url).helper()
    assert {name: helper.get(name) for name in bodies} == bodies
    helper.close()


def test_a_manifest_is_only_written_when_much_is_new(machine: Any, nginx: Any) -> None:
    server = nginx()
    bodies = filled(machine, server, 100)
    manifest = next(
        path for path in server.entries() if path.name == keyed(b"a context", "", "gocacheprog-manifest-v1").key.hash
    )
    first = manifest.read_bytes()
    for new, is_written in ((1, False), (3, True)):
        helper = machine(**shared(server)).helper()
        assert {name: helper.get(name) for name in bodies} == bodies
        for n in range(new):
            helper.get(f"new {n}")
            helper.put(f"new {n}", b"new")
        helper.close()
        for path in [path for path in server.entries() if path.name == keyed(action("new 0"), "").key.hash]:
            path.unlink()
        assert (manifest.read_bytes() != first) == is_written


def test_a_machine_that_has_everything_asks_nobody(machine: Any, nginx: Any) -> None:
    server = nginx()
    one = machine(**shared(server))
    helper = one.helper()
    helper.get("one")
    helper.put("one", b"an object")
    helper.get("never put")
    helper.close()
    before = len(server.log)
    helper = one.helper()
    assert helper.get("one") == b"an object"
    assert helper.get("never put") is None
    helper.put("one", b"an object")
    assert helper.close()["puts"] == 0
    assert server.log[before:] == []


def test_who_may_not_write_does_not(machine: Any, nginx: Any) -> None:
    server = nginx()
    helper = machine(PROCESSION_CACHE_URL=server.url).helper()
    helper.get("one")
    helper.put("one", b"an object")
    helper.close()
    assert [line for line in server.log if line.startswith("PUT")] == []


def test_an_object_that_the_server_has_lost_is_made_and_sent_again(machine: Any, nginx: Any) -> None:
    server = nginx()
    bodies = filled(machine, server)
    lost = {digest_of(bodies["3"]).hash, digest_of(bodies["2"]).hash}
    damaged = digest_of(bodies["6"]).hash
    for path in server.blobs():
        if path.name in lost:
            path.unlink()
        elif path.name == damaged:
            path.write_bytes(path.read_bytes()[::-1])
    helper = machine(**shared(server)).helper()
    got = {name: helper.get(name) for name in bodies}
    assert {name for name, body in got.items() if body is None} == {"2", "3", "6"}
    assert all(body == bodies[name] for name, body in got.items() if body is not None)
    for name in ("2", "3", "6"):
        helper.put(name, bodies[name])
    assert helper.close()["puts"] == 3
    assert lost <= {path.name for path in server.blobs()}


def test_an_entry_of_another_action_on_the_server_is_a_miss(machine: Any, nginx: Any) -> None:
    server = nginx()
    filled(machine, server, 4)
    found = {path.name: path for path in server.entries()}
    moved = found[keyed(action("1"), "").key.hash]
    shutil.copyfile(moved, moved.with_name(keyed(action("other"), "").key.hash))
    helper = machine(PROCESSION_CACHE_URL=server.url).helper()
    assert helper.get("other") is None
    assert "of another action" in "".join(helper.close()["warnings"])


def test_only_what_a_signer_vouches_for_is_used(machine: Any, server: Any) -> None:
    (private, public), (other_private, other_public) = new_pair(), new_pair()
    writer = machine(**shared(server), PROCESSION_CACHE_SIGNING_KEY=private)
    writer.write("pyproject.toml", f'{SETTINGS}[tool.procession.cache]\nsigners = ["{public}"]\n')
    helper = writer.helper()
    helper.get("one")
    helper.put("one", b"an object")
    helper.close()
    for signer, found in ((public, b"an object"), (other_public, None)):
        one = machine(PROCESSION_CACHE_URL=server.url)
        one.write("pyproject.toml", f'{SETTINGS}[tool.procession.cache]\nsigners = ["{signer}"]\n')
        helper = one.helper()
        assert helper.get("one") == found
        helper.close()
    assert other_private != private


def test_what_came_unsigned_is_not_used_once_there_are_signers(machine: Any, server: Any) -> None:
    bodies = filled(machine, server)
    one = machine(PROCESSION_CACHE_URL=server.url)
    helper = one.helper()
    assert {name: helper.get(name) for name in bodies} == bodies
    helper.put("made here", b"an object")
    helper.close()
    one.write("pyproject.toml", f'{SETTINGS}[tool.procession.cache]\nsigners = ["{new_pair()[1]}"]\n')
    helper = one.helper()
    assert [name for name in bodies if helper.get(name) is not None] == []
    assert helper.get("made here") == b"an object"
    helper.close()


@pytest.mark.parametrize("fault", ["refuse", pytest.param("hang"), "reset"])
def test_a_server_that_fails_costs_little(fault: str, machine: Any, server: Any, faulty: Any) -> None:
    way = faulty(server.url)
    getattr(way, fault)()
    helper = machine(**shared(way)).helper()
    started = time.monotonic()
    for n in range(20):
        assert helper.get(f"{n}") is None
        helper.put(f"{n}", b"%d" % n)
    said = helper.close()
    assert time.monotonic() - started < 12
    assert len(said["warnings"]) == 1
    assert "building without it" in said["warnings"][0]


def test_go_is_not_waited_for_when_it_is_gone(machine: Any, nginx: Any, faulty: Any) -> None:
    way = faulty(nginx().url)
    helper = machine(**shared(way)).helper()
    way.hang()
    for n in range(20):
        helper.put(f"{n}", b"%d" % n)
    started = time.monotonic()
    helper.end()
    assert time.monotonic() - started < 2


def test_settings_that_no_client_takes_leave_the_cache_of_this_machine(machine: Any) -> None:
    one = machine(PROCESSION_CACHE_URL="https://127.0.0.1:9", PROCESSION_CACHE_AUTHORITY="services/go.mod")
    helper = one.helper()
    assert helper.get("one") is None
    helper.put("one", b"an object")
    assert helper.get("one") == b"an object"
    assert len(helper.close()["warnings"]) == 1


# The manifest


def listed(name: str, age: int = 0) -> gomanifest.Listed:
    return gomanifest.Listed(digest_of(name.encode()), name.encode(), age)


def test_a_manifest_says_what_it_was_told() -> None:
    objects = {action(name): listed(name, age) for age, name in enumerate(["one", "two", ""])}
    text = gomanifest.encode(objects)
    assert list(gomanifest.decode(text).items()) == list(objects.items())


def test_what_nobody_uses_is_forgotten_after_a_while() -> None:
    known = {action("old"): listed("old")}
    for n in range(9):
        assert action("old") in known
        renewed = gomanifest.renewed(known, {action(f"{n}"): digest_of(b"new")})
        assert renewed is not None
        known = renewed
    assert action("old") not in known


def test_what_a_build_asks_for_first_is_listed_first() -> None:
    names = [f"{n}" for n in range(9)]
    random.Random(1).shuffle(names)
    used = {action(name): digest_of(name.encode()) for name in names}
    renewed = gomanifest.renewed({action("old"): listed("old")}, used)
    assert renewed is not None
    assert list(renewed) == [*used, action("old")]


def test_a_manifest_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gomanifest, "_MOST", 3)
    used = {action(f"{n}"): digest_of(b"") for n in range(9)}
    renewed = gomanifest.renewed({action("old"): listed("old")}, used)
    assert renewed is not None
    assert list(renewed) == list(used)[:3]


def test_a_path_in_a_manifest_does_not_lead_out_of_the_cache() -> None:
    named = gomanifest.Listed(dataclasses.replace(digest_of(b""), hash="../../../etc/passwd"))
    assert gomanifest.decode(gomanifest.encode({action("one"): named})) == {}


# What go is told


@pytest.mark.parametrize("word", ["plain", "a space", "it's", 'a "word"', "", "'", "a'b", "tab\tnew\nline"])
def test_go_splits_what_is_joined(word: str) -> None:
    value = cacheprog.cacheprog("/usr/bin/python", Path("/root"), word, Path("/s"), Path("/t"))
    assert value is not None
    assert split(value)[-3] == f"--context={word}"
    value = cacheprog.cacheprog(word or "x", Path("/root"), "", Path("/s"), Path("/t"))
    assert value is not None
    assert split(value)[0] == (word or "x")


def test_what_go_cannot_split_has_no_value() -> None:
    assert cacheprog.cacheprog('/it\'s a "word"', Path("/"), "", Path("/s"), Path("/t")) is None


def test_the_context_is_that_of_a_mode() -> None:
    mode = Mode(
        "services", None, Platform("linux", "amd64"), (), "", trimpath=True, cc="", environment=(), version=VERSION
    )
    assert cacheprog.context(mode) == f"go{VERSION} {mode.name}"
    assert cacheprog.context(mode) != cacheprog.context(dataclasses.replace(mode, gcflags="-N"))


def test_go_hands_on_what_the_settings_need() -> None:
    needed = {"PROCESSION_CACHE_TOKEN": "t", "PROCESSION_CACHE": "on", "GITHUB_EVENT_NAME": "push", "PYTHONPATH": "/p"}
    assert cacheprog.handed_on({**needed, "OTHER": "x", "GOFLAGS": "-a"}) == needed


# Builds with the go command


def test_a_fresh_machine_compiles_nothing(machine: Any, server: Any) -> None:
    first = machine(**shared(server)).build()
    assert first.said["misses"] > 20
    assert first.said["puts"] > 20
    again = machine(PROCESSION_CACHE_URL=server.url).build()
    assert again.program == first.program
    assert again.said["puts"] == 0
    assert again.said["remote"] > 20
    assert again.said["warnings"] == []


def test_a_build_without_a_server_finds_what_was_built(machine: Any, compiled: tuple[Path, Built]) -> None:
    cache, built = compiled
    one = machine()
    shutil.copytree(cache, one.cache)
    again = one.build()
    assert again.program == built.program
    assert (again.said["puts"], again.said["remote"]) == (0, 0)
    one.write("services/word/word.go", WORD.replace("hello", "goodbye"))
    changed = one.build()
    assert changed.program != built.program
    assert 0 < changed.said["puts"] < 10


def test_damaged_objects_are_compiled_anew(machine: Any, compiled: tuple[Path, Built]) -> None:
    cache, built = compiled
    one = machine()
    shutil.copytree(cache, one.cache)
    for n, path in enumerate(contents(one.cache)):
        if n % 3 == 0:
            path.unlink()
        elif n % 3 == 1:
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = one.build()
    assert again.program == built.program
    assert again.said["puts"] > 0
    # What was not looked at, because what led to it was damaged, is found by the next.
    assert any(one.build().said["puts"] == 0 for _ in range(3))


@pytest.mark.parametrize("fault", ["refuse", "hang", "reset", "trickle"])
def test_a_failing_server_delays_a_build_little(
    fault: str, machine: Any, nginx: Any, faulty: Any, compiled: tuple[Path, Built]
) -> None:
    server = nginx()
    _fill(server, compiled[0])
    way = faulty(server.url)
    getattr(way, fault)(*([2000] if fault == "trickle" else []))
    built = machine(**shared(way)).build()
    assert built.program == compiled[1].program
    assert built.seconds < compiled[1].seconds * 2 + 20


def test_a_build_without_a_cache_folder(machine: Any, compiled: tuple[Path, Built]) -> None:
    assert machine(PROCESSION_CACHE_DIR="/dev/null/cache").build().program == compiled[1].program


def _fill(server: Any, cache: Path) -> None:
    """Put a machine's cache on a server: the files are the same."""
    for kind in ("ac", "cas"):
        (server.folder / kind).mkdir()
        for path in cache.glob(f"{kind}/*/*"):
            shutil.copyfile(path, server.folder / kind / path.name)
