"""The store has packages to the byte, and says of all that cannot be had why."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption, process
from procession_tasks.debian import progress as progresses
from procession_tasks.debian import store as stores
from procession_tasks.debian import transport
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.repositories import Place
from procession_tasks.debian.store import Request, Store
from procession_tasks.errors import BuildError
from procession_tasks.interruption import InterruptedWorkError

pytestmark = pytest.mark.usefixtures("in_haste")

LOCK = "deploy/aci/etcd/packages.lock.yaml"
NAMES = ("a", "b", "libc++1", "d", "e", "f")


class Bench:
    """An archive of a few packages, and a store for them."""

    def __init__(self, published: Any, folder: Path) -> None:
        self.published = published
        self.mirror = published.mirror
        self.folder = folder / "cache/packages"
        self.pins = tuple(published.add_package(name, files={"usr/share/x": os.urandom(1000)}) for name in NAMES)
        self.places = [Place(f"{published.url}/debian")]

    @property
    def store(self) -> Store:
        """The store as a new run sees it."""
        return Store(self.folder)

    def ensure(
        self, *pins: Pin, newest: Callable[[Pin], str | None] = lambda _: None, places: Sequence[Place] | None = None
    ) -> None:
        request = Request(LOCK, "etcd", pins or self.pins)
        self.store.ensure(request, lambda _: self.places if places is None else places, newest)

    def failure(self, *pins: Pin, **how: Any) -> BuildError:
        """What is told of packages that cannot be had; never an address."""
        with pytest.raises(BuildError) as failed:
            self.ensure(*pins, **how)
        told = ("127.0.0.1", "localhost", self.published.url.rpartition(":")[2], "://", "example")
        assert [word for word in told if word in str(failed.value)] == []
        return failed.value

    def path(self, pin: Pin) -> Path:
        return self.store.path(pin)

    def original(self, pin: Pin) -> Path:
        return Path(self.published.folder, pin.repository, pin.path)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    @property
    def is_full(self) -> bool:
        return self.names == sorted(f"{pin.sha256}.deb" for pin in self.pins) and all(map(self.store.holds, self.pins))


@pytest.fixture
def bench(debian_archive: Any, tmp_path: Path) -> Bench:
    return Bench(debian_archive, tmp_path)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_packages_are_fetched_to_the_byte(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.ensure()

    assert bench.is_full
    for pin in bench.pins:
        assert bench.path(pin).read_bytes() == bench.original(pin).read_bytes()
    assert len(bench.mirror.requests) == len(bench.pins)
    assert capsys.readouterr() == ("", "")


def test_a_few_are_fetched_at_once(bench: Bench) -> None:
    for pin in bench.pins:
        bench.mirror.fail(f"/debian/{pin.path}", 1, stall=10)
    seen: list[int] = []

    def watch() -> None:
        until(lambda: len(bench.mirror.requests) == 4)
        time.sleep(0.2)
        seen.append(len(bench.mirror.requests))
        bench.mirror.go_on.set()

    watching = threading.Thread(target=watch)
    watching.start()
    bench.ensure()
    watching.join()

    assert bench.is_full
    assert seen == [4]


def test_a_package_that_is_asked_for_twice_is_fetched_once(bench: Bench) -> None:
    bench.ensure(bench.pins[0], bench.pins[0])

    assert len(bench.mirror.requests) == 1


def test_with_a_warm_store_nothing_is_asked_and_nothing_is_started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ensure()
    bench.mirror.close()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    for module, name in ((process, "run"), (transport, "opened"), (threading, "Thread"), (stores, "Progress")):
        monkeypatch.setattr(module, name, never)
    bench.store.ensure(Request(LOCK, "etcd", bench.pins), never, never)


class TestFailures:
    """What cannot be had is told once for all packages."""

    def test_each_is_told_with_its_kind_and_what_there_is_now(self, bench: Bench) -> None:
        gone, changed, refused, moved, *_ = bench.pins
        bench.published.remove_package(gone)
        bench.mirror.fail(f"/debian/{changed.path}", content=b"something else")
        bench.mirror.fail(f"/debian/{refused.path}", status=503)
        bench.published.remove_package(moved)
        now = {"a": "2.0-1", "d": "1.0-1"}

        failure = bench.failure(newest=lambda pin: now.get(pin.name))

        assert failure.message == (
            f"{LOCK}: 4 of 6 packages cannot be had\n"
            "  a 1.0-1 all: gone: HTTP 404 Not Found; bookworm has 2.0-1 now\n"
            f"    debian/pool/main/a/a/a_1.0-1_all.deb sha256 {gone.sha256}\n"
            f"  b 1.0-1 all: changed: must have {changed.size} bytes, got 14\n"
            f"    debian/pool/main/b/b/b_1.0-1_all.deb sha256 {changed.sha256}\n"
            "  d 1.0-1 all: gone: HTTP 404 Not Found; bookworm has the same version now\n"
            f"    debian/pool/main/d/d/d_1.0-1_all.deb sha256 {moved.sha256}\n"
            "  libc++1 1.0-1 all: unreachable: HTTP 503 Service Unavailable\n"
            f"    debian/pool/main/l/libc++1/libc++1_1.0-1_all.deb sha256 {refused.sha256}"
        )
        assert failure.hint == (
            f"doit lock:etcd chooses anew; or put each file into {bench.folder} as <sha256>.deb;"
            " or set snapshot under [tool.procession.debian]"
        )
        assert sum(name.endswith(".deb") for name in bench.names) == 2

    def test_a_mirror_that_is_down_is_told_and_nobody_asks_for_newer_versions(self, bench: Bench) -> None:
        bench.mirror.close()

        def newest(_: Pin) -> str | None:
            raise AssertionError

        failure = bench.failure(newest=newest)

        assert failure.message.startswith(f"{LOCK}: 6 of 6 packages cannot be had\n")
        assert failure.message.count(": unreachable: connection refused\n") == 6
        assert failure.hint == (
            "see whether the network and the mirror work, or set PROCESSION_DEBIAN_MIRROR to another mirror;"
            f" or put each file into {bench.folder} as <sha256>.deb; or set snapshot under [tool.procession.debian]"
        )

    def test_where_nobody_answers_is_not_asked_for_every_package(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.mirror.close()
        tried: list[str] = []
        download = stores.download

        def counted(place: Place, path: str, *rest: Any) -> None:
            tried.append(path)
            download(place, path, *rest)

        monkeypatch.setattr(stores, "download", counted)
        monkeypatch.setattr(stores, "_AT_ONCE", 1)
        bench.failure()

        assert len(tried) == 1

    def test_without_any_place_that_is_told(self, bench: Bench) -> None:
        message = bench.failure(places=[]).message

        assert "  a 1.0-1 all: unreachable: nothing says where it may be had\n" in message

    def test_who_does_not_know_where_repositories_are_fetches_nothing(self, bench: Bench) -> None:
        def places(pin: Pin) -> list[Place]:
            raise BuildError(f"{pin.repository}: nothing says where this repository is")

        with pytest.raises(BuildError, match="^debian: nothing says where this repository is$"):
            bench.store.ensure(Request(LOCK, "etcd", bench.pins), places, lambda _: None)

    def test_after_an_error_of_the_system_nothing_new_begins(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tried: list[str] = []

        def download(_: Place, path: str, *__: Any) -> None:
            tried.append(path)
            raise PermissionError(errno.EACCES, "Permission denied", path)

        monkeypatch.setattr(stores, "download", download)
        monkeypatch.setattr(stores, "_AT_ONCE", 1)
        with pytest.raises(PermissionError):
            bench.ensure()

        assert len(tried) == 1

    def test_a_disk_that_is_full_is_told_with_the_file(self, bench: Bench) -> None:
        if shutil.which("mount") is None:
            pytest.skip("mount is not installed")
        bench.folder.mkdir(parents=True)
        large = bench.published.add_package("large", files={"x": os.urandom(200_000)})
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", bench.folder]).returncode:
            pytest.skip("mount needs root")
        try:
            with pytest.raises(OSError, match="No space left") as failed:
                bench.ensure(large, *bench.pins)
            assert failed.value.errno == errno.ENOSPC
            assert re.search(r"/[0-9a-f]{64}\.deb\.part$", str(failed.value.filename))
            assert not bench.store.holds(large)
        finally:
            subprocess.run(["umount", "--lazy", bench.folder], check=True)


class TestSeveralPlaces:
    """What one place does not have, the next may."""

    @pytest.fixture
    def snapshot(self, bench: Bench, new_mirror: Callable[..., Any], tmp_path: Path) -> Place:
        shutil.copytree(bench.published.folder, tmp_path / "snapshot/20260102T030405Z")
        return Place(f"{new_mirror(tmp_path / 'snapshot').url}/20260102T030405Z/debian")

    def test_a_package_that_is_gone_comes_from_a_snapshot(self, bench: Bench, snapshot: Place) -> None:
        bench.published.remove_package(bench.pins[2])
        bench.ensure(places=[*bench.places, snapshot])

        assert bench.is_full
        assert len(bench.mirror.requests) == 6

    def test_a_package_that_was_changed_comes_from_a_snapshot(self, bench: Bench, snapshot: Place) -> None:
        bench.original(bench.pins[0]).write_bytes(os.urandom(bench.pins[0].size))
        bench.ensure(places=[*bench.places, snapshot])

        assert bench.is_full

    def test_a_mirror_that_is_down_does_no_harm(self, bench: Bench, snapshot: Place) -> None:
        bench.mirror.close()
        bench.ensure(places=[*bench.places, snapshot])

        assert bench.is_full

    def test_of_two_failures_the_first_is_told(self, bench: Bench, snapshot: Place) -> None:
        bench.published.remove_package(bench.pins[0])
        nowhere = Place("http://127.0.0.1:9/debian")

        assert "  a 1.0-1 all: gone: HTTP 404 Not Found\n" in bench.failure(places=[*bench.places, nowhere]).message


class TestFilesThatAreThere:
    """Only bytes count."""

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda good: bytes([good[0] ^ 1]) + good[1:],
            lambda good: good[:-1],
            lambda good: good + b"x",
            lambda _: b"",
            lambda _: b"<html>Log in</html>",
        ],
    )
    def test_a_file_that_is_not_what_its_name_says_is_replaced(
        self, bench: Bench, spoil: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
    ) -> None:
        bench.ensure()
        pin = bench.pins[2]
        bench.path(pin).write_bytes(spoil(bench.path(pin).read_bytes()))
        bench.mirror.requests.clear()
        bench.ensure()

        assert bench.is_full
        assert bench.mirror.requests == [f"/debian/{pin.path.replace('+', '%2B')}"]
        assert capsys.readouterr().err == (
            f"warning: {bench.path(pin)}: must be libc++1 1.0-1 all to the byte, got something else;"
            " it is downloaded anew\n"
        )

    def test_one_that_cannot_be_replaced_does_not_count(self, bench: Bench) -> None:
        bench.ensure()
        bench.path(bench.pins[0]).write_bytes(b"tampered")
        bench.mirror.close()

        assert "1 of 6 packages cannot be had" in bench.failure().message
        assert not bench.store.holds(bench.pins[0])

    def test_one_that_is_changed_during_a_run_is_noticed(self, bench: Bench) -> None:
        bench.ensure()
        store, pin = bench.store, bench.pins[0]
        assert store.holds(pin)
        good = bench.path(pin).read_bytes()
        stat = bench.path(pin).stat()
        time.sleep(0.02)  # the clock of files ticks every 4 ms or so
        with bench.path(pin).open("r+b") as file:
            file.write(b"?")
        os.utime(bench.path(pin), ns=(stat.st_atime_ns, stat.st_mtime_ns))

        assert not store.holds(pin)
        bench.path(pin).write_bytes(good)
        assert store.holds(pin)

    def test_one_that_is_known_is_not_read_again(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.ensure()
        store = bench.store
        assert all(map(store.holds, bench.pins))
        monkeypatch.setattr(stores.Wanted, "is_in", lambda *_: pytest.fail("was read"))

        assert all(map(store.holds, bench.pins))

    def test_a_file_that_was_put_there_by_hand_is_used(self, bench: Bench) -> None:
        bench.folder.mkdir(parents=True)
        shutil.copyfile(bench.original(bench.pins[0]), bench.path(bench.pins[0]))
        bench.path(bench.pins[1]).symlink_to(bench.original(bench.pins[1]))
        os.link(bench.original(bench.pins[2]), bench.path(bench.pins[2]))
        bench.ensure()

        assert bench.is_full
        assert len(bench.mirror.requests) == 3

    def test_what_else_is_there_is_left_alone(self, bench: Bench) -> None:
        bench.folder.mkdir(parents=True)
        (bench.folder / "README").write_text("mine")
        bench.ensure()

        assert (bench.folder / "README").read_text() == "mine"


PROCESS = """\
import signal, sys
from pathlib import Path
from procession_tasks.debian.lock import parse_pins
from procession_tasks.debian.repositories import Place
from procession_tasks.debian.store import Request, Store
url, folder, pins = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background have ignored
print("begins", flush=True)
request = Request("lock", "etcd", parse_pins(Path(pins).read_bytes()))
Store(Path(folder)).ensure(request, lambda _: [Place(url)], lambda _: None)
"""


@pytest.fixture
def start(bench: Bench, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a process that wants all packages; returns when it begins."""
    from procession_tasks.debian.lock import dump_pins

    (tmp_path / "pins").write_bytes(dump_pins(bench.pins))
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROCESS, bench.places[0].url, bench.folder, tmp_path / "pins"]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert started[-1].stdout
        assert started[-1].stdout.readline() == "begins\n"
        return started[-1]

    yield begin
    for process_ in started:
        process_.kill()
        process_.communicate()


