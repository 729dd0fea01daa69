"""Python, and the packages that the build is made of, at the versions that it was made for."""

from __future__ import annotations

import importlib.util
import platform
import re
from collections.abc import Iterator
from importlib import metadata

from procession_tasks.graph.doctor.finding import Finding
from procession_tasks.graph.doctor.needs import Needs

_PROJECT = "procession-tasks"
_MODULES = ("_bz2", "_lzma", "_ssl", "zlib")  # a Python that was compiled without a library lacks its module
_COMPARED = re.compile(r"(==|>=|<=|<|>)\s*([0-9][0-9.]*)")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*([^;]*)")


def findings(needs: Needs) -> Iterator[Finding]:
    """Look at this Python and its packages."""
    version = platform.python_version()
    lacks = [name.strip("_") for name in _MODULES if importlib.util.find_spec(name) is None]
    told = f"{version}, without {', '.join(lacks)}" if lacks else version
    remedy = "install a Python that has them, name it in PROCESSION_PYTHON, and remove .venv: it is made anew"
    yield Finding("python", told, "the build itself, and reading packages", there=not lacks, needed=True, remedy=remedy)
    del needs
    for name, wanted in _required():
        yield _package(name, wanted)


def package(name: str, use: str, extra: str, *, needed: bool) -> Finding:
    """Look for a package that only some repositories need."""
    try:
        return Finding(name, metadata.version(name), use, needed=needed)
    except metadata.PackageNotFoundError:
        remedy = f"pip install '{_PROJECT}[{extra}]'"
        return Finding(name, "not installed", use, there=False, needed=needed, remedy=remedy)


def satisfies(version: str, wanted: str) -> bool:
    """Tell whether a version such as 1.2.3 is one of those that are wanted, such as ``>=1,<2``."""
    have = _numbers(version)
    for comparison, text in _COMPARED.findall(wanted):
        other = _numbers(text)
        length = max(len(have), len(other))
        left, right = (part + (0,) * (length - len(part)) for part in (have, other))
        if not {"==": left == right, ">=": left >= right, "<=": left <= right, "<": left < right, ">": left > right}[
            comparison
        ]:
            return False
    return True


def _package(name: str, wanted: str) -> Finding:
    remedy = f"pip install '{name}{wanted}', or remove .venv: deploy/container-build.bash makes it anew"
    use = "every archive: its version is an input" if name == "zlib-ng" else "the build itself"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, f"not installed, must be {wanted}", use, there=False, needed=True, remedy=remedy)
    if not satisfies(version, wanted):
        return Finding(name, f"{version}, must be {wanted}", use, there=False, needed=True, remedy=remedy)
    return Finding(name, version, use, needed=True)


def _required() -> Iterator[tuple[str, str]]:
    """List what is always required."""
    try:
        lines = metadata.requires(_PROJECT) or []
    except metadata.PackageNotFoundError:  # used from a folder on the path
        return
    for line in lines:
        if ";" not in line and (found := _REQUIREMENT.match(line)):
            yield found[1], found[2].strip().strip("()")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", re.split(r"[a-z+-]", text)[0])))
