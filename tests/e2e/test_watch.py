"""`doit watch` builds again when something changes that an image is made from, and only then."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

SOON_S = 1.2  # longer than it takes to notice something and to wait whether there is more


class Watching:
    """A watch that goes on in a workspace."""

    def __init__(self, run: Any, until: Callable[..., Any]) -> None:
        self.run = run
        self._until = until
        self._read = 0
        self.next("watching ")

    def next(self, what: str, patience: float = 60) -> str:
        """Wait for a line that begins so, after the time if it has one; returns what was printed up to its end."""
        pattern = re.compile(rf"^(?:\d\d:\d\d:\d\d )?{what}.*\n", re.MULTILINE)
        found = self._until(
            lambda: pattern.search(self.run.out, self._read), f"{what!r} after {self.run.out}", patience
        )
        start, self._read = self._read, found.end()
        return self.run.out[start : self._read]

    def built(self) -> str:
        """Wait for the end of a build and return what it printed."""
        return self.next("(?:done|failed with status \\d+|ended by signal \\d+) after ")

    def rests(self) -> bool:
        """Wait a moment and tell whether nothing more was printed."""
        time.sleep(SOON_S)
        return self.run.out[self._read :] == ""


@pytest.fixture
def watch(workspace: Any, start: Callable[..., Any], wait_until: Callable[..., Any]) -> Callable[..., Watching]:
    """Watch in the workspace, with the first build done."""
    return lambda *words: Watching(start(workspace, "watch", *words), wait_until)


def ran(text: str) -> set[str]:
    return set(re.findall(r"^(\S+) +[0-9.]+ s$", text, re.MULTILINE))


def test_an_edit_builds_what_it_concerns_within_seconds(workspace: Any, watch: Callable[..., Watching]) -> None:
    watching = watch()
    assert watching.rests()

    begun = time.monotonic()
    workspace.edit("services/internal/iamonly/iam.go", '"iamonly"', '"another"')
    text = watching.built()
    assert time.monotonic() - begun < 20
    assert re.match(r"\d\d:\d\d:\d\d services/internal/iamonly/iam.go changed\n", text)
    assert ran(text) == {f"{kind}:iam" for kind in ("go-inputs", "go-compile", "inject-binary", "pack-aci", "pack-oci")}

    workspace.write("deploy/aci/api/rootfs/etc/deep/er", "new\n")
    text = watching.built()
    assert "deploy/aci/api/rootfs/etc/deep came" in text
    assert ran(text) == {"inject-binary:api", "pack-aci:api", "pack-oci:api"}
    workspace.path("deploy/aci/api/rootfs/etc/motd").chmod(0o755)
    assert "inject-binary:api" in ran(watching.built())
    assert watching.rests()
    assert workspace.build().out.startswith("nothing to do")


def test_one_image_is_watched_and_no_other(workspace: Any, watch: Callable[..., Watching]) -> None:
    watching = watch("api")
    workspace.edit("services/internal/iamonly/iam.go", '"iamonly"', '"another"')
    workspace.write("services/internal/iamonly/new.go", "package iamonly\n")
    workspace.write("README", "text\n")
    assert watching.rests()

    workspace.edit("services/internal/shared/shared.go", '"shared"', '"both"')
    assert "go-compile:api" in ran(watching.built())


def test_a_file_that_is_new_in_a_package_is_built_and_so_is_one_that_is_gone(
    workspace: Any, watch: Callable[..., Watching]
) -> None:
    watching = watch("api")
    new = workspace.path("services/internal/apionly/new.go")
    new.write_text('package apionly\n\nfunc init() { println("new") }\n')
    text = watching.built()
    assert "services/internal/apionly/new.go came\n" in text
    assert "pack-oci:api" in ran(text)

    new.unlink()
    text = watching.built()
    assert "services/internal/apionly/new.go went\n" in text
    assert "pack-oci:api" in ran(text)


def test_what_editors_leave_for_a_moment_is_no_change_and_a_save_in_steps_is_one(
    workspace: Any, watch: Callable[..., Watching]
) -> None:
    watching = watch("api")
    folder = workspace.path("services/internal/apionly")
    for name in (".api.go.swp", "4913", "api.go~", "#api.go#", ".#api.go", "api.go___jb_tmp___"):
        (folder / name).write_text("x")
    assert watching.rests()
    for path in folder.iterdir():
        if path.name != "api.go":
            path.unlink()
    assert watching.rests()

    source = folder / "api.go"
    source.rename(folder / "api.go~")  # as vim saves
    time.sleep(0.05)
    source.write_text((folder / "api.go~").read_text().replace('"apionly"', '"saved"'))
    (folder / "api.go~").unlink()
    text = watching.built()
    assert re.match(r"\d\d:\d\d:\d\d services/internal/apionly/api.go changed\n", text)
    assert watching.rests()


def test_a_swap_file_that_went_into_an_image_is_taken_out_when_it_goes(
    workspace: Any, watch: Callable[..., Watching]
) -> None:
    watching = watch("api")
    swap = workspace.path("deploy/aci/api/rootfs/etc/.motd.swp")
    swap.write_text("swap")
    assert watching.rests()
    workspace.edit("deploy/aci/api/rootfs/etc/motd", "api", "the api")
    watching.built()
    assert ".motd.swp" in workspace.read("build/rootfs/api/linux-amd64.files")

    swap.unlink()
    watching.built()
    assert ".motd.swp" not in workspace.read("build/rootfs/api/linux-amd64.files")


def test_a_change_during_a_build_is_built_after_it(
    workspace: Any, watch: Callable[..., Watching], gated_go: Callable[[Any], Any], wait_until: Callable[..., Any]
) -> None:
    go = gated_go(workspace)
    go.open()
    watching = watch("api")
    go.close()
    before = go.count("build")
    source = "services/internal/apionly/api.go"
    workspace.edit(source, '"apionly"', '"first"')
    wait_until(lambda: go.count("build") > before, "the build has begun")
    workspace.edit(source, '"first"', '"second"')
    go.open()

    watching.built()
    assert f"{source} changed" in watching.built()
    assert watching.rests()
    assert b"second" in workspace.path("build/bin/linux-amd64/api").read_bytes()
    assert workspace.build("build:api").out.startswith("nothing to do")


def test_what_breaks_a_build_does_not_end_it_and_what_mends_it_is_built(
    workspace: Any, watch: Callable[..., Watching]
) -> None:
    watching = watch()

    def breaks(file: str, old: str, new: str, status: int = 1) -> None:
        workspace.edit(file, old, new)
        assert f"failed with status {status} after " in watching.built()
        workspace.edit(file, new, old)
        assert "done after " in watching.built()

    breaks("services/internal/shared/shared.go", "return", "retrun")
    breaks("services/internal/apionly/api.go", "package apionly", 'package apionly\nimport _ "sample.example/nowhere"')
    breaks("services/go.mod", "go 1.27", "og 1.27")
    breaks("deploy/aci/iam/image.yaml", "binary:", "binray:", 3)
    breaks("deploy/aci/iam/manifest", '"acKind"', '"acKidn"', 3)
    breaks("pyproject.toml", "modules", "moduels", 3)
    assert watching.rests()
    assert watching.run.going


def test_a_watch_may_begin_with_what_is_broken(workspace: Any, watch: Callable[..., Watching]) -> None:
    workspace.edit("services/cmd/api/main.go", "internal/shared", "internal/later")
    workspace.edit("services/cmd/api/main.go", "shared.Word", "later.Word")
    watching = watch("api")
    workspace.write(
        "services/internal/later/later.go", 'package later\n\n// Word is late.\nfunc Word() string { return "late" }\n'
    )
    text = watching.built()
    while "failed" in text:  # the folder was there before the file
        text = watching.built()
    assert "pack-oci:api" in ran(text)


def test_a_definition_that_is_new_is_built(workspace: Any, watch: Callable[..., Watching]) -> None:
    watching = watch()
    workspace.add_service("new")
    text = watching.built()
    while "pack-oci:new" not in ran(text):  # of files that are written one by one, some may come late
        text = watching.built()
    assert workspace.build().out.startswith("nothing to do")


def test_a_build_that_is_killed_does_not_end_it(
    workspace: Any,
    watch: Callable[..., Watching],
    gated_go: Callable[[Any], Any],
    wait_until: Callable[..., Any],
    processes_in: Callable[[Any], list[str]],
) -> None:
    go = gated_go(workspace)
    go.open()
    watching = watch("api")
    go.close()
    workspace.edit("services/internal/apionly/api.go", '"apionly"', '"first"')
    wait_until(lambda: go.count("build") > 1, "the build has begun")
    (build,) = [
        int(line.partition(":")[0])
        for line in processes_in(workspace.root)
        if "-m doit watch" in line and not line.startswith(f"{watching.run.pid}:")
    ]
    os.kill(build, signal.SIGKILL)
    assert "ended by signal 9 after " in watching.built()
    go.open()
    workspace.edit("services/internal/apionly/api.go", '"first"', '"second"')
    assert "pack-oci:api" in ran(watching.built())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once(
    workspace: Any, watch: Callable[..., Watching], number: int, processes_in: Callable[[Any], list[str]]
) -> None:
    watching = watch("api")
    begun = time.monotonic()
    watching.run.signal(number, group=True)
    assert watching.run.wait() == 130
    assert time.monotonic() - begun < 2
    assert watching.run.err == "no longer watching\n"
    assert processes_in(workspace.root) == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_during_a_build_leaves_no_process(
    workspace: Any,
    start: Callable[..., Any],
    gated_go: Callable[[Any], Any],
    wait_until: Callable[..., Any],
    processes_in: Callable[[Any], list[str]],
    times: int,
) -> None:
    go = gated_go(workspace)
    run = start(workspace, "watch")
    wait_until(lambda: go.count("build"), "the build has begun")
    begun = time.monotonic()
    for _ in range(times):
        run.signal(signal.SIGINT, group=True)
        time.sleep(0.1)
    assert run.wait() == 130
    assert time.monotonic() - begun < 5
    assert "no longer watching\n" in run.err
    assert "Traceback" not in run.err
    wait_until(lambda: processes_in(workspace.root) == [], "all have ended", 5)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ("apj",),
            "must be an image or a task that builds, got 'apj'\n  hint: did you mean api? images are api, iam\n",
        ),
        (("api", "build:imm"), "got 'build:imm'\n  hint: did you mean iam?"),
        (("validate:api",), "must be an image or a task that builds, got 'validate:api'"),
        (("pack-acj:api",), "must be an image or a task that builds, got 'pack-acj:api'"),
        (("--run", "build:api"), "must be an image, got 'build:api'"),
        (("--nonsense",), "option --nonsense not recognized"),
    ],
)
def test_what_cannot_be_watched_is_told_before_anything_is_built(
    workspace: Any, words: tuple[str, ...], what: str
) -> None:
    ended = workspace.doit("watch", *words)
    assert (ended.status, ended.out) == (2, "")
    assert what in ended.err
    assert not workspace.path("build/state").exists()


def test_options_are_those_of_each_build(workspace: Any, watch: Callable[..., Watching]) -> None:
    watching = watch("--report", "report.json", "build:api")
    assert watching.run.going
    assert '"status": 0' in workspace.read("report.json")


def test_any_other_dodo_file_is_not_watched(workspace: Any) -> None:
    workspace.write("dodo.py", "def task_one():\n    return {'actions': None}\n")
    ended = workspace.doit("watch")
    assert (ended.status, ended.err) == (2, "doit: watch must be used where images are built\n")
