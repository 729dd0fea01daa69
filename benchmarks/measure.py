"""Measures commands in interleaved rounds."""

from __future__ import annotations

import marshal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self


@dataclass(frozen=True)
class Command:
    """What is measured: a program, its arguments, where and in which environment it runs.

    `outputs` is the folder of the archives it makes, to see what it did; `before` is done before
    each run, unmeasured.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    outputs: Path | None = None
    before: Callable[[], None] | None = None


@dataclass(frozen=True)
class Sample:
    """One run: seconds, seconds of processor time, MiB at the peak of the largest process, archives written."""

    wall: float
    cpu: float
    peak: float
    written: int


@dataclass
class Case:
    """One thing that is measured; the samples of a command are in the order of the rounds.

    A command that takes long may be left out of the later rounds, never of the first.
    """

    title: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Return the median seconds of a command."""
        return statistics.median(sample.wall for sample in self.samples[name])

    def peak(self, name: str) -> float:
        """Return the most memory a command needed in any round, in MiB."""
        return max(sample.peak for sample in self.samples[name])

    def ratio(self, name: str, unit: str) -> float:
        """Return the median over the rounds of a command's time to that of another in the same round."""
        pairs = zip(self.samples[name], self.samples[unit], strict=False)
        return statistics.median(sample.wall / other.wall for sample, other in pairs)

    def cpu_ratio(self, name: str, unit: str) -> float:
        """Return what `ratio` does of processor time, which other work on the machine disturbs less."""
        pairs = zip(self.samples[name], self.samples[unit], strict=False)
        return statistics.median(sample.cpu / other.cpu for sample, other in pairs)


class Launcher:
    """The small process that starts what is measured (`launcher.py`)."""

    def __init__(self, log: Path) -> None:
        argv = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launcher.py"))]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._log = log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait()

    def run(self, command: Command) -> Sample:
        """Run a command once; a failure ends the benchmark with what the command said."""
        before = _times(command.outputs)
        environment = dict(command.environment)
        request = marshal.dumps((command.argv, str(command.folder), environment, str(self._log)))
        stdin, stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        stdin.write(len(request).to_bytes(4) + request)
        stdin.flush()
        status, wall, cpu, peak = marshal.loads(stdout.read(int.from_bytes(stdout.read(4))))
        if status != 0:
            said = self._log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{command.name} ended with {status} in {command.folder}:\n{said}")
        after = _times(command.outputs)
        return Sample(wall, cpu, peak / 1024, sum(before.get(name) != time for name, time in after.items()))


def rounds(
    launcher: Launcher,
    title: str,
    commands: Sequence[Command],
    count: int,
    *,
    before: Callable[[], None] | None = None,
    fewer: Mapping[str, int] | None = None,
) -> Case:
    """Measure each command once a round, the order turned by one from round to round.

    `before` is done before every command; `fewer` has the rounds of those that take part in less than all.
    """
    case = Case(title)
    for number in range(count):
        turn = number % len(commands)
        for command in (*commands[turn:], *commands[:turn]):
            if number < (fewer or {}).get(command.name, count):
                for prepare in filter(None, (before, command.before)):
                    prepare()
                case.samples.setdefault(command.name, []).append(launcher.run(command))
    tell(case, commands)
    return case


def tell(case: Case, commands: Iterable[Command]) -> None:
    """Say on stderr how far the benchmark is."""
    figures = ", ".join(f"{command.name} {case.median(command.name) * 1000:.0f} ms" for command in commands)
    sys.stderr.write(f"{case.title}: {figures}\n")


def _times(folder: Path | None) -> dict[str, int]:
    if folder is None or not folder.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.aci")}


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
