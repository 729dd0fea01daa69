"""Which folders of a module are main packages, as `go list` would say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from procession_tasks.golang.mains import main_packages, module_path, package_name, required

SOURCES = {
    "main.go": "package main\n",
    "cmd/plain/main.go": "package main\n\nfunc main() {}\n",
    "cmd/commented/main.go": "// package lib\n/* package lib\n*/ package main // here\n\nfunc main() {}\n",
    "cmd/several/a_test.go": "package several_test\n",
    "cmd/several/b.go": "package main\n\nfunc main() {}\n",
    "lib/lib.go": "package lib\n",
    "lib/generate.go": "//go:build ignore\n\npackage main\n\nfunc main() {}\n",
    "lib/testdata/main.go": "package main\n",
    "vendor/example.com/x/main.go": "package main\n",
    "_old/main.go": "package main\n",
    ".git/main.go": "package main\n",
    "tests/only_test.go": "package main\n",
    "nested/go.mod": "module nested.example\n",
    "nested/cmd/x/main.go": "package main\n",
    "empty/empty.go": "",
    "notes/notes.txt": "package main\n",
}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "go.mod").write_text(
        "module sample.example/m\n\ngo 1.27\n\nrequire (\n\texample.com/tool v1.2.0\n\texample.com/other v0.1.0 // indirect\n)\n"
        "require example.com/single v1.0.0\n"
    )
    return tmp_path


def test_main_packages_are_found_where_go_would_look(module: Path) -> None:
    assert main_packages(module) == (".", "./cmd/commented", "./cmd/plain", "./cmd/several")


def test_a_file_that_cannot_be_read_is_no_package(module: Path) -> None:
    (module / "cmd/broken").mkdir()
    (module / "cmd/broken/main.go").symlink_to("nowhere")
    assert package_name(module / "cmd/broken") is None
    assert package_name(module / "lib") == "lib"
    assert "./cmd/broken" not in main_packages(module)


def test_the_module_file_says_what_is_called_and_required(module: Path) -> None:
    assert module_path(module) == "sample.example/m"
    assert required(module) == ("example.com/tool", "example.com/other", "example.com/single")
    assert (module_path(module / "lib"), required(module / "lib")) == ("", ())


def test_go_says_the_same_of_this_project_s_services() -> None:
    services = Path(__file__).resolve().parents[2] / "services"
    go = Path(sys.prefix, "bin/go")
    if not go.exists():
        pytest.skip("go is not installed beside this Python")
    listed = subprocess.run(
        [go, "list", "-f", '{{if eq .Name "main"}}{{.Dir}}{{end}}', "./..."], cwd=services, capture_output=True, text=True, check=True,
        env=os.environ | {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local"},
    )  # fmt: skip
    expected = sorted(f"./{Path(line).relative_to(services)}" for line in listed.stdout.split())
    assert list(main_packages(services)) == expected
