"""Which programs an edit recompiles; and that those it does not are as a clean build makes them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds

NONE: frozenset[str] = frozenset()
API, IAM, BOTH = frozenset({"api"}), frozenset({"iam"}), frozenset({"api", "iam"})

LIB = 'package lib\n\n// Word is one.\nfunc Word() string { return "lib" }\n'
EMBEDDING = """\
package iamonly

import "embed"

//go:embed data
var data embed.FS

//go:embed *.sql
var queries embed.FS

func init() { println(data.Open("data/a.txt")); println(queries.Open("one.sql")) }
"""
ASSEMBLY = """\
#include "textflag.h"
#include "answer.h"

TEXT ·Answer(SB), NOSPLIT, $0-8
\tMOVQ $ANSWER, ret+0(FP)
\tRET
"""
ONLY, MAIN = "services/internal/iamonly", "services/cmd/iam/main.go"

Edit = Callable[[Any], object]


def plain(workspace: Any) -> None:
    """One module, where the package that only iam imports has some of everything."""
    workspace.write(f"{ONLY}/embedding.go", EMBEDDING)
    workspace.write(f"{ONLY}/data/a.txt", "a\n")
    workspace.write(f"{ONLY}/data/deep/b.txt", "b\n")
    workspace.write(f"{ONLY}/one.sql", "select 1\n")
    workspace.write(f"{ONLY}/more.go", "package iamonly\n\nvar _ = 1\n")
    workspace.write(f"{ONLY}/zz_windows.go", "package iamonly\n\nvar _ = 1\n")
    workspace.write(f"{ONLY}/tagged.go", '//go:build windows\n\npackage iamonly\n\nfunc init() { println("tagged") }\n')
    workspace.write(f"{ONLY}/iam_test.go", "package iamonly\n")
    workspace.write(f"{ONLY}/testdata/sample.go", "package sample\n")
    workspace.write(f"{ONLY}/answer_amd64.go", "package iamonly\n\n// Answer is one.\nfunc Answer() int\n")
    workspace.write(f"{ONLY}/answer_amd64.s", ASSEMBLY)
    workspace.write(f"{ONLY}/answer.h", "#define ANSWER 42\n")
    workspace.edit(MAIN, "iamonly.Word()", "iamonly.Word(), iamonly.Answer()")


def replaced(workspace: Any) -> None:
    """A module of its own beside the services' module, which go.mod replaces by its folder."""
    _library(workspace, "lib/go.mod", "lib/lib.go")
    workspace.write("services/go.mod", workspace.read("services/go.mod") + "replace sample.example/lib => ../lib\n")


def vendored(workspace: Any) -> None:
    """A module whose source is vendored; the other images' programs do not import it."""
    vendor = "services/vendor/sample.example/lib"
    _library(workspace, f"{vendor}/go.mod", f"{vendor}/lib.go")
    workspace.write(
        "services/vendor/modules.txt", "# sample.example/lib v1.0.0\n## explicit; go 1.27\nsample.example/lib\n"
    )


def working(workspace: Any) -> None:
    """A go.work file that uses both modules."""
    _library(workspace, "lib/go.mod", "lib/lib.go", "v0.0.0")
    workspace.write(
        "go.work", "go 1.27\n\nuse (\n\t./services\n\t./lib\n)\n\nreplace sample.example/lib v0.0.0 => ./lib\n"
    )


def _library(workspace: Any, mod: str, source: str, version: str = "v1.0.0") -> None:
    workspace.write(mod, "module sample.example/lib\n\ngo 1.27\n")
    workspace.write(source, LIB)
    workspace.write(
        "services/go.mod", workspace.read("services/go.mod") + f"\nrequire sample.example/lib {version}\n\n"
    )
    workspace.write(f"{ONLY}/uses.go", 'package iamonly\n\nimport "sample.example/lib"\n\nvar _ = lib.Word()\n')


def replace(name: str, old: str, new: str) -> Edit:
    return lambda workspace: workspace.edit(name, old, new)


def append(name: str, text: str) -> Edit:
    return lambda workspace: workspace.write(name, workspace.read(name) + text)


def add(name: str, text: str) -> Edit:
    return lambda workspace: workspace.write(name, text)


def remove(name: str) -> Edit:
    return lambda workspace: workspace.path(name).unlink()


def rename_package(workspace: Any) -> None:
    workspace.path(ONLY).rename(workspace.path("services/internal/iamalone"))
    workspace.edit(MAIN, "internal/iamonly", "internal/iamalone")


def import_new_package(workspace: Any) -> None:
    workspace.write("services/internal/extra/extra.go", 'package extra\n\nfunc init() { println("extra") }\n')
    workspace.edit(
        "services/internal/shared/shared.go",
        "package shared\n",
        'package shared\n\nimport _ "sample.example/services/internal/extra"\n',
    )


