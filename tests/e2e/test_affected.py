"""Which images a range of Git touches, told from both sides."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

SHARED, SOURCE = "services/internal/shared/shared.go", "services/internal/apionly/api.go"
DEFINITION, MANIFEST = "deploy/aci/api/image.yaml", "deploy/aci/api/manifest"
FAILED, USAGE, WRONG, INTERRUPTED = 1, 2, 3, 130
THROUGH = "go-inputs:{0} → go-compile:{0} → inject-binary:{0} → pack-aci:{0}"


def git(workspace: Any, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example", "-c", "commit.gpgsign=false")
    ended = subprocess.run(["git", *identity, *words], cwd=workspace.root, capture_output=True, text=True, check=True)
    return ended.stdout.strip()


def commit(workspace: Any) -> None:
    git(workspace, "add", "--all")
    git(workspace, "commit", "--quiet", "--allow-empty", "-m", "a change")


@pytest.fixture
def cloned(workspace: Any) -> Any:
    """A repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    workspace.write(".gitignore", "build/*\n__pycache__/\n")
    git(workspace, "init", "--quiet", "--initial-branch=main")
    commit(workspace)
    return workspace


def affected(workspace: Any, since: str = "HEAD", *words: str) -> list[str]:
    return workspace.build("affected", "--since", since, *words).out.splitlines()


def names(workspace: Any, since: str = "HEAD") -> set[str]:
    return {line.partition(":")[0] for line in affected(workspace, since)}


def told(workspace: Any, since: str = "HEAD") -> dict[str, Any]:
    document = json.loads("\n".join(affected(workspace, since, "--json")))
    assert (document["version"], document["since"]) == (1, since)
    return {image["name"]: image for image in document["images"]}


def test_a_tree_as_it_was_committed_affects_nothing(cloned: Any) -> None:
    ended = cloned.build("affected", "--since", "HEAD")
    assert (ended.out, ended.err) == ("", "no image is affected: all are made from what they were made from at HEAD\n")
    cloned.build()
    assert affected(cloned) == []


@pytest.mark.parametrize("is_committed", [True, False])
@pytest.mark.parametrize("is_built", [True, False])
def test_a_source_affects_the_programs_it_is_part_of(cloned: Any, *, is_committed: bool, is_built: bool) -> None:
    cloned.edit(SOURCE, '"apionly"', '"edited"')
    if is_built:
        cloned.build("go-compile")
    if is_committed:
        commit(cloned)
    since = "HEAD~1" if is_committed else "HEAD"
    assert affected(cloned, since) == [f"api: {SOURCE} changed → {THROUGH.format('api')}"]
    cloned.edit(SHARED, '"shared"', '"edited"')
    assert names(cloned, since) == {"api", "iam"}


def flags(workspace: Any) -> None:
    workspace.edit(DEFINITION, "  binary:", "  ldflags: -s\n  binary:")


def comment(workspace: Any) -> None:
    workspace.write(DEFINITION, workspace.read(DEFINITION) + "# a comment\n")


def new_image(workspace: Any) -> None:
    workspace.add_service("web")


def gone_image(workspace: Any) -> None:
    shutil.rmtree(workspace.path("deploy/aci/iam"))


def rename_package(workspace: Any) -> None:
    workspace.path("services/internal/iamonly").rename(workspace.path("services/internal/iamalone"))
    workspace.edit("services/cmd/iam/main.go", "internal/iamonly", "internal/iamalone")


def rename_file(workspace: Any) -> None:
    workspace.path(SOURCE).rename(workspace.path("services/internal/apionly/word.go"))


def link(workspace: Any) -> None:
    workspace.path("deploy/aci/api/rootfs/etc/link").symlink_to("motd")


def executable(workspace: Any) -> None:
    workspace.path("deploy/aci/api/rootfs/etc/motd").chmod(0o755)


