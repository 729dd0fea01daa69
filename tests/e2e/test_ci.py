"""What a CI is told of a run: the report, the summary, annotations; and the examples for CIs, which are run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow  # each builds, some more than once

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "docs/ci"
STAGES = ("go-inputs", "go-compile", "inject-binary", "pack-aci", "pack-oci")
SOURCE, DEFINITION = "services/internal/apionly/api.go", "deploy/aci/api/image.yaml"
BROKEN = f"{SOURCE}:4: undefined: nowhere"
NEVER = "it was never built here"
REPORT = "build/report.json"
BUILD = "./deploy/container-build.bash --report build/report.json"
FAILED, USAGE, WRONG, INTERRUPTED = 1, 2, 3, 130


@pytest.fixture
def cached(workspace: Any, tmp_path: Path) -> Any:
    """A repository whose builds use a cache on this machine, and none of whose variables come from the CI we run in."""
    for name in [name for name in workspace.environment if name.startswith(("GITHUB_", "GITLAB_", "CI"))]:
        del workspace.environment[name]
    workspace.environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(tmp_path / "cache")}
    return workspace


@pytest.fixture
def summary(tmp_path: Path) -> Path:
    return tmp_path / "summary.md"


@pytest.fixture
def github(cached: Any, summary: Path) -> Any:
    """The same, on GitHub Actions."""
    cached.environment |= {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    return cached


def report(workspace: Any, name: str = REPORT) -> Any:
    return json.loads(workspace.read(name))


def outcomes(document: Any) -> dict[str, str]:
    return {task["name"]: task["outcome"] for task in document["tasks"]}


def told(document: Any) -> dict[str, tuple[str, str | None]]:
    """How each image came about, and why."""
    return {image["name"]: (image["outcome"], image["why"]) for image in document["images"]}


def everything(how: str, *images: str) -> dict[str, str]:
    return {f"{stage}:{image}": how for image in images or ("api", "iam") for stage in STAGES}


def break_source(workspace: Any) -> None:
    workspace.edit(SOURCE, '"apionly"', "nowhere")


def annotations(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("::") and not GROUP.match(line)]


# What marks a part of a log that is folded, on GitHub and on GitLab.
GROUP = re.compile(r"::(?:group::|endgroup::$)")
SECTION = re.compile(  # its \r is a \n here, as Python reads texts
    r"\x1b\[0Ksection_(?P<end>start|end):\d+:(?P<name>[A-Za-z0-9_.-]+)(?:\[collapsed=true\])?[\r\n]\x1b\[0K"
)


# The report


def test_the_first_build_is_reported_with_what_it_made(cached: Any) -> None:
    cached.build("--report", REPORT)
    document = report(cached)
    assert (document["version"], document["status"], document["errors"]) == (1, 0, [])
    assert outcomes(document) == everything("built")
    why = f"{NEVER}; no cache had go-inputs:"
    assert told(document) == {"api": ("built", f"{why}api"), "iam": ("built", f"{why}iam")}
    nothing = {"hits": {}, "saved_seconds": 0, "fetched_bytes": 0, "sent_bytes": 0}
    assert document["cache"] == nothing | {"misses": 10}
    for image in document["images"]:
        layout = cached.path(f"build/oci/{image['name']}/linux-amd64")
        top = json.loads((layout / "index.json").read_text())["manifests"][0]
        manifest = (layout / "blobs" / image["digest"].replace(":", "/")).read_bytes()
        of_blobs = [blob.stat().st_size for blob in layout.glob("blobs/sha256/*")]
        assert image["platform"] == "linux/amd64"
        assert image["digest"] == top["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        assert image["size"] == sum(of_blobs)
        assert image["aci_id"] == Path(f"{cached.aci(image['name'])}.id").read_text().strip()


def test_times_are_those_of_the_run(cached: Any) -> None:
    cached.build("--report", REPORT)
    document = report(cached)
    for task in document["tasks"]:
        assert 0 < task["started"] < task["started"] + task["seconds"] < document["seconds"]
    for image in document["images"]:
        of_tasks = [task["seconds"] for task in document["tasks"] if task["image"] == image["name"]]
        assert max(of_tasks) <= image["seconds"] <= sum(of_tasks) + 0.01


def test_a_build_from_the_cache_says_where_from_and_what_that_spared(cached: Any) -> None:
    cached.build("--report", REPORT)
    first = report(cached)
    shutil.rmtree(cached.path("build"))
    cached.build("build", "--report", REPORT)
    document = report(cached)
    assert outcomes(document) == everything("cached")
    assert {task["from"] for task in document["tasks"]} == {"disk"}
    assert told(document) == {"api": ("cached", NEVER), "iam": ("cached", NEVER)}
    cache = document["cache"]
    assert (cache["hits"], cache["misses"]) == ({"disk": 10}, 0)
    assert cache["saved_seconds"] == pytest.approx(sum(task["saved_seconds"] for task in document["tasks"]), abs=0.01)
    assert cache["saved_seconds"] > 0
    made = [(image["digest"], image["aci_id"], image["size"]) for image in first["images"]]
    assert [(image["digest"], image["aci_id"], image["size"]) for image in document["images"]] == made


def test_a_run_with_nothing_to_do_reports_the_images_it_found(cached: Any) -> None:
    cached.build("--report", REPORT)
    first = report(cached)
    cached.build()  # remembered: the next would end before it makes a task
    ended = cached.build("--report", REPORT)
    document = report(cached)
    assert ended.out == "nothing to do: 10 tasks up to date\n"
    assert outcomes(document) == everything("fresh")
    assert told(document) == {"api": ("fresh", None), "iam": ("fresh", None)}
    assert [image["digest"] for image in document["images"]] == [image["digest"] for image in first["images"]]
    assert document["cache"]["misses"] == 0


def test_why_an_image_was_built_is_the_first_thing_that_changed(cached: Any) -> None:
    cached.build()
    cached.edit(SOURCE, '"apionly"', '"edited"')
    cached.build("--report", REPORT)
    document = report(cached)
    assert outcomes(document) == everything("built", "api") | everything("fresh", "iam")
    assert told(document) == {"api": ("built", f"{SOURCE} changed"), "iam": ("fresh", None)}
    whys = {task["name"]: task["why"] for task in document["tasks"]}
    assert whys["go-compile:api"] == "build/state/inputs/api@linux-amd64.inputs changed"
    assert whys["inject-binary:api"] == "build/bin/linux-amd64/api changed"
    assert whys["pack-oci:iam"] is None


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (
            lambda workspace: workspace.edit(DEFINITION, "  binary:", "  ldflags: -s\n  binary:"),
            '-ldflags changed from "-s -w -buildid=" to -s',
        ),
        (
            lambda workspace: workspace.write("deploy/aci/api/rootfs/etc/motd", "new\n"),
            "deploy/aci/api/rootfs/etc/motd changed",
        ),
        (lambda workspace: shutil.rmtree(workspace.path("deploy/aci/api/rootfs")), "deploy/aci/api/rootfs was deleted"),
        (
            lambda workspace: workspace.write("build/bin/linux-amd64/api", "swapped\n"),
            "build/bin/linux-amd64/api is not as it was built",
        ),
        (
            lambda workspace: [workspace.write(f"services/cmd/api/{name}.go", "package main\n") for name in "abcde"],
            "services/cmd/api/a.go, services/cmd/api/b.go, services/cmd/api/c.go and 2 more are new",
        ),
    ],
    ids=["declaration", "folder", "folder gone", "output", "many"],
)
def test_reasons_are_told_in_a_line(cached: Any, edit: Callable[[Any], object], why: str) -> None:
    cached.build("build:api")
    edit(cached)
    cached.doit("build:api", "--report", REPORT)
    assert report(cached)["images"][0]["why"].startswith(why)


def test_a_task_that_was_to_be_run_in_any_case_says_so(cached: Any) -> None:
    cached.build("build:api")
    cached.build("-a", "build:api", "--report", REPORT)
    assert told(report(cached)) == {"api": ("cached", "it was asked for, stale or not")}


def test_a_program_that_comes_out_the_same_leaves_its_image_fresh(cached: Any) -> None:
    cached.build("build:api")
    cached.edit(SOURCE, '{ return "apionly" }', '{ return "apionly" } // says who')
    cached.build("build:api", "--report", REPORT)
    document = report(cached)
    assert told(document) == {"api": ("fresh", f"{SOURCE} changed")}
    assert document["images"][0]["digest"]


def test_a_failed_compile_is_reported_with_its_place(cached: Any) -> None:
    cached.build()
    break_source(cached)
    ended = cached.doit("--report", REPORT)
    document = report(cached)
    assert (ended.status, document["status"]) == (FAILED, FAILED)
    assert document["errors"] == [
        {"task": "go-compile:api", "message": "undefined: nowhere", "file": SOURCE, "line": 4}
    ]
    later = dict.fromkeys(("inject-binary:api", "pack-aci:api", "pack-oci:api"), "skipped")
    expected = {"go-inputs:api": "built", "go-compile:api": "failed"} | later | everything("fresh", "iam")
    assert outcomes(document) == expected
    failed = document["images"][0]
    assert (failed["outcome"], failed["why"]) == ("failed", f"{SOURCE} changed")
    assert (failed["digest"], failed["aci_id"], failed["size"]) == (None, None, None), "those there are are old"


def test_what_fails_for_one_reason_is_one_error(cached: Any) -> None:
    cached.edit("services/internal/shared/shared.go", '"shared"', "nowhere")
    cached.doit("-c", "--report", REPORT)
    document = report(cached)
    assert [(error["file"], error["line"]) for error in document["errors"]] == [
        ("services/internal/shared/shared.go", 4)
    ]
    assert {image["outcome"] for image in document["images"]} == {"failed"}


def test_a_wrong_definition_is_reported_with_every_place(cached: Any) -> None:
    cached.edit(DEFINITION, "platforms:", "platform:")
    cached.edit("deploy/aci/iam/image.yaml", "/bin/iam", "bin/iam")
    ended = cached.doit("--report", REPORT)
    document = report(cached)
    assert (ended.status, document["status"], document["tasks"], document["images"]) == (WRONG, WRONG, [], [])
    places = [(error["file"], error["line"], error["task"]) for error in document["errors"]]
    assert places == [(DEFINITION, 4, None), ("deploy/aci/iam/image.yaml", 3, None)]
    assert document["errors"][0]["message"] == "platform: must be a known key\n  hint: did you mean platforms?"


def test_a_word_that_is_no_task_is_reported(cached: Any) -> None:
    cached.write(REPORT, "of an earlier run")
    assert cached.doit("build:nope", "--report", REPORT).status == USAGE
    document = report(cached)
    assert document["status"] == USAGE
    assert "must be a task" in document["errors"][0]["message"]


def test_a_release_reports_each_platform_of_an_image(cached: Any) -> None:
    cached.build("release:api", "--report", REPORT)
    document = report(cached)
    assert [(image["name"], image["platform"]) for image in document["images"]] == [
        ("api", "linux/amd64"),
        ("api", "linux/arm64"),
    ]
    assert len({image["digest"] for image in document["images"]}) == 2
    joined = next(task for task in document["tasks"] if task["name"] == "index-oci:api")
    assert (joined["image"], joined["platform"], joined["outcome"]) == ("api", None, "built")


def test_a_stage_alone_reports_its_tasks_and_no_image(cached: Any) -> None:
    cached.build("go-compile:api", "--report", REPORT)
    document = report(cached)
    assert (outcomes(document), document["images"]) == ({"go-inputs:api": "built", "go-compile:api": "built"}, [])


def test_an_interrupted_run_is_reported_too(cached: Any, start: Any, gated_go: Any, wait_until: Any) -> None:
    go = gated_go(cached)
    run = start(cached, "--report", REPORT)
    wait_until(lambda: go.count("build"), "go build runs")
    run.signal(signal.SIGINT, group=True)
    assert run.wait() == INTERRUPTED
    document = report(cached)
    assert document["status"] == INTERRUPTED
    assert {image["outcome"] for image in document["images"]} <= {"failed", "skipped"}


def test_the_report_goes_where_the_user_is(cached: Any) -> None:
    command = [sys.executable, "-m", "doit", "-k", "--report", "out/report.json", "build:api"]
    folder = cached.path("services")
    subprocess.run(command, cwd=folder, env=cached.environment, check=True, capture_output=True)
    assert json.loads((folder / "out/report.json").read_text())["status"] == 0


@pytest.mark.parametrize("place", ["deploy", "dodo.py/report.json", "/proc/nowhere/report.json"])
def test_a_report_that_cannot_be_written_fails_the_run(cached: Any, place: str) -> None:
    cached.build("build:api")
    ended = cached.doit("build:api", "--report", place)
    assert ended.status == FAILED
    assert re.fullmatch(r"doit: --report: must be a file that can be written, got '.*': .*\n", ended.err)
    assert not list(cached.root.glob("**/*.part"))


def test_a_report_and_another_reporter_are_wrong_usage(cached: Any) -> None:
    ended = cached.doit("--report", REPORT, "-r", "json")
    assert (ended.status, ended.err.splitlines()[0]) == (USAGE, "doit: --report must be used without --reporter")


def test_nobody_asks_and_nothing_is_noted(cached: Any) -> None:
    """What is not wanted costs nothing, with work to do and without."""
    for _ in range(2):
        command = [sys.executable, "-X", "importtime", "-m", "doit"]
        ended = subprocess.run(command, cwd=cached.root, env=cached.environment, capture_output=True, text=True)
        assert ended.returncode == 0
        assert "procession_tasks.graph.reporter" in ended.stderr
        assert not re.search(r"procession_tasks\.graph\.(report|happened)$", ended.stderr, re.MULTILINE)
    assert not cached.path(REPORT).exists()


# GitHub Actions


def test_github_gets_a_summary_with_each_build(github: Any, summary: Path) -> None:
    github.build()
    shutil.rmtree(github.path("build"))
    github.build()
    first, second = summary.read_text().split("### ")[1:]
    assert first.startswith("Images: 2 built\n")
    assert second.startswith("Images: 2 cached\n")
    row = r"\| api linux/amd64 \| `sha256:[0-9a-f]{12}` \| cached \| [0-9.]+ kB \| [0-9.]+ s \| it was never built here \|"
    assert re.search(row, second)
    assert re.search(
        r"^10 tasks in [0-9.]+ s: 10 cached\. Cache hits: 10 from disk; misses: 0; work spared: ", second, re.MULTILINE
    )


def test_github_gets_no_summary_of_what_builds_nothing(github: Any, summary: Path) -> None:
    github.build("validate")
    assert not summary.exists()


def test_github_marks_the_line_that_does_not_compile(github: Any, summary: Path) -> None:
    break_source(github)
    ended = github.doit("build:api")
    expected = f"::error file={SOURCE},line=4,title=go-compile%3Aapi::undefined: nowhere"
    assert (ended.status, annotations(ended.err)) == (FAILED, [expected])
    assert f"{SOURCE}:4:" in ended.err.partition("::")[0], "the log says it as everywhere else"
    assert summary.read_text().endswith(f"#### Errors\n\n```text\n{BROKEN}\n```\n")


def test_github_marks_each_line_of_a_definition_that_is_wrong(github: Any) -> None:
    github.edit(DEFINITION, "platforms:", "platform:")
    github.edit("deploy/aci/iam/image.yaml", "/bin/iam", "bin/iam")
    ended = github.doit("validate")
    assert [line.partition("::")[2].split(",title")[0].removeprefix("error ") for line in annotations(ended.err)] == [
        f"file={DEFINITION},line=4",
        "file=deploy/aci/iam/image.yaml,line=3",
    ]
    assert "::platform: must be a known key%0A  hint: did you mean platforms?" in ended.err


def test_github_is_told_the_place_in_its_own_repository(github: Any) -> None:
    """The build may be in a folder of the repository that GitHub shows."""
    (github.root.parent / ".git").mkdir()
    break_source(github)
    assert f"::error file=repository/{SOURCE},line=4," in github.doit("build:api").err


def test_a_summary_that_cannot_be_written_is_a_warning(github: Any, summary: Path) -> None:
    summary.mkdir()
    ended = github.build("build:api")
    assert "warning: GITHUB_STEP_SUMMARY: " in ended.err


def test_a_report_on_github_is_the_same_as_anywhere(github: Any, summary: Path) -> None:
    github.build("build:api", "--report", REPORT)
    assert told(report(github)) == {"api": ("built", f"{NEVER}; no cache had go-inputs:api")}
    assert summary.exists()


# GitLab CI


def test_gitlab_gets_errors_as_they_are(cached: Any) -> None:
    break_source(cached)
    plain, gitlab = cached.doit("build:api"), cached.doit("build:api", GITLAB_CI="true")
    told = plain.err.partition("  command: ")[0]
    assert BROKEN.partition(": ")[0] in told
    assert (gitlab.status, gitlab.err[: len(told)]) == (FAILED, told)
    assert annotations(gitlab.err) == []


def test_gitlab_folds_how_what_failed_was_run(cached: Any) -> None:
    break_source(cached)
    told = cached.doit("build:api", GITLAB_CI="true").err
    start, end = SECTION.finditer(told)
    assert [(mark["end"], mark["name"]) for mark in (start, end)] == [
        ("start", "go-compile_api"),
        ("end", "go-compile_api"),
    ]
    header, *details = told[start.end() : end.start()].splitlines()
    assert header == "go-compile:api: how it was run"
    assert details[0].startswith("command: go build -C services ")
    assert told[: start.start()].endswith("undefined: nowhere\n"), "the error itself is not folded away"


def test_github_folds_how_what_failed_was_run(github: Any) -> None:
    break_source(github)
    lines = github.doit("build:api").err.splitlines()
    start, end = lines.index("::group::go-compile:api: how it was run"), lines.index("::endgroup::")
    assert lines[start + 1].startswith("command: go build -C services ")
    assert start < end
    assert lines[start - 1].endswith("undefined: nowhere"), "the error itself is not folded away"


@pytest.mark.parametrize("ci", [{"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true"}], ids=["github", "gitlab"])
def test_no_control_character_reaches_a_log(cached: Any, ci: dict[str, str]) -> None:
    cached.write("services/cmd/api/bell.go", 'package main\n\nimport _ "sample.example/\x1b[31mred"\n')
    ended = cached.doit("build:api", **ci)
    assert ended.status == FAILED
    told = SECTION.sub("", ended.out + ended.err)
    assert [char for char in told if not char.isprintable() and char not in {"\n", "\t"}] == []


# The examples


def valid(name: str, schema: str) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    if not program.exists():
        pytest.skip("check-jsonschema is not installed")
    command = [program, "--builtin-schema", schema, EXAMPLES / name]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("github-*.yml")))
def test_an_example_is_a_workflow_as_github_takes_it(name: str) -> None:
    valid(name, "vendor.github-workflows")


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("gitlab-*.yml")))
def test_an_example_is_a_pipeline_as_gitlab_takes_it(name: str) -> None:
    valid(name, "vendor.gitlab-ci")


def example(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text())


SECRET = {"${{ secrets.PROCESSION_CACHE_TOKEN }}": "sesame"}


def github_job(name: str, job: str) -> tuple[list[str], dict[str, str]]:
    """The lines of a workflow's job that build, and the variables they get."""
    document = example(name)
    steps = [step for step in document["jobs"][job]["steps"] if "container-build" in step.get("run", "")]
    assert len(steps) == 1
    variables = document.get("env", {}) | document["jobs"][job].get("env", {}) | steps[0].get("env", {})
    variables = {key: SECRET.get(value, value) for key, value in variables.items()}
    assert not [value for value in variables.values() if "${{" in value]
    return steps[0]["run"].splitlines(), variables