def swap_files(workspace: Any) -> None:
    one, two = workspace.path(f"{ONLY}/data/a.txt"), workspace.path(f"{ONLY}/data/deep/b.txt")
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def link_to_source(workspace: Any) -> None:
    source = workspace.path(f"{ONLY}/more.go")
    source.rename(source.with_name("more.txt"))
    source.symlink_to("more.txt")


PLAIN: dict[str, tuple[Edit, frozenset[str]]] = {
    "iam's own package": (replace(f"{ONLY}/iam.go", '"iamonly"', '"edited"'), IAM),
    "iam's main package": (replace(MAIN, "devel", "edited"), IAM),
    "api's own package": (replace("services/internal/apionly/api.go", '"apionly"', '"edited"'), API),
    "the shared package": (replace("services/internal/shared/shared.go", '"shared"', '"edited"'), BOTH),
    "a comment": (append(f"{ONLY}/iam.go", "// the end\n"), IAM),
    "an embedded file": (append(f"{ONLY}/data/a.txt", "more\n"), IAM),
    "an embedded file of a folder below": (append(f"{ONLY}/data/deep/b.txt", "more\n"), IAM),
    "two embedded files that swap their bytes": (swap_files, IAM),
    "a new file in an embedded folder": (add(f"{ONLY}/data/new.txt", "new\n"), IAM),
    "a new folder in an embedded folder": (add(f"{ONLY}/data/deep/er/new.txt", "new\n"), IAM),
    "a new file an embed pattern matches": (add(f"{ONLY}/two.sql", "select 2\n"), IAM),
    "a removed embedded file": (remove(f"{ONLY}/data/deep/b.txt"), IAM),
    "a hidden file in an embedded folder": (add(f"{ONLY}/data/.hidden", "new\n"), NONE),
    "a file no embed pattern matches": (add(f"{ONLY}/notes.txt", "new\n"), NONE),
    "a file for another system, by name": (append(f"{ONLY}/zz_windows.go", "// more\n"), NONE),
    "a new file for another system": (add(f"{ONLY}/new_windows.go", "package iamonly\n"), NONE),
    "a new file for this system": (add(f"{ONLY}/new_linux.go", "package iamonly\n\nvar _ = 2\n"), IAM),
    "a file for another system, by constraint": (append(f"{ONLY}/tagged.go", "// more\n"), NONE),
    "a constraint that goes": (replace(f"{ONLY}/tagged.go", "//go:build windows\n", ""), IAM),
    "a constraint that comes": (replace(f"{ONLY}/more.go", "package", "//go:build ignore\n\npackage"), IAM),
    "a test": (append(f"{ONLY}/iam_test.go", "// more\n"), NONE),
    "a new test": (add("services/internal/shared/shared_test.go", "package shared\n"), NONE),
    "test data": (append(f"{ONLY}/testdata/sample.go", "// more\n"), NONE),
    "a new file in a package": (add(f"{ONLY}/new.go", 'package iamonly\n\nfunc init() { println("new") }\n'), IAM),
    "a new file that go ignores": (add(f"{ONLY}/_new.go", "not go at all\n"), NONE),
    "a removed file": (remove(f"{ONLY}/more.go"), IAM),
    "a file moved behind a link": (link_to_source, NONE),
    "a renamed package": (rename_package, IAM),
    "a new package nobody imports": (add("services/internal/unused/unused.go", "package unused\n"), NONE),
    "a new package the shared one imports": (import_new_package, BOTH),
    "a new program": (add("services/cmd/tool/main.go", "package main\n\nfunc main() {}\n"), NONE),
    "an assembly file": (replace(f"{ONLY}/answer_amd64.s", "$ANSWER", "$43"), IAM),
    "an included header": (replace(f"{ONLY}/answer.h", "42", "43"), IAM),
    "go.sum, for a module nobody uses": (add("services/go.sum", "sample.example/no v1.0.0 h1:AAAA=\n"), NONE),
    "a comment in go.mod": (append("services/go.mod", "// the end\n"), NONE),
    "the language version": (replace("services/go.mod", "go 1.27", "go 1.26"), BOTH),
    "a GODEBUG setting": (append("services/go.mod", "\ngodebug panicnil=1\n"), BOTH),
    "a readme": (add("services/README.md", "text\n"), NONE),
}

REPLACED: dict[str, tuple[Edit, frozenset[str]]] = {
    "a file of a replaced module": (replace("lib/lib.go", '"lib"', '"edited"'), IAM),
    "a new file of a replaced module": (add("lib/new.go", "package lib\n\nvar _ = 1\n"), IAM),
    "the go.mod of a replaced module": (append("lib/go.mod", "// the end\n"), NONE),
    "the language version of a replaced module": (replace("lib/go.mod", "1.27", "1.26"), IAM),
}
VENDORED: dict[str, tuple[Edit, frozenset[str]]] = {
    "a vendored file": (replace("services/vendor/sample.example/lib/lib.go", '"lib"', '"edited"'), IAM),
    "a comment in modules.txt": (append("services/vendor/modules.txt", "# sample.example/unused\n"), NONE),
}
WORKING: dict[str, tuple[Edit, frozenset[str]]] = {
    "a file of a module in go.work": (replace("lib/lib.go", '"lib"', '"edited"'), IAM),
    "a comment in go.work": (append("go.work", "// the end\n"), NONE),
    "go.work": (replace("go.work", "go 1.27\n", "go 1.27\n\ngodebug panicnil=1\n"), BOTH),
}