EDITS: dict[str, tuple[Callable[[Any], object], set[str], str]] = {
    "flags": (flags, {"api"}, 'api: -ldflags changed from "-s -w -buildid=" to -s → go-compile:api → '),
    "a comment in a definition": (comment, set(), ""),
    "the manifest": (
        lambda workspace: workspace.edit(MANIFEST, '"/bin/api"', '"/bin/api", "-v"'),
        {"api"},
        f"api: {MANIFEST} changed → pack-aci:api",
    ),
    "a file of rootfs": (
        lambda workspace: workspace.write("deploy/aci/api/rootfs/etc/new", "new\n"),
        {"api"},
        "api: deploy/aci/api/rootfs/etc/new is new → inject-binary:api → pack-aci:api",
    ),
    "no rootfs any more": (
        lambda workspace: shutil.rmtree(workspace.path("deploy/aci/api/rootfs")),
        {"api"},
        "api: deploy/aci/api/rootfs was deleted → inject-binary:api → pack-aci:api",
    ),
    "a program among files": (executable, {"api"}, "api: deploy/aci/api/rootfs/etc/motd changed → "),
    "a link among files": (link, {"api"}, "api: deploy/aci/api/rootfs/etc/link is new → "),
    "a new image": (new_image, {"web"}, "web: it was not there before → pack-aci:web"),
    "an image that is gone": (gone_image, {"iam"}, "iam: gone"),
    "a renamed package": (
        rename_package,
        {"iam"},
        "iam: services/cmd/iam/main.go changed; services/internal/iamalone/iam.go is new; services/internal/iamonly/iam",
    ),
    "a renamed file": (rename_file, {"api"}, f"api: {SOURCE} was deleted; services/internal/apionly/word.go is new → "),
    "a deleted file": (lambda workspace: workspace.path(SOURCE).unlink(), {"api"}, "api: it cannot be told ("),
    "the language version": (
        lambda workspace: workspace.edit("services/go.mod", "go 1.27", "go 1.26"),
        {"api", "iam"},
        "api: sample.example/services changed from (here) go1.27 to (here) go1.26",
    ),
    "a comment in go.mod": (
        lambda workspace: workspace.write("services/go.mod", workspace.read("services/go.mod") + "// the end\n"),
        set(),
        "",
    ),
    "a test": (lambda workspace: workspace.write("services/internal/shared/x_test.go", "package shared\n"), set(), ""),
    "a readme": (lambda workspace: workspace.write("README.md", "text\n"), set(), ""),
    "the toolchain": (
        lambda workspace: workspace.edit("pyproject.toml", "1.27.3", "1.27.4"),
        {"api", "iam"},
        "api: go changed from 1.27.3 to 1.27.4 → go-compile:api → ",
    ),
    "what is declared beside the build": (
        lambda workspace: workspace.write("dodo.py", workspace.read("dodo.py") + "# more\n"),
        {"api", "iam"},
        "api: dodo.py changed → pack-aci:api",
    ),
    "pins of the tools": (
        lambda workspace: workspace.write("constraints.txt", "zlib-ng==1.0.0\n"),
        {"api", "iam"},
        "api: constraints.txt is new → pack-aci:api",
    ),
    "a platform": (
        lambda workspace: workspace.edit(DEFINITION, "[linux/amd64, linux/arm64]", "[linux/amd64]"),
        {"api"},
        "api: --layout linux/arm64=build/oci/api/linux-arm64 was removed → index-oci:api",
    ),
}


@pytest.mark.parametrize(("edit", "images", "line"), EDITS.values(), ids=EDITS)
def test_an_edit_affects(cloned: Any, edit: Callable[[Any], object], images: set[str], line: str) -> None:
    edit(cloned)
    commit(cloned)
    assert names(cloned, "HEAD~1") == images
    if line:
        assert affected(cloned, "HEAD~1")[0].startswith(line)


def add(more: str, name: str = SOURCE) -> Callable[[Any], object]:
    return lambda workspace: workspace.write(
        name, (workspace.read(name) if workspace.path(name).exists() else "") + more
    )


# An edit, the images that it affects, and how often Go is asked because of it, once a platform.
LISTED_AGAIN: dict[str, tuple[Callable[[Any], object], set[str], int]] = {
    "a comment": (add("\n// The end.\n"), {"api"}, 0),
    "a body": (lambda workspace: workspace.edit(SOURCE, '"apionly"', '"edited"'), {"api"}, 0),
    "an import": (lambda workspace: workspace.edit(SOURCE, "only\n", 'only\n\nimport _ "errors"\n'), {"api"}, 2),
    "a constraint": (lambda workspace: workspace.edit(SOURCE, "pack", "//go:build linux\n\npack"), {"api"}, 2),
    "what is embedded": (add("\n//go:embed x\nvar x string\n"), {"api"}, 2),
    "a package clause": (lambda workspace: workspace.edit(SOURCE, "package apionly", "package words"), {"api"}, 2),
    "a new file": (add("package apionly\n", f"{SOURCE[:-3]}_more.go"), {"api"}, 2),
    "a renamed file": (rename_file, {"api"}, 2),
    "a module file": (lambda workspace: workspace.edit("services/go.mod", "1.27", "1.26"), {"api", "iam"}, 2),
}


