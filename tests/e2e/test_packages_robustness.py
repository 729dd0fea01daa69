"""What a build of packages does when it is killed, stopped, crowded, short of room or given garbage."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOCK, YAML = "deploy/aci/db/packages.lock.yaml", "deploy/aci/db/image.yaml"
IMAGES = ("db", "web")
TASKS = sorted(
    f"{stage}:{image}" for stage in ("fetch-packages", "inject-packages", "pack-aci", "pack-oci") for image in IMAGES
)
ARTEFACTS = ("build/aci", "build/oci", "build/rootfs", "build/state/packages")
SERVER = "/debian/pool/main/s/server/server_1.0-1_amd64.deb"
INTERRUPTED = 130
MIB = 1024 * 1024
UNPACKING = "procession_tasks.debian.unpack"

pytestmark = pytest.mark.slow
_clean: dict[str, bytes] = {}


@pytest.fixture
def clean(supply: Any, locked: Any, tmp_path: Path) -> dict[str, bytes]:
    """The bytes of a build that nothing disturbed, made once, in another place and from another store."""
    if not _clean:
        other = supply.repository(tmp_path / "clean")
        for image in IMAGES:
            shutil.copyfile(*(each.path(f"deploy/aci/{image}/packages.lock.yaml") for each in (locked, other)))
        other.build(PROCESSION_CACHE_DIR=str(tmp_path / "clean-cache"))
        _clean.update(artefacts(other))
        supply.mirror.requests.clear()
    return dict(_clean)


def artefacts(workspace: Any) -> dict[str, bytes]:
    return workspace.files(*ARTEFACTS)


def leftovers(folder: Path) -> list[str]:
    """The temporary names below a folder."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if re.search(r"\.part$|^\.unpacking", path.name))
    return sorted(map(str, found))


def assert_nothing_half_made(workspace: Any, supply: Any, clean: dict[str, bytes]) -> None:
    """What has a final name is whole, in the repository and in the store."""
    parts = leftovers(workspace.root)
    there = {
        name: content
        for name, content in artefacts(workspace).items()
        if not any(name == part or name.startswith(f"{part}/") for part in parts)
    }
    assert there.keys() <= clean.keys()
    assert [name for name, content in there.items() if content != clean[name]] == []
    whole = {pin.sha256: pin.size for pin in supply.archive._stanzas}
    for deb in supply.store.glob("*.deb"):
        assert deb.stat().st_size == whole[deb.stem]
    unpacked = supply.cache / "debian/unpacked"
    assert {path.stem for path in unpacked.glob("*.contents")} <= {path.stem for path in unpacked.glob("*.data")}


def assert_done_and_clean(workspace: Any, supply: Any, clean: dict[str, bytes]) -> None:
    """The next build mends everything, the one after it has nothing to do."""
    workspace.build()
    assert artefacts(workspace) == clean
    assert leftovers(workspace.root) == []
    assert leftovers(supply.store) == []
    again = workspace.build()
    assert (again.ran, again.out) == ((), "nothing to do: 8 tasks up to date\n")


class Gate:
    """Holds what a mirror answers for some paths until it is opened."""

    def __init__(self, mirror: Any, part: str) -> None:
        self.waiting = 0
        self._part = part
        self._answer = mirror.answer
        self._opened = threading.Event()
        mirror.answer = self.answer

    def answer(self, to: Any) -> None:
        if self._part in to.path:
            self.waiting += 1
            self._opened.wait(60)
        self._answer(to)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def gate(supply: Any) -> Callable[[str], Gate]:
    """Hold the answers for paths that have a text in them."""
    return lambda part: Gate(supply.mirror, part)


def part_of_server(supply: Any) -> Path:
    """The partial file of the server's package."""
    pin = next(pin for pin in supply.archive._stanzas if (pin.name, pin.architecture) == ("server", "amd64"))
    return supply.store / f"{pin.sha256}.deb.part"


