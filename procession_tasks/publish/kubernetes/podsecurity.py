"""Holds pods to the Pod Security Standard ``restricted``, and to a root that nothing writes to.  Pure.

Source: Kubernetes documentation, "Pod Security Standards", version 1.37.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from procession_tasks.errors import Problem
from procession_tasks.publish.kubernetes.base import Place, Resource
from procession_tasks.publish.kubernetes.images import containers

_Value = str | int | bool | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """The values that a key may have; None among them lets it be left out."""

    key: str
    allowed: tuple[_Value, ...]

    def broken(self, place: Place) -> Iterator[Problem]:
        """Find the key that breaks the rule below a place."""
        value = place.at(*self.key.split("."))
        if not _is_allowed(value, self.allowed):
            yield value.problem(_demand(self.allowed))


_OFF = (None, False)
_APPARMOR = (None, "RuntimeDefault", "Localhost")
_SELINUX = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
# What the security contexts of pods and of containers have in common.
_CONTEXT = (
    _Rule("securityContext.windowsOptions.hostProcess", _OFF),
    _Rule("securityContext.appArmorProfile.type", _APPARMOR),
    _Rule("securityContext.seLinuxOptions.type", _SELINUX),
    _Rule("securityContext.seLinuxOptions.user", (None, "")),
    _Rule("securityContext.seLinuxOptions.role", (None, "")),
)
_POD = (_Rule("hostNetwork", _OFF), _Rule("hostPID", _OFF), _Rule("hostIPC", _OFF), *_CONTEXT)
_CONTAINER = (
    _Rule("securityContext.privileged", _OFF),
    _Rule("securityContext.procMount", (None, "Default")),
    _Rule("securityContext.allowPrivilegeEscalation", (False,)),
    _Rule("securityContext.readOnlyRootFilesystem", (True,)),  # beyond the standard
    *_CONTEXT,
)
# What a container has from its pod unless it says otherwise.
_INHERITED = (
    _Rule("securityContext.runAsNonRoot", (True,)),
    _Rule("securityContext.seccompProfile.type", ("RuntimeDefault", "Localhost")),
)
_VOLUMES = (
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
)  # fmt: skip
_SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
)  # fmt: skip
_HANDLERS = (
    ("livenessProbe",), ("readinessProbe",), ("startupProbe",), ("lifecycle", "postStart"), ("lifecycle", "preStop"),
)  # fmt: skip


def check_security(workload: Resource) -> Iterator[Problem]:
    """Find what ``restricted`` forbids in the pods of a workload."""
    if workload.template is None:
        return
    pod = workload.template.at("spec")
    for rule in _POD:
        yield from rule.broken(pod)
    yield from _user(pod)
    yield from _named(pod.at("securityContext", "sysctls"), _SYSCTLS)
    for volume in pod.at("volumes").each():
        yield from _kind_of_volume(volume)
    for container in containers(workload):
        yield from _container(container, pod)


def _container(container: Place, pod: Place) -> Iterator[Problem]:
    for rule in _CONTAINER:
        yield from rule.broken(container)
    for rule in _INHERITED:
        own = container.at(*rule.key.split("."))
        if own.given or not _is_allowed(pod.at(*rule.key.split(".")), rule.allowed):
            yield from rule.broken(container)
    yield from _user(container)
    yield from _capabilities(container.at("securityContext", "capabilities"))
    for port in container.at("ports").each():
        yield from _Rule("hostPort", (None, 0)).broken(port)
    for path in _HANDLERS:
        for action in ("httpGet", "tcpSocket"):
            yield from _Rule("host", (None, "")).broken(container.at(*path, action))


def _user(place: Place) -> Iterator[Problem]:
    user = place.at("securityContext", "runAsUser")
    if user.scalar == 0 and user.given:
        yield user.problem("must not be 0, which is root")


def _capabilities(capabilities: Place) -> Iterator[Problem]:
    dropped = capabilities.at("drop")
    if "ALL" not in [item.text for item in dropped.each()]:
        yield dropped.problem("must have ALL", "write drop: [ALL]")
    for item in capabilities.at("add").each():
        if item.text != "NET_BIND_SERVICE":
            yield item.problem("must be NET_BIND_SERVICE, which alone may be added")


def _named(items: Place, allowed: Iterable[str]) -> Iterator[Problem]:
    for item in items.each():
        if item.at("name").text not in allowed:
            yield item.at("name").problem("must be a sysctl that is safe")


def _kind_of_volume(volume: Place) -> Iterator[Problem]:
    for kind, value in volume.members():
        if kind != "name" and kind not in _VOLUMES:
            yield value.problem("must be a volume of a kind that restricted allows: " + ", ".join(_VOLUMES))


def _is_allowed(value: Place, allowed: tuple[_Value, ...]) -> bool:
    # To Python, 0 is False and 1 is True; to Kubernetes they are not.
    return (
        any(value.scalar == each and type(value.scalar) is type(each) for each in allowed)
        if value.given
        else None in allowed
    )


def _demand(allowed: tuple[_Value, ...]) -> str:
    words = [
        str(value).lower() if isinstance(value, bool) else str(value) for value in allowed if value not in (None, "")
    ]
    if None in allowed and (not words or words == ["false"]):
        return "must not be given" if not words else "must not be true"
    if None in allowed and words == ["0"]:
        return "must not be given"
    return "must be " + " or ".join(words)
