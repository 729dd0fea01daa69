"""The step that joins what was packed for several platforms, declared by plans alone: they may be kept ones.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from procession_tasks.graph.planned import Plan
from procession_tasks.step import Step


def index(plans: Sequence[Plan]) -> Step:
    """Declare the step that makes one image index of an image's platforms."""
    folder = f"build/oci/{plans[0].image}"
    layouts = {str(one.platform): one.pack_oci.option("output") for one in plans}
    command = (
        "index-oci",
        f"--format={plans[0].pack_oci.option('format')}",
        f"--manifest={plans[0].pack.option('manifest')}",
        *(f"--layout={platform}={layout}" for platform, layout in sorted(layouts.items())),
        f"--output={folder}",
    )
    inputs = (plans[0].pack.option("manifest"), *(f"{layout}/index.json" for layout in sorted(layouts.values())))
    outputs = tuple(f"{folder}/{name}" for name in ("index.json", "oci-layout", "blobs"))
    return Step("index-oci", plans[0].image, "all", command, inputs, outputs)