def has(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


# Kills


def test_a_kill_at_any_moment_costs_only_what_was_not_finished(
    supply: Any, locked: Any, clean: Any, start: Any
) -> None:
    took = time.monotonic()
    locked.build()
    took = time.monotonic() - took
    for sixth in range(2, 7):
        for folder in (locked.path("build"), supply.cache):
            shutil.rmtree(folder)
        run = start(locked, "build")
        time.sleep(took * sixth / 6)
        run.signal(signal.SIGKILL, group=True)
        run.wait()
        assert_nothing_half_made(locked, supply, clean)
        assert locked.doit("list").status == 0
        ended = locked.build()
        assert set(ended.ran).isdisjoint(run.ran), f"done twice after a kill at {sixth}/6 of the build"
        assert artefacts(locked) == clean
    assert locked.build().ran == ()


def test_a_download_that_was_killed_goes_on_where_it_was(
    supply: Any, locked: Any, clean: Any, start: Any, wait_until: Any
) -> None:
    supply.mirror.fail(SERVER, times=1, stall=300)
    run = start(locked, "build")
    wait_until(lambda: has(part_of_server(supply), 300), "the package has begun to come")
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert_nothing_half_made(locked, supply, clean)
    assert has(part_of_server(supply), 300)
    assert_done_and_clean(locked, supply, clean)
    assert [request for request in supply.mirror.requests if SERVER in request] == [SERVER, f"{SERVER} bytes=300-"]


@pytest.fixture
def large(supply: Any, locked: Any) -> bytes:
    """Have the image web hold a large file of a package, which compresses well."""
    content = bytes(24 * MIB)
    supply.package("page", "1.0-2", files={"usr/bin/page": b"page\n", "srv/large": content})
    supply.archive.publish()
    locked.build("lock:web")
    return content


def test_a_kill_while_a_package_is_unpacked_leaves_nothing_that_counts(
    supply: Any, locked: Any, large: bytes, start: Any, wait_until: Any, slow_machine: Any, tmp_path: Path
) -> None:
    unpacked = supply.cache / "debian/unpacked"
    run = start(locked, "build:web", **slow_machine(UNPACKING))
    wait_until(lambda: list(unpacked.glob(".unpacking-*/*.data")), "the package is being unpacked")
    time.sleep(0.5)
    assert run.going
    run.signal(signal.SIGKILL)
    run.wait()
    assert list(unpacked.glob("*.*")) == list(unpacked.glob(".unpacking-*"))
    assert "pack-aci:web" in locked.build("build:web").ran
    assert locked.path("build/rootfs/web/linux-amd64/srv/large").read_bytes() == large
    assert len(list(unpacked.glob(".unpacking-*"))) == 1, "another build could be at it"
    for path in unpacked.glob(".unpacking-*"):
        os.utime(path, (0, 0))
    for path in (*unpacked.glob("*.data"), *unpacked.glob("*.contents")):
        path.unlink()
    shutil.rmtree(locked.path("build"))
    locked.build("build:web")
    assert list(unpacked.glob(".unpacking-*")) == [], "what is long abandoned is removed"


def test_a_lock_that_is_killed_leaves_the_one_before(
    supply: Any, locked: Any, start: Any, gate: Any, wait_until: Any
) -> None:
    before = locked.read(LOCK)
    supply.server("1.0-2")
    supply.archive.publish()
    held = gate("by-hash")
    run = start(locked, "lock:db")
    wait_until(lambda: held.waiting, "the index is asked for")
    run.signal(signal.SIGKILL)
    run.wait()
    held.open()
    assert locked.read(LOCK) == before
    assert leftovers(locked.root) == []
    assert "server: 1.0-1 -> 1.0-2\n" in locked.build("lock:db").out


# Ctrl-C and SIGTERM


SIGNALS = pytest.mark.parametrize(
    ("number", "group"), [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
    ids=["ctrl-c", "int", "term"],
)  # fmt: skip


def assert_stopped_well(run: Any) -> None:
    stopped = time.monotonic()
    assert run.wait() == INTERRUPTED
    assert time.monotonic() - stopped < 3
    assert "Traceback" not in run.err
    assert "interrupted" in run.err


@SIGNALS
def test_a_build_stopped_while_it_downloads_ends_soon_and_goes_on_later(
    supply: Any, locked: Any, clean: Any, start: Any, wait_until: Any, number: int, *, group: bool
) -> None:
    supply.mirror.fail(SERVER, times=1, stall=300)
    run = start(locked, "build")
    wait_until(lambda: has(part_of_server(supply), 300), "the package has begun to come")
    run.signal(number, group=group)
    assert_stopped_well(run)
    assert leftovers(locked.root) == []
    assert_nothing_half_made(locked, supply, clean)
    assert_done_and_clean(locked, supply, clean)
    assert supply.mirror.requests.count(f"{SERVER} bytes=300-") == 1


@pytest.mark.parametrize(("word", "part"), [("build", "/pool/"), ("lock", "InRelease"), ("outdated", "by-hash")])
def test_a_run_stopped_while_nobody_answers_ends_soon(
    locked: Any, start: Any, gate: Any, wait_until: Any, word: str, part: str
) -> None:
    held = gate(part)
    run = start(locked, word)
    wait_until(lambda: held.waiting, "the mirror was asked")
    run.signal(signal.SIGINT)
    assert_stopped_well(run)
    held.open()


def test_a_build_stopped_while_it_unpacks_leaves_nothing(
    supply: Any, locked: Any, large: bytes, start: Any, wait_until: Any, slow_machine: Any
) -> None:
    unpacked = supply.cache / "debian/unpacked"
    run = start(locked, "build:web", **slow_machine(UNPACKING))
    wait_until(lambda: list(unpacked.glob(".unpacking-*/*.data")), "the package is being unpacked")
    time.sleep(0.5)
    assert run.going
    run.signal(signal.SIGINT)
    assert_stopped_well(run)
    assert list(unpacked.glob("*")) == []
    assert leftovers(locked.root) == []
    locked.build("build:web")
    assert locked.path("build/rootfs/web/linux-amd64/srv/large").read_bytes() == large


def test_a_build_stopped_while_it_stages_leaves_nothing(
    supply: Any, locked: Any, large: bytes, start: Any, wait_until: Any, slow_machine: Any
) -> None:
    part = locked.path("build/rootfs/web/.linux-amd64.part")
    run = start(locked, "build:web", **slow_machine("procession_tasks.rootfs.stage"))
    wait_until((part / "srv/large").exists, "the file is being copied")
    time.sleep(0.5)
    assert run.going
    run.signal(signal.SIGINT)
    assert_stopped_well(run)
    assert leftovers(locked.root) == []
    assert not locked.path("build/rootfs/web/linux-amd64").exists()
    assert locked.build("build:web").ran == ("inject-packages:web", "pack-aci:web", "pack-oci:web")


# Two builds at once


def test_builds_in_two_repositories_share_one_store_that_was_empty(
    supply: Any, locked: Any, clean: Any, start: Any, gate: Any, wait_until: Any, tmp_path: Path
) -> None:
    other = supply.repository(tmp_path / "other")
    for image in IMAGES:
        shutil.copyfile(*(each.path(f"deploy/aci/{image}/packages.lock.yaml") for each in (locked, other)))
    held = gate("/pool/")
    runs = [start(each, "build") for each in (locked, other)]
    wait_until(lambda: held.waiting == 4 and other.path("build/state/lock").exists(), "both are at it")
    time.sleep(0.5)
    held.open()
    assert [run.wait() for run in runs] == [0, 0], [run.err for run in runs]
    assert sorted(supply.mirror.requests) == sorted({*supply.mirror.requests}), "each package is downloaded once"
    for each in (locked, other):
        assert_done_and_clean(each, supply, clean)


def test_a_build_takes_over_what_another_one_was_killed_at(
    supply: Any, locked: Any, clean: Any, start: Any, wait_until: Any, tmp_path: Path
) -> None:
    other = supply.repository(tmp_path / "other")
    for image in IMAGES:
        shutil.copyfile(*(each.path(f"deploy/aci/{image}/packages.lock.yaml") for each in (locked, other)))
    supply.mirror.fail(SERVER, times=1, stall=300)
    first = start(locked, "build:db")
    wait_until(lambda: has(part_of_server(supply), 300), "the package has begun to come")
    second = start(other, "build")
    wait_until(lambda: "fetch-packages:web" in second.ran, "the second has all but what the first is at")
    time.sleep(0.3)
    assert second.going
    first.signal(signal.SIGKILL)
    first.wait()
    assert second.wait() == 0
    assert artefacts(other) == clean
    assert supply.mirror.requests.count(f"{SERVER} bytes=300-") == 1
    assert_done_and_clean(locked, supply, clean)


def test_a_second_build_in_a_repository_waits_and_finds_everything_done(
    supply: Any, locked: Any, clean: Any, start: Any, gate: Any, wait_until: Any
) -> None:
    held = gate("/pool/")
    first = start(locked, "build")
    wait_until(lambda: held.waiting, "the first downloads")
    second = start(locked, "build")
    wait_until(lambda: "\n" in second.err, "the second says that it waits")
    assert re.fullmatch(rf"waiting: process {first.pid} \((.* )?doit build\) is at work here\n", second.err)
    held.open()
    assert (first.wait(), second.wait()) == (0, 0)
    assert (sorted(first.ran), second.ran) == (TASKS, ())
    assert_done_and_clean(locked, supply, clean)


def test_a_build_that_waited_for_a_lock_builds_what_that_chose(
    supply: Any, packed: Any, start: Any, gate: Any, wait_until: Any
) -> None:
    supply.server("1.0-2")
    supply.archive.publish()
    held = gate("by-hash")
    first = start(packed, "lock:db")
    wait_until(lambda: held.waiting, "the first chooses packages")
    second = start(packed, "build:db")
    wait_until(lambda: "waiting" in second.err or not second.going, "the second waits or is done")
    held.open()
    assert (first.wait(), second.wait()) == (0, 0)
    packed.build("build:db")
    assert packed.read("build/rootfs/db/linux-amd64/usr/sbin/server") == "server 1.0-2 for amd64\n"
    assert packed.build("build:db").ran == ()


# Full disks


@pytest.fixture
def incompressible(supply: Any, locked: Any) -> bytes:
    """Have the image web hold 2 MiB that take as much room packed as unpacked."""
    content = random.Random(5).randbytes(2 * MIB)
    supply.package("page", "1.0-2", files={"usr/bin/page": b"page\n", "srv/large": content})
    supply.archive.publish()
    locked.build("lock:web")
    return content


# Where there is little room, how much, and the task that fails.
ROOM = {
    "downloading": ("cache", 1 * MIB, "fetch-packages:web"),
    "unpacking": ("cache", 3 * MIB, "inject-packages:web"),
    "staging": ("repository/build", 1 * MIB, "inject-packages:web"),
    "packing": ("repository/build", 3 * MIB, "pack-(aci|oci):web"),  # two do it at once
}


@pytest.mark.parametrize("room", ROOM)
def test_a_full_disk_is_told_and_the_same_command_succeeds_with_room(
    supply: Any, locked: Any, incompressible: bytes, mount: Any, tmp_path: Path, room: str
) -> None:
    folder, size, task = ROOM[room]
    shutil.rmtree(supply.cache)
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    mount(place, "-t", "tmpfs", "-o", "size=16m", "tmpfs")
    filler = place / "filler"
    with filler.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, 16 * MIB - size)
    ended = locked.doit("build:web")
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert re.search(f"^{task}: failed$", ended.err, re.MULTILINE)
    assert "no space left on device" in ended.err.lower()
    assert "hint: make room on the disk" in ended.err
    assert str(place if folder == "cache" else "build/") in ended.err
    assert not locked.aci("web").exists()
    assert [part for part in leftovers(locked.root) + leftovers(supply.cache) if ".deb." not in part] == []
    filler.unlink()
    locked.build("build:web")
    assert locked.path("build/rootfs/web/linux-amd64/srv/large").read_bytes() == incompressible
    assert leftovers(supply.cache) == []
    assert locked.build("build:web").ran == ()


def test_a_store_that_can_only_be_read_is_enough_when_it_has_everything(
    supply: Any, packed: Any, clean: Any, mount: Any
) -> None:
    mount(supply.cache, "--bind", str(supply.cache))
    mount(supply.cache, "-o", "remount,bind,ro")
    shutil.rmtree(packed.path("build"))
    assert sorted(packed.build().ran) == TASKS
    assert artefacts(packed) == clean


def test_a_store_that_can_only_be_read_is_named_when_something_is_missing(supply: Any, packed: Any, mount: Any) -> None:
    part_of_server(supply).with_suffix("").unlink()
    mount(supply.cache, "--bind", str(supply.cache))
    mount(supply.cache, "-o", "remount,bind,ro")
    shutil.rmtree(packed.path("build"))
    ended = packed.doit("build:db")
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert str(supply.cache) in ended.err
    assert "Read-only file system" in ended.err


# Garbage and planted links


def test_garbage_where_a_download_would_go_on_costs_time_only(supply: Any, locked: Any, clean: Any) -> None:
    part = part_of_server(supply)
    size = (supply.archive.folder / SERVER[1:]).stat().st_size
    supply.store.mkdir(parents=True)
    for garbage in (100, size, size + 100):
        part.write_bytes(random.Random(garbage).randbytes(garbage))
        assert_done_and_clean(locked, supply, clean)
        shutil.rmtree(locked.path("build"))
        part.with_suffix("").unlink()


@pytest.mark.parametrize(
    "name", ["packages/{}.deb", "packages/{}.deb.part", "unpacked/{}.data", "unpacked/{}.contents"]
)
def test_nothing_is_written_through_a_link_planted_in_the_store(
    supply: Any, locked: Any, clean: Any, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    link = supply.cache / "debian" / name.format(part_of_server(supply).name.partition(".")[0])
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    assert_done_and_clean(locked, supply, clean)
    assert victim.read_text() == "mine\n"


def test_files_of_others_in_the_store_are_left_alone(supply: Any, locked: Any, clean: Any) -> None:
    mine = [supply.cache / f"debian/{folder}/mine" for folder in ("packages", "unpacked", "indexes")]
    for path in mine:
        path.parent.mkdir(parents=True)
        path.write_text("mine\n")
    locked.build("lock")
    assert_done_and_clean(locked, supply, clean)
    assert [path.read_text() for path in mine] == ["mine\n"] * 3


# What is told meanwhile


def test_a_download_that_takes_long_tells_how_far_it_is(
    supply: Any, locked: Any, incompressible: bytes, start: Any, gate: Any, wait_until: Any
) -> None:
    held = gate("/pool/")
    run = start(locked, "build:web")
    wait_until(lambda: held.waiting, "the package was asked for")
    time.sleep(1.1)
    held.open()
    assert run.wait() == 0
    told = run.err.splitlines()
    assert re.fullmatch(r"downloading packages of web: [0-2]\.[0-9] of 2\.1 MB", told[0])
    assert told[-1] == "downloading packages of web: 2.1 of 2.1 MB"


def test_what_is_quick_is_not_told(locked: Any) -> None:
    assert locked.build().err == ""