KINDS: dict[Callable[[Any], None], dict[str, tuple[Edit, frozenset[str]]]] = {
    plain: PLAIN,
    replaced: REPLACED,
    vendored: VENDORED,
    working: WORKING,
}
# The others take longer together than a developer waits.
QUICK = ("iam's own package", "the shared package", "go.sum, for a module nobody uses", "a vendored file")
TABLE = [
    pytest.param(kind, *row, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for kind, edits in KINDS.items()
    for name, row in edits.items()
]


_once: dict[Callable[[Any], None], Any] = {}


@pytest.fixture
def built(new_workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any], Any]:
    """Repositories of each kind, each built once; tests edit copies of them."""

    def of_kind(kind: Callable[[Any], None]) -> Any:
        if kind not in _once:
            made = new_workspace(tmp_path_factory.mktemp(kind.__name__) / "repository")
            kind(made)
            made.build("go-compile")
            _once[kind] = made
        return _once[kind]

    return of_kind


def copied(workspace: Any, root: Path) -> Any:
    """Copy a repository with everything that was built in it."""
    shutil.copytree(workspace.root, root, symlinks=True)
    other = copy.copy(workspace)
    other.root = root
    return other


def compiled(names: tuple[str, ...]) -> set[str]:
    return {name.removeprefix("go-compile:") for name in names if name.startswith("go-compile:")}


@pytest.mark.parametrize(("kind", "edit", "expected"), TABLE)
def test_an_edit_recompiles(
    built: Any, tmp_path: Path, kind: Callable[[Any], None], edit: Edit, expected: frozenset[str]
) -> None:
    """Exactly the programs it is a part of; then all are as if built from nothing."""
    workspace = copied(built(kind), tmp_path / "repository")
    edit(workspace)
    assert compiled(workspace.build("go-compile").ran) == expected
    incremental = workspace.files("build/bin", "build/state/inputs")
    shutil.rmtree(workspace.path("build/state"))
    shutil.rmtree(workspace.path("build/bin"))
    workspace.build("go-compile")
    assert workspace.files("build/bin", "build/state/inputs") == incremental


def test_a_profile_recompiles_the_program_it_lies_beside(built: Any, tmp_path: Path) -> None:
    workspace = copied(built(plain), tmp_path / "repository")
    profile = workspace.path("services/cmd/iam/default.pgo")
    profile.write_bytes(b"")
    assert compiled(workspace.build("go-compile").ran) == IAM
    profile.unlink()
    assert compiled(workspace.build("go-compile").ran) == IAM
    assert workspace.files("build/bin") == built(plain).files("build/bin")


def test_a_go_work_file_that_appears_is_seen(built: Any, tmp_path: Path) -> None:
    workspace = copied(built(plain), tmp_path / "repository")
    workspace.write("go.work", "go 1.27\n\nuse ./services\n\ngodebug panicnil=1\n")
    assert compiled(workspace.build("go-compile").ran) == BOTH


@pytest.mark.parametrize("folder", [ONLY, "services/internal"])
def test_a_go_mod_that_takes_a_package_out_of_its_module_is_seen(built: Any, tmp_path: Path, folder: str) -> None:
    """From nothing such a tree does not build, so what was built before is no answer."""
    workspace = copied(built(plain), tmp_path / "repository")
    workspace.write(f"{folder}/go.mod", "module sample.example/elsewhere\n\ngo 1.27\n")
    assert workspace.doit("go-compile").status == 1


def test_a_broken_program_is_an_error_until_it_is_mended(built: Any, tmp_path: Path) -> None:
    workspace = copied(built(plain), tmp_path / "repository")
    source = workspace.read(f"{ONLY}/iam.go")
    workspace.write(f"{ONLY}/iam.go", source + "func broken( {\n")
    assert workspace.doit("go-compile").status == 1
    assert workspace.doit("go-compile").status == 1
    workspace.write(f"{ONLY}/iam.go", source)
    assert workspace.build("go-compile").status == 0
    assert workspace.files("build/bin") == built(plain).files("build/bin")


def test_an_import_that_was_missing_is_found_when_it_appears(built: Any, tmp_path: Path) -> None:
    workspace = copied(built(plain), tmp_path / "repository")
    workspace.write(f"{ONLY}/uses.go", 'package iamonly\n\nimport _ "sample.example/services/internal/late"\n')
    assert workspace.doit("go-compile").status == 1
    workspace.write("services/internal/late/late.go", "package late\n")
    assert compiled(workspace.build("go-compile").ran) == IAM
    workspace.edit("services/internal/late/late.go", "package late\n", "package late\n\nvar _ = 1\n")
    assert compiled(workspace.build("go-compile").ran) == IAM
