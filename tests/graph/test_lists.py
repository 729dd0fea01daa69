"""In what two programs' inputs differ: told from values as from the lists that people read."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from procession_tasks.golang.ingredients import Compiled, Ingredients, sources
from procession_tasks.graph.cause import Cause
from procession_tasks.graph.lists import Comparison, differences

PATHS = [f"{folder}/{name}.go" for folder in ("a", "a/b", "c") for name in ("x", "y")]
MODULES = ("", "m (here) go1.27", "m (here) go1.27 panicnil=1", "n v1.0.0 h1:x", "n v1.1.0 h1:y")
TOOLS = (("go 1.27.3",), ("go 1.27.4",), ("go 1.27.3", "cc 123 gcc"))


def compiled(path: str, module: str, files: list[tuple[str, str]]) -> Compiled:
    return Compiled(path, module, repr((module, files)), tuple(files))


def ingredients(chance: random.Random) -> Ingredients:
    """Make up a program; a file may be of two packages, which embed it, and has one state."""
    states = {path: chance.choice("12") for path in PATHS}
    packages = []
    for path in chance.sample(["p", "q", "r", "s"], chance.randint(0, 4)):
        held = sorted(chance.sample(PATHS, chance.randint(0, 3)))
        packages.append(compiled(path, chance.choice(MODULES), [(name, states[name]) for name in held]))
    return Ingredients(chance.choice(TOOLS), tuple(packages))


def edited(program: Ingredients, chance: random.Random) -> Ingredients:
    """Change some packages of a program, and leave the others as they are, objects and all."""
    other = ingredients(chance)
    states = dict(file for package in program.packages for file in package.files)
    fresh = [
        compiled(one.path, one.module, [(path, states.get(path, state)) for path, state in one.files])
        for one in other.packages
    ]
    kept = chance.sample(program.packages, chance.randint(0, len(program.packages)))
    names = {package.path for package in kept}
    return Ingredients(program.tools, (*kept, *(package for package in fresh if package.path not in names)))


@pytest.mark.parametrize("seed", range(20))
def test_values_differ_as_their_lists_do(seed: int) -> None:
    chance = random.Random(seed)
    comparison = Comparison()
    found = 0
    for _ in range(200):
        before = ingredients(chance)
        after = chance.choice([before, ingredients(chance), edited(before, chance), edited(before, chance)])
        expected = differences(before.text, after.text)
        assert comparison.differences(before, after) == expected, f"{before}\n{after}"
        found += len(expected)
    assert found > 200


def test_a_pair_of_packages_is_compared_once() -> None:
    class Counted(tuple[tuple[str, str], ...]):
        __slots__ = ()
        looks = 0

        def __iter__(self) -> Iterator[tuple[str, str]]:
            Counted.looks += 1
            return super().__iter__()

    before, after = (Compiled("p", "", state, Counted([("p/a.go", state), ("p/b.go", "1")])) for state in ("1", "2"))
    comparison = Comparison()
    for number in range(10):
        main = compiled(f"main{number}", "", [])
        told = comparison.differences(Ingredients((), (main, before)), Ingredients((), (main, after)))
        assert told == (Cause("content", "p/a.go"),)
    assert Counted.looks == len((before, after))


def test_a_renamed_module_is_no_renamed_file() -> None:
    before = Ingredients((), (compiled("old.example/p", "old.example (here)", [("p/a.go", "1")]),))
    after = Ingredients((), (compiled("new.example/p", "new.example (here)", [("p/a.go", "1")]),))
    assert Comparison().differences(before, after) == (
        Cause("version", "new.example", "", "(here)"),
        Cause("version", "old.example", "(here)", ""),
    )


def test_a_list_names_what_the_program_is_made_of() -> None:
    program = Ingredients(("go 1.27.3",), (compiled("q", "n v1", []), compiled("p", "m v1", [("p/a.go", "12")])))
    assert program.text == b"go 1.27.3\nmodule m v1\nmodule n v1\n12  p/a.go\n"
    assert sources(program.text) == ["p/a.go"]
