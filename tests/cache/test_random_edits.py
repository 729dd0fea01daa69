"""Two hundred builds of random edits: what caches give is what a clean build gives, bit for bit."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

MADE = ("build/bin", "build/rootfs", "build/aci", "build/oci")
BUILDS = 200

SHARED = "services/internal/shared/shared.go"
API = "services/internal/apionly/api.go"
IAM_MANIFEST = "deploy/aci/iam/manifest"
API_IMAGE = "deploy/aci/api/image.yaml"

# What an edit toggles: a file, and what it holds when the edit is there; None is no file.
EDITS: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "a shared word": (SHARED, lambda text: text.replace('return "shared"', 'return "edited"')),
    "a comment": (SHARED, lambda text: f"{text}\n// A comment.\n"),
    "a word of one": (API, lambda text: text.replace('return "apionly"', 'return "edited"')),
    "a new import": (API, lambda text: text.replace("package apionly", 'package apionly\n\nimport _ "errors"')),
    "a new file": ("services/internal/shared/more.go", lambda _: "package shared\n\nvar More = 1\n"),
    "a file that is left out": ("services/internal/shared/x_windows.go", lambda _: "package shared\n\nvar X = 1\n"),
    "a file of rootfs": ("deploy/aci/api/rootfs/etc/motd", lambda _: "another day\n"),
    "a new file of rootfs": ("deploy/aci/iam/rootfs/etc/new", lambda _: "new\n"),
    "the manifest": (
        IAM_MANIFEST,
        lambda text: text.replace('"group": "app"', '"group": "app", "workingDirectory": "/etc"'),
    ),
    "flags": (API_IMAGE, lambda text: text.replace("  binary: /bin/api", "  binary: /bin/api\n  ldflags: -s")),
    "a declared path": (API_IMAGE, lambda text: f"{text}paths: [{{path: /tmp, type: directory, mode: '1777'}}]\n"),
    "embedding": (
        "services/internal/shared/embed.go",
        lambda _: 'package shared\n\nimport "embed"\n\n//go:embed *.go\nvar Files embed.FS\n',
    ),
    "a file of the replaced module": ("services/lib/lib.go", lambda text: text.replace("one", "two")),
    "an environment": (
        API_IMAGE,
        lambda text: text.replace("  binary: /bin/api", "  binary: /bin/api\n  environment: {GOAMD64: v2}"),
    ),
    "a mode of rootfs": ("deploy/aci/iam/rootfs/etc/tool", lambda _: "#!/bin/sh\n"),
    "the version of the language": ("services/go.mod", lambda text: text.replace("go 1.27", "go 1.26")),
}


class Machine:
    """A repository in a state: which edits are there."""

    def __init__(self, workspace: Any) -> None:
        self.workspace = workspace
        workspace.write("services/lib/go.mod", "module lib.example/lib\n\ngo 1.26\n")
        workspace.write("services/lib/lib.go", 'package lib\n\nconst Word = "one"\n')
        use = 'package apionly\n\nimport "lib.example/lib"\n\nfunc init() { println(lib.Word) }\n'
        workspace.write("services/internal/apionly/use.go", use)
        replaced = "\nrequire lib.example/lib v1.0.0\n\nreplace lib.example/lib => ./lib\n"
        workspace.write("services/go.mod", workspace.read("services/go.mod") + replaced)
        self.original = {
            path: workspace.read(path) if workspace.path(path).exists() else None for path, _ in EDITS.values()
        }
        self.edits: frozenset[str] = frozenset()

    def edit(self, edits: frozenset[str]) -> None:
        """Have exactly these edits; files that stay the same are not written."""
        for path, old in self.original.items():
            text = old
            for name in sorted(edits):
                if EDITS[name][0] == path:
                    text = EDITS[name][1](text or "")
            place = self.workspace.path(path)
            now = place.read_text() if place.exists() else None
            if text is None:
                place.unlink(missing_ok=True)
            elif text != now:
                self.workspace.write(path, text)
        self.edits = edits

    def made(self) -> str:
        """Digest all that was built."""
        return hashlib.sha256(repr(sorted(self.workspace.files(*MADE).items())).encode()).hexdigest()

    def forget(self, what: str) -> None:
        shutil.rmtree(self.workspace.path(f"build/{what}"), ignore_errors=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_caches_give_is_what_a_clean_build_gives(seed: int, clone: Callable[..., Any], nginx: Any) -> None:
    url = nginx().url
    chance = random.Random(seed)
    clean = Machine(clone(PROCESSION_CACHE="off"))
    machines = [Machine(clone(PROCESSION_CACHE_URL=url, PROCESSION_CACHE_WRITE="on")) for _ in range(3)]
    wanted: dict[frozenset[str], str] = {}
    taken = 0
    for number in range(BUILDS // 2):
        machine = chance.choice(machines)
        if wanted and chance.random() < 0.4:
            edits = chance.choice(sorted(wanted, key=sorted))  # somebody was there before
        else:
            edits = machine.edits ^ frozenset(chance.sample(sorted(EDITS), chance.choice([1, 1, 2])))
        machine.edit(edits)
        if chance.random() < 0.15:
            machine.forget(chance.choice(["state", "bin", "aci", "oci", "rootfs"]))
        taken += machine.workspace.build().out.count("  from ")
        if edits not in wanted:
            clean.edit(edits)
            for part in ("bin", "rootfs", "aci", "oci", "state"):
                clean.forget(part)
            clean.workspace.build()
            wanted[edits] = clean.made()
        assert machine.made() == wanted[edits], f"build {number} of seed {seed} with {sorted(edits)}"
    assert taken > BUILDS  # or nothing was proved
