"""Chooses the packages an image is made of: those asked for and all they need.  Pure.

What is chosen is what apt would choose with nothing installed and without Recommends; see
`marking` for how.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from procession_tasks.debian.index import Index
from procession_tasks.debian.marking import Clash, Marking
from procession_tasks.debian.package import Package
from procession_tasks.debian.relations import Alternatives, spell
from procession_tasks.definition.shape import did_you_mean
from procession_tasks.errors import BuildError

_MOST_LISTED = 3


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a choice that its user may want to know.

    `rule` is one of ``tie`` (equals, of which one was taken), ``twins`` (one version with two
    contents) and ``virtual`` (asked for by a name that one package provides).
    """

    rule: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text} ({self.rule})"


@dataclass(frozen=True, slots=True)
class Closure:
    """The packages, sorted by name; for each the one that asked for it, empty for a root."""

    packages: tuple[Package, ...]
    why: Mapping[str, str]
    warnings: tuple[Remark, ...]


def resolve(index: Index, roots: Sequence[str], omit: Mapping[str, str]) -> Closure:
    """Choose packages for `roots`, of which earlier ones have the first say, without those in `omit`.

    A dependency on an omitted name counts as met, whatever its version.  Raises BuildError that
    lists all that is wrong with the names and all that cannot be had together.
    """
    problems: list[str] = []
    remarks: list[Remark] = []
    asked = _asked_for(index, roots, omit, problems, remarks)
    marking = Marking(index, omit)
    marking.mark_all(asked)
    why = _needed(marking, asked)
    marking.let_go(marking.chosen.keys() - why.keys())
    problems += _problems(marking, why)
    if not problems:
        problems += _stale(marking, why, omit)
    if problems:
        raise BuildError("\n".join(sorted(problems)))
    packages = tuple(marking.chosen[name] for name in sorted(why))
    remarks += _ties(marking, why)
    remarks += _twins(index, packages)
    return Closure(packages, why, tuple(sorted(remarks, key=lambda remark: (remark.subject, remark.rule))))


def _asked_for(
    index: Index, roots: Iterable[str], omit: Container[str], problems: list[str], remarks: list[Remark]
) -> list[Package]:
    """Find the packages asked for, and note what is wrong with the names or worth a remark."""
    packages = {}
    for name in roots:
        found = index.candidates(name)[:1] or index.providers(name)
        if name in omit:
            problems.append(f"omit: must not name what is asked for, got {name}\n  hint: remove it from one of the two")
        elif len(found) == 1:
            packages[found[0].name] = found[0]
            if found[0].name != name:
                remarks.append(Remark("virtual", found[0].name, f"taken for {name}, which it alone provides"))
        elif found:
            providers = ", ".join(package.name for package in found)
            problems.append(f"{name}: must be a package, got what several provide\n  hint: ask for one of {providers}")
        else:
            hint = did_you_mean(name, index.names() - {name}) or "look for it in another suite"
            problems.append(f"{name}: must be a package for {index.architecture}, there is none\n  hint: {hint}")
    return list(packages.values())


def _needed(marking: Marking, asked: Iterable[Package]) -> dict[str, str]:
    """Find what the packages asked for reach, and who needed each."""
    why = {package.name: "" for package in asked}
    waiting = deque(asked)
    while waiting:
        package = waiting.popleft()
        for group in package.needs:
            for other in marking.marked(group):
                if other.name not in why:
                    why[other.name] = package.name
                    waiting.append(other)
    return why


def _problems(marking: Marking, why: Iterable[str]) -> Iterator[str]:
    """Say what is wrong with the packages, each conflict once, and each need that cannot be met."""
    found: set[str] = set()
    clashes: dict[frozenset[str], Clash] = {}
    for package in [marking.chosen[name] for name in sorted(why)]:
        ends = [end for group in marking.unmet(package) for end in _ends(marking, package.name, group)]
        for end in (*marking.clashes(package), *ends):
            if isinstance(end, Clash):
                clashes.setdefault(frozenset((end.package, end.other)), end)
            else:
                found.add(end)
    yield from found
    for clash in clashes.values():
        wherefrom = f"{_whence(marking, clash.package)}; {_whence(marking, clash.other)}"
        yield (
            f"{clash.package}: conflicts with {clash.relation}, got {_there(marking, clash.other)}; {wherefrom}"
            "\n  hint: ask for an alternative to one of them, or omit one"
        )


def _ends(marking: Marking, name: str, group: Alternatives) -> Iterator[str | Clash]:
    """Follow a need that cannot be met to what is wrong at the end of it, one or more."""
    seen, waiting, ended = {name}, [(name, group)], False
    while waiting:
        needer, group = waiting.pop()
        answers = {answer.name for relation in group for answer in marking.answers(relation)}
        for answer in sorted(answers - seen):
            seen.add(answer)
            reason = marking.reasons.get(answer)
            if isinstance(reason, Clash):
                ended = True
                yield reason
            elif reason is not None:
                waiting.append((answer, reason))
        if not answers or not (waiting or ended):
            ended = True
            there = " and ".join(_there(marking, relation.name) for relation in group)
            yield (
                f"{needer}: needs {spell(group)}, got {there}; {_whence(marking, needer)}"
                "\n  hint: add a suite that has it, or omit what can be done without"
            )


def _there(marking: Marking, name: str) -> str:
    """Say what there is of a name, whether or not it will do."""
    packages = [str(package) for package in marking.index.candidates(name)[:1]]
    provided = [
        f"{offered} provided by {package.name}"
        for package in marking.index.providers(name)
        for offered in package.provides
        if offered.name == name
    ]
    return " and ".join(packages + provided) or f"no {name}"


def _whence(marking: Marking, name: str) -> str:
    """Say through whom a package came to be needed."""
    through = []
    asker = name
    while asker := marking.asked.get(asker, ""):
        through.append(f"needed by {asker}")
    return f"{name} is " + (", ".join(through) or "asked for")


def _stale(marking: Marking, why: Iterable[str], omit: Iterable[str]) -> Iterator[str]:
    """Say which omissions leave nothing out, of packages that are complete."""
    groups = [group for name in why for group in marking.chosen[name].needs]
    needed = {relation.name for group in groups for relation in group}
    left_out = {relation.name for group in groups if not any(marking.marked(group)) for relation in group}
    for name in omit:
        if name not in left_out:
            hint = did_you_mean(name, needed.difference(omit)) or "remove it"
            yield f"omit: must name what would be there otherwise, got {name}\n  hint: {hint}"


def _ties(marking: Marking, why: Iterable[str]) -> Iterator[Remark]:
    for name in why:
        if name in marking.ties:
            wanted, equals = marking.ties[name]
            others = [other for other in equals if other != name]
            listed = ", ".join(others[:_MOST_LISTED]) + (", ..." if len(others) > _MOST_LISTED else "")
            yield Remark("tie", name, f"taken for {wanted}, which is also provided by {listed}")


def _twins(index: Index, packages: Iterable[Package]) -> Iterator[Remark]:
    for package in packages:
        for other in index.candidates(package.name)[1:]:
            if other.version == package.version and other.pin.sha256 != package.pin.sha256:
                places = f"{package.pin.repository} {package.pin.suite} and {other.pin.repository} {other.pin.suite}"
                yield Remark("twins", package.name, f"{package.version} differs between {places}; taken from the first")
