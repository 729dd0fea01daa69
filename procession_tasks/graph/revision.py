"""The tree of a Git revision, put beside the one that is worked on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procession_tasks import interruption, process
from procession_tasks.errors import BuildError
from procession_tasks.graph import unchanged
from procession_tasks.graph.git import Git
from procession_tasks.graph.inmemory import room
from procession_tasks.graph.scratch import scratch
from procession_tasks.states import in_any


class RevisionError(BuildError):
    """What was given is no revision of this project."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a revision: `root` is where a project's folder is among them.

    `unchanged` are folders, relative to it, of which no file is another than here.
    """

    root: Path
    unchanged: frozenset[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What git is asked about a revision, at once and beside other work."""

    revision: str
    git: Git
    tree: Future[process.Finished]
    entries: Future[list[str] | None]
    changes: unchanged.Asked

    def wait(self) -> None:
        """Wait for all answers."""
        changes = self.changes
        answers: list[Future[Any]] = [self.tree, self.entries, changes.changed, changes.tagged]
        wait([*answers, changes.settings, changes.converted])


QUESTIONS = 6  # of `ask`


def ask(revision: str, git: Git, pool: Executor) -> Asked:
    """Ask git, and return without waiting for it; raises RevisionError for what git would take for an option."""
    if revision.startswith("-"):
        raise _unknown(revision)
    tree = f"{revision}^{{tree}}"
    found = pool.submit(git.ask, "rev-parse", "--verify", "--quiet", tree)
    entries = pool.submit(git.lines, "ls-tree", "-r", "-z", "--full-tree", tree)
    return Asked(revision, git, found, entries, unchanged.ask(git, tree, pool))


@contextlib.contextmanager
def materialized(asked: Asked, root: Path) -> Iterator[Tree]:
    """Have the files of a revision in a folder of their own, for the project whose folder is `root` here.

    They are as a checkout would make them, in memory if there is room; links stand for folders that are the
    same here.  Raises RevisionError for what is no revision, BuildError when git cannot give it.
    """
    git, entries = asked.git, _entries(asked)
    links = unchanged.unchanged_folders(git.top, entries, asked.changes)
    is_linked = in_any(frozenset(links))
    written = {path: line for path, line in entries.items() if not is_linked(path)}
    folder = room(len(links) + len(written), _size(git, written), git.environment)
    with contextlib.ExitStack() as stack:
        try:
            place = _written(written, links, git, folder, stack)
        except (BuildError, OSError):
            if folder is None:
                raise
            stack.close()  # there was room, and somebody else took it
            interruption.check()
            place = _written(written, links, git, None, stack)
        project = root.resolve().relative_to(git.top)
        below = f"{project}/" if project.parts else ""
        yield Tree(place / project, frozenset(link.removeprefix(below) for link in links if link.startswith(below)))


def _written(
    entries: Mapping[str, str], links: Sequence[str], git: Git, folder: Path | None, stack: contextlib.ExitStack
) -> Path:
    """Write files and links below a folder, by default where temporary files go, and return their own."""
    within = stack.enter_context(scratch(folder))
    place, index = within / "tree", str(within / "index")
    lines = "".join(f"{line}\0" for line in entries.values())
    git.run("update-index", "-z", "--index-info", stdin=lines.encode("utf-8", "surrogateescape"), index=index)
    git.run("checkout-index", "--all", "--quiet", f"--prefix={place}/", index=index)
    place.mkdir(exist_ok=True)
    for above in {os.path.dirname(path) for path in links}:
        (place / above).mkdir(parents=True, exist_ok=True)
    for path in links:
        os.symlink(f"{git.top}/{path}", f"{place}/{path}")
    return place


def _entries(asked: Asked) -> dict[str, str]:
    """List the files of a revision: the line that ls-tree has of each, by path.

    Raises BuildError where it is not to be had.
    """
    if asked.tree.result().status != 0:
        if asked.git.is_shallow():
            hint = "git fetch --unshallow, or git fetch --depth=N with an N that reaches it"
            raise BuildError(f"--since: must be in this clone, which is shallow, got {asked.revision!r}", hint=hint)
        raise _unknown(asked.revision)
    listed = asked.entries.result()
    if listed is None:
        tree = asked.tree.result().stdout.decode().strip()
        raise BuildError(f"git ls-tree: cannot read the tree {tree}", hint="git fsck says what is wrong")
    return {line.partition("\t")[2]: line for line in listed}


def _unknown(revision: str) -> RevisionError:
    return RevisionError(f"--since: must be a revision of git, got {revision!r}", hint="such as HEAD~1 or origin/main")


def _size(git: Git, entries: Mapping[str, str]) -> int:
    """Estimate the bytes of files.

    git opens each object to tell how large it is; most are about as large as the file that is here.
    """
    size, gone = 0, []
    for path, line in entries.items():
        try:
            size += os.lstat(git.top / path).st_size
        except OSError:
            gone.append(line.partition("\t")[0].rpartition(" ")[2])
    if gone:
        names = "\n".join([*gone, ""]).encode()
        told = git.ask("cat-file", "--batch-check=%(objectsize)", stdin=names).stdout.split()
        size += sum(int(one) for one in told if one.isdigit())  # a submodule's commit is not here
    return size
