"""The tools that pack OCI images: each does its work from the step's declaration."""

from __future__ import annotations

import hashlib
from pathlib import Path

from procession_tasks import notice
from procession_tasks.definition.manifest import ImageManifest, parse_manifest
from procession_tasks.errors import BuildError, DefinitionError, Problem
from procession_tasks.graph.session import STATE, Session
from procession_tasks.image.archive import write_archive
from procession_tasks.image.configuration import configuration, manifest_annotations, tag, without_counterpart
from procession_tasks.image.layers import divide
from procession_tasks.image.oci import Said, write_index, write_layout
from procession_tasks.platform import Platform
from procession_tasks.rootfs.program import missing_program
from procession_tasks.rootfs.tree import Entry, parse, parse_owners
from procession_tasks.rootfs.user import UnknownAccountError, numbers
from procession_tasks.step import Step


def pack(step: Step, session: Session) -> None:
    """Pack a staged tree into the OCI image layout of one platform."""
    root = session.root
    manifest = _manifest(step, root)
    tree, output = (root / step.option(name) for name in ("tree", "output"))
    entries = parse((root / step.option("list")).read_bytes())
    owners = parse_owners((root / step.option("owners")).read_bytes())
    user = _checked_user(step, manifest, entries, tree)
    for key in without_counterpart(manifest):
        place = f"{step.option('manifest')}:{manifest.line(key)}: {key}"
        notice.say(f"warning: {place}: has no counterpart in OCI, and is left out of that image")
    date = int(step.option("date"))
    platform = Platform.parse(step.option("platform"))
    said = Said(configuration(manifest, platform, user, date), manifest_annotations(manifest), *_names(manifest))
    layers = divide(entries, owners, step.options("base"))
    write_layout(output, said, layers, tree, date, root / STATE / "layers" / f"{step.subject}@{step.platform}")


def join(step: Step, session: Session) -> None:
    """Join the layouts of an image's platforms under one index."""
    pairs = (text.split("=", 1) for text in step.options("layout"))
    layouts = {Platform.parse(platform): session.root / layout for platform, layout in pairs}
    annotations = manifest_annotations(_manifest(step, session.root))
    write_index(session.root / step.option("output"), layouts, annotations)


def archive(step: Step, session: Session) -> None:
    """Put the layout of one platform into an archive."""
    layout, output = (session.root / step.option(name) for name in ("layout", "output"))
    write_archive(output, layout, int(step.option("date")))


def _manifest(step: Step, root: Path) -> ImageManifest:
    file = step.option("manifest")
    return parse_manifest((root / file).read_bytes(), file)


def _checked_user(step: Step, manifest: ImageManifest, entries: tuple[Entry, ...], tree: Path) -> str:
    """Return the user, of an image whose program is there; raises DefinitionError."""
    file = step.option("manifest")
    if manifest.app and manifest.app.exec and (missing := missing_program(manifest.app.exec[0], entries)):
        raise DefinitionError([Problem(file, manifest.line("app.exec"), "app.exec[0]", *missing)])
    try:
        return _user(manifest, entries, tree)
    except UnknownAccountError as error:
        key = f"app.{error.key}"
        raise DefinitionError([Problem(file, manifest.line(key), key, error.rule, error.got, error.hint)]) from None


def _user(manifest: ImageManifest, entries: tuple[Entry, ...], tree: Path) -> str:
    """Return the ``uid:gid`` that the image runs as; raises UnknownAccountError."""
    if manifest.app is None:
        return ""
    passwd, groups = (_text(path, entries, tree) for path in ("etc/passwd", "etc/group"))
    uid, gid = numbers(manifest.app.user, manifest.app.group, entries, passwd, groups)
    return f"{uid}:{gid}"


def _text(path: str, entries: tuple[Entry, ...], tree: Path) -> str:
    """Read a file of the staged tree, which is what its list says; nothing where there is none."""
    for entry in entries:
        if entry.path == path and entry.type == "file":
            content = (tree / path).read_bytes()
            if hashlib.sha256(content).hexdigest() != entry.digest:
                raise BuildError(f"/{path} changed while it was packed", hint="run the build again")
            return content.decode("utf-8", "surrogateescape")
    return ""


def _names(manifest: ImageManifest) -> tuple[str, str]:
    """Return the names that engines and layouts know the image by."""
    return f"{manifest.name.replace('~', '_')}:{tag(manifest)}", tag(manifest)
