"""What the definitions and the settings of a repository need of a machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from procession_tasks.debian.lock import FILE
from procession_tasks.definition.imagefile import image_names, parse_image_file
from procession_tasks.definition.model import ImageFile, Project
from procession_tasks.definition.project import load_project
from procession_tasks.errors import BuildError
from procession_tasks.graph.doctor.finding import Finding
from procession_tasks.platform import host


@dataclass(frozen=True, slots=True)
class Needs:
    """A repository in a machine's eyes; `unlocked` are images whose packages were not chosen yet.

    `compilers` are the C compilers that programs with cgo are built with.
    """

    root: Path
    environment: Mapping[str, str]
    project: Project = field(default_factory=Project)
    programs: bool = False
    packages: bool = False
    unlocked: tuple[str, ...] = ()
    compilers: tuple[str, ...] = ()


def needs(root: Path, environment: Mapping[str, str]) -> tuple[Needs, list[Finding]]:
    """Read what there is to be read, and say what of it is wrong: the rest is looked at all the same."""
    use = "knowing what is built, and how"
    try:
        project = load_project(root)
        names = image_names(root, project)
    except BuildError as error:
        what = error.message.partition("\n")[0]
        remedy = error.hint or "run it where pyproject.toml has [tool.procession], or mend that"
        return Needs(root, environment), [Finding("settings", what, use, there=False, needed=True, remedy=remedy)]
    read = {name: _read(root, f"{project.definitions}/{name}/image.yaml") for name in names}
    wrong = [name for name, image in read.items() if image is None]
    images = {name: image for name, image in read.items() if image is not None}
    told = f"{len(names)} images" if not wrong else f"{len(wrong)} of {len(names)} cannot be read: {', '.join(wrong)}"
    finding = Finding("definitions", told, use, there=not wrong, needed=True, remedy="doit validate says what is wrong")
    return _of(root, environment, project, images), [finding]


def _of(root: Path, environment: Mapping[str, str], project: Project, images: Mapping[str, ImageFile]) -> Needs:
    packaged = [name for name, image in images.items() if image.debian]
    return Needs(
        root,
        environment,
        project,
        programs=any(image.go for image in images.values()),
        packages=bool(packaged),
        unlocked=tuple(name for name in packaged if not (root / project.definitions / name / FILE).exists()),
        compilers=tuple(sorted({cc for image in images.values() for cc in _compilers(image)})),
    )


def _read(root: Path, file: str) -> ImageFile | None:
    try:
        return parse_image_file((root / file).read_bytes(), file)
    except (BuildError, OSError):
        return None


def _compilers(image: ImageFile) -> Iterator[str]:
    """Name the C compilers of a plain build, which is for this machine's platform."""
    platform = host() if host() in image.platforms else image.platforms[0]
    for binary in image.go:
        if binary.cgo:
            yield dict(binary.cc).get(platform, "cc")
