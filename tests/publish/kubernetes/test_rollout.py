"""How far workloads are, and why their pods do not start, from what a cluster tells of them."""

from __future__ import annotations

from typing import Any

import pytest

from procession_tasks.publish.kubernetes.objects import Key
from procession_tasks.publish.kubernetes.rollout import Change, changes, is_changed, reasons, standing

A, B = "r.example/api@sha256:" + "a" * 64, "r.example/api@sha256:" + "b" * 64


def workload(kind: str = "Deployment", image: str = A, **parts: Any) -> dict[str, Any]:
    spec = {"replicas": 2, "template": {"spec": {"containers": [{"name": "api", "image": image}]}}} | parts.get(
        "spec", {}
    )
    metadata = {"name": "api", "namespace": "procession", "generation": 3}
    return {
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
        "status": {"observedGeneration": 3} | parts.get("status", {}),
    }


ROLLED = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
FAILURE = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}

STANDINGS: dict[str, tuple[dict[str, Any], tuple[bool, str, str | None]]] = {
    "rolled out": (workload(status=ROLLED), (True, "2 of 2 updated, 2 available", None)),
    "not seen yet": (
        workload(status=ROLLED | {"observedGeneration": 2}),
        (False, "waits for its controller", None),
    ),
    "new": (
        {"kind": "Deployment", "metadata": {"name": "api", "generation": 1}, "spec": {}},
        (False, "waits for its controller", None),
    ),
    "half": (workload(status=ROLLED | {"updatedReplicas": 1}), (False, "1 of 2 updated, 2 available", None)),
    "old ones are still there": (
        workload(status=ROLLED | {"replicas": 3}),
        (False, "2 of 2 updated, 2 available", None),
    ),
    "not available": (workload(status=ROLLED | {"availableReplicas": 1}), (False, "2 of 2 updated, 1 available", None)),
    "scaled to nothing": (workload(spec={"replicas": 0}), (True, "0 of 0 updated, 0 available", None)),
    "refused": (workload(status={"conditions": [FAILURE]}), (False, "0 of 2 updated, 0 available", "exceeded quota")),
    "refused once": (workload(status=ROLLED | {"conditions": [FAILURE]}), (True, "2 of 2 updated, 2 available", None)),
    "too late": (
        workload(status={"conditions": [LATE]}),
        (False, "0 of 2 updated, 0 available", "no progress within its deadline"),
    ),
    "set rolled out": (
        workload("StatefulSet", status=ROLLED | {"currentRevision": "x", "updateRevision": "x"}),
        (True, "2 of 2 updated, 2 ready", None),
    ),
    "set half": (
        workload("StatefulSet", status=ROLLED | {"updatedReplicas": 1, "currentRevision": "x", "updateRevision": "y"}),
        (False, "1 of 2 updated, 2 ready", None),
    ),
    "set that was never updated": (
        workload(
            "StatefulSet",
            status={"readyReplicas": 2, "currentReplicas": 2, "currentRevision": "x", "updateRevision": "x"},
        ),
        (True, "2 of 2 updated, 2 ready", None),
    ),
    "set not ready": (
        workload("StatefulSet", status=ROLLED | {"readyReplicas": 0}),
        (False, "2 of 2 updated, 0 ready", None),
    ),
    "set in part": (
        workload(
            "StatefulSet",
            spec={"updateStrategy": {"rollingUpdate": {"partition": 1}}},
            status=ROLLED | {"updatedReplicas": 1, "currentRevision": "x", "updateRevision": "y"},
        ),
        (True, "1 of 2 updated, 2 ready", None),
    ),
    "set by hand": (
        workload(
            "StatefulSet",
            spec={"updateStrategy": {"type": "OnDelete"}},
            status={"readyReplicas": 2, "currentRevision": "x", "updateRevision": "y"},
        ),
        (True, "0 of 2 updated, 2 ready", None),
    ),
    "daemons rolled out": (
        workload(
            "DaemonSet",
            status={"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3},
        ),
        (True, "3 of 3 updated, 3 available", None),
    ),
    "daemons half": (
        workload(
            "DaemonSet",
            status={"desiredNumberScheduled": 3, "updatedNumberScheduled": 1, "numberAvailable": 3},
        ),
        (False, "1 of 3 updated, 3 available", None),
    ),
}


@pytest.mark.parametrize(("found", "expected"), STANDINGS.values(), ids=STANDINGS)
def test_how_far_a_roll_out_is(found: dict[str, Any], expected: tuple[bool, str, str | None]) -> None:
    now = standing(found)
    assert (now.is_done, now.said, now.failed) == expected


def test_images_are_compared_by_workload() -> None:
    key = Key("Deployment", "procession", "api")
    other = {**workload(), "kind": "StatefulSet"}

    assert changes([workload(image=B)], [workload(), other]) == (Change(key, (A,), (B,)),)
    assert str(Change(key, (A,), (B,))) == "deployment/api: sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb"
    assert str(Change(key, None, (B, "plain:1"))) == "deployment/api: sha256:bbbbbbbbbbbb, plain:1 (new)"
    assert str(Change(key, (B,), (B,))) == "deployment/api: sha256:bbbbbbbbbbbb"
    assert [change.is_other_image for change in changes([workload(), other], [workload()])] == [False, True]


def test_a_change_is_known_by_what_the_cluster_counts() -> None:
    def metadata(**values: Any) -> dict[str, Any]:
        return {"metadata": values}

    assert is_changed(None, metadata(generation=1))
    assert not is_changed(metadata(generation=1, resourceVersion="1"), metadata(generation=1, resourceVersion="9"))
    assert is_changed(metadata(generation=1, resourceVersion="1"), metadata(generation=2, resourceVersion="9"))
    assert is_changed(metadata(resourceVersion="1"), metadata(resourceVersion="2"))
    assert not is_changed(metadata(resourceVersion="1"), metadata(resourceVersion="1"))


def pod(name: str = "api-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"phase": "Pending"} | status}


def waiting(reason: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}} | more


READY = {"conditions": [{"type": "Ready", "status": "True"}]}
PODS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "ready": (pod(**READY), []),
    "going": ({"metadata": {"name": "api-1", "deletionTimestamp": "now"}, "status": {}}, []),
    "no such image": (
        pod(containerStatuses=[waiting("ImagePullBackOff", "not found")]),
        ["api-1: ImagePullBackOff not found"],
    ),
    "no such secret": (
        pod(containerStatuses=[waiting("CreateContainerConfigError", 'secret "s" not found')]),
        ['api-1: CreateContainerConfigError secret "s" not found'],
    ),
    "ends again and again": (
        pod(
            containerStatuses=[
                waiting("CrashLoopBackOff", "back-off", lastState={"terminated": {"exitCode": 2}}, restartCount=4)
            ]
        ),
        ["api-1: CrashLoopBackOff back-off (it ended with status 2, after 4 restarts)"],
    ),
    "one of its containers": (
        pod(
            initContainerStatuses=[{"state": {"terminated": {"reason": "Completed"}}}],
            containerStatuses=[{"state": {"running": {}}}, waiting("ErrImagePull")],
        ),
        ["api-1: ErrImagePull"],
    ),
    "no room": (
        pod(
            conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
        ),
        ["api-1: Unschedulable 0/3 nodes"],
    ),
    "not ready": (
        pod(
            containerStatuses=[{"state": {"running": {}}}],
            conditions=[{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "not: [api]"}],
        ),
        ["api-1: ContainersNotReady not: [api]"],
    ),
    "being made": (pod(containerStatuses=[waiting("ContainerCreating")]), ["api-1: Pending"]),
    "unknown": ({"metadata": {"name": "api-1"}}, ["api-1: not started"]),
}


@pytest.mark.parametrize(("found", "expected"), PODS.values(), ids=PODS)
def test_why_a_pod_is_not_ready(found: dict[str, Any], expected: list[str]) -> None:
    assert list(reasons([found])) == expected
