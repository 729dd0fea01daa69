"""The shape of the package: who may import whom, and how long a function may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import procession_tasks

PACKAGE = Path(procession_tasks.__file__).parent
LAYERS = ("graph", "run", "publish", "cache", "image", "rootfs", "golang", "debian", "definition")
LEAVES = (
    "step",
    "once",
    "notice",
    "xdg",
    "web",
    "states",
    "kept",
    "files",
    "process",
    "interruption",
    "errors",
    "platform",
)
LONGEST = 60

MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imported(module: str) -> set[str]:
    """Every module a module names in an import, inside functions too; relative ones made absolute."""
    found: set[str] = set()
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base} | {name for alias in node.names if (name := f"{base}.{alias.name}") in MODULES}
    return found


def own(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    return {name for name in imported(module) if name.startswith("procession_tasks.")}


def part(module: str) -> str:
    """The layer or leaf a module belongs to."""
    return [*module.split("."), ""][1]


def functions(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(MODULES[module].read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def importers(*names: str) -> set[str]:
    """The modules that import one of these, or something below it."""
    return {
        module
        for module in MODULES
        for found in imported(module)
        if any(f"{found}.".startswith(f"{n}.") for n in names)
    }


def test_every_module_is_part_of_the_table() -> None:
    assert {part(module) for module in MODULES} - {""} == {*LAYERS, *LEAVES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards_only(module: str) -> None:
    order = [*LAYERS, "leaves"]

    def height(name: str) -> int:
        return order.index(name if name in LAYERS else "leaves")

    if part(module):
        upwards = {name for name in own(module) if height(part(name)) < height(part(module))}
        assert upwards == set()


def test_leaves_import_one_another_without_a_circle() -> None:
    needs = {leaf: {part(name) for name in own(f"procession_tasks.{leaf}")} for leaf in LEAVES}
    while free := {leaf for leaf, of in needs.items() if not of & needs.keys()}:
        needs = {leaf: of for leaf, of in needs.items() if leaf not in free}
    assert needs == {}


def test_only_the_graph_imports_doit() -> None:
    assert {part(module) for module in importers("doit")} == {"graph"}


def test_only_one_module_starts_processes() -> None:
    assert importers("subprocess", "multiprocessing", "pty") == {"procession_tasks.process"}
    for module, path in MODULES.items():
        called = {
            node.attr
            for node in ast.walk(ast.parse(path.read_bytes()))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
        }
        assert not called & {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"}, module
        assert not {name for name in called if name.startswith(("exec", "spawn"))}, module


def test_the_verifier_shares_no_code_with_the_writers() -> None:
    reached, waiting = set(), ["procession_tasks.image.verify"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            waiting += own(module)
    writers = {f"procession_tasks.image.{name}" for name in ("tarball", "deflate", "aci")}
    assert reached & writers == set()
    assert {module for module in reached if part(module) == "rootfs"} == set()


def test_what_the_verifier_expects_of_packages_shares_no_code_with_what_unpacks_them() -> None:
    assert own("procession_tasks.image.expected_packages") == {
        "procession_tasks.debian.pin",
        "procession_tasks.errors",
        "procession_tasks.image.members",
    }


@pytest.mark.parametrize("module", MODULES)
def test_no_function_is_longer_than_a_page(module: str) -> None:
    assert {name: lines for name, lines in functions(module) if lines > LONGEST} == {}


def test_nothing_is_called_utilities() -> None:
    names = {name for module in MODULES for name in module.split(".")}
    assert names & {"utils", "util", "helpers", "helper", "common", "constants", "misc"} == set()


def test_a_run_with_nothing_to_do_imports_no_parser_of_definitions() -> None:
    """`tasks` and what it imports at its top; a parser there would cost every run its time."""
    reached, waiting = set(), ["procession_tasks.graph.doitfile"]
    while waiting:
        module = waiting.pop()
        if module not in reached:
            reached.add(module)
            tree = ast.parse(MODULES[module].read_bytes())
            top = {node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)}
            waiting += [name for name in top if name in MODULES]
    assert {module for module in reached if part(module) in {"definition", "image", "rootfs"}} == set()
