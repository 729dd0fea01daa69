"""What a program is compiled from elsewhere: the same for the same repository, whole, and digested only once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import files
from procession_tasks.cache import reapi, toolchain_root, wire
from procession_tasks.cache.compile_root import Prepared, Worker, compile_action, grafted, warm_action
from procession_tasks.cache.execution import Engine
from procession_tasks.cache.merkle import child_directories, tree_of
from procession_tasks.cache.module_root import Modules, modules
from procession_tasks.cache.part import NotRemoteError, Part, part
from procession_tasks.cache.reapi import ActionResult, Digest, Directory, OutputDirectory, digest_of
from procession_tasks.cache.remote import Blob, RemoteError
from procession_tasks.cache.settings import Access, Endpoint
from procession_tasks.cache.toolchain_root import toolchain_part
from procession_tasks.golang import toolchain
from procession_tasks.golang.program import Mode, Program, build_command, environment
from procession_tasks.platform import Platform, host

VERSION = "1.27.3"
MODE = Mode("services", None, Platform("linux", "amd64"), (), "", trimpath=True, cc="", environment=(), version=VERSION)
PROGRAM = Program(MODE, "./cmd/api", "-s -w", "build/bin/linux-amd64/api")
SOURCES = ("services/cmd/api/main.go", "services/internal/word/word.go", "services/internal/word/text.txt")
NONE = Modules((), None)


def goroot() -> Path:
    return toolchain.find(VERSION, os.environ).go.parent.parent


def write(root: Path, contents: dict[str, str]) -> Path:
    for path, text in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    contents = {path: f"{path}\n" for path in SOURCES}
    return write(
        tmp_path / "repository", {**contents, "services/go.mod": "module sample.example/services\n\ngo 1.27\n"}
    )


def told(prepared: Prepared) -> tuple[reapi.Command, dict[str, str]]:
    """What the worker is told to run, and in which environment."""
    action = wire.decode(reapi.Action, prepared.action.blobs[prepared.action.key])
    command = wire.decode(reapi.Command, prepared.action.blobs[action.command_digest])
    return command, {variable.name: variable.value for variable in command.environment_variables}


def contents(prepared: Prepared) -> dict[str, tuple[bytes, bool]]:
    """All files of the input root; a directory that is missing fails."""
    action = wire.decode(reapi.Action, prepared.action.blobs[prepared.action.key])
    blobs = {**prepared.blobs, **prepared.action.blobs}

    def content(digest: Digest) -> bytes:
        held = blobs[digest]
        return held.read() if isinstance(held, Blob) else held

    def below(path: str, digest: Digest) -> Iterator[tuple[str, tuple[bytes, bool]]]:
        directory = wire.decode(Directory, content(digest))
        for file in directory.files:
            yield f"{path}{file.name}", (content(file.digest), file.is_executable)
        for folder in directory.directories:
            yield from below(f"{path}{folder.name}/", folder.digest)

    return dict(below("", action.input_root_digest))


# The command and its inputs


def test_the_command_is_the_one_that_runs_here_and_all_paths_are_the_worker_s(repository: Path) -> None:
    go = part({}, {})

    command, variables = told(compile_action(PROGRAM, SOURCES, repository, NONE, Worker("/inputs", toolchain=go)))

    assert command.arguments == ("/inputs/.procession/go/bin/go", *build_command(PROGRAM)[1:])
    assert command.arguments[1:4] == ("build", "-C", "services")
    assert (command.working_directory, command.output_paths) == ("", (PROGRAM.output,))
    assert variables.items() >= dict(environment(MODE)).items()
    assert variables["GOROOT"] == "/inputs/.procession/go"
    assert variables["GOCACHE"] == "/inputs/.procession/gocache"
    assert (variables["GOPROXY"], variables["GOSUMDB"], variables["GOTELEMETRY"]) == ("off", "off", "off")
    assert "GOFLAGS" not in variables


def test_a_worker_with_go_must_have_the_pinned_one(repository: Path) -> None:
    worker = Worker(properties=(("os", "linux"), ("arch", "amd64")))

    command, variables = told(compile_action(PROGRAM, SOURCES, repository, NONE, worker))

    assert command.arguments[0] == "go"
    assert variables["GOTOOLCHAIN"] == f"go{VERSION}"
    assert "/usr/local/go/bin" in variables["PATH"]
    assert "GOROOT" not in variables
    assert command.platform == reapi.Platform((reapi.Property("arch", "amd64"), reapi.Property("os", "linux")))


def test_the_input_root_has_the_sources_and_nothing_of_this_machine(repository: Path) -> None:
    (repository / SOURCES[0]).chmod(0o755)
    write(repository, {"services/internal/word/unused.go": "other\n"})

    found = contents(compile_action(PROGRAM, SOURCES, repository, modules(repository, MODE, {}), Worker()))

    assert found == {path: ((repository / path).read_bytes(), False) for path in (*SOURCES, "services/go.mod")}


def test_the_order_and_the_place_of_files_do_not_matter(repository: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "repository"
    keys = {compile_action(PROGRAM, SOURCES, repository, NONE, Worker()).action.key}
    for seed in range(5):
        shuffled = random.Random(seed).sample(SOURCES, len(SOURCES))
        keys.add(compile_action(PROGRAM, [*shuffled, shuffled[0]], repository, NONE, Worker()).action.key)
    shutil.copytree(repository, moved)
    keys.add(compile_action(PROGRAM, SOURCES, moved, NONE, Worker()).action.key)

    assert len(keys) == 1


def test_what_shapes_the_program_is_in_the_key(repository: Path) -> None:
    def key(program: Program = PROGRAM, worker: Worker = Worker(), graft: Part | None = None) -> Digest:  # noqa: B008
        return compile_action(program, SOURCES, repository, NONE, worker, graft).action.key

    keys = [
        key(),
        key(replace(PROGRAM, ldflags="-s")),
        key(replace(PROGRAM, mode=replace(MODE, tags=("net",)))),
        key(replace(PROGRAM, mode=replace(MODE, environment=(("GOAMD64", "v3"),)))),
        key(worker=Worker(salt="disowned")),
        key(worker=Worker(toolchain=part({}, {}))),
        key(graft=Part(digest_of(b"cache"), {})),
    ]
    (repository / SOURCES[2]).write_text("embedded otherwise\n")
    keys.append(key())

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (replace(MODE, cc="gcc"), "a program with cgo needs the C compiler of this machine"),
        (replace(MODE, trimpath=False), "a program without trimpath has the folders in it that it was compiled in"),
    ],
)
def test_what_depends_on_this_machine_is_not_compiled_elsewhere(mode: Mode, message: str, repository: Path) -> None:
    with pytest.raises(NotRemoteError, match=f"^{message}$"):
        compile_action(replace(PROGRAM, mode=mode), SOURCES, repository, NONE, Worker())
    with pytest.raises(NotRemoteError, match=f"^{message}$"):
        warm_action(mode, ["fmt"], repository, NONE, Worker())


@pytest.mark.parametrize("path", ["services/gone.go", "services/bad\udcff.go", "../outside.go"])
def test_a_source_that_cannot_be_sent_is_named(path: str, repository: Path) -> None:
    (repository / "../outside.go").write_text("outside\n")
    with open(os.fsencode(repository / "services/bad\udcff.go"), "wb"):
        pass
    with pytest.raises(NotRemoteError, match="cannot be"):
        compile_action(PROGRAM, [path], repository, NONE, Worker())


# The build cache that is put into it


def test_what_is_compiled_from_the_standard_library_is_the_same_in_every_repository(repository: Path) -> None:
    there = modules(repository, MODE, {})
    other = replace(MODE, module="tools", workspace="go.work")

    first = warm_action(MODE, ["net/http", "fmt"], repository, there, Worker())
    second = warm_action(other, ["fmt", "net/http", "fmt"], repository.parent, NONE, Worker())

    assert first.action.key == second.action.key
    command, variables = told(first)
    assert command.arguments == ("go", "build", "-buildvcs=false", "-trimpath", "--", "fmt", "net/http", "runtime")
    assert command.output_paths == (".procession/gocache",)
    assert variables["GOWORK"] == "off"
    assert contents(first) == {}


def test_what_is_compiled_from_other_modules_goes_with_the_module_files(repository: Path) -> None:
    prepared = warm_action(MODE, ["fmt", "other.example/x"], repository, modules(repository, MODE, {}), Worker())

    assert told(prepared)[0].arguments[2:4] == ("-C", "services")
    assert set(contents(prepared)) == {"services/go.mod"}


@pytest.mark.parametrize(("gcflags", "kept"), [("-N -l", False), ("all=-N -l", True)])
def test_flags_for_the_program_alone_are_not_for_what_it_imports(gcflags: str, *, kept: bool, repository: Path) -> None:
    prepared = warm_action(replace(MODE, gcflags=gcflags), ["fmt"], repository, NONE, Worker())

    assert (f"-gcflags={gcflags}" in told(prepared)[0].arguments) is kept


class Holding:
    """A cache that has one blob."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, digest: Digest) -> bytes:
        assert digest == digest_of(self.content)
        return self.content


