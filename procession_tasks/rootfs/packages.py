"""Makes the file system of an image of packages: what they ship, what its definition says, what is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.debian.contents import Contents, Elf
from procession_tasks.debian.pin import Pin
from procession_tasks.definition.model import Accounts
from procession_tasks.definition.model import Path as DeclaredPath
from procession_tasks.errors import BuildError
from procession_tasks.rootfs.accounts import account_numbers, group_members, with_standard
from procession_tasks.rootfs.certificates import certificate_bundle
from procession_tasks.rootfs.content import Range, read
from procession_tasks.rootfs.ground import Ground
from procession_tasks.rootfs.libraries import missing_libraries
from procession_tasks.rootfs.links import dangling_links, destination, link_texts
from procession_tasks.rootfs.merge import Source, misplaced, with_parents
from procession_tasks.rootfs.metadata import metadata
from procession_tasks.rootfs.overlay import overlaid
from procession_tasks.rootfs.prune import left_out, unmatched
from procession_tasks.rootfs.scripts import undeclared_effects
from procession_tasks.rootfs.shipped import Shipped, shipped
from procession_tasks.rootfs.stage import definition_sources, with_modes
from procession_tasks.rootfs.waivers import Finding, unwaived


@dataclass(frozen=True, slots=True)
class Rules:
    """What becomes of packages: patterns of paths, and what is accepted.

    The default patterns are the project's and may match nothing.  `waive` has patterns of
    subjects, by check.
    """

    prune: Sequence[str] = ()
    keep: Sequence[str] = ()
    default_prune: Sequence[str] = ()
    default_keep: Sequence[str] = ()
    waive: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Definition:
    """What else an image is made of, as `image_sources` takes it; `folder` is for messages."""

    folder: str
    rootfs: Path
    accounts: Accounts
    paths: Sequence[DeclaredPath] = ()
    programs: Sequence[tuple[str, Path]] = ()


@dataclass(frozen=True, slots=True)
class Packaged:
    """The sources of an image by path, and what its definition replaced, in words."""

    sources: dict[str, Source]
    notes: tuple[str, ...]


def package_sources(packages: Sequence[tuple[Pin, Contents]], rules: Rules, definition: Definition) -> Packaged:
    """Merge packages and a definition into an image, and check it.

    Reads certificates and the definition's rootfs/.  Raises BuildError with everything that is
    wrong, sorted.
    """
    packages = sorted(packages, key=lambda package: package[0].name)
    unpacked = shipped(packages)
    kept, problems = _pruned(unpacked, rules, definition.folder)
    accounts = _accounts(definition)
    declared = definition_sources(accounts, definition.paths, definition.folder, definition.rootfs, definition.programs)
    laid = overlaid(kept, declared, definition.paths)
    merged = with_parents(laid.sources)
    problems += [*laid.problems, *misplaced(merged)]
    try:
        merged = with_modes(merged, definition.paths, definition.folder)
    except BuildError as error:
        problems.append(str(error))
    merged = _with_made(merged, packages, unpacked)
    ground = _ground(merged, packages, definition)
    problems += unwaived(_findings(packages, unpacked, ground), rules.waive, definition.folder)
    if problems:
        raise BuildError("\n".join(sorted(problems)))
    return Packaged(_with_hard_links(merged, unpacked.repeated), laid.notes)


def _pruned(unpacked: Shipped, rules: Rules, folder: str) -> tuple[dict[str, Source], list[str]]:
    sources = with_parents(unpacked.sources)
    problems = []
    for name, patterns in (("prune", rules.prune), ("keep", rules.keep)):
        for pattern, near in unmatched(patterns, sources):
            hint = near or "remove it"
            rule = f"{folder}/image.yaml: debian.{name}: must match a path of the packages"
            problems.append(f"{rule}, got {pattern!r}\n  hint: {hint}")
    is_folder = {path: source.entry.type == "directory" for path, source in sources.items()}
    gone = left_out(is_folder, [*rules.prune, *rules.default_prune], [*rules.keep, *rules.default_keep])
    return {path: source for path, source in sources.items() if path not in gone}, problems


def _accounts(definition: Definition) -> Accounts:
    """Add the standard accounts, but to an account file that rootfs/ brings itself."""
    accounts = with_standard(definition.accounts)
    if not definition.accounts.users and (definition.rootfs / "etc/passwd").exists():
        accounts = dataclasses.replace(accounts, users=())
    if not definition.accounts.all_groups and (definition.rootfs / "etc/group").exists():
        accounts = dataclasses.replace(accounts, groups=())
    return accounts


def _with_made(
    sources: Mapping[str, Source], packages: Sequence[tuple[Pin, Contents]], unpacked: Shipped
) -> dict[str, Source]:
    """Add what is made from the image itself: certificates, the packages' descriptions."""
    bundle = certificate_bundle(sources)
    made = [*metadata(packages, sources, unpacked.places), *([bundle] if bundle else [])]
    return with_parents({**{source.entry.path: source for source in made}, **sources})


def _ground(sources: Mapping[str, Source], packages: Sequence[tuple[Pin, Contents]], definition: Definition) -> Ground:
    passwd, group = (_text(sources.get(path)) for path in ("etc/passwd", "etc/group"))
    return Ground(
        sources,
        link_texts(sources),
        account_numbers(passwd),
        account_numbers(group),
        group_members(group),
        frozenset(path.path for path in definition.paths),
        frozenset(pin.name for pin, _ in packages),
    )


def _text(file: Source | None) -> str:
    return "" if file is None else read(file.content, file.origin).decode("utf-8", "replace")


def _findings(packages: Sequence[tuple[Pin, Contents]], unpacked: Shipped, ground: Ground) -> Iterator[Finding]:
    sources = ground.sources
    for finding in unpacked.findings:
        if finding.subject in sources and sources[finding.subject].owner in ground.packages:
            yield finding
    yield from dangling_links(sources, ground.links)
    yield from missing_libraries(_elves(sources, unpacked.elves), sources, ground.links)
    yield from undeclared_effects(packages, ground)
    for pin, _ in packages:
        folder = f"usr/share/doc/{pin.name}"
        if destination(f"{folder}/copyright", ground.links) not in sources:
            message = f"{pin.name} {pin.version}: must keep its copyright file, got no /{folder}/copyright"
            kept = folder if folder in unpacked.places.links else f"{folder}/copyright"
            yield Finding("copyright", pin.name, message, f"add {kept} to keep")


def _elves(sources: Mapping[str, Source], elves: Mapping[Range, Elf]) -> dict[str, Elf]:
    return {
        path: elves[source.content]
        for path, source in sources.items()
        if isinstance(source.content, Range) and source.content in elves
    }


def _with_hard_links(sources: Mapping[str, Source], repeated: Iterable[Range]) -> dict[str, Source]:
    """Make links of files that repeat one another: the first by path is the file."""
    linked = dict(sources)
    firsts: dict[tuple[object, ...], str] = {}
    ranges = frozenset(repeated)
    for path in sorted(sources, key=lambda path: sources[path].entry.key) if ranges else ():
        source = sources[path]
        entry = source.entry
        if isinstance(source.content, Range) and source.content in ranges:
            first = firsts.setdefault((source.content, entry.mode, entry.uid, entry.gid, entry.xattrs), path)
            if first != path:
                linked[path] = dataclasses.replace(
                    source, entry=dataclasses.replace(entry, type="hardlink", link=first)
                )
    return linked
