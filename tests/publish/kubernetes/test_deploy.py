"""The real kubectl brings a cluster to what was rendered; the cluster is a small one, of this test's own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.publish.kubernetes import deploy as deploying
from procession_tasks.publish.kubernetes.deploy import deploy, preview
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.publish.kubernetes.objects import objects
from procession_tasks.publish.kubernetes.render import Pin, render
from procession_tasks.publish.kubernetes.rollout import Standing

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64

pytestmark = pytest.mark.slow

NAMES = ("api", "etcd", "iam", "memcached", "mysql", "prometheus")
WORKLOADS = [
    "deployment/procession-api",
    "deployment/procession-iam",
    "deployment/procession-memcached",
    "deployment/procession-prometheus",
    "statefulset/procession-etcd",
    "statefulset/procession-mysql",
]
SPACE = "/api/v1/namespaces/procession"
API = "/apis/apps/v1/namespaces/procession/deployments/procession-api"


class Bench:
    """A base, a cluster, and who deploys to it."""

    def __init__(self, root: Path, kubectl: Kubectl, cluster: Any) -> None:
        self.root, self.kubectl, self.cluster = root, kubectl, cluster

    def rendered(self, **digests: str) -> str:
        pins = {
            f"procession.example/procession-{name}": Pin(f"r.example/{name}", digests.get(name, OLD)) for name in NAMES
        }
        return render(self.kubectl, self.root / "deploy/kubernetes", self.root / "build/kubernetes", pins)

    def deploy(self, timeout_s: float = 30, *, force: bool = False, **digests: str) -> list[str]:
        """Deploy and return the lines that were told."""
        told: list[str] = []
        deploy(self.kubectl, self.rendered(**digests), timeout_s, told.append, force=force)
        return told

    def preview(self, *, force: bool = False, **digests: str) -> str:
        return preview(self.kubectl, self.rendered(**digests), force=force)

    def refusal(self, do: Callable[..., object] | None = None, **how: Any) -> str:
        """What is said when it cannot be done."""
        with pytest.raises(BuildError) as refused:
            (do or self.deploy)(**how)
        return str(refused.value)


@pytest.fixture
def bench(base: Path, kubectl: Kubectl, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(deploying, "_AGAIN_S", 0.1)
    cluster.put(SPACE, {"kind": "Namespace", "apiVersion": "v1"})
    cluster.put(f"{SPACE}/secrets/procession-mysql", {"kind": "Secret", "apiVersion": "v1"})
    return Bench(base, kubectl, cluster)


def test_a_first_deployment_makes_everything_and_tells_it(bench: Bench) -> None:
    told = bench.deploy()
    made = [str(one.key) for one in objects(bench.rendered())]

    assert {line.partition(":")[0] for line in told} == set(made)
    assert told[0] == "namespace/procession: changed"  # it had no labels
    assert [line for line in told if line.partition(":")[0] in WORKLOADS] == [
        f"{name}: {OLD[:19]} (new), rolled out" for name in WORKLOADS
    ]
    assert bench.cluster.objects[SPACE]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.slow
def test_a_second_one_changes_nothing(bench: Bench) -> None:
    bench.deploy()
    before = bench.cluster.generations()
    assert bench.deploy() == [f"{name}: unchanged" for name in WORKLOADS]
    assert bench.cluster.generations() == before


@pytest.mark.slow
def test_only_the_workload_whose_digest_changed_is_changed(bench: Bench) -> None:
    bench.deploy()
    before = bench.cluster.generations()
    told = bench.deploy(api=NEW)
    changed = {path for path, now in bench.cluster.generations().items() if before[path] != now}

    assert changed == {API}
    assert told == [
        f"deployment/procession-api: {OLD[:19]} -> {NEW[:19]}, rolled out",
        *(f"{name}: unchanged" for name in WORKLOADS[1:]),
    ]


@pytest.mark.slow
def test_a_preview_tells_what_would_change_and_changes_nothing(bench: Bench) -> None:
    bench.deploy()
    before = bench.cluster.generations()
    bench.cluster.changed()
    text = bench.preview(api=NEW)
    lines = text.splitlines()

    assert lines[:2] == [
        "--- cluster/apps.v1.Deployment.procession.procession-api",
        "+++ rendered/apps.v1.Deployment.procession.procession-api",
    ]
    assert [line.strip("+- ") for line in lines if line.startswith(("-  ", "+  ")) and "image:" in line] == [
        f"image: r.example/api@{OLD}",
        f"image: r.example/api@{NEW}",
    ]
    assert lines[-1] == f"would roll out deployment/procession-api: {OLD[:19]} -> {NEW[:19]}"
    assert bench.preview() == ""
    assert (bench.cluster.changed(), bench.cluster.generations()) == ([], before)


def test_a_preview_of_a_first_deployment_names_everything(bench: Bench) -> None:
    bench.cluster.objects.clear()
    lines = bench.preview().splitlines()

    assert lines[:-6] == [f"would make {one.key}" for one in objects(bench.rendered())]
    assert lines[-6] == f"would roll out deployment/procession-api: {OLD[:19]} (new)"
    assert bench.cluster.objects == {}


def test_a_namespace_that_is_not_there_is_made_first(bench: Bench) -> None:
    bench.cluster.objects.clear()
    bench.cluster.forbidden.add(("get", "secrets"))  # so that nobody sees that there is none
    assert bench.deploy()[0] == "namespace/procession: made"


def test_a_secret_that_is_not_there_is_told_before_anything_changes(bench: Bench) -> None:
    bench.cluster.objects.clear()
    assert bench.refusal() == (
        "secret/procession-mysql must be in the namespace procession: pods need it, got none\n"
        "  hint: kubectl create namespace procession && kubectl --namespace=procession create secret generic "
        "procession-mysql --from-literal=root-password=… --from-literal=password=…"
    )
    assert (bench.cluster.objects, bench.cluster.asked) == ({}, [])


@pytest.mark.slow
def test_what_the_cluster_refuses_changes_nothing(bench: Bench) -> None:
    bench.deploy()
    before = bench.cluster.generations()
    refusal = 'admission webhook "policy.example" denied the request: no'
    bench.cluster.refused = lambda one: refusal if one["metadata"]["name"] == "procession-iam" else None

    assert bench.refusal(api=NEW, iam=NEW).startswith(f"kubectl apply: Error from server (Forbidden): {refusal}")
    assert bench.cluster.generations() == before
    bench.cluster.refused = lambda _one: None
    assert f"deployment/procession-iam: {OLD[:19]} -> {NEW[:19]}, rolled out" in bench.deploy(api=NEW, iam=NEW)


@pytest.mark.slow
def test_what_somebody_set_by_hand_is_not_overwritten_unless_forced(bench: Bench) -> None:
    bench.deploy()
    bench.cluster.edit(API, "replicas", 7)
    before = bench.cluster.generations()
    message = bench.refusal(api=NEW, etcd=NEW)

    assert message.startswith('kubectl apply: Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1')
    assert message.endswith("  hint: take those values into deploy/kubernetes, or have them overwritten with --force")
    assert bench.cluster.generations() == before
    assert "spec.replicas" in bench.refusal(bench.preview, api=NEW)
    assert "-  replicas: 7\n+  replicas: 2\n" in bench.preview(force=True)
    bench.deploy(force=True, api=NEW)
    assert bench.cluster.objects[API]["spec"]["replicas"] == 2


@pytest.mark.slow
def test_a_roll_out_that_does_not_end_in_time_tells_the_reason_and_a_repeat_goes_on(bench: Bench) -> None:
    bench.deploy()
    bench.cluster.held["procession-api"] = {"replicas": 3, "updatedReplicas": 1, "availableReplicas": 2}
    labels = {"app.kubernetes.io/name": "procession-api"}
    waiting = {"reason": "ImagePullBackOff", "message": "no such manifest"}
    for name, status in (
        ("new", {"containerStatuses": [{"state": {"waiting": waiting}}]}),
        ("old", {"conditions": [{"type": "Ready", "status": "True"}]}),
    ):
        value = {"kind": "Pod", "apiVersion": "v1", "metadata": {"labels": labels}, "status": status}
        bench.cluster.put(f"{SPACE}/pods/procession-api-{name}", value)
    assert bench.refusal(timeout_s=0.3, api=NEW) == (
        "deployment/procession-api: must be rolled out, got: 1 of 2 updated, 2 available after 0.3 s\n"
        "  procession-api-new: ImagePullBackOff no such manifest\n"
        "  hint: kubectl --namespace=procession describe deployment/procession-api; "
        "the same command again goes on waiting"
    )
    assert bench.refusal(timeout_s=0.3, api=NEW).startswith("deployment/procession-api: must be rolled out")

    del bench.cluster.held["procession-api"]
    bench.cluster._control(API, "Deployment")
    assert bench.deploy(api=NEW) == [f"{name}: unchanged" for name in WORKLOADS]


def test_a_roll_out_that_cannot_go_on_is_not_waited_for(bench: Bench) -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x" is forbidden: exceeded quota'}
    bench.cluster.held["procession-iam"] = {"conditions": [failure]}
    assert bench.refusal(timeout_s=10_000).splitlines()[0] == (
        'deployment/procession-iam: must be rolled out, got: pods "x" is forbidden: exceeded quota'
    )


def test_progress_is_told_once_for_each_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Standing(is_done=False, said=f"{updated} of 2 updated") for updated in (0, 0, 1)]
    real = deploying.standing

    def stepping(one: dict[str, Any]) -> Standing:
        return steps.pop(0) if steps and one["metadata"]["name"] == "procession-api" else real(one)

    monkeypatch.setattr(deploying, "standing", stepping)
    told = [line for line in bench.deploy() if line.startswith("deployment/procession-api")]
    assert told == [
        "deployment/procession-api: 0 of 2 updated",
        "deployment/procession-api: 1 of 2 updated",
        f"deployment/procession-api: {OLD[:19]} (new), rolled out",
    ]


def test_who_asks_to_stop_waits_no_longer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_asked", threading.Event())
    bench.cluster.held["procession-api"] = {"replicas": 0}
    with pytest.raises(interruption.InterruptedWorkError):
        deploy(bench.kubectl, bench.rendered(), 10_000, lambda line: "0 of 2" in line and interruption.ask())


@pytest.mark.slow
def test_warnings_of_the_cluster_are_told_once(bench: Bench) -> None:
    bench.cluster.warning = "would violate PodSecurity"
    told = bench.deploy()
    assert [line for line in told if "Warning" in line] == ["Warning: would violate PodSecurity"]


@pytest.mark.slow
def test_what_is_left_over_is_told_and_stays(bench: Bench) -> None:
    bench.deploy()
    scrapes = bench.root / "deploy/kubernetes/config/prometheus.yml"
    scrapes.write_text(scrapes.read_text().replace("15s", "30s"))
    (old,) = [path for path in bench.cluster.objects if "/configmaps/procession-prometheus-" in path]
    told = bench.deploy()

    assert told[-1] == f"left alone, as it was not rendered: configmap/{old.rpartition('/')[2]}"
    assert "deployment/procession-prometheus: sha256:aaaaaaaaaaaa, rolled out" in told
    assert old in bench.cluster.objects


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unanswered(bench: Bench) -> None:
    config = bench.root / "kubeconfig"
    server = config.read_text().partition("server: ")[2].split()[0]
    config.write_text(config.read_text().replace(server, f"http://127.0.0.1:{closed_port()}"))


def unconfigured(bench: Bench) -> None:
    text = (bench.root / "kubeconfig").read_text()
    (bench.root / "kubeconfig").write_text(text.replace("current-context: here", "current-context: ''"))


def elsewhere(bench: Bench) -> None:
    bench.kubectl = Kubectl(bench.kubectl.program, bench.root, bench.kubectl.environment, context="staging")


def forbidden(bench: Bench) -> None:
    bench.cluster.forbidden.add(("get", "deployments"))


def broken(bench: Bench) -> None:
    (bench.root / "kubeconfig").write_text("{")


UNREACHABLE: dict[str, tuple[Callable[[Bench], None], str, str]] = {
    "nobody answers": (unanswered, "kubectl get: The connection to the server 127.0.0.1:", "see that the cluster runs"),
    "another context": (
        elsewhere,
        'kubectl get: context "staging" does not exist',
        "`kubectl config get-contexts` lists",
    ),
    "may not": (forbidden, "kubectl get: Error from server (Forbidden): ", "`kubectl auth whoami` says who asks"),
    "no configuration": (unconfigured, "kubectl get: ", "`kubectl config get-contexts` lists"),
    "broken configuration": (broken, "kubectl get: error loading config file", ""),
}


@pytest.mark.parametrize(("spoil", "said", "hint"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_cluster_that_cannot_be_asked_is_told_in_words(
    bench: Bench, spoil: Callable[[Bench], None], said: str, hint: str
) -> None:
    if spoil is unconfigured and is_listening(8080):
        pytest.skip("somebody listens where kubectl looks without a configuration")
    spoil(bench)
    for attempt in (bench.deploy, bench.preview):
        message = bench.refusal(attempt)
        assert message.startswith(said)
        assert hint in message.partition("\n  hint: ")[2]
        assert "E1" not in message.split("\n")[0][:4]
        assert "memcache.go" not in message
    assert bench.cluster.asked == []


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_difference_needs_a_program_that_tells_it(bench: Bench, tmp_path: Path) -> None:
    bench.deploy()
    (tmp_path / "empty").mkdir()
    environment = {**bench.kubectl.environment, "PATH": os.fspath(tmp_path / "empty")}
    without = Kubectl(bench.kubectl.program, bench.root, environment)
    with pytest.raises(BuildError, match=r"executable file not found[\s\S]*hint: install diff"):
        preview(without, bench.rendered(api=NEW))
