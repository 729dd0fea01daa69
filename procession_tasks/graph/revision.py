"""The tree of a Git revision, put beside the one that is worked on."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import interruption, process
from procession_tasks.errors import BuildError
from procession_tasks.graph.inmemory import room


class RevisionError(BuildError):
    """What was given is no revision of this project."""


@dataclass(frozen=True, slots=True)
class Git:
    """Git in one repository; `top` is the folder of its work tree."""

    program: str
    top: Path
    environment: Mapping[str, str]

    def ask(self, *words: str, stdin: bytes | None = None, index: str | None = None) -> process.Finished:
        """Run git to its end, whatever that is; `index` is one to work on in place of the repository's."""
        environment = {**self.environment, "GIT_INDEX_FILE": index} if index else self.environment
        return process.run((self.program, *words), folder=self.top, environment=environment, stdin=stdin)

    def run(self, *words: str, index: str | None = None) -> None:
        """Run git; raises BuildError with what it says when it fails."""
        finished = self.ask(*words, index=index)
        if finished.status != 0:
            raise BuildError(f"git {words[0]}: {_said(finished)}")

    def is_shallow(self) -> bool:
        """Tell whether history ends early here."""
        return self.ask("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"


def repository(folder: Path, environment: Mapping[str, str]) -> Git:
    """Find the repository that a folder is in; raises BuildError when there is none, or no git."""
    program = shutil.which("git", path=environment.get("PATH", ""))
    if program is None:
        raise BuildError("git: is needed to look at a revision, and is not on PATH", hint="install git")
    plain = {**environment, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    found = process.run((program, "rev-parse", "--show-toplevel"), folder=folder, environment=plain)
    if found.status != 0 and b"not a git repository" in found.stderr:
        hint = "run it in a clone; without history doit why compares with the last build"
        raise BuildError(f"{folder}: must be in a git repository", hint=hint)
    if found.status != 0:
        raise BuildError(f"git rev-parse: {_said(found)}")
    return Git(program, Path(os.fsdecode(found.stdout.rstrip(b"\n"))).resolve(), plain)


@contextlib.contextmanager
def materialized(revision: str, root: Path, git: Git) -> Iterator[Path]:
    """Have the files of a revision in a folder of their own, and return where `root` is in there.

    They are as a checkout would make them, in memory if there is room.  Raises RevisionError for what is no
    revision, BuildError when git cannot give it.
    """
    tree = _tree(git, revision)
    folder = room(*_extent(git, tree), git.environment)
    with contextlib.ExitStack() as stack:
        try:
            place = _written(tree, git, folder, stack)
        except (BuildError, OSError):
            if folder is None:
                raise
            stack.close()  # there was room, and somebody else took it
            interruption.check()
            place = _written(tree, git, None, stack)
        yield place / root.resolve().relative_to(git.top)


def _written(tree: str, git: Git, folder: Path | None, stack: contextlib.ExitStack) -> Path:
    """Write a tree's files below a folder, by default where temporary files go, and return their own."""
    scratch = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="procession-", dir=folder, ignore_cleanup_errors=True)
    )
    place = Path(scratch).resolve() / "tree"
    index = f"{scratch}/index"
    git.run("read-tree", tree, index=index)
    git.run("checkout-index", "--all", "--quiet", f"--prefix={place}/", index=index)
    return place


def _extent(git: Git, tree: str) -> tuple[int, int]:
    """Count the files of a tree and estimate their bytes.

    git opens each object to tell how large it is; most are about as large as the file that is here.
    """
    listed = git.ask("ls-tree", "-r", "-z", "--full-tree", tree).stdout.split(b"\0")[:-1]
    top, size, gone = os.fsencode(git.top), 0, []
    for line in listed:
        described, _, name = line.partition(b"\t")
        try:
            size += os.lstat(top + b"/" + name).st_size
        except OSError:
            gone.append(described.split()[-1])
    if gone:
        told = git.ask("cat-file", "--batch-check=%(objectsize)", stdin=b"\n".join([*gone, b""])).stdout.split()
        size += sum(int(one) for one in told if one.isdigit())  # a submodule's commit is not here
    return len(listed), size


def _tree(git: Git, revision: str) -> str:
    """Return the name of a revision's tree; raises BuildError where it is not to be had."""
    option = revision.startswith("-")  # git would take it for one
    finished = None if option else git.ask("rev-parse", "--verify", "--quiet", f"{revision}^{{tree}}")
    if finished and finished.status == 0:
        return finished.stdout.decode().strip()
    if finished and git.is_shallow():
        hint = "git fetch --unshallow, or git fetch --depth=N with an N that reaches it"
        raise BuildError(f"--since: must be in this clone, which is shallow, got {revision!r}", hint=hint)
    raise RevisionError(f"--since: must be a revision of git, got {revision!r}", hint="such as HEAD~1 or origin/main")


def _said(finished: process.Finished) -> str:
    text = finished.stderr.decode("utf-8", "replace").strip()
    return text or f"exit status {finished.status}"
