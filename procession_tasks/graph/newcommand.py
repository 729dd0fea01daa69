"""`doit new`: begins the definition of an image, which validates, as a folder that appears whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph.located import DEFINITION, FAILED, Explained

if TYPE_CHECKING:
    from procession_tasks.definition.draft import Draft, GoPart
    from procession_tasks.definition.model import Project

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 32  # an account is called like the image
_WHAT = {
    "manifest": "how it is run: the program, its user, version, ports, environment",
    "image.yaml": "what it is made of",
    "rootfs/etc/nsswitch.conf": "files below rootfs/ go into it as they are",
}


class New(Explained):
    """Makes a definition, or says what keeps it from being one; never touches one that is there."""

    name = "new"
    doc_purpose = "begin the definition of an image, of a Go program or of Debian packages"
    doc_usage = "NAME --go PACKAGE | --debian PACKAGE ..."
    completes = ""  # a new name
    cmd_options = (
        {
            "name": "go",
            "long": "go",
            "type": str,
            "default": "",
            "metavar": "PACKAGE",
            "help": "the main package of its program, such as ./cmd/api or services/cmd/api",
        },
        {
            "name": "debian",
            "long": "debian",
            "type": list,
            "default": [],
            "metavar": "PACKAGE",
            "help": "a Debian package that it is made of; more may follow the name, or the option be repeated",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        from procession_tasks.definition.project import load_project  # needed here alone
        from procession_tasks.graph.session import session

        root = session().root
        try:
            project = load_project(root)
            draft = _drafted(args, params["go"], params["debian"], project, root)
            folder = root / project.definitions / draft.name
            _place(folder, draft, project)
        except DefinitionError as error:
            sys.stderr.write(f"{error}\n")
            return DEFINITION
        except BuildError as error:
            return self.misused(error.message, error.hint)
        except OSError as error:
            sys.stderr.write(f"{error.filename or project.definitions}: {error.strerror}\n")
            return FAILED
        _tell(draft, f"{project.definitions}/{draft.name}")
        return 0


def _drafted(args: list[str], package: str, packages: Iterable[str], project: Project, root: Path) -> Draft:
    """Turn what is asked for into a draft; raises BuildError for what cannot be one."""
    from procession_tasks.definition.draft import Draft, prefix
    from procession_tasks.platform import host

    debian = (*packages, *args[1:])
    if not args or not (package or debian) or (args[1:] and not packages):
        wrong = f", got {args[1]!r}" if args[1:] else ""
        rule = f"new must be given a name, and --go PACKAGE or --debian PACKAGE{wrong}"
        raise BuildError(rule, hint=f"such as: doit new {(args or ['web'])[0]} --go {_some_package(project, root)}")
    name = args[0]
    _check_name(name)
    _check_free(name, project, root)
    for one in debian:
        _check_package(one)
    part = _go_part(package, name, project, root) if package else None
    full_name = prefix(_full_names(root / project.definitions), _domain(project, root)) + name
    return Draft(name, full_name, part, debian, project.debian.base, host())


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")[:_LONGEST].strip("-")
        rule = f"must be lower-case letters, digits and single -, from a letter on, at most {_LONGEST}"
        raise BuildError(f"name: {rule}, got {name!r}", hint=f"such as {better or 'web'}")


def _check_free(name: str, project: Project, root: Path) -> None:
    folder = f"{project.definitions}/{name}"
    if os.path.lexists(root / folder):
        raise BuildError(
            f"{folder}: must not be there yet", hint="choose another name, or edit what is there: it is left as it is"
        )


def _check_package(name: str) -> None:
    from procession_tasks.definition.model import DEBIAN_PACKAGE

    if not re.fullmatch(DEBIAN_PACKAGE.pattern, name):
        raise BuildError(f"--debian: {DEBIAN_PACKAGE.rule}, got {name!r}", hint=DEBIAN_PACKAGE.hint)


def _go_part(word: str, name: str, project: Project, root: Path) -> GoPart:
    """Find the package that is meant; raises BuildError."""
    from procession_tasks.definition.draft import GoPart, program_of
    from procession_tasks.graph.mainpackage import found

    module, package = found(word, project.go.modules, root)
    program = program_of(package, module)
    is_taken = any(f"/{program}" in text or f": {program}" in text for text in _texts(root / project.definitions))
    named = module if len(project.go.modules) > 1 else None
    return GoPart(package, program, named, name if is_taken and name != program else None)


def _some_package(project: Project, root: Path) -> str:
    from procession_tasks.golang.mains import main_packages

    return next((one for module in project.go.modules for one in main_packages(root / module)), "./cmd/web")


def _domain(project: Project, root: Path) -> str:
    """Begin names as the Go module does, where no definition shows how."""
    from procession_tasks.golang.mains import module_path

    first = module_path(root / project.go.modules[0]).partition("/")[0] if project.go.modules else ""
    return f"{first if '.' in first else 'images.example'}/"


def _full_names(definitions: Path) -> Iterator[tuple[str, str]]:
    for manifest in sorted(definitions.glob("*/manifest")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # validate says what is wrong there
            yield manifest.parent.name, str(json.loads(manifest.read_bytes())["name"])


def _texts(definitions: Path) -> Iterator[str]:
    for file in definitions.glob("*/image.yaml"):
        with contextlib.suppress(OSError):
            yield file.read_text(encoding="utf-8", errors="replace")


def _place(folder: Path, draft: Draft, project: Project) -> None:
    """Write the definition beside its place, see that it is valid, and only then put it there.

    What it is written in has a name of its own in the folder of definitions, and is no definition itself.
    """
    from procession_tasks import files
    from procession_tasks.definition.draft import contents
    from procession_tasks.definition.schema import IMAGE_SCHEMA, image_schema, schema_text

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as temporary:
        made = Path(temporary, folder.name)
        _write(made, contents(draft))
        _check(made, project)
        try:
            made.rename(folder)
        except OSError as error:
            raise BuildError(
                f"{project.definitions}/{folder.name}: {error.strerror}", hint="is it there now?"
            ) from None
    if not (schema := folder.parent / IMAGE_SCHEMA).exists():
        with contextlib.suppress(FileExistsError, FileNotFoundError):  # another one writes it at this moment
            files.write(schema, schema_text(image_schema()).encode())


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _check(made: Path, project: Project) -> None:
    """See that the build accepts what was written; raises DefinitionError."""
    from procession_tasks.definition.load import load_image
    from procession_tasks.graph.session import session
    from procession_tasks.rootfs.stage import declared_sources

    root = session().root
    there = dataclasses.replace(project, definitions=str(made.parent.relative_to(root)))
    image = load_image(root, there, made.name)
    declared_sources(image.file, image.folder, made / "rootfs")


def _tell(draft: Draft, folder: str) -> None:
    for name, what in _WHAT.items():
        print(f"{folder}/{name}: {what}")
    if not draft.packages:
        print(f"next: doit build:{draft.name}")
        return
    if not draft.go:
        print(f"it starts {draft.program}, which is a guess: packing says if that is not there")
    print(f"next: doit lock:{draft.name} chooses and pins the packages, then doit build:{draft.name}")
