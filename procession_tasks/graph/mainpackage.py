"""Finds the main package that somebody means, in the modules of the repository."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from procession_tasks.definition.shape import did_you_mean
from procession_tasks.errors import BuildError
from procession_tasks.golang.mains import main_packages, module_path, package_name, required

_SHOWN = 8


def found(word: str, modules: Sequence[str], root: Path) -> tuple[str, str]:
    """Return a module and a main package of it, written as in image.yaml.

    It may be written in the module (./cmd/api), in the repository (services/cmd/api) or as it is imported;
    one of another module must be in a go.mod, and is left to the compiler.  Raises BuildError.
    """
    if not modules:
        hint = 'add [tool.procession.go] with version = "1.27.3" to pyproject.toml'
        raise BuildError("--go: must go with the settings of Go in pyproject.toml", hint=hint)
    known = {
        (module, package): _spelt(module, package, root)
        for module in modules
        for package in main_packages(root / module)
    }
    asked = word.rstrip("/") or "."
    matches = [place for place, spelt in known.items() if asked in spelt]
    if len(matches) == 1:
        return matches[0]
    if matches:
        places = " or ".join(_in_repository(*place) for place in matches)
        raise BuildError(
            f"--go: must name one package, got {word!r}, which is in several modules", hint=f"say {places}"
        )
    for module in modules:
        if any(asked.startswith(f"{one}/") or asked == one for one in required(root / module)):
            return module, asked
    raise _none(word, asked, modules, [package for _, package in known], root)


def _spelt(module: str, package: str, root: Path) -> set[str]:
    """List the ways to write a package."""
    bare = package.removeprefix("./")
    path = module_path(root / module)
    imported = path if package == "." else f"{path}/{bare}"
    return {package, bare, _in_repository(module, package), f"./{_in_repository(module, package)}", imported}


def _in_repository(module: str, package: str) -> str:
    return posixpath.normpath(f"{module}/{package}")


def _none(word: str, asked: str, modules: Sequence[str], packages: list[str], root: Path) -> BuildError:
    """Say why a word is no main package: it is another one, or there is none."""
    for folder in (*(root / module / asked for module in modules), root / asked):
        inside = folder.resolve().is_relative_to(root.resolve())
        if inside and folder.is_dir() and (name := package_name(folder)) is not None:
            return BuildError(
                f"--go: must be a main package, got {word!r}, which is package {name}", hint=_list(packages)
            )
    rule = f"--go: must be a main package of {' or '.join(modules)}, got {word!r}"
    ways = {way: package for package in packages for way in (package, posixpath.basename(package))}
    near = did_you_mean(asked, [way for way in ways if way.startswith(".")] if asked.startswith(".") else ways)
    return BuildError(rule, hint=near or _list(packages))


def _list(packages: list[str]) -> str:
    shown = ", ".join(packages[:_SHOWN]) + (", …" if len(packages) > _SHOWN else "")
    return f"main packages are {shown}" if packages else "there is no main package yet: begin with a package main"