def graft_of(tree: bytes, path: str = ".procession/gocache") -> Part:
    result = ActionResult(output_directories=(OutputDirectory(path, digest_of(tree)),))
    return grafted(Holding(tree), result)  # type: ignore[arg-type]


def test_a_build_cache_is_put_in_by_its_directories_alone(repository: Path) -> None:
    file = toolchain_root.File(digest_of(b"compiled"))
    tree = tree_of({"00/a": file, "01/b": file, "README": file})
    content = wire.encode(tree)

    graft = graft_of(content)
    prepared = compile_action(PROGRAM, SOURCES, repository, NONE, Worker(), graft)

    assert graft == Part(digest_of(wire.encode(tree.root)), child_directories(tree))
    assert set(graft.blobs) <= set(prepared.blobs)
    assert digest_of(b"compiled") not in prepared.blobs  # the engine has it


@pytest.mark.parametrize(
    "tree",
    [
        b"\xff",
        wire.encode(reapi.Tree(Directory(directories=(reapi.DirectoryNode("00", digest_of(b"lost")),)))),
        wire.encode(reapi.Tree()),
    ],
)
def test_a_build_cache_that_is_not_whole_is_not_used(tree: bytes) -> None:
    with pytest.raises(RemoteError, match="made no build cache that can be used"):
        graft_of(tree)


