"""Reads ``[tool.procession]`` of pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from procession_tasks.definition.model import PROJECT, Project
from procession_tasks.definition.node import Node
from procession_tasks.definition.shape import InvalidError, Report
from procession_tasks.errors import DefinitionError, Problem

_FILE = "pyproject.toml"
_HEADER = re.compile(r"\s*\[\s*([\w.\"-]+)\s*\]")
_ASSIGNMENT = re.compile(r"\s*([\w-]+)\s*=")


def load_project(root: Path) -> Project:
    """Read the settings of the repository at `root`.

    Raises DefinitionError with every problem, also when there is no such file or table.
    """
    try:
        text = (root / _FILE).read_text(encoding="utf-8")
        table = tomllib.loads(text).get("tool", {}).get("procession")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise DefinitionError([Problem(_FILE, 1, "", "must be a readable file", what)]) from None
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError([Problem(_FILE, 1, "", "must be TOML", str(error))]) from None
    if table is None:
        hint = 'add [tool.procession.go] with version = "1.27.3"'
        raise DefinitionError([Problem(_FILE, 1, "tool.procession", "must be a table", "nothing", hint)])
    report, lines = Report(_FILE), _lines(text)
    try:
        project: Project = PROJECT.read(_node(table, "tool.procession", lines), "tool.procession", report)
    except InvalidError:
        raise DefinitionError(report.problems) from None
    if missing := _missing_modules(root, project, lines):
        raise DefinitionError(missing)
    return project


def _missing_modules(root: Path, project: Project, lines: dict[str, int]) -> list[Problem]:
    key = "tool.procession.go.modules"
    line = lines.get(key, lines.get("tool.procession.go", 1))
    rule, hint = "must be folders with a go.mod file", "paths are relative to pyproject.toml"
    return [
        Problem(_FILE, line, key, rule, repr(module), hint)
        for module in project.go.modules
        if not (root / module / "go.mod").is_file()
    ]


def _lines(text: str) -> dict[str, int]:
    """Say on which line each dotted key of a TOML text first stands."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = header[1]
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault(f"{table}.{assignment[1]}", number)
    return lines


def _node(value: Any, key: str, lines: dict[str, int], line: int = 1) -> Node:
    line = lines.get(key, line)
    match value:
        case dict():
            pairs = []
            for name, item in value.items():
                dotted = f"{key}.{name}"
                pairs.append((Node("text", name, lines.get(dotted, line)), _node(item, dotted, lines, line)))
            return Node("mapping", tuple(pairs), line)
        case list():
            return Node("list", tuple(_node(item, f"{key}[]", lines, line) for item in value), line)
        case bool():
            return Node("boolean", value, line)
        case int():
            return Node("integer", str(value), line)
        case str():
            return Node("text", value, line)
    return Node("number", str(value), line)
