"""Loads an image's definition: manifest, image.yaml, and what must hold between them."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.definition.imagefile import read_image_file
from procession_tasks.definition.manifest import ImageManifest, parse_manifest
from procession_tasks.definition.model import STANDARD_ACCOUNTS, GoBinary, ImageFile, Project
from procession_tasks.definition.node import Node
from procession_tasks.definition.shape import Report, did_you_mean
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import DefinitionError, Problem

_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """A whole, checked definition.

    `folder` is relative to the repository; every program of `file.go` has its module, tags and
    flags filled in from the project, with {version} replaced; `file.debian` has its suites.
    """

    name: str
    folder: str
    manifest: ImageManifest
    file: ImageFile

    @property
    def stem(self) -> str:
        """The beginning of the archive's name: the image's last name part and its version."""
        return f"{posixpath.basename(self.manifest.name)}-{self.manifest.version or 'latest'}"


def load_image(root: Path, project: Project, name: str) -> Image:
    """Read and check one definition.

    Raises DefinitionError with every problem of both files.
    """
    folder = f"{project.definitions}/{name}"
    problems: list[Problem] = []
    manifest = image = node = None
    try:
        manifest = parse_manifest(_read(root, f"{folder}/manifest"), f"{folder}/manifest", strict=True)
    except DefinitionError as error:
        problems += error.problems
    try:
        node = parse_yaml(_read(root, f"{folder}/image.yaml"), f"{folder}/image.yaml")
        image = read_image_file(node, f"{folder}/image.yaml")
    except DefinitionError as error:
        problems += error.problems
    if manifest is None or image is None or node is None:
        raise DefinitionError(problems)
    report = Report(f"{folder}/image.yaml")
    _check_modules(root, project, image, node, report)
    problems = report.problems + list(_between(root / folder / "rootfs", folder, manifest, image))
    if problems:
        raise DefinitionError(problems)
    programs = tuple(_complete(binary, project, manifest) for binary in image.go)
    packages = image.debian
    if packages is not None and packages.suites is None:
        packages = dataclasses.replace(packages, suites=project.debian.suites)
    return Image(name, folder, manifest, dataclasses.replace(image, go=programs, debian=packages))


def _read(root: Path, file: str) -> bytes:
    try:
        with (root / file).open("rb") as stream:
            text = stream.read(_LIMIT + 1)
    except OSError as error:
        raise DefinitionError([Problem(file, 1, "", "must be a readable file", error.strerror)]) from None
    if len(text) > _LIMIT:
        raise DefinitionError([Problem(file, 1, "", f"must be at most {_LIMIT} bytes", "more")])
    return text


def _complete(binary: GoBinary, project: Project, manifest: ImageManifest) -> GoBinary:
    """Fill in what a program leaves to the project."""
    go = project.go
    ldflags = go.ldflags if binary.ldflags is None else binary.ldflags
    return dataclasses.replace(
        binary,
        module=binary.module or go.modules[0],
        tags=go.tags if binary.tags is None else binary.tags,
        ldflags=ldflags.replace("{version}", manifest.version or "latest"),
        gcflags=go.gcflags if binary.gcflags is None else binary.gcflags,
        trimpath=go.trimpath if binary.trimpath is None else binary.trimpath,
        environment=tuple(sorted((dict(go.environment) | dict(binary.environment)).items())),
    )


def _check_modules(root: Path, project: Project, image: ImageFile, node: Node, report: Report) -> None:
    """Check that every program's module is one of the project's and holds its package."""
    for binary, (place, key) in zip(image.go, _go_nodes(node), strict=True):
        modules = project.go.modules
        if not modules:
            hint = 'add [tool.procession.go] with version = "1.27.3"'
            report.add(place, key, "must go with the settings of Go in pyproject.toml", hint=hint)
        elif binary.module is None and len(modules) > 1:
            report.add(place, f"{key}.module", "must say which module", None, "one of: " + ", ".join(modules))
        elif binary.module is not None and binary.module not in modules:
            hint = did_you_mean(binary.module, modules) or "modules: " + ", ".join(modules)
            rule = "must be a module of [tool.procession.go]"
            report.add(_child(place, "module"), f"{key}.module", rule, repr(binary.module), hint)
        else:
            _check_package(root, binary.module or modules[0], binary.package, _child(place, "package"), key, report)


def _check_package(root: Path, module: str, package: str, node: Node, key: str, report: Report) -> None:
    """Check that a package given as a folder is one; an import path is left to the compiler."""
    if package.startswith(".") and not (root / module / package).is_dir():
        near = did_you_mean(package, _packages_beside(root / module, package))
        report.add(node, f"{key}.package", f"must be a folder of the module {module}", repr(package), near)


def _packages_beside(module: Path, package: str) -> list[str]:
    parent = posixpath.dirname(package)
    folder = module / parent
    return [f"{parent}/{entry.name}" for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []


def _go_nodes(node: Node) -> Iterator[tuple[Node, str]]:
    """Find the node and the dotted key of each program."""
    go = _child(node, "go")
    if go is node:
        return
    if go.kind == "list":
        yield from ((item, f"go[{i}]") for i, item in enumerate(go.value))
    else:
        yield go, "go"


def _child(node: Node, key: str) -> Node:
    return next((value for name, value in node.value if name.value == key), node)


def _between(rootfs: Path, folder: str, manifest: ImageManifest, image: ImageFile) -> Iterable[Problem]:
    """Check what the manifest and image.yaml say of each other."""
    place = f"{folder}/manifest"
    yield from _check_labels(place, manifest, image)
    if manifest.app is None:
        return
    yield from _check_user(place, manifest, rootfs, image)
    if manifest.app.exec and image.debian is None and not _holds(rootfs, image, manifest.app.exec[0]):
        programs = ["/" + binary.binary for binary in image.go]
        rule = "must be a program that the image holds, by its absolute path"
        hint = did_you_mean(manifest.app.exec[0], programs) or "programs: " + ", ".join(programs)
        yield Problem(place, manifest.line("app.exec"), "app.exec[0]", rule, repr(manifest.app.exec[0]), hint)


def _check_labels(place: str, manifest: ImageManifest, image: ImageFile) -> Iterable[Problem]:
    for platform in image.platforms:
        for name, value in platform.appc_labels:
            written = manifest.label(name)
            if written not in (None, value):
                rule = f"must agree with the platform {platform}, where the label {name} is {value!r}"
                hint = "remove the label: it is set when the image is packed"
                yield Problem(place, manifest.line("labels"), "labels", rule, repr(written), hint)
                return


def _check_user(place: str, manifest: ImageManifest, rootfs: Path, image: ImageFile) -> Iterable[Problem]:
    user = manifest.app.user if manifest.app else ""
    names = [account.name for account in image.accounts.users]
    if image.debian is not None:
        names += [user.name for user in STANDARD_ACCOUNTS.users]
    named = not (user.isdigit() or user.startswith("/"))
    if named and user not in names and not (rootfs / "etc/passwd").exists():
        rule = "must be a number, or a user under accounts in image.yaml"
        hint = did_you_mean(user, names) or f"add {{name: {user}, uid: 65532, gid: 65532}} to accounts.users"
        yield Problem(place, manifest.line("app.user"), "app.user", rule, repr(user), hint)


def _holds(rootfs: Path, image: ImageFile, program: str) -> bool:
    declared = [binary.binary for binary in image.go] + [path.path for path in image.paths]
    path = program.lstrip("/")
    return program.startswith("/") and (path in declared or os.path.lexists(rootfs / path))
