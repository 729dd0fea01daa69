"""What a build does when it is killed, stopped, crowded, short of room or given garbage."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image.aci import write_aci
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.stage import stage
from procession_tasks.rootfs.tree import Entry, parse

IMAGES = ("api", "iam")
STEPS = ("go-inputs", "go-compile", "inject-binary", "pack-aci", "pack-oci")
TASKS = sorted(f"{step}:{image}" for step in STEPS for image in IMAGES)
ARTEFACTS = ("build/aci", "build/oci", "build/bin", "build/rootfs", "build/state/inputs")
BINARY = "build/bin/linux-amd64/api"
MOTD = "deploy/aci/api/rootfs/etc/motd"
SOURCE = "services/internal/apionly/api.go"
INTERRUPTED = 130
MIB = 1024 * 1024


_clean: dict[str, bytes] = {}


@pytest.fixture
def clean(new_workspace: Any, tmp_path: Path) -> dict[str, bytes]:
    """The bytes of a build that nothing disturbed, made once, in another place."""
    if not _clean:
        other = new_workspace(tmp_path / "clean")
        other.build()
        _clean.update(other.files(*ARTEFACTS))
    return dict(_clean)


def artefacts(workspace: Any) -> dict[str, bytes]:
    return workspace.files(*ARTEFACTS)


def leftovers(workspace: Any) -> list[str]:
    """The temporary names below build/."""
    found = (path for path in workspace.path("build").rglob("*") if path.name.startswith(".") and "part" in path.name)
    return sorted(str(path.relative_to(workspace.root)) for path in found)


def assert_nothing_half_made(workspace: Any, clean: dict[str, bytes]) -> None:
    """What has a final name is whole: each file as in a clean build, each staged tree complete."""
    temporary = set(leftovers(workspace))
    there = {
        name: content
        for name, content in artefacts(workspace).items()
        if not any(name == part or name.startswith(f"{part}/") for part in temporary)
    }
    assert there.keys() <= clean.keys()
    assert [name for name, content in there.items() if content != clean[name]] == []
    for image in IMAGES:
        tree = f"build/rootfs/{image}/linux-amd64"
        if workspace.path(tree).exists():
            assert {name for name in there if name.startswith(f"{tree}/")} == {
                name for name in clean if name.startswith(f"{tree}/")
            }


def assert_told_without_traceback(text: str) -> None:
    assert "Traceback" not in text
    assert text.strip()


def assert_done_and_clean(workspace: Any, clean: dict[str, bytes]) -> None:
    """The next build mends everything, the one after it has nothing to do."""
    workspace.build()
    assert artefacts(workspace) == clean
    assert leftovers(workspace) == []
    again = workspace.build()
    assert (again.ran, again.out) == ((), "nothing to do: 10 tasks up to date\n")


# Two builds at once


def test_a_second_build_waits_for_the_first_and_finds_everything_done(
    workspace: Any, clean: Any, start: Any, gated_go: Any, wait_until: Any
) -> None:
    go = gated_go(workspace)
    first = start(workspace, "build")
    wait_until(lambda: go.count("build"), "the first compiles")
    second = start(workspace, "build")
    wait_until(lambda: "\n" in second.err, "the second says that it waits")
    assert re.fullmatch(rf"waiting: process {first.pid} \((.* )?doit build\) is at work here\n", second.err)
    go.open()
    assert (first.wait(), second.wait()) == (0, 0)
    assert (sorted(first.ran), second.ran) == (TASKS, ())
    assert second.out == "nothing to do: 10 tasks up to date\n"
    assert go.count("build") == 1
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_builds_of_different_images_at_once_keep_each_others_state(
    workspace: Any, clean: Any, start: Any, gated_go: Any, wait_until: Any
) -> None:
    go = gated_go(workspace)
    runs = [start(workspace, f"build:{image}") for image in IMAGES]
    wait_until(lambda: go.count("build") and any("waiting" in run.err for run in runs), "one waits for the other")
    go.open()
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(name for run in runs for name in run.ran) == TASKS
    assert workspace.build().ran == ()
    assert artefacts(workspace) == clean


@pytest.mark.slow
def test_a_build_that_waits_goes_on_when_the_one_before_it_is_killed(
    workspace: Any, clean: Any, start: Any, gated_go: Any, wait_until: Any
) -> None:
    go = gated_go(workspace)
    first = start(workspace, "build")
    wait_until(lambda: go.count("build"), "the first compiles")
    second = start(workspace, "build")
    wait_until(lambda: "waiting" in second.err, "the second waits")
    first.signal(signal.SIGKILL)
    go.open()
    assert (first.wait(), second.wait()) == (-signal.SIGKILL, 0)
    assert set(second.ran).isdisjoint(first.ran)
    assert sorted(first.ran + second.ran) == TASKS
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_build_that_waits_can_be_stopped_and_the_first_goes_on(
    workspace: Any, clean: Any, start: Any, gated_go: Any, wait_until: Any
) -> None:
    go = gated_go(workspace)
    first = start(workspace, "build")
    wait_until(lambda: go.count("build"), "the first compiles")
    second = start(workspace, "build")
    wait_until(lambda: "waiting" in second.err, "the second waits")
    second.signal(signal.SIGINT)
    assert second.wait() == INTERRUPTED
    assert_told_without_traceback(second.err)
    go.open()
    assert first.wait() == 0
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_an_edit_made_while_a_build_waits_is_built(workspace: Any, start: Any, gated_go: Any, wait_until: Any) -> None:
    """And going back on it later is noticed: what was seen before the wait is not what was built."""
    workspace.build()
    go = gated_go(workspace)
    workspace.edit("services/internal/iamonly/iam.go", '"iamonly"', '"edited"')
    original = workspace.read(MOTD)
    first = start(workspace, "build:iam")
    wait_until(lambda: go.count("build"), "the first compiles")
    workspace.write(MOTD, "one\n")
    second = start(workspace, "build:api")
    wait_until(lambda: "waiting" in second.err, "the second waits")
    workspace.write(MOTD, "two\n")
    go.open()
    assert (first.wait(), second.wait()) == (0, 0)
    assert workspace.read("build/rootfs/api/linux-amd64/etc/motd") == "two\n"
    for text in ("one\n", original):
        workspace.write(MOTD, text)
        workspace.build()
        assert workspace.read("build/rootfs/api/linux-amd64/etc/motd") == text


# Kills


@pytest.mark.slow
def test_a_kill_at_any_moment_costs_only_what_was_not_finished(workspace: Any, clean: Any, start: Any) -> None:
    took = time.monotonic()
    workspace.build()
    took = time.monotonic() - took
    for tenth in range(2, 11):
        shutil.rmtree(workspace.path("build"))
        run = start(workspace, "build")
        time.sleep(took * tenth / 10)
        run.signal(signal.SIGKILL, group=True)
        run.wait()
        assert_nothing_half_made(workspace, clean)
        assert workspace.doit("list").status == 0
        assert workspace.doit("info", "pack-aci:api").err == ""
        ended = workspace.build()
        assert set(ended.ran).isdisjoint(run.ran), f"done twice after a kill at {tenth}/10 of the build"
        assert artefacts(workspace) == clean
        assert leftovers(workspace) == []
    assert workspace.build().ran == ()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_right_after_a_step_keeps_that_step(workspace: Any, start: Any, wait_until: Any, step: str) -> None:
    """A large file in one image makes the later steps long enough to be hit."""
    workspace.path("deploy/aci/iam/rootfs/large").write_bytes(random.Random(1).randbytes(24 * MIB))
    run = start(workspace, "build")
    wait_until(lambda: any(name.startswith(f"{step}:") for name in run.ran) or not run.going, f"{step} is done")
    run.signal(signal.SIGKILL, group=True)
    run.wait()
    assert any(name.startswith(f"{step}:") for name in run.ran)
    ended = workspace.build()
    assert set(ended.ran).isdisjoint(run.ran)
    assert sorted({*ended.ran, *run.ran}) == TASKS
    assert leftovers(workspace) == []
    assert workspace.build().ran == ()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["build", "listing"])
def test_a_kill_while_go_runs_leaves_nothing_under_a_final_name(
    workspace: Any, clean: Any, start: Any, wrap_go: Any, wait_until: Any, tmp_path: Path, moment: str
) -> None:
    go = wrap_go(workspace, tmp_path / "slow-go", **{moment: "sleep 30"})
    word = {"build": "build", "listing": "list"}[moment]
    run = start(workspace, "build")
    wait_until(lambda: go.count(word), "go runs")
    run.signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert_nothing_half_made(workspace, clean)
    assert workspace.doit("list").status == 0
    del workspace.environment["PROCESSION_GO"]
    assert set(workspace.build().ran).isdisjoint(run.ran)
    assert_done_and_clean(workspace, clean)


LATE = """\
if mkdir "$here/first" 2>/dev/null; then
    for word in "$@"; do case $word in -o=*) out=${word#-o=} ;; esac; done
    "$real" "$@" && cp -r "$out" "$here/late"
    touch "$here/compiled"
    n=0; while [ ! -e "$here/gate" ] && [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done
    cp -r "$here/late/." "$out"
    touch "$here/copied"
    exit 0
fi
"$real" "$@"
status=$?
touch "$here/gate"
n=0; while [ ! -e "$here/copied" ] && [ -e "$here/compiled" ] && [ $n -lt 100 ]; do sleep 0.05; n=$((n+1)); done
exit $status
"""


@pytest.mark.slow
def test_a_compiler_that_outlives_its_killed_build_does_not_spoil_the_next(
    workspace: Any, start: Any, wrap_go: Any, wait_until: Any, tmp_path: Path
) -> None:
    """Go puts the program in its place last; one from before an edit must not end up in the image."""
    go = wrap_go(workspace, tmp_path / "late-go", build=LATE)
    workspace.edit(SOURCE, '"apionly"', '"old-word"')
    run = start(workspace, "build:api")
    wait_until((go.folder / "compiled").exists, "the first has compiled")
    run.signal(signal.SIGKILL)
    run.wait()
    workspace.edit(SOURCE, '"old-word"', '"new-word"')
    workspace.build("build:api")
    content = workspace.path(BINARY).read_bytes()
    assert (b"old-word" in content, b"new-word" in content) == (False, True)


@pytest.mark.slow
def test_clean_removes_what_a_kill_left(
    workspace: Any, start: Any, wrap_go: Any, wait_until: Any, tmp_path: Path
) -> None:
    go = wrap_go(workspace, tmp_path / "slow-go", build='touch "$here/in"; sleep 30')
    run = start(workspace, "build")
    wait_until(lambda: go.count("build"), "go runs")
    run.signal(signal.SIGKILL, group=True)
    run.wait()
    for name in ("aci/.api-1.0.0-linux-amd64.aci.part", "rootfs/api/.linux-amd64.files.part"):
        workspace.write(f"build/{name}", "half\n")
    workspace.write("build/rootfs/api/.linux-amd64.part/etc/motd", "half\n")
    workspace.build("clean")
    assert leftovers(workspace) == []
    assert [name for name in artefacts(workspace) if "/.gitignore" not in name] == []


# Ctrl-C and SIGTERM

SIGNALS = pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, True), (signal.SIGTERM, False)],
    ids=["ctrl-c", "int", "term-group", "term"],
)


def assert_stopped_well(workspace: Any, run: Any, processes_in: Any) -> None:
    assert run.wait() == INTERRUPTED
    assert_told_without_traceback(run.err)
    assert "interrupted" in run.err
    assert processes_in(workspace.root) == []
    assert leftovers(workspace) == []


@pytest.mark.slow
@SIGNALS
def test_a_build_stopped_while_go_runs_ends_it_and_goes_on_later(
    workspace: Any, clean: Any, start: Any, wrap_go: Any, wait_until: Any, processes_in: Any, tmp_path: Path,
    number: int, *, group: bool,
) -> None:  # fmt: skip
    go = wrap_go(workspace, tmp_path / "slow-go", build="sleep 30 & wait")
    run = start(workspace, "build")
    wait_until(lambda: go.count("build") and len(processes_in(workspace.root)) > 2, "go runs")
    run.signal(number, group=group)
    assert_stopped_well(workspace, run, processes_in)
    del workspace.environment["PROCESSION_GO"]
    assert set(workspace.build().ran) == set(TASKS) - set(run.ran)
    assert set(run.ran) == {"go-inputs:api", "go-inputs:iam"}
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_stopped_build_ends_without_waiting_for_nothing(
    workspace: Any, start: Any, gated_go: Any, wait_until: Any
) -> None:
    go = gated_go(workspace)
    run = start(workspace, "build")
    wait_until(lambda: go.count("build"), "go runs")
    signalled = time.monotonic()
    run.signal(signal.SIGINT)
    assert run.wait() == INTERRUPTED
    assert time.monotonic() - signalled < 3


@pytest.mark.slow
@pytest.mark.parametrize("group", [True, False], ids=["ctrl-c", "int"])
def test_a_build_stopped_in_the_middle_of_compiling_leaves_no_files_of_the_compiler(
    workspace: Any, clean: Any, start: Any, wait_until: Any, processes_in: Any, tmp_path: Path, *, group: bool
) -> None:
    """The compiler starts with an empty cache, so that it has more to do than can be finished."""
    scratch, bin_folder = tmp_path / "scratch", workspace.path("build/bin")
    scratch.mkdir()
    run = start(workspace, "build", TMPDIR=str(scratch), GOCACHE=str(tmp_path / "cache"))
    wait_until(lambda: any("/compile" in line for line in processes_in(bin_folder)), "a compiler runs")
    run.signal(signal.SIGINT, group=group)
    assert_stopped_well(workspace, run, processes_in)
    assert processes_in(bin_folder) == []
    assert sorted(path.name for path in scratch.iterdir()) == []
    assert workspace.files("build/bin") == {}
    assert_done_and_clean(workspace, clean)


TREE_PART = "build/rootfs/api/.linux-amd64.part"
ACI_PART = "build/aci/.api-1.0.0-linux-amd64.aci.part"
STAGING, PACKING = "procession_tasks.rootfs.stage", "procession_tasks.image.tarball"


@pytest.mark.slow
@SIGNALS
def test_a_build_stopped_while_it_packs_leaves_nothing_and_goes_on_later(
    workspace: Any, start: Any, wait_until: Any, processes_in: Any, slow_machine: Any, number: int, *, group: bool
) -> None:
    """Packing would go on for another 15 s: it has to be told to stop, not waited for."""
    workspace.build("inject-binary:api")
    large = workspace.path("deploy/aci/api/rootfs/large")
    large.write_bytes(random.Random(2).randbytes(12 * MIB))
    run = start(workspace, "build:api", **slow_machine(PACKING))
    wait_until(lambda: workspace.path(ACI_PART).exists(), "the image is being packed")
    time.sleep(0.5)
    assert run.going
    run.signal(number, group=group)
    assert_stopped_well(workspace, run, processes_in)
    assert not workspace.aci("api").exists()
    large.write_bytes(b"small now\n")
    assert set(workspace.build("build:api").ran) == {"inject-binary:api", "pack-aci:api", "pack-oci:api"}
    assert workspace.build("build:api").ran == ()


@pytest.mark.slow
def test_a_build_stopped_while_it_copies_leaves_nothing(
    workspace: Any, start: Any, wait_until: Any, processes_in: Any, slow_machine: Any
) -> None:
    workspace.build("go-compile:api")
    with workspace.path("deploy/aci/api/rootfs/large").open("wb") as large:
        large.truncate(50 * MIB)
    run = start(workspace, "build:api", **slow_machine(STAGING))
    wait_until(lambda: workspace.path(f"{TREE_PART}/large").exists(), "the file is being copied")
    time.sleep(0.5)
    assert run.going
    run.signal(signal.SIGINT)
    assert_stopped_well(workspace, run, processes_in)
    assert not workspace.path("build/rootfs/api/linux-amd64").exists()


# Full disks


@pytest.fixture
def small_disk(workspace: Any, mount: Any) -> Callable[[int], Path]:
    """Put build/ on a disk that has this much room; return a file to remove to make more."""

    def limit(room: int) -> Path:
        build = workspace.path("build")
        mount(build, "-t", "tmpfs", "-o", "size=64m", "tmpfs")
        filler = build / "filler"
        with filler.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, 64 * MIB - room)
        return filler

    return limit


def _size(files: dict[str, bytes], *folders: str) -> int:
    """Add up what the files hold; `files` states a large one's size and digest."""
    stated = (re.match(rb"(\d+) bytes, sha256 ", content) for content in files.values())
    sizes = {name: int(found[1]) if found else len(files[name]) for name, found in zip(files, stated, strict=True)}
    return sum(size for name, size in sizes.items() if name.startswith(folders))


ROOM = {
    "nothing": lambda files: 0 * len(files),
    "the list of inputs": lambda _: 8 * 1024,
    "compiling": lambda files: 64 * 1024 + _size(files, "build/bin/linux-amd64/api") // 2,
    "staging": lambda files: 64 * 1024 + _size(files, "build/bin/linux-amd64/api") * 3 // 2,
    "packing": lambda files: (
        64 * 1024 + _size(files, "build/bin/linux-amd64/api", "build/rootfs/api") + _size(files, "build/aci/api") // 3
    ),
}
FAILS = {
    "compiling": "go-compile:",
    "staging": "inject-binary:",
    "packing": "pack-",  # two do it at once, and either may fill the disk
}


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOM)
def test_a_full_disk_is_told_and_the_same_command_succeeds_with_room(
    workspace: Any, clean: Any, small_disk: Any, room: str
) -> None:
    filler = small_disk(ROOM[room](clean))
    ended = workspace.doit("build:api")
    assert_told_without_traceback(ended.err)
    assert "no space left on device" in ended.err.lower()
    assert "hint: make room on the disk" in ended.err
    assert ended.status == 1
    assert f"{FAILS.get(room, '')}" in ended.err
    assert "build/" in ended.err or room == "compiling", "the linker names no file"
    assert_nothing_half_made(workspace, clean)
    filler.unlink()
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_full_disk_under_the_state_costs_only_what_cannot_be_remembered(
    workspace: Any, mount: Any, new_workspace: Any, tmp_path: Path
) -> None:
    workspace.build()
    state = workspace.path("build/state")
    kept = tmp_path / "kept"
    shutil.copytree(state, kept)
    mount(state, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
    shutil.copytree(kept, state, dirs_exist_ok=True)
    assert workspace.build().ran == ()
    log = state / "tasks.log"
    with log.open("ab") as stream:
        stream.write(b"\n" + b"." * (4096 - (log.stat().st_size + 1) % 4096))
    with (state / "filler").open("wb") as stream, pytest.raises(OSError, match="No space left"):
        while True:
            os.write(stream.fileno(), bytes(4096))
    workspace.write(MOTD, "edited\n")
    ended = workspace.doit("build")
    assert_told_without_traceback(ended.err)
    assert "build/state/tasks.log: inject-binary:api is not remembered: No space left on device\n" in ended.err
    (state / "filler").unlink()
    assert set(workspace.build().ran) <= {"inject-binary:api", "pack-aci:api", "pack-oci:api"}
    assert workspace.build().ran == ()
    other = new_workspace(tmp_path / "other")
    other.write(MOTD, "edited\n")
    other.build()
    assert artefacts(workspace) == artefacts(other)


@pytest.fixture
def read_only(workspace: Any, mount: Any) -> Callable[[], None]:
    """Make build/ read-only, as it is now."""

    def freeze() -> None:
        build = workspace.path("build")
        mount(build, "--bind", str(build))
        mount(build, "-o", "remount,bind,ro")

    return freeze


@pytest.mark.slow
def test_a_read_only_build_folder_is_enough_when_there_is_nothing_to_do(workspace: Any, read_only: Any) -> None:
    workspace.build()
    read_only()
    ended = workspace.build()
    assert (ended.ran, ended.out) == ((), "nothing to do: 10 tasks up to date\n")
    workspace.build("list", "--all")


@pytest.mark.slow
def test_a_read_only_build_folder_is_named_when_there_is_something_to_do(workspace: Any, read_only: Any) -> None:
    workspace.build()
    before = artefacts(workspace)
    workspace.write(MOTD, "edited\n")
    read_only()
    ended = workspace.doit("build")
    assert ended.status == 1
    assert_told_without_traceback(ended.err)
    assert "Read-only file system" in ended.err
    assert artefacts(workspace) == before


# Things that vanish, and garbage


@pytest.mark.slow
def test_a_source_removed_while_go_runs_fails_the_build_and_comes_back_with_it(
    workspace: Any, clean: Any, wrap_go: Any, tmp_path: Path
) -> None:
    source = workspace.path(SOURCE)
    text = source.read_text()
    wrap_go(workspace, tmp_path / "go", build=f'rm -f "{source}"')
    ended = workspace.doit("build")
    assert ended.status == 1
    assert_told_without_traceback(ended.err)
    assert "apionly" in ended.err
    del workspace.environment["PROCESSION_GO"]
    source.write_text(text)
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_source_removed_before_go_lists_fails_the_build_and_comes_back_with_it(
    workspace: Any, clean: Any, wrap_go: Any, tmp_path: Path
) -> None:
    source = workspace.path("services/internal/shared/shared.go")
    text = source.read_text()
    wrap_go(workspace, tmp_path / "go", listing=f'rm -f "{source}"')
    ended = workspace.doit("build")
    assert ended.status == 1
    assert_told_without_traceback(ended.err)
    assert "internal/shared" in ended.err
    del workspace.environment["PROCESSION_GO"]
    source.write_text(text)
    assert_done_and_clean(workspace, clean)


def test_a_rootfs_file_removed_during_the_build_and_put_back_is_in_the_next_image(
    workspace: Any, clean: Any, wrap_go: Any, tmp_path: Path
) -> None:
    motd = workspace.path(MOTD)
    text = motd.read_text()
    wrap_go(workspace, tmp_path / "go", build=f'rm -f "{motd}"')
    ended = workspace.doit("build")
    assert "Traceback" not in ended.err
    del workspace.environment["PROCESSION_GO"]
    motd.write_text(text)
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_definition_removed_during_the_build_is_told_without_a_traceback(
    workspace: Any, clean: Any, wrap_go: Any, tmp_path: Path
) -> None:
    folder, away = workspace.path("deploy/aci/api"), tmp_path / "away"
    wrap_go(workspace, tmp_path / "go", build=f'mv "{folder}" "{away}"')
    ended = workspace.doit("build")
    assert ended.status == 1
    assert_told_without_traceback(ended.err)
    assert "deploy/aci/api" in ended.err
    del workspace.environment["PROCESSION_GO"]
    away.rename(folder)
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_build_folder_removed_while_it_is_built_in_fails_cleanly_or_is_made_again(
    workspace: Any, clean: Any, wrap_go: Any, tmp_path: Path
) -> None:
    wrap_go(workspace, tmp_path / "go", build=f'rm -rf "{workspace.path("build")}"')
    ended = workspace.doit("build")
    assert ended.status in (0, 1)
    assert "Traceback" not in ended.err
    del workspace.environment["PROCESSION_GO"]
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tasks.log", "states", "plans", "lock", "closures/*", "inputs/*"])
@pytest.mark.parametrize("start_with", [0, 40], ids=["all", "behind its start"])
def test_garbage_in_the_state_costs_time_only(workspace: Any, clean: Any, name: str, start_with: int) -> None:
    workspace.build()
    for path in workspace.path("build/state").glob(name):
        path.write_bytes(path.read_bytes()[:start_with] + random.Random(name).randbytes(20_000))
    assert "Traceback" not in workspace.doit("info", "pack-aci:api").err
    assert_done_and_clean(workspace, clean)


@pytest.mark.slow
def test_a_log_cut_short_anywhere_forgets_only_what_was_cut_off(workspace: Any, clean: Any) -> None:
    workspace.build()
    log = workspace.path("build/state/tasks.log")
    whole = log.read_bytes()
    choose = random.Random(3)
    for offset in sorted(choose.sample(range(len(whole)), 5)):
        log.write_bytes(whole[:offset])
        lines = whole[:offset].split(b"\n")
        if whole[offset : offset + 1] != b"\n":
            lines.pop()
        remembered = {line.partition(b"\t")[0].decode() for line in lines if line}
        assert set(workspace.build().ran) == set(TASKS) - remembered, f"cut at {offset}"
        assert artefacts(workspace) == clean
        assert workspace.build().ran == ()


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["build", "build/state", "build/aci", "build/bin", "build/rootfs"])
def test_a_folder_that_was_deleted_is_made_again(workspace: Any, clean: Any, gone: str) -> None:
    workspace.build()
    shutil.rmtree(workspace.path(gone))
    assert_done_and_clean(workspace, clean)


# Files that change while they are copied or packed


class Fed:
    """A named pipe that a thread fills: a file that changes between one read and the next."""

    def __init__(self, path: Path, portions: list[bytes], between: Callable[[], None] = lambda: None) -> None:
        os.mkfifo(path)
        self.path = path
        self._portions = portions
        self._between = between
        self._thread = threading.Thread(target=self._feed, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def _feed(self) -> None:
        with self.path.open("wb", buffering=0) as stream:
            for portion in self._portions:
                stream.write(portion)
                self._between()


def test_the_list_of_a_tree_states_what_was_copied_even_of_a_file_that_changed(tmp_path: Path) -> None:
    tree, listing = tmp_path / "out/tree", tmp_path / "out/tree.files"
    with Fed(tmp_path / "changing", [b"first half of the old\n", b"second half of the new\n"]) as changing:
        source = Source(Entry("etc/changing", "file", 0o644), "rootfs/etc/changing", changing.path)
        parent = Source(Entry("etc", "directory", 0o755), "rootfs/etc")
        stage({"etc": parent, "etc/changing": source}, tree, listing)
    content = (tree / "etc/changing").read_bytes()
    listed = next(entry for entry in parse(listing.read_bytes()) if entry.path == "etc/changing")
    assert (listed.size, listed.digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert content == b"first half of the old\nsecond half of the new\n"


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[tuple[Path, list[Entry]]]:
    """A staged tree of one file of 8 MiB and the list of it."""
    content = random.Random(4).randbytes(8 * MIB)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(content)
    return tree, [Entry("large", "file", 0o644, size=len(content), digest=hashlib.sha256(content).hexdigest())]


CHANGES: dict[str, Callable[[Path], object]] = {
    "overwritten": lambda path: path.write_bytes(bytes(8 * MIB)),
    "cut short": lambda path: os.truncate(path, 5 * MIB),
    "longer": lambda path: os.truncate(path, 9 * MIB),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link": lambda path: (path.rename(path.with_name("else")), path.symlink_to("else")),
    "gone": os.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_image_is_made_of_a_tree_that_is_not_as_listed(staged: Any, tmp_path: Path, change: str) -> None:
    tree, entries = staged
    output = tmp_path / "out/image.aci"
    CHANGES[change](tree / "large")
    with pytest.raises(BuildError, match="/large changed while it was packed"):
        write_aci(output, b"{}", entries, tree, 0)
    assert list(output.parent.iterdir()) == []


def test_no_image_is_made_of_a_file_that_changes_while_it_is_packed(staged: Any, tmp_path: Path) -> None:
    tree, entries = staged
    output = tmp_path / "out/image.aci"
    stop = threading.Event()

    def change() -> None:
        with (tree / "large").open("r+b", buffering=0) as stream:
            turn = 0
            while not stop.is_set():
                turn += 1
                os.pwrite(stream.fileno(), turn.to_bytes(4, "big"), 8 * MIB - 4)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with pytest.raises(BuildError, match="/large changed while it was packed"):
            write_aci(output, b"{}", entries, tree, 0)
    finally:
        stop.set()
        thread.join()
    assert list(output.parent.iterdir()) == []


@pytest.mark.slow
def test_a_file_changed_while_it_is_copied_gives_a_consistent_image_and_the_next_build_has_it_whole(
    workspace: Any, new_workspace: Any, start: Any, wait_until: Any, slow_machine: Any, tmp_path: Path
) -> None:
    large = workspace.path("deploy/aci/api/rootfs/large")
    large.write_bytes(bytes(6 * MIB))
    workspace.build("go-compile:api")
    run = start(workspace, "build:api", **slow_machine(STAGING))
    wait_until(lambda: workspace.path(f"{TREE_PART}/large").exists(), "the file is being copied")
    time.sleep(0.5)
    for place in range(6):
        with large.open("r+b") as stream:
            os.pwrite(stream.fileno(), b"changed", place * MIB)
    assert run.wait() == 0
    assert large.read_bytes().count(b"changed") == 6
    staged = workspace.path("build/rootfs/api/linux-amd64/large").read_bytes()
    assert 0 < staged.count(b"changed") < 6, "the change came in the middle"
    listed = {entry.path: entry for entry in parse(workspace.path("build/rootfs/api/linux-amd64.files").read_bytes())}
    assert listed["large"].digest == hashlib.sha256(staged).hexdigest()
    assert set(workspace.build("build:api").ran) == {"inject-binary:api", "pack-aci:api", "pack-oci:api"}
    other = new_workspace(tmp_path / "other")
    shutil.copyfile(large, other.path("deploy/aci/api/rootfs/large"))
    other.build("build:api")
    assert workspace.aci("api").read_bytes() == other.aci("api").read_bytes()
    assert workspace.build("build:api").ran == ()


@pytest.mark.slow
def test_a_staged_file_changed_while_it_is_packed_fails_and_the_next_build_is_right(
    workspace: Any, start: Any, wait_until: Any, slow_machine: Any
) -> None:
    workspace.path("deploy/aci/api/rootfs/large").write_bytes(bytes(2 * MIB))
    workspace.build("go-compile:api")
    run = start(workspace, "build:api", **slow_machine(PACKING))
    wait_until(lambda: workspace.path(ACI_PART).exists(), "the image is being packed")
    with workspace.path("build/rootfs/api/linux-amd64/large").open("r+b") as stream:
        os.pwrite(stream.fileno(), b"changed", 2 * MIB - 7)
    assert run.wait() == 1
    assert_told_without_traceback(run.err)
    assert "/large changed while it was packed" in run.err
    assert not workspace.aci("api").exists()
    assert leftovers(workspace) == []
    assert set(workspace.build("build:api").ran) == {"inject-binary:api", "pack-aci:api", "pack-oci:api"}
    assert workspace.doit("verify:api").status == 0


# Links planted in the build folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside the repository that nobody has any business in."""
    folder = tmp_path / "victim"
    (folder / "etc").mkdir(parents=True)
    for name in ("motd", "passwd", "etc/motd"):
        (folder / name).write_text("mine\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FOLDERS = {
    "a folder of the tree": "build/rootfs/api/linux-amd64/etc",
    "the tree": "build/rootfs/api/linux-amd64",
    "the unfinished tree": "build/rootfs/api/.linux-amd64.part",
}
FILES = {
    "a file of the tree": "build/rootfs/api/linux-amd64/etc/motd",
    "the list": "build/rootfs/api/linux-amd64.files",
    "the unfinished list": "build/rootfs/api/.linux-amd64.files.part",
    "the image": "build/aci/api-1.0.0-linux-amd64.aci",
    "the unfinished image": "build/aci/.api-1.0.0-linux-amd64.aci.part",
    "the image ID": "build/aci/api-1.0.0-linux-amd64.aci.id",
    "the program": BINARY,
}


@pytest.mark.slow
@pytest.mark.parametrize("place", [*FOLDERS, *FILES])
def test_nothing_is_written_through_a_link_planted_in_the_build_folder(
    workspace: Any, new_workspace: Any, victim: Path, tmp_path: Path, place: str
) -> None:
    workspace.build()
    before = contents(victim)
    link = workspace.path({**FOLDERS, **FILES}[place])
    if link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    link.symlink_to(victim if place in FOLDERS else victim / "motd")
    other = new_workspace(tmp_path / "other")
    for each in (workspace, other):
        each.write(MOTD, "edited\n")
        each.build()
    assert contents(victim) == before
    assert artefacts(workspace) == artefacts(other)


@pytest.mark.slow
def test_clean_removes_a_planted_link_and_not_what_it_leads_to(workspace: Any, victim: Path) -> None:
    workspace.build()
    before = contents(victim)
    for name in (FOLDERS["the tree"], FILES["the image"]):
        path = workspace.path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        path.symlink_to(victim if name == FOLDERS["the tree"] else victim / "motd")
    workspace.build("clean")
    assert contents(victim) == before
    assert not workspace.path(FOLDERS["the tree"]).is_symlink()
