"""The package in somebody else's repository: several modules, many programs, cgo, flags, workspaces."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DODO = """\
\"\"\"Builds the images of this repository.\"\"\"

from procession_tasks.graph.doitfile import *  # noqa: F403
"""
HELLO = 'package main\n\nvar version = "devel"\n\nfunc main() {{ println("{word}", version) }}\n'
SLUG = "linux-amd64"

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the images of this file are for linux/amd64")


class Other:
    """A repository that has nothing of ours but three lines and a table."""

    def __init__(self, workspace: Any) -> None:
        shutil.rmtree(workspace.path("services"))
        self._workspace = workspace
        self.root: Path = workspace.root
        self.write, self.edit, self.path, self.read = workspace.write, workspace.edit, workspace.path, workspace.read
        self.build, self.doit = workspace.build, workspace.doit
        self.environment: dict[str, str] = workspace.environment
        self.write("dodo.py", DODO)
        self.settings()

    def settings(self, **more: Any) -> None:
        """Write pyproject.toml with nothing but our table."""
        lines = ["[tool.procession.go]", 'version = "1.27.3"']
        lines += [f"{name} = {json.dumps(value)}" for name, value in more.items()]
        self.write("pyproject.toml", "\n".join(lines) + "\n")

    def module(self, folder: str, path: str, rest: str = "") -> None:
        self.write(f"{folder}/go.mod", f"module {path}\n\ngo 1.27\n{rest}")

    def image(self, name: str, *programs: str, version: str = "1.0.0", starts: str = "") -> None:
        """Define an image; a program is the fields of `go:` as a YAML flow mapping."""
        manifest = {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": f"other.example/{name}",
            "labels": [{"name": "version", "value": version}],
            "app": {"exec": [f"/bin/{starts or name}"], "user": "0", "group": "0"},
        }
        self.write(f"deploy/aci/{name}/manifest", json.dumps(manifest, indent=2) + "\n")
        self.write(f"deploy/aci/{name}/image.yaml", f"go: [{', '.join(programs)}]\n")

    def says(self, program: str) -> str:
        """Run a built program and return what it prints."""
        path = self.path(f"build/bin/{SLUG}/{program}")
        return subprocess.run([path], capture_output=True, text=True, check=True, timeout=30).stderr.strip()

    def compiled(self) -> set[str]:
        """Build, and name the programs that were compiled."""
        return {name.partition(":")[2] for name in self.build().ran if name.startswith("go-compile:")}


@pytest.fixture
def other(new_workspace: Any, tmp_path: Path) -> Other:
    return Other(new_workspace(tmp_path / "other", ()))


def program(package: str, binary: str, **more: str) -> str:
    fields = {"package": package, "binary": f"/bin/{binary}"} | more
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"


@pytest.mark.slow
def test_three_lines_and_a_table_are_enough_for_a_module_at_the_root(other: Other) -> None:
    other.module(".", "other.example/tool")
    other.write("main.go", HELLO.format(word="hello"))
    other.write("dodo.py", DODO)
    assert len(DODO.splitlines()) == 3
    other.image("tool", program(".", "tool"))
    other.build()
    assert other.says("tool") == "hello devel"
    assert other.path(f"build/aci/tool-1.0.0-{SLUG}.aci").is_file()
    assert other.build().ran == ()
    other.edit("main.go", '"hello"', '"goodbye"')
    assert other.compiled() == {"tool"}
    assert other.says("tool") == "goodbye devel"


@pytest.mark.slow
def test_each_image_names_its_module_when_there_are_several(other: Other) -> None:
    other.settings(modules=["one", "apps/two"])
    for folder, name in (("one", "one"), ("apps/two", "two")):
        other.module(folder, f"other.example/{name}")
        other.write(f"{folder}/cmd/tool/main.go", HELLO.format(word=name))
        other.image(name, program("./cmd/tool", name, module=folder))
    assert other.compiled() == {"one", "two"}
    assert (other.says("one"), other.says("two")) == ("one devel", "two devel")
    other.edit("apps/two/cmd/tool/main.go", '"two"', '"deux"')
    assert other.compiled() == {"two"}
    other.module("one", "other.example/one", "\n// a comment\n")
    assert other.compiled() <= {"one"}


@pytest.mark.slow
def test_a_vendored_module_is_an_input(other: Other) -> None:
    other.module(".", "other.example/tool", "\nrequire dep.example/word v1.2.3\n")
    other.write("vendor/modules.txt", "# dep.example/word v1.2.3\n## explicit; go 1.27\ndep.example/word\n")
    other.write("vendor/dep.example/word/word.go", 'package word\n\nconst Word = "vendored"\n')
    other.write("vendor/dep.example/unused/unused.go", "package unused\n")
    other.write("cmd/a/main.go", 'package main\n\nimport "dep.example/word"\n\nfunc main() { println(word.Word) }\n')
    other.write("cmd/b/main.go", HELLO.format(word="alone"))
    for name in ("a", "b"):
        other.image(name, program(f"./cmd/{name}", name))
    assert other.compiled() == {"a", "b"}
    assert other.says("a") == "vendored"
    other.edit("vendor/dep.example/word/word.go", '"vendored"', '"patched"')
    assert other.compiled() == {"a"}
    assert other.says("a") == "patched"
    other.write("vendor/dep.example/word/more.go", 'package word\n\nfunc init() { println("more") }\n')
    assert other.compiled() == {"a"}
    assert other.says("a") == "more\npatched"
    other.write("vendor/dep.example/unused/unused.go", "package unused // edited\n")
    assert other.compiled() == set()


@pytest.mark.slow
def test_a_module_replaced_by_a_folder_is_an_input(other: Other) -> None:
    other.settings(modules=["app"])
    other.module(
        "app", "other.example/app", "\nrequire lib.example/word v0.0.0\n\nreplace lib.example/word => ../lib\n"
    )
    other.module("lib", "lib.example/word")
    other.write("lib/word.go", 'package word\n\nconst Word = "local"\n')
    other.write("app/main.go", 'package main\n\nimport "lib.example/word"\n\nfunc main() { println(word.Word) }\n')
    other.image("app", program(".", "app"))
    assert other.compiled() == {"app"}
    assert other.says("app") == "local"
    other.edit("lib/word.go", '"local"', '"replaced"')
    assert other.compiled() == {"app"}
    assert other.says("app") == "replaced"
    other.write("lib/more.go", 'package word\n\nfunc init() { println("more") }\n')
    assert other.compiled() == {"app"}
    assert other.says("app") == "more\nreplaced"
    assert other.build().ran == ()


@pytest.mark.slow
def test_a_workspace_joins_its_modules(other: Other) -> None:
    other.settings(modules=["app"])
    other.write("go.work", "go 1.27\n\nuse (\n\t./app\n\t./lib\n)\n")
    other.module("app", "other.example/app")
    other.module("lib", "lib.example/word")
    other.write("lib/word.go", 'package word\n\nconst Word = "together"\n')
    other.write("app/main.go", 'package main\n\nimport "lib.example/word"\n\nfunc main() { println(word.Word) }\n')
    other.image("app", program(".", "app"))
    assert other.compiled() == {"app"}
    assert other.says("app") == "together"
    other.edit("lib/word.go", '"together"', '"apart"')
    assert other.compiled() == {"app"}
    assert other.says("app") == "apart"
    other.module("lib2", "lib.example/word")
    other.write("lib2/word.go", 'package word\n\nconst Word = "elsewhere"\n')
    other.edit("go.work", "./lib\n", "./lib2\n")
    assert other.compiled() == {"app"}
    assert other.says("app") == "elsewhere"
    assert other.build().ran == ()


@pytest.mark.slow
def test_twenty_five_programs_are_compiled_by_one_go_build(other: Other, wrap_go: Any, tmp_path: Path) -> None:
    names = [f"tool{number:02}" for number in range(25)]
    other.module(".", "other.example/tools")
    other.write("internal/word/word.go", 'package word\n\nconst Word = "shared"\n')
    for name in names:
        text = f'package main\n\nimport "other.example/tools/internal/word"\n\nfunc main() {{ println("{name}", word.Word) }}\n'
        other.write(f"cmd/{name}/main.go", text)
        other.image(name, program(f"./cmd/{name}", name))
    go = wrap_go(other, tmp_path / "go")
    assert other.compiled() == set(names)
    assert (go.count("list"), go.count("build")) == (1, 1)
    assert [other.says(name) for name in names] == [f"{name} shared" for name in names]
    assert other.build().ran == ()
    assert len(go.log) == 2
    other.edit("cmd/tool07/main.go", '"tool07"', '"seven"')
    assert other.compiled() == {"tool07"}
    other.edit("internal/word/word.go", '"shared"', '"new"')
    assert other.compiled() == set(names)
    assert go.count("build") == 3
    assert other.says("tool07") == "seven new"


def test_an_image_can_hold_several_programs(other: Other) -> None:
    other.module(".", "other.example/tools")
    for name in ("serve", "admin"):
        other.write(f"cmd/{name}/main.go", HELLO.format(word=name))
    other.image("suite", program("./cmd/serve", "serve"), program("./cmd/admin", "admin"), starts="serve")
    assert other.compiled() == {"suite/admin", "suite/serve"}
    for name in ("serve", "admin"):
        assert other.path(f"build/rootfs/suite/{SLUG}/bin/{name}").is_file()
        assert other.says(name) == f"{name} devel"
    other.edit("cmd/admin/main.go", '"admin"', '"root"')
    assert other.build().ran == (
        "go-inputs:suite/admin",
        "go-compile:suite/admin",
        "inject-binary:suite",
        "pack-aci:suite",
        "pack-oci:suite",
    )


@pytest.mark.slow
def test_one_package_can_be_two_programs_with_tags_and_flags_of_their_own(other: Other) -> None:
    other.module(".", "other.example/tool")
    other.write("main.go", 'package main\n\nvar version = "devel"\n\nfunc main() { println(kind, version) }\n')
    other.write("free.go", '//go:build !paid\n\npackage main\n\nconst kind = "free"\n')
    other.write("paid.go", '//go:build paid\n\npackage main\n\nconst kind = "paid"\n')
    other.image("free", program(".", "free", ldflags='"-s -w -buildid= -X main.version={version}"'))
    other.image("paid", program(".", "paid", tags="[paid]"), version="2.0.0")
    assert other.compiled() == {"free", "paid"}
    assert (other.says("free"), other.says("paid")) == ("free 1.0.0", "paid devel")
    other.edit("paid.go", '"paid"', '"gold"')
    assert other.compiled() == {"paid"}
    other.image("free", program(".", "free", ldflags='"-s -w -buildid= -X main.version={version}"'), version="1.1.0")
    assert other.compiled() == {"free"}
    assert (other.says("free"), other.says("paid")) == ("free 1.1.0", "gold devel")


@pytest.mark.slow
def test_the_settings_give_defaults_that_an_image_overrides(other: Other) -> None:
    other.settings(ldflags="-X main.version=common", tags=["paid"])
    other.module(".", "other.example/tool")
    other.write("main.go", 'package main\n\nvar version = "devel"\n\nfunc main() { println(kind, version) }\n')
    other.write("free.go", '//go:build !paid\n\npackage main\n\nconst kind = "free"\n')
    other.write("paid.go", '//go:build paid\n\npackage main\n\nconst kind = "paid"\n')
    other.image("one", program(".", "one"))
    other.image("two", program(".", "two", tags="[]", ldflags='"-X main.version=own"'))
    assert other.compiled() == {"one", "two"}
    assert (other.says("one"), other.says("two")) == ("paid common", "free own")
    other.settings(ldflags="-X main.version=new", tags=["paid"])
    assert other.compiled() == {"one"}
    assert other.says("one") == "paid new"


@pytest.mark.slow
def test_the_processor_level_is_declared_and_not_taken_from_the_environment(other: Other, go_program: Path) -> None:
    other.module(".", "other.example/tool")
    other.write("main.go", HELLO.format(word="hello"))
    other.image("tool", program(".", "tool"))
    other.build(GOAMD64="v4")
    assert built_with(go_program, other, "tool")["GOAMD64"] == "v1"
    other.image("tool", program(".", "tool", environment="{GOAMD64: v2}"))
    assert other.compiled() == {"tool"}
    assert built_with(go_program, other, "tool")["GOAMD64"] == "v2"


def built_with(go: Path, other: Other, name: str) -> dict[str, str]:
    """The build settings that Go recorded in a program."""
    path = other.path(f"build/bin/{SLUG}/{name}")
    listed = subprocess.run([go, "version", "-m", path], capture_output=True, text=True, check=True).stdout
    settings = (line.split("\t")[2] for line in listed.splitlines() if line.startswith("\tbuild\t"))
    return {name: value for name, _, value in (setting.partition("=") for setting in settings)}


@pytest.mark.slow
def test_other_flags_of_the_compiler_make_another_program(other: Other) -> None:
    other.module(".", "other.example/tool")
    other.write("main.go", HELLO.format(word="hello"))
    other.image("tool", program(".", "tool"))
    other.build()
    path = other.path(f"build/bin/{SLUG}/tool")
    plain = path.read_bytes()
    other.image("tool", program(".", "tool", gcflags='"-N -l"'))
    assert other.compiled() == {"tool"}
    assert path.read_bytes() != plain
    assert other.says("tool") == "hello devel"
    other.image("tool", program(".", "tool"))
    assert other.compiled() == {"tool"}
    assert path.read_bytes() == plain


# cgo

C_MAIN = """\
package main

