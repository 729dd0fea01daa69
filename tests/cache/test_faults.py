"""Servers and disks that fail: the build does its work, says so in a line, and loses little time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MADE = ("build/bin", "build/rootfs", "build/aci", "build/oci")
ALLOWANCE_S = 10.0


@dataclasses.dataclass(frozen=True)
class Alone:
    """What a build without any cache makes, and how long it takes."""

    seconds: float
    made: dict[str, bytes]


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory, new_workspace: type[Any]) -> Alone:
    new_workspace(tmp_path_factory.mktemp("warm") / "repository").build()  # fills Go's own cache
    workspace = new_workspace(tmp_path_factory.mktemp("alone") / "repository")
    started = time.monotonic()
    workspace.build()
    return Alone(time.monotonic() - started, workspace.files(*MADE))


@dataclasses.dataclass
class Bench:
    """A cache that one machine has filled, a way to it that fails, and what builds are to give."""

    server: Any
    way: Any
    clone: Callable[..., Any]
    alone: Alone

    def build(self, url: str, *, writes: bool = False, **environment: str) -> str:
        """Build on a machine that has never built, see that it went well, and return what it said on stderr."""
        workspace = self.clone(PROCESSION_CACHE_URL=url, **({"PROCESSION_CACHE_WRITE": "on"} if writes else {}))
        started = time.monotonic()
        ended = workspace.build(**environment)
        assert time.monotonic() - started < self.alone.seconds + ALLOWANCE_S
        assert workspace.files(*MADE) == self.alone.made
        assert "Traceback" not in ended.err
        assert workspace.doit().out == "nothing to do: 10 tasks up to date\n"
        return ended.err


@pytest.fixture(params=["nginx", "casd"])
def bench(
    request: pytest.FixtureRequest, clone: Callable[..., Any], faulty: Callable[[str], Any], alone: Alone
) -> Bench:
    server = request.getfixturevalue(request.param)()
    clone(PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_WRITE="on").build()
    return Bench(server, faulty(server.url), clone, alone)


FAULTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "refuses": (lambda way: way.refuse(), "nobody answers"),
    "resets": (lambda way: way.reset(), "nobody answers|connection"),
    "hangs": (lambda way: way.hang(), "no answer in time"),
    "truncates": (lambda way: way.truncate(300), "connection"),
    "truncates large answers": (lambda way: way.truncate(200_000), ""),
    "is slow": (lambda way: way.trickle(5_000), ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_when_it_is_read(fault: str, bench: Bench) -> None:
    break_it, _ = FAULTS[fault]
    break_it(bench.way)
    said = bench.build(bench.way.url)
    assert said.count("building without it") <= 1
    assert all(line.startswith("warning: cache") for line in said.splitlines())
    if fault in ("refuses", "resets", "hangs"):
        assert said.count("\n") == 1
        assert "building without it" in said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_when_it_is_written(fault: str, bench: Bench) -> None:
    break_it, _ = FAULTS[fault]
    break_it(bench.way)
    bench.build(bench.way.url, writes=True, PROCESSION_CACHE_SALT="never built before")


@pytest.mark.parametrize("kind", ["nginx", "casd"])
def test_a_server_that_goes_away_in_the_middle_of_uploads(
    kind: str, request: pytest.FixtureRequest, clone: Callable[..., Any], faulty: Callable[[str], Any], alone: Alone
) -> None:
    server = request.getfixturevalue(kind)()
    bench = Bench(server, faulty(server.url), clone, alone)
    bench.way.cut_uploads(300_000)
    said = bench.build(bench.way.url, writes=True)
    assert said.count("cache") == 1
    bench.way.heal()
    bench.build(server.url)  # whatever got there is whole


def test_a_server_that_is_slower_than_the_work(
    clone: Callable[..., Any], nginx: Callable[..., Any], faulty: Callable[[str], Any]
) -> None:
    server = nginx()
    large = "x".join(map(str, range(700_000)))
    a = clone(PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_WRITE="on")
    a.write("deploy/aci/api/rootfs/etc/large", large)
    a.build()
    way = faulty(server.url)
    way.trickle(150_000)
    b = clone(PROCESSION_CACHE_URL=way.url)
    b.write("deploy/aci/api/rootfs/etc/large", large)
    started = time.monotonic()
    b.build()
    assert time.monotonic() - started < 30
    assert b.files(*MADE) == a.files(*MADE)


def test_a_server_that_is_down(bench: Bench) -> None:
    bench.server.stop()
    said = bench.build(bench.server.url)
    assert said.startswith(f"warning: cache {bench.server.url}: nobody answers")
    assert said.endswith("; building without it\n")
    assert said.count("\n") == 1


def overwrite(paths: list[Path], content: Callable[[bytes], bytes]) -> None:
    assert paths
    for path in paths:
        old = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(content(old))


NGINX_FAULTS: dict[str, Callable[[Any], None]] = {
    "corrupts contents": lambda server: overwrite(server.blobs(), lambda old: old[:-1] + bytes([old[-1] ^ 1])),
    "cuts contents short": lambda server: overwrite(server.blobs(), lambda old: old[:-1]),
    "has HTML for contents": lambda server: overwrite(server.blobs(), lambda old: b"<html>welcome</html>"),
    "has garbage for results": lambda server: overwrite(server.entries(), lambda old: b"\xff\xfe garbage"),
    "has empty results": lambda server: overwrite(server.entries(), lambda old: b""),
    "cuts results short": lambda server: overwrite(server.entries(), lambda old: old[: len(old) // 2]),
    "evicts contents": lambda server: [path.unlink() for path in server.blobs()],
    "evicts half of the contents": lambda server: [path.unlink() for path in server.blobs()[::2]],
    "evicts results": lambda server: [path.unlink() for path in server.entries()],
}


@pytest.fixture
def filled(clone: Callable[..., Any], nginx: Callable[..., Any], alone: Alone) -> Bench:
    """As `bench`, with nginx, whose folder can be put wrong."""
    server = nginx()
    clone(PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_WRITE="on").build()
    return Bench(server, None, clone, alone)


@pytest.mark.parametrize("fault", NGINX_FAULTS)
def test_a_server_whose_storage_is_wrong(fault: str, filled: Bench) -> None:
    NGINX_FAULTS[fault](filled.server)
    filled.build(filled.server.url)
    filled.build(filled.server.url, writes=True)  # puts right what it can


def test_results_that_change_places(filled: Bench) -> None:
    entries = filled.server.entries()
    contents = [path.read_bytes() for path in entries]
    overwrite(entries, lambda old: contents[contents.index(old) - 1])
    said = filled.build(filled.server.url)
    assert "could not be used: of another action, or incomplete" in said


ROLES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "read only": ({"read_only": True}, {}, "HTTP 403 Forbidden; results of this run are not shared"),
    "a wrong token": (
        {"token": "right"},
        {"PROCESSION_CACHE_TOKEN": "wrong"},
        "HTTP 403 Forbidden; results of this run are not shared",
    ),
    "no password": ({"basic": ("me", "word")}, {}, "HTTP 401 Unauthorized; building without it"),
    "a wrong name": ({"wrong_name": True}, {}, "its certificate is not good: hostname mismatch; building without it"),
    "an unknown authority": ({"tls": True}, {}, "its certificate is not good: "),
}


@pytest.mark.parametrize("role", ROLES)
def test_a_server_that_does_not_let_us(
    role: str, clone: Callable[..., Any], nginx: Callable[..., Any], authority: Any, alone: Alone
) -> None:
    options, environment, words = ROLES[role]
    if role == "a wrong name":
        environment = environment | {"PROCESSION_CACHE_AUTHORITY": str(authority.certificate)}
    workspace = clone(PROCESSION_CACHE_URL=nginx(**options).url, PROCESSION_CACHE_WRITE="on", **environment)
    ended = workspace.build()
    assert words in ended.err
    assert all(line.startswith("warning: cache") for line in ended.err.splitlines())
    assert workspace.files(*MADE) == alone.made


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        ({"wrong_name": True}, {}, "certificate"),
        ({"token": "right", "read_token": "reader"}, {"PROCESSION_CACHE_TOKEN": "wrong"}, "does not know us"),
        ({"token": "right", "read_token": "reader"}, {"PROCESSION_CACHE_TOKEN": "reader"}, "not shared"),
    ],
)
def test_a_grpc_server_that_does_not_let_us(
    options: dict[str, Any],
    environment: dict[str, str],
    words: str,
    clone: Callable[..., Any],
    grpc_front: Callable[..., Any],
    authority: Any,
    alone: Alone,
) -> None:
    environment = environment | {"PROCESSION_CACHE_AUTHORITY": str(authority.certificate)}
    workspace = clone(PROCESSION_CACHE_URL=grpc_front(**options).url, PROCESSION_CACHE_WRITE="on", **environment)
    ended = workspace.build()
    assert words in ended.err
    assert workspace.files(*MADE) == alone.made


def test_a_cache_folder_on_a_full_disk(
    clone: Callable[..., Any], mount: Callable[..., None], tmp_path: Path, alone: Alone
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mount(full, "-t", "tmpfs", "-o", "size=64k", "none")
    workspace = clone(PROCESSION_CACHE_DIR=str(full))
    ended = workspace.build()
    assert ended.err == f"warning: cache {full}: cannot be written: No space left on device; going on without it\n"
    assert workspace.files(*MADE) == alone.made
    assert not list((full / "tmp").iterdir())


def test_a_cache_folder_on_a_full_disk_before_a_server(
    filled: Bench, clone: Callable[..., Any], mount: Callable[..., None], tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mount(full, "-t", "tmpfs", "-o", "size=64k", "none")
    said = filled.build(filled.server.url, PROCESSION_CACHE_DIR=str(full))
    assert "cannot be written: No space left on device; going on without it" in said


def test_a_cache_folder_that_is_no_folder(clone: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = clone(PROCESSION_CACHE_DIR=str(tmp_path / "file")).build()
    assert "cannot be written: Not a directory; going on without it" in ended.err
