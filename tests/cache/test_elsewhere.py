"""Programs compiled by an engine elsewhere: the same bytes, the compiler's words, and here when it is not there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MADE = ("build/bin", "build/rootfs", "build/aci", "build/oci")


def executed(out: str) -> set[str]:
    """The tasks whose work an engine did."""
    return set(re.findall(r"^(\S+) +[0-9.]+ s  on grpc://\S+$", out, re.MULTILINE))


@pytest.fixture
def plain(clone: Callable[..., Any]) -> Any:
    """The same repository built here, without any cache."""
    workspace = clone(PROCESSION_CACHE="off")
    workspace.build("release")
    return workspace


def test_programs_for_all_platforms_are_compiled_elsewhere_to_the_same_bytes(
    clone: Callable[..., Any], casd: Callable[..., Any], plain: Any
) -> None:
    server = casd(execution=True, jobs=2)
    workspace = clone(PROCESSION_REMOTE_EXECUTION=server.url)
    built = workspace.build("release")

    compiled = {"go-compile:api", "go-compile:iam", "go-compile:api@linux-arm64", "go-compile:iam@linux-arm64"}
    assert executed(built.out) == compiled
    assert built.err == ""
    assert workspace.files(*MADE) == plain.files(*MADE)
    assert workspace.build("release").out.startswith("nothing to do")

    other = clone(PROCESSION_REMOTE_EXECUTION=server.url)  # the engine remembers what it did
    assert executed(other.build("build:api").out) == {"go-compile:api"}


def test_an_edit_compiles_one_program_elsewhere(clone: Callable[..., Any], casd: Callable[..., Any]) -> None:
    workspace = clone(PROCESSION_REMOTE_EXECUTION=casd(execution=True).url)
    workspace.build()
    workspace.edit("services/internal/apionly/api.go", '"apionly"', '"edited"')
    assert executed(workspace.build().out) == {"go-compile:api"}


def test_a_program_that_does_not_compile_says_what_the_compiler_says(
    clone: Callable[..., Any], casd: Callable[..., Any]
) -> None:
    workspace = clone(PROCESSION_REMOTE_EXECUTION=casd(execution=True).url)
    workspace.edit("services/internal/apionly/api.go", "return", "retrun")
    elsewhere = workspace.doit("-c")
    here = workspace.doit("-c", PROCESSION_REMOTE="off")

    assert elsewhere.status == here.status == 1
    assert elsewhere.err == here.err
    assert "services/internal/apionly/api.go:4" in elsewhere.err
    assert executed(elsewhere.out) == {"go-compile:iam"}


FAULTS: dict[str, Callable[[Any], None]] = {
    "refuses": lambda way: way.refuse(),
    "hangs": lambda way: way.hang(),
    "cuts uploads": lambda way: way.cut_uploads(1_000_000),
    "truncates": lambda way: way.truncate(20_000),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_engine_that_fails_is_done_without(
    fault: str, clone: Callable[..., Any], casd: Callable[..., Any], faulty: Callable[[str], Any]
) -> None:
    way = faulty(casd(execution=True).url)
    FAULTS[fault](way)
    workspace = clone(services=("api",), PROCESSION_REMOTE_EXECUTION=way.url)
    built = workspace.build()
    way.heal()

    assert executed(built.out) == set()
    assert built.err.startswith(f"warning: engine {way.url}: ")
    assert built.err.endswith("; compiling here\n")
    assert built.err.count("\n") == 1
    assert "go-compile:api" in built.ran


def test_a_cache_is_no_engine(clone: Callable[..., Any], casd: Callable[..., Any]) -> None:
    server = casd()
    built = clone(services=("api",), PROCESSION_REMOTE_EXECUTION=server.url).build()
    assert re.fullmatch(rf"warning: engine {server.url}: .*; compiling here\n", built.err)


def test_a_program_with_cgo_is_compiled_here(clone: Callable[..., Any], casd: Callable[..., Any]) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    workspace = clone(services=("api",), PROCESSION_REMOTE_EXECUTION=casd(execution=True).url)
    workspace.edit("deploy/aci/api/image.yaml", "  binary: /bin/api", "  binary: /bin/api\n  cgo: true")
    workspace.edit("deploy/aci/api/image.yaml", "[linux/amd64, linux/arm64]", "[linux/amd64]")
    built = workspace.build()
    assert "a program with cgo needs the C compiler of this machine; compiling here" in built.err


def test_without_grpcio_it_is_said_what_to_install(clone: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "none/grpc").mkdir(parents=True)
    (tmp_path / "none/grpc/__init__.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join([str(tmp_path / "none"), *filter(None, [os.environ.get("PYTHONPATH")])])
    for name in ("PROCESSION_REMOTE_EXECUTION", "PROCESSION_CACHE_URL"):
        ended = clone(services=("api",)).doit(PYTHONPATH=path, **{name: "grpc://127.0.0.1:1"})
        assert ended.status == 1
        assert "grpcio" in ended.err
        assert "hint: pip install 'procession-tasks[remote]'" in ended.err
        assert "Traceback" not in ended.err
