"""The inputs of Go programs: kept between runs, listed anew by one `go list` when they may differ."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from procession_tasks import kept
from procession_tasks.errors import BuildError
from procession_tasks.golang.context import Context
from procession_tasks.golang.difference import Difference, of_files, of_package
from procession_tasks.golang.ingredients import Compiled, Ingredients
from procession_tasks.golang.modules import module_files
from procession_tasks.golang.program import Mode, list_command
from procession_tasks.states import ABSENT

if TYPE_CHECKING:
    from procession_tasks.golang.closure import Package

_FORMAT = 5


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What decides what `go list` says of a program: files by content or absence, folders by their names.

    Both are sorted, and relative to the repository.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]


class Inputs:
    """The inputs of all programs of one mode.

    What `go list` said is kept in `path` with the state of everything that could make it say
    something else: the sources (their imports and build constraints), the files that build
    constraints leave out, the names in their folders, the module files, the C compiler.
    `is_kept` tells whether that can be relied on by the next run, for every program listed in
    this one.  Who only looks has nothing written there.
    """

    def __init__(self, context: Context, mode: Mode, path: Path, *, only_looks: bool = False) -> None:
        self._context = context
        self._mode = mode
        self._path = path
        self._only_looks = only_looks
        self._record: dict[str, Any] | None = None
        self._loaded: Any = None
        self._fresh: dict[str, bool] = {}
        self._still: bool | None = None
        self._same: set[int] = set()
        self._changed: dict[int, tuple[Difference, ...]] = {}
        self._around: tuple[Difference, ...] | None = None
        self._differences: dict[str, tuple[Difference, ...]] = {}
        self._listed: dict[str, frozenset[int]] = {}
        self._broken: set[str] = set()
        self._moved: dict[int, bool] = {}
        self._compiled: list[Compiled] = []
        self.is_kept = True

    def elsewhere(self, context: Context) -> Inputs:
        """Return what is kept here, as of the beginning of this run, to look at it in another tree."""
        if self._loaded is None:
            self._kept()
        other = Inputs(context, self._mode, self._path, only_looks=True)
        other._begin(self._loaded)
        return other

    def fresh(self, package: str) -> bool:
        """Tell whether what is kept of a program still holds; decided once a run."""
        verdict = self._fresh.get(package)
        if verdict is None:
            indexes = self._kept()["programs"].get(package)
            verdict = indexes is not None and self._unmoved() and self._unchanged(indexes)
            self._fresh[package] = verdict
            if indexes is not None and not verdict:  # now: the next listing forgets what there was
                self._differences[package] = self._found(indexes)
        return verdict

    def differences(self, package: str) -> tuple[Difference, ...]:
        """Say what made a program not `fresh`, as that found it; nothing for one that is not known at all."""
        return self._differences.get(package, ())

    def listing(self, names: Sequence[str]) -> dict[str, Package]:
        """List these programs with one `go list`: every package of theirs, by import path.

        Raises BuildError when Go cannot say: a broken go.mod, the wrong Go, no C compiler.
        """
        from procession_tasks.golang.listing import packages  # where nothing moved, nothing is listed

        return packages(names, self._mode, self._context)

    def text(self, package: str) -> bytes:
        """Render a program's `ingredients`."""
        return self.ingredients(package).text

    def ingredients(self, package: str) -> Ingredients:
        """Say what a program is compiled from, as listed or found `fresh` in this run.

        What several programs have in common is the same object.
        """
        if not self._compiled:
            packages = self._kept()["packages"]
            self._compiled += (Compiled(one["path"], one["module"], one["digest"], one["files"]) for one in packages)
        compiled = map(self._compiled.__getitem__, self._listed[package])
        return Ingredients((f"go {self._mode.version}", *self._compiler_line()), tuple(compiled))

    def digest(self, package: str) -> str:
        """Digest what is kept of a program's inputs: as long as it is the same, `text` is."""
        indexes = sorted(self._kept()["programs"].get(package, ()))
        digests = [self._kept()["packages"][index]["digest"] for index in indexes]
        return xxhash.xxh3_128_hexdigest("\n".join([*self._kept().get("compiler", ()), *digests]).encode())

    def holds(self, package: str) -> bool:
        """Tell whether what is kept of a program can be relied on."""
        return package in self._kept()["programs"]

    def looked_at(self, package: str) -> LookedAt:
        """Say what decided about a program that `holds`."""
        packages = [self._kept()["packages"][index] for index in self._listed[package]]
        files = {path for path, _ in self._kept()["watched"]}
        files |= {path for one in packages for path, _ in (*one["files"], *one["ignored"])}
        return LookedAt(tuple(sorted(files)), tuple(sorted({path for one in packages for path, _ in one["folders"]})))

    def outside(self) -> list[str]:
        """List what all programs that are known import from elsewhere: the standard library, other modules."""
        packages = self._kept()["packages"]
        here = {one["path"] for one in packages if one["files"]}
        return sorted({name for one in packages for name in one["imports"] if one["files"]} - here - {"C"})

    @property
    def compiler(self) -> tuple[str, ...]:
        """The C compiler in use, as `text` names it; raises BuildError when it is not there."""
        return self._compiler_line()

    def has_moved(self, package: str) -> bool:
        """Tell whether a file of a program was written, or came or went, since it was looked at."""
        states = self._context.states
        for index in self._listed.get(package, ()):
            if index not in self._moved:
                listed = self._kept()["packages"][index]
                names = (*(path for path, _ in listed["files"]), *(f"{path}/" for path, _ in listed["folders"]))
                self._moved[index] = any(map(states.has_moved, names))
        return any(self._moved[index] for index in self._listed.get(package, ()))

    def look_again(self) -> None:
        """Have `has_moved` look at everything once more: something ran meanwhile."""
        self._moved.clear()

    def is_broken(self, package: str) -> bool:
        """Tell whether `go list` found fault with a program or something it imports, in this run."""
        return package in self._broken

    def package_name(self, package: str) -> str:
        """Return what a program's package clause says, as last listed."""
        folder = os.path.normpath(f"{self._mode.module}/{package}")
        for listed in self._kept()["packages"]:
            if listed["path"] == package or folder == next(iter(listed["folders"]), ("",))[0]:
                return str(listed["name"])
        return "unknown"

    def _kept(self) -> dict[str, Any]:
        if self._record is None:
            record = kept.load(self._path)
            if not isinstance(record, dict) or record.get("key") != self._key():
                record = {"key": self._key(), "watched": (), "packages": (), "programs": {}}
            self._begin(record)
            return record
        return self._record

    def _begin(self, record: dict[str, Any]) -> None:
        self._record = self._loaded = record
        self._listed = dict(record["programs"])

    def _key(self) -> str:
        return repr((_FORMAT, self._mode, list_command(self._mode, ())))

    def _unmoved(self) -> bool:
        """Tell whether the module files and the C compiler are as they were."""
        if self._still is None:
            kept_compiler = self._kept().get("compiler")
            self._still = self._context.states.same(self._kept()["watched"]) and kept_compiler == self._compiler_line()
        return self._still

    def _unchanged(self, indexes: frozenset[int]) -> bool:
        """Tell whether these packages are as they were; each is looked at once a run."""
        return not any(self._changes(index) for index in indexes - self._same)

    def _found(self, indexes: frozenset[int]) -> tuple[Difference, ...]:
        """Collect what is not as it was of these packages and of what concerns them all."""
        found = {*self._changes_around()}
        for index in indexes - self._same:
            found.update(self._changes(index))
        return tuple(sorted(found, key=lambda one: one.path))

    def _changes_around(self) -> tuple[Difference, ...]:
        """Say how the module files and the C compiler are not as they were."""
        if self._around is None:
            found = of_files(self._kept()["watched"], self._context.states)
            compiler, before = self._compiler_line(), self._kept().get("compiler")
            if compiler != before:
                found.append(Difference(self._mode.cc, " ".join(before or (ABSENT,)), " ".join(compiler) or ABSENT))
            self._around = tuple(found)
        return self._around

    def _changes(self, index: int) -> tuple[Difference, ...]:
        """Say how a package is not as it was; nothing for one that is."""
        found = self._changed.get(index)
        if found is None:
            package = self._kept()["packages"][index]
            found = of_package(package, self._context.states, self._context.root)
            if not found:
                self._same.add(index)
            else:
                self._changed[index] = found
        return found

    def adopt(self, names: Iterable[str], other: Inputs) -> None:
        """Take over, for this run, what was listed of these programs in another tree and `go list` would say in this.

        More is taken for that than for `fresh`: a Go file may differ below its header.  It replaces what is kept,
        if that can be relied on for anything.
        """
        from procession_tasks.golang.likeness import is_alike  # a build takes over nothing

        there, here = other._kept(), self._context
        if there.get("compiler") != self._compiler_line() or not here.states.same(there["watched"]):
            return
        own = {id(package): index for index, package in enumerate(self._kept()["packages"])}

        @functools.cache
        def taken(index: int) -> dict[str, Any] | None:
            """Return a package as it is here, if it is one that `go list` would say the same of."""
            package: dict[str, Any] = there["packages"][index]
            if (place := own.get(id(package))) is not None and not self._changes(place):
                return package
            return self._restated(package) if is_alike(package, other._context, here) else None

        known = ((name, there["programs"].get(name, ())) for name in names)
        whole = {name: indexes for name, indexes in known if indexes and all(map(taken, indexes))}
        in_use = sorted({index for indexes in whole.values() for index in indexes})
        places = {index: place for place, index in enumerate(in_use)}
        programs = {name: frozenset(map(places.__getitem__, indexes)) for name, indexes in whole.items()}
        packages = tuple(map(taken, in_use))
        self._replace({**there, "packages": packages, "programs": programs})
        self._same.update(range(len(packages)))  # they are stated as they are
        self._listed = dict(programs)
        self._fresh.clear()

    def learn(self, names: Sequence[str], listed: Mapping[str, Package], started: int) -> None:
        """Replace what is kept of these programs; the others stay if they are still fresh.

        `started` is the time, in nanoseconds since 1970, before which nothing was read of them.

        A program is not kept, so that the next run lists it again, when there is fault with it,
        or when a file of it changed since then and may have been read before.
        """
        from procession_tasks.golang import closure  # as above

        old = self._kept()
        others = {name: old["programs"][name] for name in old["programs"] if name not in names and self.fresh(name)}
        table = [old["packages"][index] for index in sorted({i for indexes in others.values() for i in indexes})]
        places = {package["path"]: index for index, package in enumerate(table)}
        programs = {
            name: frozenset(places[old["packages"][i]["path"]] for i in indexes) for name, indexes in others.items()
        }
        self._listed = dict(programs)
        below = {name: closure.closure(closure.main_package(name, listed, self._mode.module), listed) for name in names}
        found = {package.path: package for packages in below.values() for package in packages}
        for package in found.values():
            if package.path not in places:
                places[package.path] = len(table)
                table.append(self._stated(package))
        changed_since = self._context.states.changed_since
        written = {path for path, package in found.items() if changed_since(_looked_at(package), started)}
        for name, packages in below.items():
            self._listed[name] = frozenset(places[package.path] for package in packages)
            if not packages or any(package.broken for package in packages):
                self._broken.add(name)
                self.is_kept = False
            elif any(package.path in written for package in packages):
                self.is_kept = False
            else:
                programs[name] = self._listed[name]
        homes = {self._mode.module, *(package.home for package in found.values() if package.home)}
        module_files = self._module_files(homes) | _module_borders(table, homes)
        watched = tuple((path, self._context.states.state(path)) for path in sorted(module_files))
        compiler = self._compiler_line()
        record = {"key": self._key(), "watched": watched, "compiler": compiler, "packages": tuple(table)}
        self._replace({**record, "programs": programs})
        self._save()

    def _save(self) -> None:
        if self._only_looks:
            return
        try:
            kept.save(self._path, self._record)
        except OSError:  # a full disk costs time in the next run, no more
            self.is_kept = False

    def _replace(self, record: dict[str, Any]) -> None:
        """Go on with another record, and forget what was found of the one before by its indexes."""
        self._record = record
        self._still = self._around = None
        for found in (self._same, self._changed, self._compiled, self._moved):
            found.clear()

    def _restated(self, package: dict[str, Any]) -> dict[str, Any]:
        """State the files of a package anew, as `_stated` does."""
        state = self._context.states.state
        files, ignored = (tuple((path, state(path)) for path, _ in package[kind]) for kind in ("files", "ignored"))
        return {**package, "digest": _digest(package["module"], files), "files": files, "ignored": ignored}

    def _stated(self, package: Package) -> dict[str, Any]:
        states = self._context.states
        files = tuple((path, states.state(path)) for path in package.files)
        return {
            "digest": _digest(package.module, files),
            "path": package.path,
            "name": package.name,
            "module": package.module,
            "imports": package.imports,
            "files": files,
            "ignored": tuple((path, states.state(path)) for path in package.ignored),
            "folders": tuple((path, states.listing(path)) for path in package.folders),
        }

    def _module_files(self, homes: set[str]) -> set[str]:
        names = ["go.mod", "go.sum", "vendor/modules.txt"]
        of_homes = {os.path.normpath(f"{folder}/{name}") for folder in homes for name in names}
        return of_homes | {*module_files(self._context.root, self._mode)}

    def _compiler_line(self) -> tuple[str, ...]:
        """Name the C compiler and the digest of its program, when cgo is on.

        Raises BuildError when there is no such program.
        """
        if not self._mode.cc:
            return ()
        path = shutil.which(self._mode.cc, path=self._context.environment.get("PATH", ""))
        state = self._context.states.state(os.path.realpath(path)) if path else ABSENT
        if path is None or state == ABSENT:
            hint = f"install {self._mode.cc}, or set go.cc for {self._mode.platform}"
            raise BuildError(f"go.cgo: needs the C compiler {self._mode.cc}, which is not on PATH", hint=hint)
        return (f"cc {state} {self._mode.cc}",)


def _digest(module: str, files: tuple[tuple[str, str], ...]) -> str:
    return xxhash.xxh3_128_hexdigest(f"{module}\n{files}".encode("utf-8", "surrogateescape"))


def _looked_at(package: Package) -> tuple[str, ...]:
    return (*package.files, *package.ignored, *package.folders)


def _module_borders(table: Iterable[dict[str, Any]], homes: set[str]) -> set[str]:
    """Name the go.mod files that would take packages out of their modules, if they came to be."""
    folders: set[str] = set()
    for package in table:
        folder = package["folders"][0][0] if package["folders"] else ""
        while folder and folder not in homes and folder not in folders:
            folders.add(folder)
            folder = os.path.dirname(folder)
    return {f"{folder}/go.mod" for folder in folders}
