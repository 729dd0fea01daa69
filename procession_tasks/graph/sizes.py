"""Says what a staged image holds, largest first, by what it came with."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping

from procession_tasks.graph.session import Session
from procession_tasks.rootfs import tree
from procession_tasks.rootfs.tree import Entry
from procession_tasks.step import Step

_MEGABYTE = 1_000_000


def tell(step: Step, check: Step | None, session: Session) -> None:
    """Print a table for the image that an inject step staged; `check` is the step that knows its size budget."""
    entries = tree.parse((session.root / step.option("list")).read_bytes())
    owners = tree.parse_owners((session.root / step.option("owners")).read_bytes())
    budget = int(check.option("budget")) if check else None
    sys.stdout.write(table(f"{step.subject} for {step.platform}", entries, owners, budget))


def table(title: str, entries: Iterable[Entry], owners: Mapping[str, str], budget: int | None = None) -> str:
    """Lay out bytes and files by owner, largest first, and how much of a budget they are; a hard link costs nothing."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in entries:
        sizes[owners[entry.path]] += entry.size if entry.type == "file" else 0
        counts[owners[entry.path]] += entry.type != "directory"
    total = f"{title}: {sizes.total() / _MEGABYTE:.1f} MB in {counts.total()} files"
    if budget is not None:
        total += f", {100 * sizes.total() / budget:.0f} % of its budget of {budget / _MEGABYTE:.1f} MB"
    rows = (
        f"{sizes[owner] / _MEGABYTE:10.2f} MB {counts[owner]:6} files  {owner}"
        for owner in sorted(sizes, key=lambda owner: (-sizes[owner], owner))
    )
    return "\n".join([total, *rows, ""])
