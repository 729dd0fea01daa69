"""The same images built in other ways: a Bash script, GNU make, ninja, and doit with its own checker.

Each keeps its outputs in a folder of its own beside `build/`.  All do the same work for a
service: `go build`, copy the program into the root file system unless it is the same, and
`tar | gzip -6` the archive.  make, ninja and doit know a service's own files and the shared tree.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.generate import LDFLAGS, Workspace

_BUILD = f"cd services && {{go}} build -trimpath -buildvcs=false -ldflags '{LDFLAGS}' -o"
_TAR = "tar --sort=name --owner=0 --group=0 --mtime=@0 --format=ustar -cf -"

_BASH = """\
#!/bin/bash
# What the build was before: everything is compiled, compared and packed, one service after the other.
set -euo pipefail
pack=$1
shift
mkdir -p bash/bin bash/aci
for name in "$@"; do
    (cd services && {go} build -trimpath -buildvcs=false -ldflags '-s -w' -o ../bash/bin/ ./cmd/"$name")
    image=bash/images/$name changed=no
    mkdir -p "$image/rootfs/bin"
    if ! cmp -s "bash/bin/$name" "$image/rootfs/bin/$name"; then
        cp "bash/bin/$name" "$image/rootfs/bin/$name"
        changed=yes
    fi
    cp -r deploy/aci/"$name"/manifest "$image/"
    cp -r deploy/aci/"$name"/rootfs "$image/"
    if [ "$pack" = always ] || [ $changed = yes ]; then
        tar -C "$image" -cf - manifest rootfs | gzip -6n >"bash/aci/$name.aci"
    fi
done
"""

_DODO = """\
import json

DOIT_CONFIG = {{"default_tasks": ["archive"], "dep_file": "plain/db"}}
GRAPH = json.load(open("plain/graph.json"))


def task_program():
    for name, own in GRAPH["own"].items():
        yield {{
            "name": name,
            "file_dep": own + GRAPH["shared"],
            "targets": [f"plain/bin/{{name}}"],
            "actions": [f"{build} ../plain/bin/{{name}} ./cmd/{{name}}"],
        }}


def task_archive():
    for name in GRAPH["own"]:
        tree, program = f"plain/images/{{name}}", f"plain/bin/{{name}}"
        definition = f"deploy/aci/{{name}}"
        yield {{
            "name": name,
            "file_dep": [program, f"{{definition}}/manifest", f"{{definition}}/rootfs/etc/nsswitch.conf"],
            "targets": [f"plain/aci/{{name}}.aci"],
            "actions": [
                f"mkdir -p {{tree}}/rootfs/bin && cp {{program}} {{tree}}/rootfs/bin/ && "
                f"cp -r {{definition}}/manifest {{definition}}/rootfs {{tree}}/ && "
                f"{tar} -C {{tree}} manifest rootfs | gzip -6n > plain/aci/{{name}}.aci"
            ],
        }}
"""


def write_all(workspace: Workspace, go: Path) -> None:
    """Write the Bash script, Makefile, build.ninja and the dodo file of plain doit into a workspace."""
    root = workspace.root
    for tool in ("bash", "make", "ninja", "plain"):
        for folder in ("bin", "aci"):
            (root / tool / folder).mkdir(parents=True)
    (root / "bash/build").write_text(_BASH.format(go=go))
    (root / "bash/build").chmod(0o755)
    (root / "make/Makefile").write_text(_makefile(workspace, go))
    (root / "ninja/build.ninja").write_text(_ninja(workspace, go))
    (root / "plain/plain_tasks.py").write_text(_DODO.format(build=_BUILD.format(go=go), tar=_TAR))
    own = {name: workspace.own_files(name) for name in workspace.services}
    (root / "plain/graph.json").write_text(json.dumps({"own": own, "shared": workspace.shared_files()}))


def _makefile(workspace: Workspace, go: Path) -> str:
    """Render a Makefile; the shared tree is one stamp, so that make looks at it once and not for each service."""
    shared = " \\\n  ".join(workspace.shared_files())
    archives = " ".join(f"make/aci/{name}.aci" for name in workspace.services)
    parts = [
        f".PHONY: all\nall: {archives}\n",
        f"SHARED := {shared}\n\nmake/shared: $(SHARED)\n\t@touch $@\n",
        *(_make_rules(workspace, name, go) for name in workspace.services),
    ]
    return "\n".join(parts)


def _make_rules(workspace: Workspace, name: str, go: Path) -> str:
    own = " ".join(workspace.own_files(name))
    image, definition = f"make/images/{name}", f"deploy/aci/{name}"
    program = f"{image}/rootfs/bin/{name}"
    return f"""\
make/bin/{name}: make/shared {own}
\t@{_BUILD.format(go=go)} ../make/bin/{name} ./cmd/{name}
{program}: make/bin/{name}
\t@mkdir -p {image}/rootfs/bin; cmp -s $< $@ || cp $< $@
make/aci/{name}.aci: {program} {definition}/manifest {definition}/rootfs/etc/nsswitch.conf
\t@cp -r {definition}/manifest {definition}/rootfs {image}/
\t@{_TAR} -C {image} manifest rootfs | gzip -6n > $@
"""


def _ninja(workspace: Workspace, go: Path) -> str:
    """Render a build.ninja; the shared tree is one phony target, the cheapest form ninja has."""
    shared = " $\n  ".join(workspace.shared_files())
    head = f"""\
builddir = ninja
rule go
  command = {_BUILD.format(go=go)} ../$out ./cmd/$service
rule inject
  command = mkdir -p $$(dirname $out); cmp -s $in $out || cp $in $out
  restat = 1
rule pack
  command = cp -r $definition/manifest $definition/rootfs $image/ && {_TAR} -C $image manifest rootfs | gzip -6n > $out
build shared: phony {shared}
"""
    archives = " ".join(f"ninja/aci/{name}.aci" for name in workspace.services)
    rules = "".join(_ninja_edges(workspace, name) for name in workspace.services)
    return f"{head}{rules}build all: phony {archives}\ndefault all\n"


def _ninja_edges(workspace: Workspace, name: str) -> str:
    own = " ".join(workspace.own_files(name))
    image, definition = f"ninja/images/{name}", f"deploy/aci/{name}"
    program = f"{image}/rootfs/bin/{name}"
    return f"""\
build ninja/bin/{name}: go {own} | shared
  service = {name}
build {program}: inject ninja/bin/{name}
build ninja/aci/{name}.aci: pack {program} {definition}/manifest {definition}/rootfs/etc/nsswitch.conf
  image = {image}
  definition = {definition}
"""
