"""In what the inputs of a program differ, as lists to read or as values.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from procession_tasks.golang.ingredients import Compiled, Ingredients
from procession_tasks.graph.cause import CHANGED, DELETED, NEW, TOOLCHAIN, VERSION, Cause

_Found = dict[tuple[str, str], str]  # values by kind, which is empty for a file, and subject


def differences(before: bytes, after: bytes) -> tuple[Cause, ...]:
    """Compare two lists: files by their digests, modules and tools by their versions."""
    old, new = (_by_subject(text.decode("utf-8", "surrogateescape").splitlines()) for text in (before, after))
    return tuple(_differences(old, new))


class Comparison:
    """Compares programs of two trees as their lists would be, but each pair of packages once."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[Compiled | None, Compiled | None], tuple[_Found, _Found]] = {}
        self._paths: dict[Compiled, frozenset[str]] = {}

    def differences(self, before: Ingredients, after: Ingredients) -> tuple[Cause, ...]:
        """Say in what the lists of a program differ."""
        old, new = ({package.digest for package in one.packages} for one in (before, after))
        if old == new and before.tools == after.tools:
            return ()
        left = [package for package in before.packages if package.digest not in new]
        right = [package for package in after.packages if package.digest not in old]
        went, came = self._files(left, right)
        for these, others, other in ((went, came, after), (came, went, before)):
            for key in these.keys() - others.keys():
                if self._is_of(key[1], other):  # in a package that is the same, and so it is the same too
                    del these[key]
        if before.tools != after.tools or _modules(left) != _modules(right):
            was, is_now = ([*one.tools, *one.modules] for one in (before, after))
            went |= _by_subject(was)
            came |= _by_subject(is_now)
        return tuple(_differences(went, came))

    def _files(self, before: Iterable[Compiled], after: Iterable[Compiled]) -> tuple[_Found, _Found]:
        """Collect the files of these packages that are not the same, with their states there and here."""
        old, new = ({package.path: package for package in packages} for packages in (before, after))
        went: _Found = {}
        came: _Found = {}
        for path in old | new:
            left, right = self._pair(old.get(path), new.get(path))
            went |= left
            came |= right
        return went, came

    def _pair(self, before: Compiled | None, after: Compiled | None) -> tuple[_Found, _Found]:
        if (known := self._pairs.get((before, after))) is None:
            old, new = (dict(one.files) if one else {} for one in (before, after))
            known = _only(old, new), _only(new, old)
            self._pairs[before, after] = known
        return known

    def _is_of(self, path: str, program: Ingredients) -> bool:
        for package in program.packages:
            if package not in self._paths:
                self._paths[package] = frozenset(name for name, _ in package.files)
            if path in self._paths[package]:
                return True
        return False


def _modules(packages: Iterable[Compiled]) -> set[str]:
    return {package.module for package in packages}


def _only(these: dict[str, str], others: dict[str, str]) -> _Found:
    return {("", path): state for path, state in these.items() if others.get(path) != state}


def _differences(old: _Found, new: _Found) -> Iterator[Cause]:
    for kind, subject in sorted(old | new):
        was, is_now = old.get((kind, subject), ""), new.get((kind, subject), "")
        if was != is_now and kind:
            yield Cause(VERSION if kind == "module" else TOOLCHAIN, subject, was, is_now)
        elif was != is_now:
            yield Cause(CHANGED if was and is_now else NEW if is_now else DELETED, subject)


def _by_subject(lines: Iterable[str]) -> _Found:
    """Read the lines of a list of inputs: files by their path, modules by theirs, tools by name."""
    found: _Found = {}
    for line in lines:
        digest, is_file, path = line.partition("  ")
        if is_file:
            found["", path] = digest
        else:
            kind, _, rest = line.partition(" ")
            subject, _, value = rest.partition(" ") if kind == "module" else (kind, "", rest)
            key = (kind, subject)
            found[key] = f"{found[key]}, {value}" if key in found else value
    return found
