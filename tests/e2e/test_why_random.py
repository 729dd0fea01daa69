"""A thousand random edits: what `doit why` says is what a build does, and `doit affected` misses no image."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.graph.record import last

pytestmark = pytest.mark.slow

EDITS_EACH, SEEDS = 260, (1, 2, 3, 4)

SHARED, API = "services/internal/shared/shared.go", "services/internal/apionly/api.go"
IAM = "services/internal/iamonly"
API_IMAGE, IAM_IMAGE = "deploy/aci/api/image.yaml", "deploy/aci/iam/image.yaml"
VENDOR = "services/vendor/sample.example/lib"
EMBEDDING = 'package iamonly\n\nimport "embed"\n\n//go:embed data\nvar data embed.FS\n\nfunc init() { println(data.Open("data/a.txt")) }\n'
USING = 'package iamonly\n\nimport "sample.example/lib"\n\nfunc init() { println(lib.Word()) }\n'

Edit = Callable[[str | None], str | None]


def replace(old: str, new: str) -> Edit:
    return lambda text: text and text.replace(old, new)


def append(more: str) -> Edit:
    return lambda text: text and text + more


def be(text: str | None) -> Edit:
    return lambda _: text


# What an edit toggles, by file.
EDITS: dict[str, dict[str, Edit]] = {
    "a shared word": {SHARED: replace('return "shared"', 'return "edited"')},
    "a shared comment": {SHARED: append("\n// A comment.\n")},
    "a word of one": {API: replace('return "apionly"', 'return "edited"')},
    "a comment of one": {API: append("\n// A comment.\n")},
    "a new import": {API: replace("package apionly", 'package apionly\n\nimport _ "errors"')},
    "a renamed file": {API: be(None), "services/internal/apionly/word.go": be('package apionly\n\n// Word is.\nfunc Word() string { return "apionly" }\n')},
    "a new file": {"services/internal/shared/more.go": be('package shared\n\nfunc init() { println("more") }\n')},
    "a file left out": {"services/internal/shared/x_windows.go": be("package shared\n\nvar X = 1\n")},
    "a test": {"services/internal/shared/x_test.go": be("package shared\n")},
    "a readme": {"services/internal/shared/README.md": be("text\n")},
    "an embedded file": {f"{IAM}/embedding.go": be(EMBEDDING), f"{IAM}/data/a.txt": be("a\n")},
    "more embedded": {f"{IAM}/data/b.txt": be("b\n")},
    "a vendored module": {
        f"{IAM}/uses.go": be(USING),
        f"{VENDOR}/lib.go": be('package lib\n\n// Word is.\nfunc Word() string { return "lib" }\n'),
        "services/vendor/modules.txt": be("# sample.example/lib v1.0.0\n## explicit; go 1.27\nsample.example/lib\n"),
        "services/go.mod": append("\nrequire sample.example/lib v1.0.0\n"),
    },
    "a bump": {
        "services/go.mod": replace("lib v1.0.0", "lib v1.1.0"),
        "services/vendor/modules.txt": replace("lib v1.0.0", "lib v1.1.0"),
    },
    "the language": {"services/go.mod": replace("go 1.27", "go 1.26")},
    "a comment in go.mod": {"services/go.mod": append("// the end\n")},
    "broken": {"services/internal/apionly/broken.go": be("package apionly\n\nvar _ = nowhere\n")},
    "a file of rootfs": {"deploy/aci/api/rootfs/etc/motd": be("another day\n")},
    "a new file of rootfs": {"deploy/aci/iam/rootfs/etc/new": be("new\n")},
    "no file of rootfs": {"deploy/aci/iam/rootfs/etc/motd": be(None)},
    "the manifest": {"deploy/aci/iam/manifest": replace('"group": "app"', '"group": "app", "workingDirectory": "/etc"')},
    "spaces in the manifest": {"deploy/aci/iam/manifest": append("\n")},
    "flags": {API_IMAGE: replace("  binary: /bin/api", "  binary: /bin/api\n  ldflags: -s")},
    "a tag": {IAM_IMAGE: replace("  binary: /bin/iam", "  binary: /bin/iam\n  tags: [sometimes]")},
    "a tagged file": {f"{IAM}/tagged.go": be('//go:build sometimes\n\npackage iamonly\n\nfunc init() { println("tagged") }\n')},
    "a path": {API_IMAGE: append("paths: [{path: /tmp, type: directory, mode: '1777'}]\n")},
    "a comment in image.yaml": {IAM_IMAGE: append("# a comment\n")},
    "a new image": {
        "deploy/aci/web/image.yaml": be("go:\n  package: ./cmd/api\n  binary: /bin/web\naccounts:\n  users: [{name: app, uid: 1, gid: 1}]\n"),
        "deploy/aci/web/manifest": be(json.dumps({"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "sample.example/web",
            "labels": [{"name": "version", "value": "1"}], "app": {"exec": ["/bin/web"], "user": "app", "group": "app"}})),
    },
    "no image": {IAM_IMAGE: be(None), "deploy/aci/iam/manifest": be(None), **{f"deploy/aci/iam/rootfs/etc/{name}": be(None) for name in ("motd", "new")}},
    "settings": {"pyproject.toml": append('ldflags = "-s -w"\n')},
}  # fmt: skip
ALWAYS_LAST = ("a bump", "no image")  # of what others toggle

# What somebody does to what was built.
MEDDLING: dict[str, Callable[[Path, random.Random], object]] = {
    "an edited program": lambda build, chance: _append(build / f"bin/linux-amd64/{chance.choice(['api', 'iam'])}"),
    "a lost archive": lambda build, _: [path.unlink() for path in build.glob("aci/api-*.aci")],
    "an edited list": lambda build, _: _append(build / "state/inputs/iam@linux-amd64.inputs"),
    "an edited tree": lambda build, _: _append(build / "rootfs/api/linux-amd64/etc/motd"),
    "a lost layout": lambda build, _: shutil.rmtree(build / "oci/iam", ignore_errors=True),
    "no details": lambda build, _: (build / "state/declared").unlink(missing_ok=True),
    "no plans": lambda build, _: (build / "state/plans").unlink(missing_ok=True),
    "no listings": lambda build, _: shutil.rmtree(build / "state/closures", ignore_errors=True),
    "a touched source": lambda build, _: (build.parent / SHARED).touch(),
}


def _append(path: Path) -> None:
    if path.exists():
        with path.open("ab") as stream:
            stream.write(b"x")


class Walk:
    """A repository on its way through random edits."""

    def __init__(self, workspace: Any, seed: int) -> None:
        self.workspace = workspace
        self.chance = random.Random(seed)
        self.there: set[str] = set()
        self.edits = 0
        self.paths = sorted({path for edit in EDITS.values() for path in edit})
        self.base = {path: self.text(path) for path in self.paths}
        self.commits: list[tuple[str, dict[str, str], frozenset[str]]] = []

    def text(self, path: str) -> str | None:
        place = self.workspace.path(path)
        return place.read_text() if place.exists() else None

    def edit(self) -> None:
        """Toggle some edits, and now and then spoil what was built."""
        for _ in range(self.chance.choice([1, 1, 2, 3, 5])):
            self.edits += 1
            if self.chance.random() < 0.2:
                name = self.chance.choice(sorted(MEDDLING))
                MEDDLING[name](self.workspace.path("build"), self.chance)
            else:
                self.there ^= {self.chance.choice(sorted(EDITS))}
        if "broken" in self.there and self.chance.random() < 0.5:
            self.there.remove("broken")
        for path in self.paths:
            text = self.edited(path)
            if text is None:
                self.workspace.path(path).unlink(missing_ok=True)
            elif text != self.text(path):
                self.workspace.write(path, text)

    def edited(self, path: str) -> str | None:
        """What a file holds with the edits that are there."""
        text = self.base[path]
        for name in sorted(self.there, key=lambda name: (name in ALWAYS_LAST, name)):
            if path in EDITS[name]:
                text = EDITS[name][path](text)
        return text

    def commit(self) -> str:
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example", "-c", "gc.auto=0"]
        subprocess.run([*git, "add", "-A"], cwd=self.workspace.root, check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a change"], cwd=self.workspace.root, check=True)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=self.workspace.root, capture_output=True, text=True)
        return head.stdout.strip()

    def some_commit(self) -> list[tuple[str, dict[str, str], frozenset[str]]]:
        return [self.chance.choice(self.commits)] if self.commits else []

    def images(self) -> list[str]:
        return sorted(path.parent.name for path in self.workspace.root.glob("deploy/aci/*/image.yaml"))

    def digests(self) -> dict[str, str]:
        """Digest what each image was packed into."""
        return {image: self._digest(image) for image in self.images()}

    def _digest(self, image: str) -> str:
        (aci,) = self.workspace.root.glob(f"build/aci/{image}-1*-linux-amd64.aci.id")
        index = self.workspace.read(f"build/oci/{image}/linux-amd64/index.json")
        return hashlib.sha256(f"{aci.read_text()} {index}".encode()).hexdigest()


def disagreements(verdicts: dict[str, Any], ran: dict[str, str], *, failed: bool) -> list[str]:
    """What a build did otherwise than was said before; one that fails does not come to everything."""
    found = []
    for name, verdict in verdicts.items():
        did, said = ran.get(name, "fresh"), verdict["status"]
        expected = {
            "stale": {"built", "failed"},
            "fresh": {"fresh"},
            "waiting": {"built", "failed", "fresh"},
        }[said] | ({"skipped"} if failed else set())
        behind = {ran.get(one, "fresh") for one in verdict["waits_for"]}
        is_odd = said == "waiting" and did == "built" and "built" not in behind and not verdict["causes"]
        if did not in expected or is_odd:
            found.append(f"{name}: {said} and {did}")
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_why_says_what_a_build_does_and_affected_misses_no_image(workspace: Any, seed: int) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    workspace.write(".gitignore", "build/*\n__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=workspace.root, check=True)
    workspace.write("pyproject.toml", workspace.read("pyproject.toml") + "# the end\n")
    workspace.build()
    walk = Walk(workspace, seed)
    builds = compared = different = needless = 0
    while walk.edits < EDITS_EACH:
        walk.edit()
        words = walk.chance.choice(
            [["build"]] * 6 + [["build:api"], ["go-compile"], ["pack-oci:api", "inject-binary:api"]]
        )
        told = workspace.build("why", "--json", *words).out
        verdicts = {task["name"]: task for task in json.loads(told)["tasks"]}
        workspace.path("build/state/last-run").unlink(missing_ok=True)
        ended = workspace.doit(*words)
        out = ended.out + ended.err
        assert ended.status in ((0, 1) if "broken" in walk.there else (0,)), f"{sorted(walk.there)}\n{out}"
        builds += 1
        run = last(workspace.root)
        ran = {task.name: task.how for task in run.tasks} if run else {}
        assert disagreements(verdicts, ran, failed=ended.status != 0) == [], (
            f"{words} after {sorted(walk.there)}\n{told}\n{out}"
        )
        if ended.status != 0 or words != ["build"]:
            continue
        head, digests = walk.commit(), walk.digests()
        for since, before, then in (*walk.commits[-1:], *walk.some_commit()):
            told = workspace.build("affected", "--json", "--since", since).out
            found = {image["name"] for image in json.loads(told)["images"]}
            differ = {image for image in before | digests if before.get(image) != digests.get(image)}
            assert differ <= found, f"missed {sorted(differ - found)} between {sorted(then)} and {sorted(walk.there)}"
            compared += len(before | digests)
            different += len(differ)
            needless += len(found - differ)
        walk.commits.append((head, digests, frozenset(walk.there)))
    print(
        f"seed {seed}: {walk.edits} edits, {builds} builds agree; of {compared} images compared {different} differed, "
        f"none was missed, {needless} were named needlessly"
    )
    assert compared > 50
