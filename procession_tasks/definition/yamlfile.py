"""YAML text as located nodes: every key and value with its line.  Pure."""

from __future__ import annotations

from typing import Any

import yaml

from procession_tasks.definition.node import Kind, Node
from procession_tasks.errors import DefinitionError, Problem

_SCALARS: dict[str, Kind] = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
}
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(text: bytes, file: str) -> Node:
    """Read one YAML document.

    Raises DefinitionError for text that is not YAML, holds two documents, uses an anchor, an
    alias or a tag, or repeats a key: a definition says each thing once, where it is read.
    """
    problems: list[Problem] = []
    loader = None
    try:
        loader = _LOADER(text)
        composed = loader.get_single_node()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DefinitionError([_syntax(error, file)]) from None
    finally:
        if loader is not None:
            loader.dispose()
    if composed is None:
        return Node("mapping", (), 1)
    node = _node(composed, "", file, problems, set())
    if problems:
        raise DefinitionError(problems)
    return node


def _syntax(error: Exception, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    if what == "but found another document":
        return Problem(file, line, "", "must hold one YAML document, got a second one")
    return Problem(file, line, "", f"must be YAML: {what}")


def _node(composed: Any, key: str, file: str, problems: list[Problem], seen: set[int]) -> Node:
    line = composed.start_mark.line + 1
    if id(composed) in seen:
        problems.append(Problem(file, line, key, "must not use anchors and aliases", hint="write the value out"))
        return Node("null", "", line)
    seen.add(id(composed))
    if isinstance(composed, yaml.MappingNode):
        return _mapping(composed, key, file, problems, seen)
    if isinstance(composed, yaml.SequenceNode):
        items = (_node(item, f"{key}[{i}]", file, problems, seen) for i, item in enumerate(composed.value))
        return Node("list", tuple(items), line)
    kind = _SCALARS.get(composed.tag)
    if kind is None:
        kind = "text"
        if composed.tag != "tag:yaml.org,2002:timestamp":
            problems.append(Problem(file, line, key, "must not use a YAML tag", composed.tag))
    value = composed.value.lower() in ("true", "yes", "on") if kind == "boolean" else composed.value
    return Node(kind, value, line)


def _mapping(composed: Any, key: str, file: str, problems: list[Problem], seen: set[int]) -> Node:
    pairs = []
    first: dict[str, int] = {}
    for raw_name, raw_value in composed.value:
        name = _node(raw_name, key, file, problems, seen)
        text = str(name.value)
        dotted = f"{key}.{text}" if key else text
        if text in first:
            rule = f"must be written once (first on line {first[text]})"
            problems.append(Problem(file, name.line, dotted, rule, hint="remove one of the two"))
        first.setdefault(text, name.line)
        pairs.append((name, _node(raw_value, dotted, file, problems, seen)))
    return Node("mapping", tuple(pairs), composed.start_mark.line + 1)