def test_a_result_without_a_build_cache_is_told() -> None:
    with pytest.raises(RemoteError, match="made no build cache"):
        graft_of(wire.encode(reapi.Tree(Directory())), "elsewhere")


# The toolchain


def small_toolchain(root: Path) -> Path:
    tools = f"pkg/tool/{host().os}_{host().arch}"
    programs = ["bin/go", *(f"{tools}/{name}" for name in ("asm", "compile", "link", "preprofile", "vet"))]
    sources = ["src/fmt/print.go", "src/fmt/print_test.go", "src/fmt/testdata/x.go", "src/cmd/go/main.go", "src/go.mod"]
    others = ["VERSION", "go.env", "pkg/include/textflag.h", "lib/time/zoneinfo.zip", "lib/wasm/x", "README.md"]
    write(root, {path: f"{path}\n" for path in (*programs, *sources, *others)})
    for path in programs:
        (root / path).chmod(0o755)
    return root


def paths(found: Part) -> set[str]:
    whole = Prepared(compile_action(PROGRAM, (), Path(), NONE, Worker(toolchain=found)).action, found.blobs)
    return {path.removeprefix(".procession/go/") for path in contents(whole)}


def test_of_the_toolchain_goes_what_a_build_needs(tmp_path: Path) -> None:
    found = toolchain_part(small_toolchain(tmp_path / "go"), tmp_path / "record")

    tools = {f"pkg/tool/{host().os}_{host().arch}/{name}" for name in ("asm", "compile", "link", "preprofile")}
    kept = {
        "VERSION",
        "go.env",
        "bin/go",
        "pkg/include/textflag.h",
        "lib/time/zoneinfo.zip",
        "src/fmt/print.go",
        "src/go.mod",
    }
    assert paths(found) == kept | tools


def test_the_toolchain_is_digested_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, record = small_toolchain(tmp_path / "go"), tmp_path / "kept" / "record"
    first = toolchain_part(go, record)
    read: list[Path] = []
    digest = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: (read.append(path), digest(path))[1])

    assert toolchain_part(go, record) == first
    assert read == []

    (go / "src/fmt/print.go").write_text("another\n")
    changed = toolchain_part(go, record)
    assert read == [go / "src/fmt/print.go"]
    assert changed.root != first.root
    assert changed == toolchain_part(go, tmp_path / "another")

    record.write_bytes(b"torn")
    assert toolchain_part(go, record) == changed


def test_the_kept_digests_of_another_toolchain_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, record = small_toolchain(tmp_path / "go"), tmp_path / "record"
    toolchain_part(go, record)
    read: list[Path] = []
    digest = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: (read.append(path), digest(path))[1])
    (go / "VERSION").write_text("go1.99\n")

    toolchain_part(go, record)

    assert len(read) == 11


def test_a_toolchain_that_lacks_something_is_told(tmp_path: Path) -> None:
    go = small_toolchain(tmp_path / "go")
    (go / f"pkg/tool/{host().os}_{host().arch}/link").unlink()

    with pytest.raises(NotRemoteError, match="link: is needed of the toolchain, and cannot be read"):
        toolchain_part(go, tmp_path / "record")


