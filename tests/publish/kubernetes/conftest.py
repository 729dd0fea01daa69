"""A base that can be spoilt, and a cluster that knows just enough of Kubernetes' API for the real kubectl."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from procession_tasks.definition.imagefile import image_names
from procession_tasks.definition.load import load_image
from procession_tasks.definition.project import load_project
from procession_tasks.publish.kubernetes.images import Runs, runs
from procession_tasks.publish.kubernetes.kubectl import Kubectl

REPOSITORY = Path(__file__).resolve().parents[3]

# Group and version, plural, kind, whether in a namespace, and short names of all that this cluster has.
RESOURCES = (
    ("v1", "configmaps", "ConfigMap", True),
    ("v1", "namespaces", "Namespace", False),
    ("v1", "persistentvolumeclaims", "PersistentVolumeClaim", True),
    ("v1", "pods", "Pod", True),
    ("v1", "secrets", "Secret", True),
    ("v1", "serviceaccounts", "ServiceAccount", True),
    ("v1", "services", "Service", True),
    ("apps/v1", "daemonsets", "DaemonSet", True),
    ("apps/v1", "deployments", "Deployment", True),
    ("apps/v1", "statefulsets", "StatefulSet", True),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", True),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", True),
)
_COUNTED = ("DaemonSet", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "StatefulSet")  # have a generation
_OBJECT = re.compile(r"(?:/api|/apis)/((?:[\w.]+/)?v1)(?:/namespaces/([\w.-]+))?/(\w+)(?:/([\w.-]+))?")


class RefusedError(Exception):
    """What the cluster answers in place of an object."""

    def __init__(self, code: int, reason: str, message: str, causes: list[dict[str, str]] | None = None) -> None:
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
        self.status |= {"message": message, "details": {"causes": causes or []}}
        super().__init__(message)


class Cluster:
    """Objects by path, and what happens to them: a controller rolls out at once what it is not told to hold.

    `asked` has what changed something, or would have: method and path, with ``dry`` before it.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.applied: dict[str, dict[str, Any]] = {}
        self.by_hand: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.held: dict[str, dict[str, Any]] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self.warning = ""
        self.refused: Callable[[dict[str, Any]], str | None] = lambda _one: None
        self.version = 0
        self.lock = threading.Lock()

    def put(self, path: str, value: dict[str, Any]) -> None:
        """Have an object that nobody applied."""
        self.version += 1
        metadata = {"name": path.rpartition("/")[2], "resourceVersion": str(self.version), "uid": path}
        self.objects[path] = value | {"metadata": metadata | value.get("metadata", {})}

    def edit(self, path: str, key: str, value: Any) -> None:
        """Set a value of the spec by hand."""
        self.objects[path]["spec"][key] = value
        self.objects[path]["metadata"]["generation"] += 1
        self.by_hand.setdefault(path, {})[key] = value

    def changed(self) -> list[str]:
        """The names of what was changed in earnest since the last time."""
        names = [line for line in self.asked if not line.startswith("dry ")]
        self.asked.clear()
        return names

    def generations(self) -> dict[str, Any]:
        """How often each object changed."""
        return {
            path: (one["metadata"].get("generation"), one["metadata"]["resourceVersion"])
            for path, one in self.objects.items()
        }

    def apply(
        self, path: str, kind: str, given: dict[str, Any], *, dry: bool, force: bool
    ) -> tuple[int, dict[str, Any]]:
        """Apply as a server does; lists are taken whole."""
        self._see_namespace(path)
        if message := self.refused(given):
            raise RefusedError(403, "Forbidden", message)
        old = self.objects.get(path)
        if not force:
            self._see_conflicts(path, given)
        new = merged(copy.deepcopy(old or {}), given, self.applied.get(path, {}))
        metadata = new.setdefault("metadata", {})
        if old is None:
            metadata |= {"uid": path, "creationTimestamp": "2026-01-01T00:00:00Z"}
        spec = new.get("spec")
        if kind in _COUNTED and (old is None or old.get("spec") != spec):
            metadata["generation"] = metadata.get("generation", 0) + 1
        if old is None or old != new:
            metadata["resourceVersion"] = str(self.version + 1)
        if not dry:
            self.version += 1
            self.objects[path], self.applied[path] = new, given
            self._control(path, kind)
        return (201 if old is None else 200), new

    def _see_namespace(self, path: str) -> None:
        found = re.search(r"/namespaces/([\w.-]+)/", path)
        if found and f"/api/v1/namespaces/{found[1]}" not in self.objects:
            raise RefusedError(404, "NotFound", f'namespaces "{found[1]}" not found')

    def _see_conflicts(self, path: str, given: dict[str, Any]) -> None:
        others = {key: value for key, value in self.by_hand.get(path, {}).items() if given["spec"].get(key) != value}
        for key in others:
            cause = {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "kubectl-edit" using apps/v1',
                "field": f".spec.{key}",
            }
            message = f'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.{key}'
            raise RefusedError(409, "Conflict", message, [cause])

    def _control(self, path: str, kind: str) -> None:
        one = self.objects[path]
        if kind in ("Deployment", "StatefulSet"):
            count, generation = one["spec"].get("replicas", 1), one["metadata"]["generation"]
            names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "currentReplicas")
            done = {"observedGeneration": generation} | dict.fromkeys(names, count)
            one["status"] = {"observedGeneration": generation} | self.held.get(one["metadata"]["name"], done)