@pytest.mark.parametrize(("edit", "images", "again"), LISTED_AGAIN.values(), ids=LISTED_AGAIN)
def test_go_is_asked_of_the_revision_where_it_may_say_something_else(
    cloned: Any,
    tmp_path: Path,
    wrap_go: Callable[..., Any],
    edit: Callable[[Any], object],
    images: set[str],
    again: int,
) -> None:
    edit(cloned)
    go = wrap_go(cloned, tmp_path / "go")
    assert names(cloned) == images
    assert go.count("list") == 2 + again


@pytest.mark.parametrize("name", ["a body", "an import", "a module file"])
def test_go_is_asked_of_what_is_here_where_a_build_has_not_kept_it(
    cloned: Any, tmp_path: Path, wrap_go: Callable[..., Any], name: str
) -> None:
    """What was kept of the revision is not asked for either."""
    edit, images, again = LISTED_AGAIN[name]
    cloned.build("release")
    edit(cloned)
    go = wrap_go(cloned, tmp_path / "go")
    assert names(cloned) == images
    assert go.count("list") == again


def test_images_that_are_new_or_gone_are_told_apart(cloned: Any) -> None:
    gone_image(cloned)
    new_image(cloned)
    assert {name: one["status"] for name, one in told(cloned).items()} == {"iam": "gone", "web": "new"}
    assert json.loads(affected(cloned, "HEAD", "--matrix", "github")[0]) == {"image": ["web"]}


def test_machines_are_told_platforms_and_tasks(cloned: Any) -> None:
    cloned.write("services/internal/apionly/more_arm64.go", 'package apionly\n\nfunc init() { println("more") }\n')
    found = told(cloned)
    assert set(found) == {"api"}
    assert found["api"]["status"] == "changed"
    assert found["api"]["platforms"] == ["linux/arm64"]
    tasks = {task["name"]: task["status"] for task in found["api"]["tasks"]}
    stages = ("go-compile", "inject-binary", "pack-aci", "pack-oci", "archive-oci")
    waiting = dict.fromkeys([f"{stage}:api@linux-arm64" for stage in stages] + ["index-oci:api"], "waiting")
    assert tasks == {"go-inputs:api@linux-arm64": "stale", **waiting}


def test_matrices_are_what_continuous_integrations_take(cloned: Any) -> None:
    assert affected(cloned, "HEAD", "--matrix", "github") == ['{"image": []}']
    nothing = json.loads("\n".join(affected(cloned, "HEAD", "--matrix", "gitlab")))
    assert nothing == {".affected": {"rules": [{"when": "never"}]}}
    cloned.edit(SHARED, '"shared"', '"edited"')
    assert affected(cloned, "HEAD", "--matrix", "github") == ['{"image": ["api", "iam"]}']
    both = json.loads("\n".join(affected(cloned, "HEAD", "--matrix", "gitlab")))
    assert both == {".affected": {"parallel": {"matrix": [{"IMAGE": ["api", "iam"]}]}}}


def test_a_module_that_is_bumped_affects_the_programs_that_use_it(cloned: Any, tmp_path: Path) -> None:
    """The other program's module has its own lines in go.mod and go.sum."""
    cloned.write(
        "services/internal/iamonly/uses.go", 'package iamonly\n\nimport "sample.example/lib"\n\nvar _ = lib.Word()\n'
    )
    mod = cloned.read("services/go.mod")
    for version in ("v1.0.0", "v1.1.0"):
        vendor = "services/vendor/sample.example/lib"
        cloned.write(f"{vendor}/lib.go", 'package lib\n\n// Word is one.\nfunc Word() string { return "lib" }\n')
        listed = f"# sample.example/lib {version}\n## explicit; go 1.27\nsample.example/lib\n"
        cloned.write("services/vendor/modules.txt", listed)
        cloned.write("services/go.mod", f"{mod}\nrequire sample.example/lib {version}\n")
        cloned.build("go-compile:iam")
        commit(cloned)
    assert names(cloned, "HEAD~1") == {"iam"}
    assert "sample.example/lib changed from v1.0.0 go1.27 to v1.1.0 go1.27" in affected(cloned, "HEAD~1")[0]
    assert names(cloned, "HEAD~2") == {"iam"}