def test_two_processes_with_one_store_fetch_everything_once(bench: Bench, start: Callable[[], Any]) -> None:
    for pin in bench.pins:
        bench.mirror.fail(f"/debian/{pin.path}", 1, stall=10)
    first, second = start(), start()
    time.sleep(0.3)
    bench.mirror.go_on.set()

    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert bench.is_full
    assert len(bench.mirror.requests) == len(bench.pins)


def test_who_is_interrupted_does_not_wait_for_a_mirror_that_hangs(bench: Bench, start: Callable[[], Any]) -> None:
    for pin in bench.pins:
        bench.mirror.fail(f"/debian/{pin.path}", stall=10)
    run = start()
    until(lambda: len(list(bench.folder.glob("*.part"))) == 4 and len(bench.mirror.requests) == 4)
    begin = time.monotonic()
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=20)

    assert time.monotonic() - begin < 3
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert {name.partition(".")[2] for name in bench.names} == {"deb.part"}


def test_work_that_is_asked_to_stop_stops_and_keeps_what_came(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for pin in bench.pins:
        bench.mirror.fail(f"/debian/{pin.path}", 1, stall=100)

    def check() -> None:
        parts = list(bench.folder.glob("*.part"))
        if len(parts) == 4 and all(path.stat().st_size == 100 for path in parts):
            raise InterruptedWorkError

    begin = time.monotonic()
    with monkeypatch.context() as patch, pytest.raises(InterruptedWorkError):
        patch.setattr(interruption, "check", check)
        bench.ensure()
    assert time.monotonic() - begin < 15  # the mirror would take longer
    assert {name.partition(".")[2] for name in bench.names} == {"deb.part"}

    bench.mirror.go_on.set()
    bench.ensure()
    assert bench.is_full


def test_a_download_that_takes_long_is_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progresses, "_QUIET_S", 0)
    bench.ensure()

    total = sum(pin.size for pin in bench.pins) / 1_000_000
    assert capsys.readouterr().err.endswith(f"downloading packages of etcd: {total:.1f} of {total:.1f} MB\n")
