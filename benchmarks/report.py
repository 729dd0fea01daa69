"""The results as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.machines import HELPED
from benchmarks.machines import WARM as GO_WARM
from benchmarks.measure import Case
from benchmarks.packages import COLD, WARM, Packaged
from benchmarks.packing import Packing
from benchmarks.reporting import Share
from benchmarks.scenarios import Results
from benchmarks.tools import ALONE, BARE, BASH, LIST, ONE, OURS

_ANSWERS_S = 0.5


def targets(results: Sequence[Results]) -> Iterator[str]:
    """Compare with what the project set itself."""
    rows = []
    for result in results:
        if result.services == 100:
            idle = result.case("nothing to do")
            rows.append(_target("100 services, nothing to do", idle, OURS, 1.6))
            settled = result.case("every file touched, build after")
            rows.append(_target("100 services, second build after every file was touched", settled, OURS, 1.6))
            rows.append(_against_bash(idle))
        if result.services == 1000:
            rows.append(_target("one service of 1000", result.case("one service"), ONE, 3))
    if rows:
        yield "## Targets"
        head = ["what", "time to bare doit", "to doit alone", "processor time to bare doit", "target", ""]
        yield _table(head, rows)


def _target(what: str, case: Case, name: str, limit: float) -> list[str]:
    ratio = case.ratio(name, BARE)
    figures = [f"{found:.2f}" for found in (ratio, case.ratio(name, ALONE), case.cpu_ratio(name, BARE))]
    return [what, *figures, f"under {limit}", "met" if ratio < limit else "not met"]


def _against_bash(case: Case) -> list[str]:
    ratio = case.ratio(BASH, OURS)
    what = f"100 services, nothing to do: the Bash script takes {ratio:.1f} times as long"
    return [what, "", "", "", "at least 50", "met" if ratio >= 50 else "not met"]


def size(result: Results) -> Iterator[str]:
    yield f"## {result.services} services"
    for case in result.cases:
        yield f"### {result.services}: {case.title}"
        yield _table(*_columns(case, OURS if OURS in case.samples else ONE))
        if case.title.startswith("nothing to do"):
            share = 1 / case.ratio(OURS, BARE), 1 / case.ratio(OURS, ALONE)
            yield f"Of procession's time, bare doit is {share[0]:.0%}, doit alone in its venv {share[1]:.0%}."
    yield from (f"{note[0].upper()}{note[1:]}." for note in result.notes)


def machines(case: Case) -> Iterator[str]:
    """Render what a machine that has nothing takes, beside one that has."""
    yield f"## {case.title}"
    yield _table(*_columns(case, ""))
    ratio = case.ratio(HELPED, GO_WARM)
    what = f"{HELPED}, to: {GO_WARM}"
    yield _table(["what", "measured", "target", ""], [[what, f"{ratio:.2f}", "3", "met" if ratio <= 3 else "not met"]])


def commands(case: Case) -> Iterator[str]:
    """Render how long commands took that have half a second."""
    yield f"## {case.title}"
    rows = []
    for name in sorted(case.samples, key=case.median):
        unit = name in (BARE, ALONE)
        target = ["", ""] if unit else ["under 500", "met" if case.median(name) < _ANSWERS_S else "not met"]
        rows.append([name, f"{case.median(name) * 1000:.0f}", f"{case.ratio(name, BARE):.2f}", *target])
    yield _table(["", "median ms", "to bare doit", "target", ""], rows)


def shares(services: int, found: Iterable[Share]) -> Iterator[str]:
    """Render what of each kind of run its reporter takes."""
    yield f"## The reporter, {services} services"
    head = ["", "run ms", "waited for the reporter ms", "share", "target", "", "drawn beside, cpu ms"]
    rows = [
        [
            *(one.title, f"{one.run * 1000:.0f}", f"{one.within * 1000:.1f}", f"{one.percent:.2f} %"),
            *(f"under {one.limit:.0f} %", "met" if one.percent < one.limit else "not met", f"{one.beside * 1000:.0f}"),
        ]
        for one in found
    ]
    yield _table(head, rows)


def _columns(case: Case, ours: str) -> tuple[list[str], list[list[str]]]:
    """Make a table's head and rows; a case without the units is told in ratios to its first command."""
    first = next(iter(case.samples))
    units = {"to bare doit": BARE, "to doit alone": ALONE, "to procession": ours} if BARE in case.samples else {}
    units = units or {f"to {first}": first}
    unit = next(iter(units.values()))
    head = ["", "median ms", *units, "cpu ms", f"cpu to {unit}", "peak MiB", "archives written", "rounds"]
    rows = []
    for name in sorted(case.samples, key=case.median):
        samples = case.samples[name]
        ratios = [f"{case.ratio(name, unit):.2f}" for unit in units.values()]
        cpu = sorted(sample.cpu for sample in samples)[len(samples) // 2] * 1000
        written = "" if name in (BARE, ALONE, LIST) else _range(sample.written for sample in samples)
        figures = [f"{case.median(name) * 1000:.1f}", *ratios, f"{cpu:.0f}", f"{case.cpu_ratio(name, unit):.2f}"]
        rows.append([name, *figures, f"{case.peak(name):.0f}", written, str(len(samples))])
    return head, rows


def packing(packed: Packing) -> Iterator[str]:
    yield f"## Packing a tree ({packed.tree})"
    yield _sized(packed.case, packed.sizes)


def ways(does: Mapping[str, str]) -> str:
    """Say what each way to make archives of packages does."""
    return "\n".join(f"- **{name}**: {what}." for name, what in does.items())


def packages(packaged: Packaged) -> Iterator[str]:
    yield f"## {packaged.case.title}"
    yield f"{packaged.what}."
    yield _sized(packaged.case, packaged.sizes)


def package_targets(found: Sequence[Packaged]) -> Iterator[str]:
    """Compare images of packages with what the project set itself."""
    rows = []
    for packaged in found:
        case = packaged.case
        limit = {"etcd": 1.0}.get(case.title, 5.0 if case.title.startswith("all ") else None)
        if limit is not None:
            cpu = statistics.median(sample.cpu for sample in case.samples[WARM])
            what = f"{case.title}, from scratch with packages unpacked before: seconds of processor time"
            rows.append([what, f"{cpu:.2f}", f"under {limit:.0f}", "met" if cpu < limit else "not met"])
    peak = max(packaged.case.peak(name) for packaged in found for name in (WARM, COLD))
    rows.append(["peak MiB of any build", f"{peak:.0f}", "under 100", "met" if peak < 100 else "not met"])
    yield "## Targets"
    yield _table(["what", "measured", "target", ""], rows)


def _sized(case: Case, sizes: Mapping[str, float]) -> str:
    """Make a table with the sizes of the archives in place of their number."""
    head, rows = _columns(case, "")
    at = head.index("archives written")
    head[at] = "archive MiB"
    for row in rows:
        row[at] = f"{sizes[row[0]]:.1f}"
    return _table(head, rows)


def _range(numbers: Iterable[int]) -> str:
    least, *_, most = sorted([*(found := sorted(numbers)), *found])
    return str(least) if least == most else f"{least} to {most}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