def merged(live: dict[str, Any], given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Put applied values over those that are there, and drop what was applied before and is no more."""
    for key in before.keys() - given.keys():
        live.pop(key, None)
    for key, value in given.items():
        inner = live.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            earlier = before.get(key)
            live[key] = merged(inner, value, earlier if isinstance(earlier, dict) else {})
        else:
            live[key] = copy.deepcopy(value)
    return live


class Answering(BaseHTTPRequestHandler):
    """Speaks HTTP for a cluster."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: a second one waits for the first to be acknowledged
    cluster: Cluster

    def log_message(self, *_words: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_PATCH(self) -> None:
        self._answer(self._patch)

    def _answer(self, do: Callable[[], tuple[int, Any]]) -> None:
        try:
            with self.cluster.lock:
                code, value = do()
        except RefusedError as refusal:
            code, value = refusal.code, refusal.status
        content = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.cluster.warning and self.command == "PATCH":
            self.send_header("Warning", f'299 - "{self.cluster.warning}"')
        self.end_headers()
        self.wfile.write(content)

    def _get(self) -> tuple[int, Any]:
        parts = urlsplit(self.path)
        if (found := discovery(parts.path)) is not None:
            return 200, found
        group, kind, name = self._see(parts.path, "get")
        if name:
            if parts.path not in self.cluster.objects:
                raise RefusedError(404, "NotFound", f'{kind} "{name}" not found')
            return 200, self.cluster.objects[parts.path]
        wanted = dict(
            part.split("=") for part in parse_qs(parts.query).get("labelSelector", [""])[0].split(",") if part
        )
        found = [
            one
            for path, one in sorted(self.cluster.objects.items())
            if path.rpartition("/")[0] == parts.path and wanted.items() <= one["metadata"].get("labels", {}).items()
        ]
        return 200, {"apiVersion": group, "kind": f"{kind}List", "metadata": {}, "items": found}

    def _patch(self) -> tuple[int, Any]:
        parts, query = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        given = yaml.safe_load(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        assert query["fieldManager"] == ["procession"]
        dry = query.get("dryRun") == ["All"]
        _, kind, _ = self._see(parts.path, "patch")
        self.cluster.asked.append(f"{'dry ' if dry else ''}{parts.path.rpartition('/')[2]}")
        return self.cluster.apply(parts.path, kind, given, dry=dry, force=query.get("force") == ["true"])

    def _see(self, path: str, verb: str) -> tuple[str, str, str]:
        found = _OBJECT.fullmatch(path)
        if found is None:
            raise RefusedError(404, "NotFound", f"the server could not find {path}")
        group, _, plural, name = found.groups()
        if (verb, plural) in self.cluster.forbidden:
            message = f'{plural} is forbidden: User "dev" cannot {verb} resource "{plural}" in API group ""'
            raise RefusedError(403, "Forbidden", message)
        return group, next(kind for _, each, kind, _ in RESOURCES if each == plural), name or ""


def discovery(path: str) -> Any:
    """What the cluster says of the kinds that it has; None for other paths."""
    groups = {group: group_path(group) for group in sorted({group for group, *_ in RESOURCES})}
    versions = [{"groupVersion": group, "version": "v1"} for group in groups if "/" in group]
    known: dict[str, Any] = {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {"name": one["groupVersion"].partition("/")[0], "versions": [one], "preferredVersion": one}
                for one in versions
            ],
        },
        "/openapi/v3": {
            "paths": {each[1:]: {"serverRelativeURL": f"/openapi/v3{each}"} for each in groups.values()},
        },
    }
    for group, its_path in groups.items():
        own = [one for one in RESOURCES if one[0] == group]
        listed = {"kind": "APIResourceList", "groupVersion": group, "resources": [resource(*one[1:]) for one in own]}
        known[its_path] = listed
        operations = {f"{its_path}/{plural}/{{name}}": operation(group, kind) for _, plural, kind, _ in own}
        known[f"/openapi/v3{its_path}"] = {
            "openapi": "3.0.0",
            "info": {"title": "", "version": ""},
            "paths": operations,
        }
    return known.get(path)


def group_path(group: str) -> str:
    return f"/apis/{group}" if "/" in group else f"/api/{group}"


def resource(plural: str, kind: str, namespaced: object) -> dict[str, Any]:
    verbs = ["get", "list", "patch", "create", "update", "delete", "watch"]
    return {"name": plural, "singularName": kind.lower(), "kind": kind, "namespaced": namespaced, "verbs": verbs}


def operation(group: str, kind: str) -> dict[str, Any]:
    """What a kind can be told; kubectl looks whether it may be tried without effect."""
    names = ("dryRun", "fieldValidation", "fieldManager")
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    what = {"group": group.rpartition("/")[0], "version": "v1", "kind": kind}
    return {"patch": {"parameters": parameters, "x-kubernetes-group-version-kind": what, "responses": {}}}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that answers on the loopback address; its kubeconfig is at `tmp_path`/kubeconfig."""
    found = Cluster()
    handler = type("Handler", (Answering,), {"cluster": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        write_kubeconfig(tmp_path, f"http://127.0.0.1:{server.server_port}")
        yield found
        server.shutdown()
        thread.join()


def write_kubeconfig(folder: Path, server: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "dev", "user": {"token": "t"}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "dev"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What kubectl may see: no configuration of whoever runs the tests."""
    return {"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig"), "PATH": "/usr/bin:/bin"}


@pytest.fixture
def kubectl(tmp_path: Path, environment: dict[str, str]) -> Kubectl:
    """The real one."""
    if not Path(sys.executable).with_name("kubectl").exists() and not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    return Kubectl.find(tmp_path, environment)


@pytest.fixture(scope="session")
def images() -> dict[str, Runs]:
    """The images of this repository, by name."""
    project = load_project(REPOSITORY)
    found = [load_image(REPOSITORY, project, name) for name in image_names(REPOSITORY, project)]
    return {image.manifest.name: runs(image, REPOSITORY) for image in found}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of this repository's base, to be spoilt: the root of a repository that has it."""
    shutil.copytree(REPOSITORY / "deploy/kubernetes", tmp_path / "deploy/kubernetes")
    return tmp_path