def test_a_record_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert toolchain_part(small_toolchain(tmp_path / "go"), tmp_path / "file" / "record").blobs


# Modules


def test_a_workspace_brings_the_files_of_all_its_modules(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "go.work": "go 1.27\n\nuse (\n\t./services // the program's\n\t\"./tools\"\n)\nreplace a.example/a => ./vendored/a\n",
            "go.work.sum": "",
            "services/go.mod": "module s\n\nreplace (\n\tb.example/b v1.0.0 => ../forks/b\n\tc.example/c => d.example/d v1.2.0\n)\n",
            "services/go.sum": "",
            "tools/go.mod": "module t\n",
            "vendored/a/go.mod": "module a.example/a\n",
            "forks/b/go.mod": "module b.example/b\n",
            "other/go.mod": "module other\n",
        },
    )  # fmt: skip

    found = modules(root, replace(MODE, workspace="go.work"), {})
    alone = modules(root, MODE, {})

    assert found.files == (
        "forks/b/go.mod", "go.work", "go.work.sum", "services/go.mod", "services/go.sum", "tools/go.mod", "vendored/a/go.mod",
    )  # fmt: skip
    assert alone.files == ("forks/b/go.mod", "services/go.mod", "services/go.sum")


@pytest.mark.parametrize(("target", "told"), [("../../outside", "../outside"), ("/outside", "/outside")])
def test_a_module_outside_of_the_repository_stays_here(target: str, told: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"services/go.mod": f"module s\n\nreplace a.example/a => {target}\n"})

    with pytest.raises(NotRemoteError, match=f"^{told}: is a module outside of the repository$"):
        modules(root, MODE, {})


SUMS = (
    "other.example/Big v1.2.3 h1:abc=\n"
    "other.example/Big v1.2.3/go.mod h1:def=\n"
    "other.example/old v1.0.0/go.mod h1:ghi=\n"
    "other.example/never v1.0.0 h1:jkl=\n"
)


@pytest.fixture
def fetched(tmp_path: Path) -> tuple[Path, Path]:
    root = write(tmp_path / "repository", {"services/go.mod": "module s\n", "services/go.sum": SUMS})
    download = tmp_path / "modules" / "cache" / "download" / "other.example"
    names = {f"!big/@v/v1.2.3.{ending}": ending for ending in ("info", "mod", "zip", "ziphash", "lock")}
    write(download, {**names, "!big/@v/list": "v1.2.3\n", "old/@v/v1.0.0.mod": "m", "old/@v/v1.0.0.zip": "z"})
    write(download, {"stranger/@v/v1.0.0.mod": "m"})
    return root, tmp_path / "modules"


def test_modules_that_go_sum_vouches_for_go_along(fetched: tuple[Path, Path]) -> None:
    root, cache = fetched
    found = modules(root, MODE, {"GOMODCACHE": str(cache)})

    prepared = compile_action(PROGRAM, (), root, found, Worker("/in puts"))

    held = {path: content for path, (content, _) in contents(prepared).items() if path.startswith(".procession/")}
    assert held == {
        ".procession/modules/other.example/!big/@v/v1.2.3.info": b"info",
        ".procession/modules/other.example/!big/@v/v1.2.3.mod": b"mod",
        ".procession/modules/other.example/!big/@v/v1.2.3.zip": b"zip",
        ".procession/modules/other.example/old/@v/v1.0.0.mod": b"m",
    }
    variables = told(prepared)[1]
    assert variables["GOPROXY"] == "file:///in%20puts/.procession/modules"
    assert variables["GOFLAGS"] == "-modcacherw"


def test_the_module_cache_is_where_go_has_it(fetched: tuple[Path, Path], tmp_path: Path) -> None:
    root, cache = fetched
    (tmp_path / "home/go/pkg").mkdir(parents=True)
    (tmp_path / "home/go/pkg/mod").symlink_to(cache)

    for places in ({"HOME": f"{tmp_path}/home"}, {"GOPATH": f"{tmp_path}/home/go:/other", "HOME": "/"}):
        assert modules(root, MODE, places) == modules(root, MODE, {"GOMODCACHE": str(cache)})
    assert modules(root, MODE, {"GOMODCACHE": "/nowhere"}).fetched is None


def test_vendored_modules_are_not_taken_from_the_module_cache(fetched: tuple[Path, Path]) -> None:
    root, cache = fetched
    write(root, {"services/vendor/modules.txt": "# other.example/Big v1.2.3\n"})

    found = modules(root, MODE, {"GOMODCACHE": str(cache)})

    assert found.fetched is None
    assert "services/vendor/modules.txt" in found.files


