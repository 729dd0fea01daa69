"""Git in the repository that a project is in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError


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

    def run(self, *words: str, stdin: bytes | None = None, index: str | None = None) -> None:
        """Run git; raises BuildError with what it says when it fails."""
        finished = self.ask(*words, stdin=stdin, index=index)
        if finished.status != 0:
            raise BuildError(f"git {words[0]}: {said(finished)}")

    def lines(self, *words: str) -> list[str] | None:
        """Return the paths or lines that git lists with ``-z``; None when it fails."""
        finished = self.ask(*words)
        text = finished.stdout.decode("utf-8", "surrogateescape")
        return text.split("\0")[:-1] if finished.status == 0 else None

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
        raise BuildError(f"git rev-parse: {said(found)}")
    return Git(program, Path(os.fsdecode(found.stdout.rstrip(b"\n"))).resolve(), plain)


def said(finished: process.Finished) -> str:
    """Return what git said was wrong."""
    text = finished.stderr.decode("utf-8", "replace").strip()
    return text or f"exit status {finished.status}"
