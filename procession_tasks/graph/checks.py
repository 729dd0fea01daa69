"""The tools that check: definitions before anything is built, images once they are."""

from __future__ import annotations

import sys
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.planned import Plan
from procession_tasks.graph.session import Session
from procession_tasks.graph.tools import merged
from procession_tasks.image.expected import expected
from procession_tasks.image.layout import Layout
from procession_tasks.image.verify import verify as verify_aci
from procession_tasks.image.verify_oci import verify_layout


def verify(one: Plan, session: Session) -> None:
    """Read a finished image back and compare it with its definition.

    Raises BuildError with every difference.
    """
    root = session.root
    image = definitions(session).image(one.image)
    built = {place: root / file for place, file in (text.split("=", 1) for text in one.inject.options("program"))}
    packages = None
    if image.file.debian:
        from procession_tasks.graph.packages import for_verifier  # images of programs alone need none of it

        packages = for_verifier(image, one.platform, session)
    wanted = expected(image, root, one.platform, built, int(one.pack.option("date")), packages)
    aci, layout = (root / step.option("output") for step in (one.pack, one.pack_oci))
    findings = [*verify_aci(aci, wanted), *verify_layout(layout, wanted, one.platform)]
    if findings:
        raise BuildError("\n".join(findings), hint=f"doit build:{one.name} makes it anew")
    image_id = Path(f"{aci}.id").read_text(encoding="ascii").strip()
    sys.stdout.write(f"{one.pack.option('output')}: ok, {image_id}\n")
    sys.stdout.write(f"{one.pack_oci.option('output')}: ok, {Layout(layout).top.digest}\n")


def validate(one: Plan, session: Session) -> None:
    """Check what only the files of a definition can tell: that its sources fit together.

    How they fit its packages shows when these are there.  Raises BuildError with every clash.
    """
    if one.fetch is None:
        merged(one.inject, session)
    sys.stdout.write(f"{one.inject.option('definition')}: ok\n")