def gitlab_job(name: str, job: str) -> tuple[list[str], dict[str, str]]:
    """As `github_job`."""
    document = example(name)
    whole = document[document[job]["extends"]] | document[job]
    return whole["script"], document.get("variables", {}) | whole.get("variables", {})


@pytest.fixture
def checkout(tmp_path: Path, project: Path) -> Callable[[str], Path]:
    """Make fresh checkouts of this project with the image api alone, and a .venv that borrows the tests' packages."""
    for image in project.glob("deploy/aci/*/"):
        if image.name != "api":
            shutil.rmtree(image)
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/doit").symlink_to(Path(sys.prefix, "bin/doit"))
    (project / ".venv/bin/python").symlink_to(sys.executable)
    command = "cat constraints.txt pyproject.toml | cksum"
    stamp = subprocess.run(command, shell=True, cwd=project, capture_output=True, text=True, check=True).stdout.strip()
    (project / ".venv/.constraints.txt").write_text(stamp)

    def make(name: str) -> Path:
        return Path(shutil.copytree(project, tmp_path / name, symlinks=True))

    return make


def machine(home: Path, **variables: str) -> dict[str, str]:
    """The environment of a machine that has built nothing yet."""
    ours = ("PROCESSION_", "GITHUB_", "GITLAB_", "CI", "XDG_", "PYTHON", "VIRTUAL_ENV")
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    go_cache = os.environ.get("GOCACHE") or f"{os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}/go-build"
    return kept | {"HOME": str(home)} | variables | {"GOCACHE": go_cache}  # which spares the tests a minute


