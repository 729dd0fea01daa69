"""The tool that checks images against their size budgets, before they are packed."""

from __future__ import annotations

import contextlib
from pathlib import Path

from procession_tasks import files
from procession_tasks.definition.node import Node
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import BuildError
from procession_tasks.graph.session import Session
from procession_tasks.image.budget import Held, dump, excess, held, parse
from procession_tasks.image.difference_text import amount
from procession_tasks.rootfs import tree
from procession_tasks.step import Step

_KEY = "size-budget"


def check(step: Step, session: Session) -> None:
    """See that a staged tree is within its budget, and remember it as the one to compare with.

    Raises BuildError with what grew.
    """
    root, budget = session.root, int(step.option("budget"))
    now = _held(step, root)
    record = root / step.option("record")
    before = Held({})
    with contextlib.suppress(OSError):
        before = parse(record.read_bytes())
    if lines := excess(budget, now, before):
        file, platform = f"{step.option('definition')}/image.yaml", step.option("platform")
        got, *rows = lines
        rule = f"the files of the image for {platform} must have at most {amount(budget)}"
        message = f"{file}:{_line(root / file, platform)}: {_KEY}: {rule}, got {got}"
        hint = f"make it smaller, or raise its {_KEY}; doit sizes:{step.subject} says all it holds"
        raise BuildError("\n".join([message, *(f"  {row}" for row in rows)]), hint=hint)
    files.write_if_changed(record, dump(now))


def _held(step: Step, root: Path) -> Held:
    entries = tree.parse((root / step.option("list")).read_bytes())
    return held(entries, tree.parse_owners((root / step.option("owners")).read_bytes()))


def _line(file: Path, platform: str) -> int:
    """Find the line of a budget: that of the platform, where each has its own."""
    budget = _below(parse_yaml(file.read_bytes(), str(file)), _KEY)
    return _below(budget, platform).line


def _below(node: Node, key: str) -> Node:
    pairs = node.value if node.kind == "mapping" else ()
    return next((value for name, value in pairs if name.value == key), node)
