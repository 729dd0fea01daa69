"""What the commands about Kubernetes do: check the base, render it with what was built, bring a cluster to it."""

from __future__ import annotations

import sys
from pathlib import Path

from procession_tasks.definition.load import Image
from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.pushing import pushed, repository
from procession_tasks.graph.session import Session
from procession_tasks.image.layout import Layout
from procession_tasks.publish.kubernetes.base import Base, read_base
from procession_tasks.publish.kubernetes.check import check
from procession_tasks.publish.kubernetes.deploy import deploy, preview
from procession_tasks.publish.kubernetes.images import runs, used
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.publish.kubernetes.render import Pin, render, write_folder

BASE = "deploy/kubernetes"
_OVERLAY = "build/kubernetes"


def validate(session: Session) -> None:
    """Check the base against the images; raises DefinitionError with every problem."""
    _checked(session)
    sys.stdout.write(f"{BASE}: ok\n")


def print_rendered(session: Session, registry: str | None, output: str | None) -> None:
    """Render the base, to stdout or into a folder, an object a file; raises BuildError."""
    rendered = _rendered(Kubectl.find(session.root, session.environment), session, registry)
    if output is None:
        sys.stdout.write(rendered)
        return
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.writelines(f"{folder / name}\n" for name in write_folder(folder, rendered))


def show(session: Session, registry: str | None, context: str | None, *, force: bool) -> None:
    """Say what bringing a cluster to what was built would change; raises BuildError."""
    kubectl = Kubectl.find(session.root, session.environment, context)
    text = preview(kubectl, _rendered(kubectl, session, registry), force=force)
    sys.stdout.write(text or "nothing would change\n")


def bring(session: Session, registry: str | None, context: str | None, timeout_s: int, *, force: bool) -> None:
    """Bring a cluster to what was built and pushed; raises BuildError."""
    kubectl = Kubectl.find(session.root, session.environment, context)
    rendered = _rendered(kubectl, session, registry)
    _see_pushed(session, registry)
    deploy(kubectl, rendered, timeout_s, _tell, force=force)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _images(session: Session) -> list[Image]:
    declared = definitions(session)
    return [declared.image(name) for name in declared.image_names()]


def _checked(session: Session) -> Base:
    base = read_base(session.root, BASE)
    found = check(base, {image.manifest.name: runs(image, session.root) for image in _images(session)})
    if found:
        raise DefinitionError(found)
    return base


def _rendered(kubectl: Kubectl, session: Session, registry: str | None) -> str:
    names = used(_checked(session))
    pins = {
        image.manifest.name: _pin(image, session, registry)
        for image in _images(session)
        if image.manifest.name in names
    }
    return render(kubectl, session.root / BASE, session.root / _OVERLAY, pins)


def _pin(image: Image, session: Session, registry: str | None) -> Pin:
    layout = Layout(session.root / "build/oci" / image.name)
    return Pin(repository(image, session, registry).repository, layout.top.digest)


def _see_pushed(session: Session, registry: str | None) -> None:
    """See that the images of the base were pushed as they are; raises BuildError that names those that were not."""
    names = used(read_base(session.root, BASE))
    pins = {image.name: _pin(image, session, registry) for image in _images(session) if image.manifest.name in names}
    missing = {name: pin for name, pin in pins.items() if pushed(name, session) != (pin.repository, pin.digest)}
    if missing:
        lines = [f"{pin.repository}@{pin.digest}: must be pushed before it is deployed" for pin in missing.values()]
        where = f"--registry {registry} " if registry else ""
        raise BuildError("\n".join(lines), hint=f"doit push {where}{' '.join(missing)}")