// #include "word.h"
import "C"

func main() { println(int(C.word())) }
"""


@pytest.fixture
def with_c(other: Other, needed: Any, tmp_path: Path) -> Path:
    """Make `other` a program with C in it; return the script that is its C compiler."""
    real = needed("gcc")
    if not Path("/usr/include/stdlib.h").exists():
        pytest.skip("libc6-dev is not installed")
    script = tmp_path / "tools/cc"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    script.chmod(0o755)
    other.environment["PATH"] = f"{script.parent}{os.pathsep}{other.environment['PATH']}"
    other.module(".", "other.example/tool")
    other.write("cmd/c/main.go", C_MAIN)
    other.write("cmd/c/word.h", "#define WORD 41\nint word(void);\n")
    other.write("cmd/c/word.c", '#include "word.h"\n\nint word(void) { return WORD; }\n')
    other.write("cmd/pure/main.go", HELLO.format(word="pure"))
    other.image("c", program("./cmd/c", "c", cgo="true"))
    other.image("pure", program("./cmd/pure", "pure"))
    return script


@pytest.mark.slow
def test_sources_and_headers_of_c_are_inputs(other: Other, with_c: Path) -> None:
    del with_c
    assert other.compiled() == {"c", "pure"}
    assert (other.says("c"), other.says("pure")) == ("41", "pure devel")
    other.edit("cmd/c/word.h", "41", "42")
    assert other.compiled() == {"c"}
    assert other.says("c") == "42"
    other.edit("cmd/c/word.c", "return WORD;", "return WORD + 1;")
    assert other.compiled() == {"c"}
    assert other.says("c") == "43"
    other.write("cmd/c/unused.h", "#define UNUSED 1\n")
    assert other.compiled() <= {"c"}
    assert other.build().ran == ()


@pytest.mark.slow
def test_the_c_compiler_is_an_input_of_programs_with_c_alone(other: Other, with_c: Path) -> None:
    other.build()
    with with_c.open("a") as stream:
        stream.write("# another version\n")
    assert other.compiled() == {"c"}
    assert other.build().ran == ()
    flagged = with_c.read_text().replace('"$@"', '-DWORD=7 -w "$@"')
    with_c.write_text(flagged)
    other.edit("cmd/c/word.h", "#define WORD 41\n", "#ifndef WORD\n#define WORD 41\n#endif\n")
    assert other.compiled() == {"c"}
    assert other.says("c") == "7"


@pytest.mark.slow
def test_a_missing_c_compiler_is_named_with_a_hint(other: Other, with_c: Path) -> None:
    del with_c
    other.image("c", program("./cmd/c", "c", cgo="true", cc=f"{{{SLUG.replace('-', '/')}: no-such-cc}}"))
    ended = other.doit("build:c")
    assert ended.status == 1
    assert "needs the C compiler no-such-cc, which is not on PATH" in ended.err
    assert "hint: install no-such-cc, or set go.cc for linux/amd64" in ended.err
    assert "Traceback" not in ended.err
    assert other.build("build:pure").status == 0


def test_a_dodo_of_another_project_is_left_alone(workspace: Any, tmp_path: Path) -> None:
    """The package's commands are in every doit of its environment; they keep to their own."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "dodo.py").write_text("def task_hello():\n    return {'actions': ['echo hello'], 'verbosity': 2}\n")
    for words in (["run"], ["list"], ["clean"], ["run", "hello"]):
        ended = subprocess.run(
            [sys.executable, "-m", "doit", *words],
            cwd=other,
            env=workspace.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
    assert not (other / "build").exists()


@pytest.mark.slow
def test_programs_that_go_names_in_its_own_way_are_built_with_the_others(workspace: Any) -> None:
    """The module's root is named by the module, and v2 may be a version or a name."""
    for name, folder in (("root", "."), ("versioned", "./cmd/v2"), ("first", "./cmd/v1")):
        workspace.add_service(name)
        main = workspace.read(f"services/cmd/{name}/main.go")
        workspace.write(f"services/{folder}/main.go", main)
        workspace.edit(f"deploy/aci/{name}/image.yaml", f"./cmd/{name}", folder)
    workspace.build()
    for name in ("api", "iam", "root", "versioned", "first"):
        said = subprocess.run(
            [workspace.path(f"build/bin/linux-amd64/{name}")], capture_output=True, text=True, check=True
        )
        assert f"{name}only" in said.stderr
