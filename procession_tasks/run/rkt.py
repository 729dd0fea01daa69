"""The command line of rkt for an image of the build.  Pure.

Source: rkt 1.30, rkt-run(1).
"""

from __future__ import annotations

from collections.abc import Iterable

from procession_tasks.run.built import Built
from procession_tasks.run.container import Container
from procession_tasks.run.engine import Engine

WHERE = "rkt 1.30.0 is the last release: github.com/rkt/rkt/releases, or the package of Ubuntu 20.04"


def command(container: Container, image: Built, engine: Engine) -> tuple[str, ...]:
    """Run an image's ACI, which is not signed, in the foreground.

    User, capabilities, limits and supplementary groups are those of its manifest, which rkt reads itself;
    volumes are as long-lived as the pod.
    """
    program = engine.command if engine.kind == "rkt" else ("rkt",)
    options = engine.options if engine.kind == "rkt" else ()
    arguments = ("--", *container.arguments) if container.arguments else ()
    return (
        *program,
        "--insecure-options=image",
        "run",
        "--net=default",
        "--dns=host",
        f"--hostname={container.name}",
        *_reached(container, image),
        *options,
        str(image.aci),
        "--readonly-rootfs=true",
        *(f"--environment={name}={value}" for name, value in container.environment),
        *arguments,
    )


def _reached(container: Container, image: Built) -> Iterable[str]:
    seen = set()
    for binding in container.bindings:
        if binding.name not in seen:  # of a range, the first stands for all
            seen.add(binding.name)
            yield f"--port={binding.name}:127.0.0.1:{binding.host_port}"
    uid, _, gid = image.user.partition(":")
    for volume in container.volumes:
        owner = f",uid={uid},gid={gid},mode=0700" if uid else ""
        yield f"--volume={volume.point},kind=empty,readOnly={str(volume.read_only).lower()}{owner}"
