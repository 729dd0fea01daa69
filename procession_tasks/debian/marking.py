"""Marks packages for installation as apt does, step by step, where nothing is installed.

A package that is marked marks what it needs, depth first; one that turns out impossible is given
up for good and the next alternative tried.  What must be there whatever comes, the packages asked
for and the only answers to what those need, is fixed, and shuts out what it conflicts with.
What is then still in conflict stays so: apt's second attempt, which lets go of packages by their
scores, is not made, for its outcome is hard to foresee.
Source: the behaviour of apt 2.6, pkgDepCache::MarkInstall.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from procession_tasks.debian.index import Index
from procession_tasks.debian.package import Package
from procession_tasks.debian.relations import Alternatives, Relation
from procession_tasks.errors import BuildError

_DEEPEST = 200  # the deepest chain in Debian 12 is some 20 packages; each takes three frames of Python's 1,000
_Rank = tuple[bool, bool, bool, int]
_PRIORITIES = ("", "required", "important", "standard", "optional", "extra")


@dataclass(frozen=True, slots=True)
class Clash:
    """A package and the one that its Conflicts or Breaks is about, which are not to be together."""

    package: str
    relation: Relation
    other: str


class Marking:
    """The packages marked so far, by name, and what is known of those that cannot be.

    `asked` tells who first asked for each, or in vain for others; `reasons` why one was given up at first, the need
    of it that cannot be met or the clash; `ties` the equals that one was taken from, and for which name.
    """

    def __init__(self, index: Index, omitted: Collection[str]) -> None:
        self.chosen: dict[str, Package] = {}
        self.asked: dict[str, str] = {}
        self.reasons: dict[str, Alternatives | Clash] = {}
        self.ties: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.index = index
        self._omitted = omitted
        self._fixed: set[str] = set()
        self._excluded: set[str] = set()
        self._answers: dict[Relation, tuple[Package, ...]] = {}

    def mark_all(self, packages: Sequence[Package]) -> None:
        """Mark the packages asked for, in this order, with all they need as far as that is possible."""
        for package in packages:
            self.chosen[package.name] = package
            self.asked[package.name] = ""
            self._fixed.add(package.name)
        for package in packages:
            self._mark(package, 0)
        for package in packages:
            if any(self.unmet(package)):  # a later one took back what it had
                self._mark(package, 0)

    def let_go(self, names: Collection[str]) -> None:
        """Take back packages that were marked for what then came to nothing."""
        for name in names:
            del self.chosen[name]

    def answers(self, relation: Relation) -> tuple[Package, ...]:
        """Find the packages that are or provide what a relation names: the one of that name, then by name."""
        if relation not in self._answers:
            named = self.index.candidates(relation.name)[:1]
            providers = (package for package in self.index.providers(relation.name) if package not in named)
            self._answers[relation] = tuple(
                package
                for package in (*named, *providers)
                if package.name not in self._omitted and _offers(package, relation, self.index.architecture)
            )
        return self._answers[relation]

    def marked(self, group: Alternatives) -> Iterator[Package]:
        """Yield the marked packages that a group is met by."""
        for relation in group:
            yield from (package for package in self.answers(relation) if package.name in self.chosen)

    def omits(self, group: Alternatives) -> bool:
        """Tell whether a group counts as met because one of its names is omitted."""
        return any(relation.name in self._omitted for relation in group)

    def unmet(self, package: Package) -> Iterator[Alternatives]:
        """Yield the needs of a package that nothing marked or omitted meets."""
        for group in package.needs:
            if not self._met(group):
                yield group

    def clashes(self, package: Package) -> Iterator[Clash]:
        """Yield what keeps a package from being installed with those that are marked."""
        for relation in package.excludes:
            for other in self._others(package, relation):
                if other.name in self.chosen:
                    yield Clash(package.name, relation, other.name)

    def _met(self, group: Alternatives) -> bool:
        return self.omits(group) or any(True for _ in self.marked(group))

    def _others(self, package: Package, relation: Relation) -> Iterator[Package]:
        """Find what a conflict is about; a package never conflicts with itself (Debian Policy 7.4)."""
        return (other for other in self.answers(relation) if other.name != package.name)

    def _mark(self, package: Package, depth: int) -> bool:
        """Mark a package and what it needs, and tell whether that was possible."""
        if depth > _DEEPEST:
            raise BuildError(f"{package.name}: must be needed through at most {_DEEPEST} packages")
        name, fixed = package.name, package.name in self._fixed
        if name in self._excluded:
            return False
        if name in self.chosen and not fixed and not any(self.unmet(package)):
            return True
        for group in package.needs:
            if not self.omits(group) and not any(self.answers(relation) for relation in group):
                self.reasons.setdefault(name, group)
                if not fixed:
                    self._excluded.add(name)
                return False
        needs = package.needs if fixed else tuple(self.unmet(package))
        clear = self._shut_out(package, fixed=fixed)
        if not clear and not fixed:
            return False
        self.chosen[name] = package
        self._fixed.add(name)
        met = self._meet(package, needs, depth, fixed=fixed)
        if not fixed:
            self._fixed.discard(name)
            if not met:
                del self.chosen[name]
                self._excluded.add(name)
        return clear and met

    def _shut_out(self, package: Package, *, fixed: bool) -> bool:
        """Take back what a package conflicts with, for good if it is fixed; tell whether all could be."""
        clear = True
        for relation in package.excludes:
            for other in self._others(package, relation):
                if other.name in self._excluded:
                    continue
                clash = Clash(package.name, relation, other.name)
                if other.name in self.chosen and other.name in self._fixed:
                    self.reasons.setdefault(package.name, clash)
                    clear = False
                    if not fixed:
                        return False
                elif fixed or other.name in self.chosen:
                    self.chosen.pop(other.name, None)
                    self.reasons.setdefault(other.name, clash)
                    if fixed:
                        self._excluded.add(other.name)
        return clear

    def _meet(self, package: Package, needs: Iterable[Alternatives], depth: int, *, fixed: bool) -> bool:
        met = True
        for group in needs:
            if self._met(group):
                met = (not fixed or self._fix(group, depth)) and met
            elif not self._take_one(package, group, depth, fixed=fixed):
                self.reasons.setdefault(package.name, group)
                met = False
                if not fixed:
                    break
        return met

    def _fix(self, group: Alternatives, depth: int) -> bool:
        """Fix what meets a need of a fixed package if nothing else could."""
        possible = {answer.name: answer for relation in group for answer in self._possible(relation)}
        if len(possible) != 1 or self.omits(group):
            return True
        ((name, answer),) = possible.items()
        if name in self._fixed:
            return True
        self._fixed.add(name)
        return self._mark(answer, depth + 1)

    def _take_one(self, package: Package, group: Alternatives, depth: int, *, fixed: bool) -> bool:
        """Mark the first that can be, of the packages that would meet a need."""
        for relation in group:
            for answer in self.answers(relation):
                self.asked.setdefault(answer.name, package.name)
        only = len({answer.name for relation in group for answer in self._possible(relation)}) == 1
        for relation in group:
            for answer in self._ranked(relation):
                if fixed and only:
                    self.chosen[answer.name] = answer
                    self._fixed.add(answer.name)
                if self._mark(answer, depth + 1):
                    return True
        return False

    def _possible(self, relation: Relation) -> list[Package]:
        return [answer for answer in self.answers(relation) if answer.name not in self._excluded]

    def _ranked(self, relation: Relation) -> Iterator[Package]:
        """Yield what may meet a relation, the preferred first; of equals, what the index names last."""
        ranked: dict[_Rank, dict[str, Package]] = {}
        for answer in self._possible(relation):
            ranked.setdefault(self._rank(answer, relation), {})[answer.name] = answer
        for _, equals in sorted(ranked.items()):
            if len(equals) > 1:
                first_named = self.index.first_named(equals)
                self.ties |= dict.fromkeys(equals, (relation.name, tuple(sorted(equals))))
                yield from sorted(equals.values(), key=lambda answer: first_named[answer.name], reverse=True)
            else:
                yield from equals.values()

    def _rank(self, answer: Package, relation: Relation) -> _Rank:
        priority = answer.priority if answer.priority in _PRIORITIES else _PRIORITIES[-1]
        return (
            answer.name != relation.name or relation.qualifier != "",
            not answer.essential,
            not answer.important,
            _PRIORITIES.index(priority),
        )


def _offers(package: Package, relation: Relation, architecture: str) -> bool:
    """Tell whether a package is or provides what a relation names.

    ``:any`` is met by what allows it for itself and for what it provides.
    Source: the multiarch specification, "Dependencies involving Architecture: all packages", and apt.
    """
    if relation.qualifier == "any":
        qualified = package.multi_arch == "allowed"
    else:
        qualified = relation.qualifier in ("", architecture)
    own = Relation(package.name, "", "=", package.version)
    return any(
        offered.name == relation.name
        and (offered.qualifier == relation.qualifier if offered.qualifier else qualified)
        and relation.allows(offered.version)
        for offered in (own, *package.provides)
    )
