"""What the Pod Security Standard restricted forbids, and what it allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from procession_tasks.publish.kubernetes.base import parse_resources
from procession_tasks.publish.kubernetes.podsecurity import check_security

POD = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
CONTAINER = {
    "name": "app",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}


def changed(value: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """Set values by their dotted keys; None removes one."""
    new = yaml.safe_load(yaml.safe_dump(dict(value)))
    for key, setting in edits.items():
        *above, last = key.split(".")
        holder = new
        for name in above:
            holder = holder.setdefault(name, {})
        if setting is None:
            holder.pop(last, None)
        else:
            holder[last] = setting
    return new


def problems(pod: Mapping[str, Any], container: Mapping[str, Any], kind: str = "containers") -> list[str]:
    spec = {**changed(POD, pod), "containers": [CONTAINER]} | {kind: [changed(CONTAINER, container)]}
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    (resource,) = parse_resources(text.encode(), "p.yaml")
    return [f"{each.key}: {each.rule}, got {each.got}" for each in check_security(resource)]


POD_BAD = {
    "hostNetwork": ({"hostNetwork": True}, "spec.hostNetwork: must not be true, got true"),
    "hostPID": ({"hostPID": True}, "spec.hostPID: must not be true, got true"),
    "hostIPC": ({"hostIPC": True}, "spec.hostIPC: must not be true, got true"),
    "root": ({"securityContext.runAsUser": 0}, "spec.securityContext.runAsUser: must not be 0, which is root, got 0"),
    "windows": (
        {"securityContext.windowsOptions.hostProcess": True},
        "spec.securityContext.windowsOptions.hostProcess: must not be true, got true",
    ),
    "apparmor": (
        {"securityContext.appArmorProfile.type": "Unconfined"},
        "spec.securityContext.appArmorProfile.type: must be RuntimeDefault or Localhost, got 'Unconfined'",
    ),
    "selinux type": (
        {"securityContext.seLinuxOptions.type": "spc_t"},
        (
            "spec.securityContext.seLinuxOptions.type: must be container_t or container_init_t or container_kvm_t "
            "or container_engine_t, got 'spc_t'"
        ),
    ),
    "selinux user": (
        {"securityContext.seLinuxOptions.user": "root"},
        "spec.securityContext.seLinuxOptions.user: must not be given, got 'root'",
    ),
    "selinux role": (
        {"securityContext.seLinuxOptions.role": "r"},
        "spec.securityContext.seLinuxOptions.role: must not be given, got 'r'",
    ),
    "sysctl": (
        {"securityContext.sysctls": [{"name": "net.ipv4.tcp_syncookies"}, {"name": "kernel.msgmax", "value": "1"}]},
        "spec.securityContext.sysctls[1].name: must be a sysctl that is safe, got 'kernel.msgmax'",
    ),
    "volume": (
        {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}}]},
        (
            "spec.volumes[1].hostPath: must be a volume of a kind that restricted allows: configMap, csi, "
            "downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret, got a mapping"
        ),
    ),
    "may be root": (
        {"securityContext.runAsNonRoot": None},
        "spec.containers[0].securityContext.runAsNonRoot: must be true, got None",
    ),
    "no seccomp": (
        {"securityContext.seccompProfile": None},
        "spec.containers[0].securityContext.seccompProfile.type: must be RuntimeDefault or Localhost, got None",
    ),
}

CONTAINER_BAD = {
    "privileged": ({"securityContext.privileged": True}, "securityContext.privileged: must not be true, got true"),
    "escalation": (
        {"securityContext.allowPrivilegeEscalation": None},
        "securityContext.allowPrivilegeEscalation: must be false, got None",
    ),
    "escalation in words": (
        {"securityContext.allowPrivilegeEscalation": "false"},
        "securityContext.allowPrivilegeEscalation: must be false, got 'false'",
    ),
    "zero is not false": (
        {"securityContext.allowPrivilegeEscalation": 0},
        "securityContext.allowPrivilegeEscalation: must be false, got 0",
    ),
    "writable root": (
        {"securityContext.readOnlyRootFilesystem": False},
        "securityContext.readOnlyRootFilesystem: must be true, got false",
    ),
    "proc": (
        {"securityContext.procMount": "Unmasked"},
        "securityContext.procMount: must be Default, got 'Unmasked'",
    ),
    "root": ({"securityContext.runAsUser": 0}, "securityContext.runAsUser: must not be 0, which is root, got 0"),
    "may be root": (
        {"securityContext.runAsNonRoot": False},
        "securityContext.runAsNonRoot: must be true, got false",
    ),
    "seccomp": (
        {"securityContext.seccompProfile.type": "Unconfined"},
        "securityContext.seccompProfile.type: must be RuntimeDefault or Localhost, got 'Unconfined'",
    ),
    "keeps capabilities": (
        {"securityContext.capabilities.drop": ["NET_RAW"]},
        "securityContext.capabilities.drop: must have ALL, got a list",
    ),
    "drops none": (
        {"securityContext.capabilities": None},
        "securityContext.capabilities.drop: must have ALL, got None",
    ),
    "adds one": (
        {"securityContext.capabilities.add": ["NET_BIND_SERVICE", "SYS_ADMIN"]},
        "securityContext.capabilities.add[1]: must be NET_BIND_SERVICE, which alone may be added, got 'SYS_ADMIN'",
    ),
    "host port": (
        {"ports": [{"containerPort": 1, "hostPort": 80}]},
        "ports[0].hostPort: must not be given, got 80",
    ),
    "host of a probe": (
        {"livenessProbe": {"httpGet": {"host": "10.0.0.1", "port": 1}}},
        "livenessProbe.httpGet.host: must not be given, got '10.0.0.1'",
    ),
    "host of a hook": (
        {"lifecycle": {"preStop": {"tcpSocket": {"host": "db", "port": 1}}}},
        "lifecycle.preStop.tcpSocket.host: must not be given, got 'db'",
    ),
}


def test_a_pod_that_can_do_nothing_is_allowed() -> None:
    assert problems({}, {}) == []


@pytest.mark.parametrize(("pod", "message"), POD_BAD.values(), ids=POD_BAD)
def test_what_is_forbidden_to_pods(pod: dict[str, Any], message: str) -> None:
    assert problems(pod, {}) == [message]


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize(("container", "message"), CONTAINER_BAD.values(), ids=CONTAINER_BAD)
def test_what_is_forbidden_to_containers(container: dict[str, Any], message: str, kind: str) -> None:
    assert problems({}, container, kind) == [f"spec.{kind}[0].{message}"]


@pytest.mark.parametrize(
    ("pod", "container"),
    [
        ({"hostNetwork": False, "hostPID": False}, {"securityContext.privileged": False}),
        ({"securityContext.seLinuxOptions.type": "container_t"}, {"securityContext.procMount": "Default"}),
        ({"securityContext.appArmorProfile.type": "Localhost"}, {"securityContext.capabilities.drop": ["ALL", "KILL"]}),
        ({}, {"securityContext.capabilities.add": ["NET_BIND_SERVICE"]}),
        ({}, {"securityContext.seccompProfile.type": "Localhost", "securityContext.runAsNonRoot": True}),
        # What every container says itself, the pod need not say.
        ({"securityContext.runAsNonRoot": None}, {"securityContext.runAsNonRoot": True}),
        ({"securityContext.seccompProfile": None}, {"securityContext.seccompProfile.type": "RuntimeDefault"}),
        ({"securityContext.runAsUser": 65532, "volumes": [{"name": "d", "secret": {}}, {"name": "none"}]}, {}),
        ({}, {"ports": [{"containerPort": 1, "hostPort": 0}], "livenessProbe": {"httpGet": {"port": 1, "host": ""}}}),
    ],
)
def test_what_is_allowed(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert problems(pod, container) == []


def test_pods_that_are_made_later_are_held_to_it_too() -> None:
    text = yaml.safe_dump(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "nightly"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": {**POD, "containers": [{"name": "a"}]}}}}},
        }
    )
    (job,) = parse_resources(text.encode(), "j.yaml")
    assert {each.key.rpartition(".containers[0].")[2] for each in check_security(job)} == {
        "securityContext.allowPrivilegeEscalation",
        "securityContext.readOnlyRootFilesystem",
        "securityContext.capabilities.drop",
    }
