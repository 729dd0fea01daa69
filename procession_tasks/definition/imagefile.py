"""image.yaml by itself, and which folders have one."""

from __future__ import annotations

import os
from pathlib import Path

from procession_tasks.definition.model import IMAGE_FILE, ImageFile, Project
from procession_tasks.definition.node import Node
from procession_tasks.definition.shape import InvalidError, Report
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import BuildError, DefinitionError


def image_names(root: Path, project: Project) -> tuple[str, ...]:
    """List the definitions of the repository: the folders with an image.yaml or a manifest, sorted.

    Raises BuildError when the folder of definitions is not there.
    """
    folder = root / project.definitions
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError as error:
        hint = "make the folder, or set definitions under [tool.procession]"
        raise BuildError(f"{project.definitions}: must be a readable folder, got {error.strerror}", hint=hint) from None
    return tuple(name for name in found if is_definition(folder / name))


def is_definition(folder: Path) -> bool:
    """Tell whether a folder holds an image definition."""
    return (folder / "image.yaml").exists() or (folder / "manifest").exists()


def parse_image_file(text: bytes, file: str) -> ImageFile:
    """Read an image.yaml by itself.

    Raises DefinitionError with every problem of the file.
    """
    return read_image_file(parse_yaml(text, file), file)


def read_image_file(node: Node, file: str) -> ImageFile:
    """Read an image.yaml that is parsed; raises DefinitionError with every problem of it."""
    report = Report(file)
    try:
        image: ImageFile = IMAGE_FILE.read(node, "", report)
    except InvalidError:
        raise DefinitionError(report.problems) from None
    return image
