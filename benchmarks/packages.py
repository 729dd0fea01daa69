"""Measures images of packages, the repository's own, beside other ways to make archives of the same packages."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.measure import Case, Command, Launcher, rounds
from benchmarks.repository import copied
from benchmarks.rivals import Rival, rivals
from procession_tasks.debian.lock import FILE, parse_pins
from procession_tasks.debian.pin import Pin
from procession_tasks.platform import host
from procession_tasks.rootfs.tree import Entry, parse
from procession_tasks.xdg import cache_folder

WARM, COLD = "procession", "procession, cold"
EDITED, IDLE = "procession, a file edited", "procession, nothing to do"
DOES = {
    WARM: "build/ absent, packages unpacked in the store: verifies and merges them, leaves out what image.yaml prunes,"
    " adds accounts, certificates and rootfs/, checks links, libraries and what maintainer scripts would do, packs",
    COLD: "the same with the packages yet to unpack",
    EDITED: "everything there, one file of one rootfs/ changed",
    IDLE: "everything up to date",
}


@dataclass(frozen=True)
class Packaged:
    """The case of some images, the size in MiB of what each command wrote, and what the images are."""

    case: Case
    sizes: dict[str, float]
    what: str


@dataclass(frozen=True)
class Site:
    """A copy of the repository and of its packages, so that nothing outside is touched; `pins` are by image."""

    root: Path
    store: Path
    environment: dict[str, str]
    pins: dict[str, tuple[Pin, ...]] = field(default_factory=dict)
    _edits: Iterator[int] = field(default_factory=itertools.count)

    def doit(self, *words: str, environment: dict[str, str] | None = None) -> None:
        """Run the build, unmeasured."""
        argv, variables = [_program(), *words], environment or self.environment
        done = subprocess.run(argv, cwd=self.root, env=variables, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"doit {' '.join(words)}:\n{done.stdout}{done.stderr}")

    def edit(self, image: str) -> None:
        """Give a file of an image's rootfs/ content that it never had."""
        path = self.root / "deploy/aci" / image / "rootfs/etc/benchmark"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{next(self._edits)}\n")
        time.sleep(0.1)  # as long before the build as anyone would type

    def output(self, folder: str, start: str, end: str) -> Path:
        """Find what a build made of an image for this machine."""
        [found] = (self.root / "build" / folder).glob(f"{start}{host().slug}{end}")
        return found

    def entries(self, image: str) -> tuple[Entry, ...]:
        """List what an image holds."""
        return parse(self.output(f"rootfs/{image}", "", ".files").read_bytes())


def prepare(repository: Path, work: Path) -> Site:
    """Copy the repository and its packages, which are downloaded if need be."""
    names = sorted(path.parent.name for path in repository.glob(f"deploy/aci/*/{FILE}"))
    if not names:
        raise SystemExit("run this in a repository that has images of packages, with their locks")
    root = copied(repository, work / "repository")
    (work / "tmp").mkdir()
    (work / "cache/debian/packages").mkdir(parents=True)
    site = Site(root, work / "cache/debian", _environment(work))
    sys.stderr.write("fetching the packages that are not in the store\n")
    site.doit(*(f"fetch-packages:{name}" for name in names), environment=dict(os.environ))
    for name in names:
        site.pins[name] = parse_pins(site.output("state/packages", f"{name}@", ".packages").read_bytes())
        for pin in site.pins[name]:
            deb = f"packages/{pin.sha256}.deb"
            shutil.copyfile(cache_folder(os.environ) / "debian" / deb, site.store / deb)
    return site


def prepare_rivals(site: Site, work: Path) -> tuple[list[Rival], list[str]]:
    """Build every image once, and prepare the other ways to make them; the second result says which fail, and why."""
    site.doit(*(f"build:{name}" for name in site.pins))
    paths = {name: [entry.path for entry in site.entries(name)] for name in site.pins}
    return rivals(work / "rivals", site.store, site.pins, paths, site.environment)


def measure(site: Site, others: Sequence[Rival], launcher: Launcher, count: int) -> Iterator[Packaged]:
    """Measure each image, then all of them."""
    for images in [*([name] for name in site.pins), list(site.pins)]:
        ours, theirs = list(_ours(site, images)), [rival.command(images) for rival in others]
        title = images[0] if len(images) == 1 else f"all {len(images)} images"
        case = rounds(launcher, title, [*ours, *theirs], count)
        archives = [site.output("aci", f"*-{name}-*", ".aci").stat().st_size for name in images]
        sizes = {command.name: sum(archives) / 2**20 for command in ours}
        for rival in others:
            sizes[rival.name] = sum(rival.outputs[name].stat().st_size for name in images) / 2**20
        yield Packaged(case, sizes, _what(site, images))


def _ours(site: Site, images: Sequence[str]) -> Iterator[Command]:
    words = [f"pack-aci:{name}" for name in images]  # the others make one archive, too
    build = partial(site.doit, *words)

    def remove(*folders: Path) -> None:  # put aside, what many rounds unpack would fill the disk
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def edit() -> None:
        build()
        site.edit(images[0])

    def settle() -> None:
        build()
        build()  # which finds nothing to do and remembers it

    before: dict[str, Callable[[], None]] = {
        WARM: partial(remove, site.root / "build"),
        COLD: partial(remove, site.root / "build", site.store / "unpacked"),
        EDITED: edit,
        IDLE: settle,
    }
    build()
    for name, prepared in before.items():
        yield Command(name, (_program(), *words), site.root, site.environment, before=prepared)


def _what(site: Site, images: Sequence[str]) -> str:
    """Say how much goes into images and how much is left of it."""
    pins = {pin.sha256: pin for name in images for pin in site.pins[name]}.values()
    entries = [entry for name in images for entry in site.entries(name)]
    debs, files = (sum(each.size for each in of) / 2**20 for of in (pins, entries))
    return f"{len(pins)} packages of {debs:.1f} MiB together, {len(entries)} paths with {files:.1f} MiB in the image"


def _environment(work: Path) -> dict[str, str]:
    path = os.pathsep.join([os.defpath, "/usr/sbin", "/sbin"])  # mmdebstrap calls what is there
    folders = {"HOME": str(work), "TMPDIR": str(work / "tmp"), "PROCESSION_CACHE_DIR": str(work / "cache")}
    return {"PATH": path, "LC_ALL": "C", "PROCESSION_CACHE": "off", **folders}  # what is measured is building


def _program() -> str:
    return str(Path(sys.prefix) / "bin/doit")