# With the real toolchain


def test_the_real_toolchain_is_known_at_once_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toolchain_part(goroot(), tmp_path / "record")
    monkeypatch.delattr(files, "sha256")

    assert toolchain_part(goroot(), tmp_path / "record") == first
    assert len(first.blobs) > 3000


def proxy_of(folder: Path, module: str, sources: dict[str, str]) -> str:
    """Publish version 1.0.0 of a module."""
    versions = folder / module / "@v"
    write(versions, {"list": "v1.0.0\n", "v1.0.0.info": '{"Version":"v1.0.0"}', "v1.0.0.mod": sources["go.mod"]})
    with zipfile.ZipFile(versions / "v1.0.0.zip", "w") as archive:
        for path, text in sources.items():
            archive.writestr(f"{module}@v1.0.0/{path}", text)
    return f"file://{folder}"


@pytest.mark.slow
def test_a_program_of_a_workspace_with_a_fetched_module_is_compiled_elsewhere(tmp_path: Path, casd: Any) -> None:
    greeting = 'package greeting\n\nimport "strings"\n\nfunc Word() string { return strings.ToUpper("fetched") }\n'
    other = {"go.mod": "module other.example/greeting\n\ngo 1.27\n", "greeting.go": greeting}
    root = write(
        tmp_path / "repository",
        {
            "go.work": "go 1.27\n\nuse ./services\nuse ./shared\n",
            "services/go.mod": "module s.example/services\n\ngo 1.27\n\nrequire other.example/greeting v1.0.0\n",
            "services/cmd/api/main.go": (
                'package main\n\nimport (\n\t"other.example/greeting"\n\t"s.example/shared"\n)\n\n'
                "func main() { println(greeting.Word(), shared.Word) }\n"
            ),
            "shared/go.mod": "module s.example/shared\n\ngo 1.27\n",
            "shared/shared.go": 'package shared\n\nconst Word = "shared"\n',
        },
    )
    sources = ("services/cmd/api/main.go", "shared/shared.go")
    mode = replace(MODE, workspace="go.work", platform=host())
    program = replace(PROGRAM, mode=mode)
    variables = toolchain.places(os.environ) | dict(environment(mode)) | {
        "GOMODCACHE": f"{tmp_path}/modules", "GOPROXY": proxy_of(tmp_path / "proxy", "other.example/greeting", other),
        "GOSUMDB": "off", "GOWORK": f"{root}/go.work", "GOFLAGS": "-modcacherw",
    }  # fmt: skip
    go = str(goroot() / "bin/go")
    subprocess.run([go, "mod", "download"], cwd=root, env=variables, check=True)
    subprocess.run([go, *build_command(program)[1:]], cwd=root, env=variables, check=True)
    local = (root / program.output).read_bytes()

    there = modules(root, mode, variables)
    worker = Worker(toolchain=toolchain_part(goroot(), tmp_path / "record"))
    here = Engine(Endpoint(casd(execution=True).url, "", Access()))
    warm = warm_action(mode, ["other.example/greeting", "strings"], root, there, worker)
    graft = grafted(here.cache, here.execute(warm.action, warm.blobs))
    prepared = compile_action(program, sources, root, there, worker, graft)
    result = here.execute(prepared.action, prepared.blobs)
    here.close()

    assert there.fetched is not None
    assert result.output_files[0].digest == digest_of(local)


@pytest.mark.slow
def test_an_engine_may_put_the_inputs_anywhere(tmp_path: Path, repository: Path) -> None:
    write(repository, {SOURCES[0]: "package main\n\nfunc main() { println(1) }\n"})
    program = replace(PROGRAM, mode=replace(MODE, platform=host()))
    worker = Worker(f"{tmp_path}/worker", toolchain=toolchain_part(goroot(), tmp_path / "record"))
    prepared = compile_action(program, SOURCES[:1], repository, modules(repository, MODE, {}), worker)

    for path, (content, is_executable) in contents(prepared).items():
        place = tmp_path / "worker" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o755 if is_executable else 0o644)
    command, variables = told(prepared)
    (tmp_path / "worker" / program.output).parent.mkdir(parents=True)
    subprocess.run(command.arguments, cwd=tmp_path / "worker", env=variables, check=True)
    here = toolchain.places(os.environ) | dict(environment(program.mode))
    subprocess.run([goroot() / "bin/go", *build_command(program)[1:]], cwd=repository, env=here, check=True)

    assert (tmp_path / "worker" / program.output).read_bytes() == (repository / program.output).read_bytes()
