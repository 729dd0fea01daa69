"""The commands that list and build Go programs, and which programs share one."""

from __future__ import annotations

import dataclasses

import pytest

from procession_tasks.golang.program import (
    Mode,
    Program,
    batch_command,
    batches,
    build_command,
    environment,
    go_name,
    list_command,
)
from procession_tasks.platform import Platform

MODE = Mode(
    module="services",
    workspace=None,
    platform=Platform("linux", "arm64"),
    tags=(),
    gcflags="",
    trimpath=True,
    cc="",
    environment=(),
    version="1.27.3",
)


def program(package: str, ldflags: str = "-s -w", mode: Mode = MODE) -> Program:
    return Program(mode, package, ldflags, f"build/bin/linux-arm64/{package.rpartition('/')[2]}")


def test_the_environment_is_fixed_and_sorted() -> None:
    assert environment(MODE) == (
        ("CGO_ENABLED", "0"),
        ("GO111MODULE", "on"),
        ("GOARCH", "arm64"),
        ("GOENV", "off"),
        ("GOOS", "linux"),
        ("GOTOOLCHAIN", "local"),
        ("GOWORK", "off"),
    )


def test_a_declared_variable_is_added_and_takes_nothing_over() -> None:
    mode = dataclasses.replace(MODE, environment=(("GOARM64", "v8.1"), ("GOOS", "plan9")))
    declared = dict(environment(mode))
    assert declared["GOARM64"] == "v8.1"
    assert declared["GOOS"] == "linux"


def test_a_c_compiler_turns_cgo_on() -> None:
    declared = dict(environment(dataclasses.replace(MODE, cc="gcc")))
    assert (declared["CGO_ENABLED"], declared["CC"]) == ("1", "gcc")


@pytest.mark.parametrize(
    ("module", "expected"), [(".", "go.work"), ("services", "../go.work"), ("a/b", "../../go.work")]
)
def test_a_workspace_is_named_from_the_module(module: str, expected: str) -> None:
    mode = dataclasses.replace(MODE, module=module, workspace="go.work")
    assert dict(environment(mode))["GOWORK"] == expected


def test_a_program_is_built_without_what_differs_from_machine_to_machine() -> None:
    assert build_command(program("./cmd/api")) == (
        "go",
        "build",
        "-C",
        "services",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags=-s -w",
        "-o=../build/bin/linux-arm64/api",
        "--",
        "./cmd/api",
    )


def test_flags_that_say_nothing_are_left_out() -> None:
    mode = dataclasses.replace(MODE, trimpath=False)
    command = build_command(program("./cmd/api", ldflags="", mode=mode))
    assert not [word for word in command if word.startswith(("-ldflags", "-trimpath", "-tags", "-gcflags"))]


def test_tags_reach_listing_and_building_alike() -> None:
    mode = dataclasses.replace(MODE, tags=("a", "b"), gcflags="-N -l")
    assert "-tags=a,b" in list_command(mode, ("./x",))
    assert "-tags=a,b" in build_command(program("./x", mode=mode))
    assert "-gcflags=-N -l" in build_command(program("./x", mode=mode))


def test_a_package_is_never_taken_for_a_flag() -> None:
    for command in (list_command(MODE, ("x",)), build_command(program("x")), batch_command([program("x")], "b")):
        assert command.index("--") == len(command) - 2


def test_together_each_program_has_its_own_linker_flags() -> None:
    command = batch_command(
        [program("./cmd/a", "-X main.v=1"), program("./cmd/b", ""), program("./cmd/c")], "build/part"
    )
    assert command[5:] == (
        "-trimpath",
        "-ldflags=./cmd/a=-X main.v=1",
        "-ldflags=./cmd/c=-s -w",
        "-o=../build/part/",
        "--",
        "./cmd/a",
        "./cmd/b",
        "./cmd/c",
    )


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("./cmd/api", "api"),
        ("example.com/tool", "tool"),
        ("example.com/tool/v2", ""),
        ("example.com/tool/version", "version"),
        ("./v2", ""),
        (".", ""),
        ("./cmd/api.test", "api.test"),
    ],
)
def test_a_program_is_called_as_go_calls_it(package: str, name: str) -> None:
    assert go_name(program(package)) == name


def test_programs_of_different_names_share_one_run() -> None:
    programs = [program("./cmd/a"), program("./cmd/b", "-X main.v=2"), program("./cmd/c", "")]
    assert batches(programs) == [programs]


def test_programs_of_one_name_do_not_share_a_run() -> None:
    one, other, third = program("./cmd/a"), program("./tools/a"), program("./cmd/b")
    assert batches([one, other, third]) == [[one, third], [other]]


def test_one_package_linked_in_two_ways_is_two_runs() -> None:
    one, other = program("./cmd/a", "-X main.v=1"), program("./cmd/a", "-X main.v=2")
    assert batches([one, other]) == [[one], [other]]


def test_where_paths_are_kept_only_programs_linked_alike_share_a_run() -> None:
    mode = dataclasses.replace(MODE, trimpath=False)
    one, other, alike = program("./a", "-s", mode), program("./b", "-w", mode), program("./c", "-s", mode)
    assert batches([one, other, alike]) == [[one, alike], [other]]


def test_no_programs_need_no_run() -> None:
    assert batches([]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"module": "other"},
        {"platform": Platform("linux", "amd64")},
        {"tags": ("x",)},
        {"gcflags": "-N"},
        {"trimpath": False},
        {"cc": "gcc"},
        {"environment": (("GOARM64", "v9.0"),)},
        {"version": "1.27.4"},
        {"workspace": "go.work"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_part_of_a_mode_is_in_its_name(change: dict[str, object]) -> None:
    assert dataclasses.replace(MODE, **change).name != MODE.name


@pytest.mark.parametrize(
    ("module", "start"), [(".", "module@"), ("a/b", "a-b@"), ("../lib", "lib@"), ("services", "services@linux-arm64-")]
)
def test_the_name_of_a_mode_is_a_file_name(module: str, start: str) -> None:
    name = dataclasses.replace(MODE, module=module).name
    assert name.startswith(start)
    assert "/" not in name