def test_settings_of_another_folder_of_the_repository(cloned: Any, new_workspace: Any, tmp_path: Path) -> None:
    """The project may be below the repository's top, and its module beside it."""
    inner = new_workspace(tmp_path / "other" / "images", ("api",))
    shutil.move(inner.path("services"), inner.root.parent / "services")
    inner.edit("pyproject.toml", '"services"', '"../services"')
    outer = new_workspace(tmp_path / "throwaway", ())
    outer.root = inner.root.parent
    outer.write(".gitignore", "build/*\n__pycache__/\n")
    git(outer, "init", "--quiet")
    commit(outer)
    assert names(inner) == set()
    outer.edit(SOURCE, '"apionly"', '"edited"')
    assert affected(inner) == [f"api: ../{SOURCE} changed → {THROUGH.format('api')}"]


def test_a_definition_that_was_wrong_affects_its_image(cloned: Any) -> None:
    cloned.edit(DEFINITION, "package:", "packag:")
    commit(cloned)
    cloned.edit(DEFINITION, "packag:", "package:")
    (line,) = affected(cloned)
    assert line.startswith(f"api: it cannot be told ({DEFINITION}:2: go.packag: ")


def test_settings_that_were_wrong_affect_every_image(cloned: Any) -> None:
    cloned.edit("pyproject.toml", "modules", "module")
    commit(cloned)
    cloned.edit("pyproject.toml", "module =", "modules =")
    assert names(cloned) == {"api", "iam"}


def test_what_is_not_committed_counts_though_git_ignores_it(cloned: Any) -> None:
    cloned.write(".gitignore", "*.pb.go\nbuild/*\n__pycache__/\n")
    commit(cloned)
    cloned.write("services/internal/apionly/api.pb.go", 'package apionly\n\nfunc init() { println("pb") }\n')
    assert names(cloned) == {"api"}


def test_a_look_leaves_nothing(cloned: Any, tmp_path: Path, written: Callable[[Path], Any]) -> None:
    cloned.build()
    cloned.edit(SHARED, '"shared"', '"edited"')
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    cloned.environment["TMPDIR"] = str(scratch)
    with written(cloned.root) as paths:
        assert names(cloned) == {"api", "iam"}
    assert paths == set()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("in_memory", [True, False])
def test_who_is_stopped_leaves_nothing(
    cloned: Any,
    tmp_path: Path,
    wrap_go: Callable[..., Any],
    start: Callable[..., Any],
    wait_until: Callable[..., Any],
    number: signal.Signals,
    *,
    in_memory: bool,
) -> None:
    """The tree of the revision is in memory if it can be: nobody would find it there."""
    if in_memory and not os.path.ismount("/dev/shm"):
        pytest.skip("nothing is in memory here")
    cloned.write(marker := f"marker-{os.getpid()}", "text\n")
    commit(cloned)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    places = [Path("/dev/shm") if in_memory else scratch, scratch]
    chosen = {} if in_memory else {"TMPDIR": str(scratch)}
    wrap_go(cloned, tmp_path / "go", listing='touch "$here/listing"; sleep 60')
    for name in ("TMPDIR", "TEMP", "TMP"):
        cloned.environment.pop(name, None)
    run = start(cloned, "affected", "--since", "HEAD", **chosen)
    wait_until((tmp_path / "go/listing").exists, "Go lists")
    wait_until(lambda: any(places[0].glob(f"procession-*/tree/{marker}")), "the tree is there")
    run.signal(number)
    assert (run.wait(), run.out, run.err) == (INTERRUPTED, "", "interrupted\n")
    assert [found for place in places for found in place.glob(f"procession-*/tree/{marker}")] == []
    assert list(scratch.iterdir()) == []


def test_a_lock_affects_the_platforms_whose_packages_differ(locked: Any, supply: Any) -> None:
    locked.write(".gitignore", "build/*\n__pycache__/\n")
    git(locked, "init", "--quiet")
    commit(locked)
    supply.server("1.0-2", ("arm64",))
    supply.archive.publish(date=datetime(2026, 2, 1, tzinfo=UTC))
    locked.build("lock")
    found = told(locked)
    assert {name: one["platforms"] for name, one in found.items()} == {"db": ["linux/arm64"]}
    cause = {"what": "version", "subject": "server", "from": "1.0-1", "to": "1.0-2"}
    assert {task["name"]: task["causes"] for task in found["db"]["tasks"]}["fetch-packages:db@linux-arm64"] == [cause]
    assert affected(locked)[0].startswith("db: server changed from 1.0-1 to 1.0-2 → fetch-packages:db@linux-arm64 → ")


