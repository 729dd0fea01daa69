"""Whether workloads run what they were told to, and why not.  Pure.

Source: Kubernetes documentation, "Deployments" (status, complete and failed) and "StatefulSets" (rolling updates).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from procession_tasks.publish.kubernetes.objects import Key, images, key

_SHORT = len("sha256:") + 12


@dataclass(frozen=True, slots=True)
class Change:
    """What applying does to a workload; `now` is None for one that is not there yet."""

    key: Key
    now: tuple[str, ...] | None
    then: tuple[str, ...]

    @property
    def is_other_image(self) -> bool:
        """Whether it will run another image."""
        return self.now != self.then

    def __str__(self) -> str:
        then = _shorts(self.then)
        if self.now is None:
            return f"{self.key}: {then} (new)"
        return f"{self.key}: {_shorts(self.now)} -> {then}" if self.is_other_image else f"{self.key}: {then}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a roll-out is; `failed` is why it will not get further by itself."""

    is_done: bool
    said: str
    failed: str | None = None


def changes(wanted: Iterable[Mapping[str, Any]], live: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    """Compare the images of workloads that are wanted with those that run, in the order of the wanted."""
    running = {key(one): _images(one) for one in live}
    return tuple(Change(key(one), running.get(key(one)), _images(one)) for one in wanted)


def is_changed(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bool:
    """Tell whether applying changed what an object asks for; None is an object that is not there.

    A cluster counts the changes of that (`generation`) for most kinds, and for the others all changes.
    """
    if before is None or after is None:
        return True
    name = "generation" if "generation" in after["metadata"] else "resourceVersion"
    return bool(before["metadata"].get(name) != after["metadata"].get(name))


def standing(workload: Mapping[str, Any]) -> Standing:
    """Say how far the roll-out of a Deployment, StatefulSet or DaemonSet is."""
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return Standing(is_done=False, said="waits for its controller")
    return _STANDINGS[workload["kind"]](workload["spec"], status)


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Standing:
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    said = f"{updated} of {wanted} updated, {status.get('availableReplicas', 0)} available"
    failed = None
    for condition in status.get("conditions", []):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            failed = condition.get("message", "no pod can be made")
        elif condition.get("reason") == "ProgressDeadlineExceeded":
            failed = failed or "no progress within its deadline"
    done = updated == wanted == status.get("replicas", 0) and status.get("availableReplicas", 0) >= wanted
    return Standing(done, said, None if done else failed)


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Standing:
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    strategy = spec.get("updateStrategy", {})
    kept = strategy.get("rollingUpdate", {}).get("partition", 0)  # as many pods stay with what they run
    is_by_hand = strategy.get("type") == "OnDelete"
    updated = status.get("updatedReplicas", 0)
    if not kept and status.get("updateRevision") == status.get("currentRevision"):
        updated = max(updated, status.get("currentReplicas", 0))
    said = f"{updated} of {wanted} updated, {ready} ready"
    return Standing(ready >= wanted and (is_by_hand or updated >= wanted - kept), said)


def _daemon_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Standing:
    wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    is_by_hand = spec.get("updateStrategy", {}).get("type") == "OnDelete"
    done = available >= wanted and (is_by_hand or updated >= wanted)
    return Standing(done, f"{updated} of {wanted} updated, {available} available")


_STANDINGS = {"DaemonSet": _daemon_set, "Deployment": _deployment, "StatefulSet": _stateful_set}


def reasons(pods: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say what the pods that are not ready wait for, each in one line."""
    for pod in pods:
        status = pod.get("status", {})
        conditions = {each.get("type"): each for each in status.get("conditions", [])}
        if conditions.get("Ready", {}).get("status") != "True" and "deletionTimestamp" not in pod["metadata"]:
            why = _of_containers(status) or _of_conditions(conditions) or status.get("phase", "not started")
            yield f"{pod['metadata']['name']}: {why}"


def _of_containers(status: Mapping[str, Any]) -> str:
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        state = container.get("state", {})
        stopped = state.get("waiting") or state.get("terminated") or {}
        last = container.get("lastState", {}).get("terminated", {})
        words = [stopped.get("reason"), stopped.get("message")]
        if "exitCode" in last:
            words.append(
                f"(it ended with status {last['exitCode']}, after {container.get('restartCount', 0)} restarts)"
            )
        if stopped and stopped.get("reason") not in ("Completed", "ContainerCreating", "PodInitializing"):
            return " ".join(filter(None, words))
    return ""


def _of_conditions(conditions: Mapping[str, Mapping[str, Any]]) -> str:
    for name in ("PodScheduled", "Ready"):
        condition = conditions.get(name, {})
        if condition.get("status") == "False" and condition.get("reason"):
            return " ".join(filter(None, (condition["reason"], condition.get("message"))))
    return ""


def _images(workload: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(image for _, image in images(workload.get("spec", {})))


def _shorts(names: Iterable[str]) -> str:
    return ", ".join(digest[:_SHORT] if at else name for name in names for _, at, digest in [name.partition("@")])
