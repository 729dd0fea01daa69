"""Runs kubectl, and says what is wrong in place of it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError

_MISSING = "pip install 'procession-tasks[kubernetes]', or install kubectl from where your cluster's tools come from"
_CONTEXTS = "`kubectl config get-contexts` lists the clusters that are known, --context chooses one"
# What kubectl says, and what then helps; the first that fits.
_HINTS = (
    (r"context .* does not exist|no context exists|context was not found", _CONTEXTS),
    (r"no configuration has been provided|localhost:8080 was refused", _CONTEXTS),
    (
        r"connection to the server|nable to connect|no such host|connection refused|timeout|deadline exceeded|x509",
        f"see that the cluster runs and can be reached from here; {_CONTEXTS}",
    ),
    (
        r"Unauthorized|must be logged in|provide credentials",
        "log in to the cluster again; `kubectl auth whoami` says who asks",
    ),
    (r"conflicts? with ", "take those values into deploy/kubernetes, or have them overwritten with --force"),
    (r"[Ff]orbidden", "`kubectl auth whoami` says who asks, `kubectl auth can-i --list` what that user may do"),
    (r"executable file not found", "install diff (apt-get install diffutils)"),
)
_LOGGED = re.compile(r"^[EWIF][0-9]{4} .*(\n|$)", re.MULTILINE)
_WARNING = re.compile(r"^Warning: .*", re.MULTILINE)
_ASKED_S = 30  # for each request; a network that swallows them would otherwise be waited for without end


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl, and the cluster it asks; `context` is a name of its configuration, None for the current one."""

    program: str
    folder: Path
    environment: Mapping[str, str]
    context: str | None = None

    @classmethod
    def find(cls, folder: Path, environment: Mapping[str, str], context: str | None = None) -> Kubectl:
        """Find the one beside this Python, else on PATH; raises BuildError."""
        beside = Path(sys.executable).with_name("kubectl")
        program = str(beside) if beside.exists() else shutil.which("kubectl", path=environment.get("PATH", ""))
        if program is None:
            raise BuildError("kubectl: must be installed, got none", hint=_MISSING)
        return cls(program, folder, environment, context)

    @property
    def shown(self) -> str:
        """How a user calls it to ask the same cluster."""
        return f"kubectl --context={self.context}" if self.context else "kubectl"

    def kustomize(self, folder: Path) -> str:
        """Return what a kustomization makes, without asking any cluster; raises BuildError."""
        return self._run(("kustomize", str(folder)), None, (0,)).stdout.decode()

    def see_cluster(self) -> None:
        """See that the cluster answers and knows who asks, in one request; raises BuildError."""
        self.ask("get", "--raw=/api")

    def ask(
        self,
        *words: str,
        stdin: str | None = None,
        allowed: Collection[int] = (0,),
        warn: Callable[[str], object] | None = None,
    ) -> str:
        """Return what a command that asks the cluster prints; raises BuildError unless it ends as allowed.

        `warn` gets each different warning of the cluster.
        """
        context = [f"--context={self.context}"] if self.context else []
        done = self._run((*words, *context, f"--request-timeout={_ASKED_S}s"), stdin, allowed)
        if warn is not None:
            for line in dict.fromkeys(_WARNING.findall(done.stderr.decode(errors="replace"))):
                warn(line)
        return done.stdout.decode(errors="replace")

    def _run(self, words: tuple[str, ...], stdin: str | None, allowed: Collection[int]) -> process.Finished:
        given = None if stdin is None else stdin.encode()
        done = process.run((self.program, *words), folder=self.folder, environment=self.environment, stdin=given)
        if done.status not in allowed:
            raise _refused(words[0], done)
        return done


def _refused(command: str, done: process.Finished) -> BuildError:
    stderr = done.stderr.decode(errors="replace")
    said = _LOGGED.sub("", stderr).strip() or stderr.strip() or f"ended with status {done.status}"
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), None)
    return BuildError(f"kubectl {command}: {said.removeprefix('error: ')}", hint=hint)