# Mistakes


@pytest.mark.parametrize("revision", ["nowhere", "HEAD~9", "--all", "", "0" * 40, "HEAD:dodo.py"])
def test_a_revision_that_is_none_is_wrong_usage(cloned: Any, revision: str) -> None:
    ended = cloned.doit("affected", f"--since={revision}")
    assert ended.status == USAGE
    rule = (
        f"--since: must be a revision of git, got {revision!r}"
        if revision
        else "doit: option --since requires argument"
    )
    assert ended.err.startswith(rule)


def test_a_mistake_is_told_before_go_has_answered(
    cloned: Any, tmp_path: Path, wrap_go: Callable[..., Any], start: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    wrap_go(cloned, tmp_path / "go", listing="sleep 600")
    run = start(cloned, "affected", "--since", "nowhere")
    wait_until(lambda: not run.going, "it has ended", 30)
    assert run.wait() == USAGE
    assert run.err.startswith("--since: must be a revision of git, got 'nowhere'")


def test_a_shallow_clone_says_what_to_fetch(cloned: Any, tmp_path: Path) -> None:
    commit(cloned)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{cloned.root}", tmp_path / "shallow"], check=True)
    cloned.root = tmp_path / "shallow"
    ended = cloned.doit("affected", "--since", "HEAD~1")
    assert (ended.status, ended.out) == (FAILED, "")
    assert ended.err == (
        "--since: must be in this clone, which is shallow, got 'HEAD~1'\n"
        "  hint: git fetch --unshallow, or git fetch --depth=N with an N that reaches it\n"
    )
    assert affected(cloned, "HEAD") == []


def test_there_is_no_repository(workspace: Any) -> None:
    ended = workspace.doit("affected", "--since", "HEAD")
    assert (ended.status, ended.out) == (FAILED, "")
    assert ended.err.startswith(f"{workspace.root}: must be in a git repository\n  hint: ")


def test_there_is_no_git(cloned: Any, tmp_path: Path) -> None:
    ended = cloned.doit("affected", "--since", "HEAD", PATH=str(tmp_path))
    assert (ended.status, ended.out) == (FAILED, "")
    assert ended.err == "git: is needed to look at a revision, and is not on PATH\n  hint: install git\n"


def test_a_revision_without_this_project_is_wrong_usage(cloned: Any) -> None:
    git(cloned, "checkout", "--quiet", "--orphan", "other")
    git(cloned, "rm", "--quiet", "--cached", "pyproject.toml")
    git(cloned, "commit", "--quiet", "-m", "without it")
    ended = cloned.doit("affected", "--since", "HEAD")
    assert ended.status == USAGE
    assert ended.err == (
        "--since: must have this project, whose pyproject.toml has [tool.procession], got 'HEAD'\n"
        "  hint: choose a later revision\n"
    )


def test_a_definition_that_is_wrong_now_is_told_as_by_a_build(cloned: Any) -> None:
    cloned.edit(DEFINITION, "package:", "packag:")
    ended = cloned.doit("affected", "--since", "HEAD")
    assert ended.status == WRONG
    assert ended.err.startswith(f"{DEFINITION}:2: go.packag: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "doit: affected must have --since REVISION\n"),
        (("api", "--since", "HEAD"), "doit: affected must be followed by options alone, got 'api'\n"),
        (("--since", "HEAD", "--json", "--matrix", "github"), "doit: --json must be used without --matrix\n"),
        (("--since", "HEAD", "--matrix", "jenkins"), "doit: Error parsing parameter 'matrix'."),
    ],
)
def test_wrong_words_are_wrong_usage(cloned: Any, words: tuple[str, ...], said: str) -> None:
    ended = cloned.doit("affected", *words)
    assert ended.status == USAGE
    assert ended.err.startswith(said)


def test_a_repository_that_another_user_owns_says_what_git_says(cloned: Any) -> None:
    if os.getuid() != 0:
        pytest.skip("giving a folder to another user needs root")
    os.chown(cloned.root, 12345, 12345)
    os.chown(cloned.path(".git"), 12345, 12345)
    ended = cloned.doit("affected", "--since", "HEAD")
    assert ended.status == FAILED
    assert ended.err.startswith("git rev-parse: fatal: detected dubious ownership")