def run_lines(lines: list[str], root: Path, environment: dict[str, str]) -> Any:
    """Run a job's lines as a CI's shell does, and return the report."""
    assert BUILD in lines
    given = {key: value.replace("$CI_PROJECT_DIR", str(root)) for key, value in environment.items()}
    script = "\n".join(lines)
    ended = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=root, env=given, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads((root / REPORT).read_text())


def carry(places: list[str], base: str, source: Path, target: Path) -> None:
    """Copy what a CI keeps of one job for another; `base` is what its places are relative to."""
    found = [os.path.relpath(place, base) for place in places]
    for place in [place for place in found if (source / place).exists()]:
        shutil.copytree(source / place, target / place)


def all_from(document: Any, where: str) -> bool:
    return {task["from"] for task in document["tasks"]} == {where} and told(document)["api"][0] == "cached"


PUSHED = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push"}
PULL_REQUEST = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "pull_request"}
MERGED = {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main"}
MERGE_REQUEST = {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "1"}


def test_a_pull_request_on_github_takes_what_the_default_branch_kept(
    checkout: Callable[[str], Path], tmp_path: Path
) -> None:
    lines, variables = github_job("github-cache-folder.yml", "build")
    steps = {
        step["uses"].partition("@")[0]: step
        for step in example("github-cache-folder.yml")["jobs"]["build"]["steps"]
        if "uses" in step
    }
    places = steps["actions/cache/save"]["with"]["path"]
    assert steps["actions/cache/restore"]["with"]["path"] == places
    first = run_lines(lines, checkout("first"), machine(tmp_path / "home-1", **variables, **PUSHED))
    assert set(outcomes(first).values()) == {"built"}
    later = machine(tmp_path / "home-2", **variables, **PULL_REQUEST)
    carry(places.split(), "~", tmp_path / "home-1", tmp_path / "home-2")
    assert all_from(run_lines(lines, checkout("second"), later), "disk")


def test_the_default_branch_on_github_keeps_what_is_new_alone(checkout: Callable[[str], Path], tmp_path: Path) -> None:
    lines, _ = github_job("github-cache-folder.yml", "build")
    steps = example("github-cache-folder.yml")["jobs"]["build"]["steps"]
    see = next(step["run"] for step in steps if step.get("id") == "built")
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    root, output = checkout("first"), tmp_path / "output"
    environment = machine(tmp_path / "home", **PUSHED, GITHUB_OUTPUT=str(output))
    for _ in range(2):
        run_lines([*lines, see], root, environment)
        shutil.rmtree(root / "build/state")
    assert output.read_text() == "new=true\nnew=false\n"


def test_a_merge_request_on_gitlab_takes_what_the_default_branch_kept(
    checkout: Callable[[str], Path], tmp_path: Path
) -> None:
    document = example("gitlab-cache-folder.yml")
    kept, shared = document["default-branch"]["cache"]
    (taken,) = document["merge-request"]["cache"]
    assert (kept["policy"], shared["policy"], taken["policy"]) == ("pull-push", "push", "pull")
    assert (shared["key"], shared["paths"], shared["unprotect"]) == (taken["key"], taken["paths"], taken["unprotect"])
    assert "unprotect" not in kept
    lines, variables = gitlab_job("gitlab-cache-folder.yml", "default-branch")
    root = checkout("first")
    first = run_lines(lines, root, machine(tmp_path / "home-1", **variables, **MERGED))
    assert set(outcomes(first).values()) == {"built"}
    other = checkout("second")
    carry(shared["paths"], ".", root, other)
    lines, variables = gitlab_job("gitlab-cache-folder.yml", "merge-request")
    assert all_from(run_lines(lines, other, machine(tmp_path / "home-2", **variables, **MERGE_REQUEST)), "disk")


class Server:
    """A cache that speaks HTTP: anyone reads, who has the token writes."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append((self.command, self.headers["Authorization"]))
                content = server.stored.get(self.path)
                self.answer(404 if content is None else 200, content or b"")

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_PUT(self) -> None:
                server.asked.append((self.command, self.headers["Authorization"]))
                content = self.rfile.read(int(self.headers["Content-Length"]))
                allowed = self.headers["Authorization"] == "Bearer sesame"
                if allowed:
                    server.stored[self.path] = content
                self.answer(204 if allowed else 403, b"")

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.mark.parametrize(
    ("name", "read", "writer", "reader", "pushed", "proposed"),
    [
        ("github-remote-cache.yml", github_job, "build", "check", PUSHED, PULL_REQUEST),
        ("gitlab-remote-cache.yml", gitlab_job, "default-branch", "merge-request", MERGED, MERGE_REQUEST),
    ],
    ids=["github", "gitlab"],
)
def test_a_proposed_change_takes_what_the_default_branch_wrote_and_writes_nothing(
    checkout: Callable[[str], Path],
    tmp_path: Path,
    server: Server,
    name: str,
    read: Callable[[str, str], tuple[list[str], dict[str, str]]],
    writer: str,
    reader: str,
    pushed: dict[str, str],
    proposed: dict[str, str],
) -> None:
    lines, variables = read(name, writer)
    secret = {} if read is github_job else {"PROCESSION_CACHE_TOKEN": "sesame"}  # GitLab's protected variables
    here = {"PROCESSION_CACHE_URL": server.url, "NO_PROXY": "127.0.0.1"}
    assert variables["PROCESSION_CACHE_URL"] == "https://cache.example/procession"
    first = run_lines(lines, checkout("first"), machine(tmp_path / "home-1", **(variables | secret | here), **pushed))
    assert set(outcomes(first).values()) == {"built"}
    assert first["cache"]["sent_bytes"] > 1_000_000
    server.asked.clear()
    lines, variables = read(name, reader)
    second = run_lines(lines, checkout("second"), machine(tmp_path / "home-2", **(variables | here), **proposed))
    assert all_from(second, server.url)
    assert second["cache"]["hits"] == {server.url: 5}
    assert second["cache"]["fetched_bytes"] > 1_000_000
    assert {method for method, _ in server.asked} <= {"GET", "HEAD"}
    assert {credential for _, credential in server.asked} == {None}


def test_no_proposed_change_is_given_the_token() -> None:
    workflow = example("github-remote-cache.yml")
    holders = [name for name, job in workflow["jobs"].items() if "secrets." in json.dumps(job)]
    assert holders == ["build"]
    assert workflow["jobs"]["build"]["if"] == "github.ref == 'refs/heads/main'"
    assert "secrets." not in json.dumps(workflow.get("env", {}))
    assert "PROCESSION_CACHE_TOKEN" not in json.dumps(example("gitlab-remote-cache.yml"))


def test_the_page_shows_every_example() -> None:
    page = (REPOSITORY / "docs/ci.md").read_text()
    assert [path.name for path in sorted(EXAMPLES.glob("*.yml")) if f"(ci/{path.name})" not in page] == []
