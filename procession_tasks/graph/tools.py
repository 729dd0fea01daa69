"""The tools that stage and pack an image: each does its work from the step's declaration."""

from __future__ import annotations

import sys
from pathlib import Path

from procession_tasks.definition.manifest import canonical, parse_manifest
from procession_tasks.errors import DefinitionError, Problem
from procession_tasks.graph.plan import accounts_of, paths_of
from procession_tasks.graph.session import Session
from procession_tasks.image.aci import write_aci
from procession_tasks.rootfs import tree
from procession_tasks.rootfs.content import DamagedError
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.program import missing_program
from procession_tasks.rootfs.stage import image_sources, stage
from procession_tasks.step import Step


def inject(step: Step, session: Session) -> None:
    """Stage an image's tree from its rootfs/, its programs, its packages and what image.yaml declares."""
    root = session.root
    tree, listing, owners = (root / step.option(name) for name in ("tree", "list", "owners"))
    damaged: set[Path] = set()
    while True:
        try:
            return stage(merged(step, session), tree, listing, owners)
        except DamagedError as damage:
            if damage.path in damaged:
                raise
            damaged.add(damage.path)
            sys.stderr.write(f"warning: {damage.message}; it is unpacked anew\n")
            # Not the damaged file itself: another image may be reading it, and finds out as well.
            damage.path.with_suffix(".contents").unlink(missing_ok=True)


def merged(step: Step, session: Session) -> dict[str, Source]:
    """Merge everything that an inject step stages."""
    programs = [text.split("=", 1) for text in step.options("program")]
    built = [(place, session.root / file) for place, file in programs]
    if step.options("packages"):
        from procession_tasks.graph import packages  # images of programs alone need none of it

        return packages.merged(step, built, session)
    rootfs = session.root / step.option("rootfs")
    return image_sources(accounts_of(step), paths_of(step), step.option("definition"), rootfs, built)


def pack(step: Step, session: Session) -> None:
    """Pack a staged tree into an App Container Image."""
    root = session.root
    manifest = step.option("manifest")
    parsed = parse_manifest((root / manifest).read_bytes(), manifest)
    labels = dict(text.split("=", 1) for text in step.options("label"))
    entries = tree.parse((root / step.option("list")).read_bytes())
    if parsed.app and parsed.app.exec and (problem := missing_program(parsed.app.exec[0], entries)):
        raise DefinitionError([Problem(manifest, parsed.line("app.exec"), "app.exec[0]", *problem)])
    output = root / step.option("output")
    output.parent.mkdir(parents=True, exist_ok=True)
    write_aci(output, canonical(parsed, labels), entries, root / step.option("tree"), int(step.option("date")))
