"""`doit new`: a definition that validates from the start, or a word about what keeps it from being one."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each starts doit

USAGE, DEFINITION, FAILED = 2, 3, 1
SCHEMA = "# yaml-language-server: $schema=../image.schema.json\n"


def listed(workspace: Any) -> list[str]:
    return sorted(path.name for path in workspace.path("deploy/aci").iterdir())


@pytest.fixture
def web(workspace: Any) -> Any:
    """A repository with a program that no image has."""
    workspace.write("services/cmd/web/main.go", 'package main\n\nfunc main() { println("web") }\n')
    return workspace


def test_an_image_of_a_program_can_be_built_at_once(web: Any) -> None:
    ended = web.build("new", "web", "--go", "./cmd/web")
    assert ended.out.splitlines() == [
        "deploy/aci/web/manifest: how it is run: the program, its user, version, ports, environment",
        "deploy/aci/web/image.yaml: what it is made of",
        "deploy/aci/web/rootfs/etc/nsswitch.conf: files below rootfs/ go into it as they are",
        "next: doit build:web",
    ]
    assert web.build("validate:web").out == "deploy/aci/web: ok\n"
    assert web.build("build:web").ran == (
        "go-inputs:web", "go-compile:web", "inject-binary:web", "pack-aci:web", "pack-oci:web",
    )  # fmt: skip
    assert web.build("verify:web").status == 0
    assert web.path("build/aci/web-0.1.0-linux-amd64.aci").exists()


def test_it_is_named_as_the_others_are_and_leads_editors_to_the_schema(web: Any) -> None:
    web.build("new", "web", "--go=./cmd/web")
    assert '"name": "sample.example/web"' in web.read("deploy/aci/web/manifest")
    assert web.read("deploy/aci/web/image.yaml").startswith(SCHEMA)
    assert web.read("deploy/aci/image.schema.json") == web.build("schema").out
    assert listed(web) == ["api", "iam", "image.schema.json", "web"]


@pytest.mark.parametrize(
    "word", ["./cmd/web", "cmd/web", "services/cmd/web", "services/cmd/web/", "sample.example/services/cmd/web"]
)
def test_the_package_may_be_written_as_it_comes(web: Any, word: str) -> None:
    web.build("new", "web", "--go", word)
    assert "\n  package: ./cmd/web\n" in web.read("deploy/aci/web/image.yaml")


def test_a_second_image_of_one_program_has_an_output_of_its_own(web: Any) -> None:
    web.build("new", "edge", "--go", "./cmd/api")
    assert "\n  output: edge " in web.read("deploy/aci/edge/image.yaml")
    assert sorted(web.build("validate").out.splitlines())[1] == "deploy/aci/edge: ok"
    assert web.build("list", "--all").status == 0


def test_with_several_modules_the_right_one_is_named(web: Any) -> None:
    web.edit("pyproject.toml", 'modules = ["services"]', 'modules = ["services", "tools"]')
    web.write("tools/go.mod", "module sample.example/tools\n\ngo 1.27\n")
    for name in ("ctl", "web"):
        web.write(f"tools/cmd/{name}/main.go", "package main\n\nfunc main() {}\n")
    web.build("new", "ctl", "--go", "./cmd/ctl")
    assert '\n  module: "tools"\n' in web.read("deploy/aci/ctl/image.yaml")
    for image in ("api", "iam"):
        web.edit(f"deploy/aci/{image}/image.yaml", "go:\n", "go:\n  module: services\n")
    assert web.build("validate:ctl").out == "deploy/aci/ctl: ok\n"
    ended = web.doit("new", "web", "--go", "./cmd/web")
    said = "doit: --go: must name one package, got './cmd/web', which is in several modules\n"
    assert (ended.status, ended.err) == (USAGE, said + "  hint: say services/cmd/web or tools/cmd/web\n")
    web.build("new", "web", "--go", "tools/cmd/web")


def test_a_program_of_a_required_module_is_left_to_the_compiler(web: Any) -> None:
    web.write("services/go.mod", web.read("services/go.mod") + "\nrequire example.com/tool v1.0.0\n")
    web.build("new", "tool", "--go", "example.com/tool/cmd/tool")
    assert "\n  package: example.com/tool/cmd/tool\n" in web.read("deploy/aci/tool/image.yaml")


def test_the_first_image_of_a_repository(new_workspace: Any, tmp_path: Path) -> None:
    fresh = new_workspace(tmp_path / "fresh", ())
    fresh.write("services/main.go", "package main\n\nfunc main() {}\n")
    assert fresh.build("new", "first", "--go", ".").status == 0
    assert "\n  binary: /bin/services " in fresh.read("deploy/aci/first/image.yaml")
    assert fresh.build("validate").out == "deploy/aci/first: ok\n"


def test_an_image_of_packages_validates_once_they_are_chosen(supply: Any, unlocked: Any) -> None:
    ended = unlocked.build("new", "cache", "--debian", "page", "base")
    assert ended.out.splitlines()[-2:] == [
        "it starts /usr/bin/page, which is a guess: packing says if that is not there",
        "next: doit lock:cache chooses and pins the packages, then doit build:cache",
    ]
    missing = unlocked.doit("validate:cache")
    assert missing.status == DEFINITION
    assert "hint: doit lock:cache writes it" in missing.err
    unlocked.build("lock:cache")
    assert unlocked.build("validate:cache").out == "deploy/aci/cache: ok\n"
    assert unlocked.build("build:cache").ran[-1] == "pack-oci:cache"


def test_packages_that_images_share_come_with_it(unlocked: Any) -> None:
    unlocked.write("pyproject.toml", unlocked.read("pyproject.toml") + 'base = ["base-files", "netbase", "libc6"]\n')
    unlocked.build("new", "cache", "--debian", "redis-server", "--debian=tzdata")
    yaml = unlocked.read("deploy/aci/cache/image.yaml")
    assert "  packages: [redis-server, tzdata, base-files, netbase] #" in yaml
    assert "\n    awk: only maintainer scripts of base-files use it\n" in yaml


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "new must be given a name, and --go PACKAGE or --debian PACKAGE\n  hint: such as: doit new web --go ./cmd/api"),
        (("x",), "new must be given a name, and --go PACKAGE or --debian PACKAGE\n  hint: such as: doit new x --go ./cmd/api"),
        (
            ("x", "y", "--go", "./cmd/web"),
            "new must be given a name, and --go PACKAGE or --debian PACKAGE, got 'y'\n  hint: such as: doit new x --go ./cmd/api",
        ),
        (
            ("Web_App", "--go", "./cmd/web"),
            "name: must be lower-case letters, digits and single -, from a letter on, at most 32, got 'Web_App'\n  hint: such as web-app",
        ),
        (
            ("../web", "--go", "./cmd/web"),
            "name: must be lower-case letters, digits and single -, from a letter on, at most 32, got '../web'\n  hint: such as web",
        ),
        (
            ("w" * 33, "--go", "./cmd/web"),
            f"name: must be lower-case letters, digits and single -, from a letter on, at most 32, got '{'w' * 33}'\n  hint: such as {'w' * 32}",
        ),
        (
            ("api", "--go", "./cmd/web"),
            "deploy/aci/api: must not be there yet\n  hint: choose another name, or edit what is there: it is left as it is",
        ),
        (
            ("web", "--go", "./cmd/wbe"),
            "--go: must be a main package of services, got './cmd/wbe'\n  hint: did you mean ./cmd/web?",
        ),
        (
            ("web", "--go", "./zzz"),
            "--go: must be a main package of services, got './zzz'\n  hint: main packages are ./cmd/api, ./cmd/iam, ./cmd/web",
        ),
        (
            ("web", "--go", "./internal/shared"),
            "--go: must be a main package, got './internal/shared', which is package shared\n  hint: main packages are ./cmd/api, ./cmd/iam, ./cmd/web",
        ),
        (
            ("web", "--go", "../.."),
            "--go: must be a main package of services, got '../..'\n  hint: main packages are ./cmd/api, ./cmd/iam, ./cmd/web",
        ),
        (
            ("web", "--debian", "Redis Server"),
            "--debian: must be the name of a Debian package, got 'Redis Server'\n  hint: such as etcd-server",
        ),
        (("web", "--rust", "x"), "option --rust not recognized\n  hint: doit new --help lists the options"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_and_nothing_is_written(
    web: Any, written: Any, words: tuple[str, ...], said: str
) -> None:
    with written(web.root) as names:
        ended = web.doit("new", *words)
    assert (ended.status, ended.out, ended.err) == (USAGE, "", f"doit: {said}\n")
    assert names == set()


def test_what_is_there_is_never_touched_whatever_it_is(web: Any) -> None:
    web.path("deploy/aci/link").symlink_to("nowhere")
    web.write("deploy/aci/file", "mine\n")
    web.path("deploy/aci/empty").mkdir()
    for name in ("link", "file", "empty"):
        assert web.doit("new", name, "--go", "./cmd/web").status == USAGE
    assert web.read("deploy/aci/file") == "mine\n"
    assert list(web.path("deploy/aci/empty").iterdir()) == []
    assert not web.path("deploy/aci/nowhere").exists()


def test_without_settings_of_go_or_without_any_it_is_said(web: Any) -> None:
    web.write("pyproject.toml", "[tool.procession]\n")
    ended = web.doit("new", "web", "--go", "./cmd/web")
    assert ended.status == USAGE
    assert ended.err.startswith(
        "doit: --go: must go with the settings of Go in pyproject.toml\n  hint: add [tool.procession.go]"
    )
    web.path("pyproject.toml").unlink()
    assert web.doit("new", "web", "--go", "./cmd/web").status == DEFINITION


def test_a_folder_that_cannot_be_made_is_named(new_workspace: Any, tmp_path: Path) -> None:
    fresh = new_workspace(tmp_path / "fresh", ())
    fresh.write("services/cmd/web/main.go", "package main\n")
    fresh.write("deploy", "a file\n")
    ended = fresh.doit("new", "web", "--go", "./cmd/web")
    assert (ended.status, "deploy/aci: Not a directory" in ended.err, "Traceback" in ended.err) == (FAILED, True, False)


def test_of_two_at_once_one_makes_it_and_the_other_is_told(web: Any) -> None:
    with ThreadPoolExecutor(2) as both:
        ended = list(both.map(lambda _: web.doit("new", "web", "--go", "./cmd/web"), range(2)))
    first, second = sorted(one.status for one in ended)
    assert (first, second > 0) == (0, True)
    assert {"api", "iam", "web"} <= set(listed(web)) <= {"api", "iam", "web", "image.schema.json"}
    assert "Traceback" not in ended[0].err + ended[1].err


def test_a_kill_at_any_moment_leaves_no_half_definition(web: Any) -> None:
    command = [sys.executable, "-m", "doit", "new", "web", "--go", "./cmd/web"]
    for delay in range(0, 300, 30):
        running = subprocess.Popen(command, cwd=web.root, env=web.environment, stdout=subprocess.DEVNULL)
        time.sleep(delay / 1000)
        running.kill()
        running.wait()
        if web.path("deploy/aci/web").exists():
            assert web.doit("list").status == 0
            assert web.build("validate:web").out == "deploy/aci/web: ok\n"
            for path in sorted(web.path("deploy/aci/web").rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            web.path("deploy/aci/web").rmdir()
        assert sorted(web.build("validate").out.splitlines()) == ["deploy/aci/api: ok", "deploy/aci/iam: ok"]
    assert web.build("new", "web", "--go", "./cmd/web").status == 0
