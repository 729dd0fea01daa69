"""Holds the resources of a base to one another: selectors, ports, and what is called by name.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from procession_tasks.definition.shape import did_you_mean
from procession_tasks.errors import Problem
from procession_tasks.publish.kubernetes.base import Base, Place, Resource
from procession_tasks.publish.kubernetes.containers import check_port, known_ports, port_problem
from procession_tasks.publish.kubernetes.images import Runs, containers

_PORTS = range(1, 65536)


def check_relations(base: Base, images: Mapping[str, Runs]) -> Iterator[Problem]:
    """Find what does not fit together in a base."""
    for workload in base.workloads:
        yield from _workload(workload, base)
    for service in base.of("Service"):
        yield from _service(service, base, images)
    for policy in base.of("NetworkPolicy"):
        yield from _policy(policy, base, images)
    for budget in base.of("PodDisruptionBudget"):
        yield from _must_select(budget.root.at("spec", "selector"), base.workloads)
    for namespace in base.of("Namespace"):
        label = namespace.root.at("metadata", "labels", "pod-security.kubernetes.io/enforce")
        if label.text != "restricted":
            yield label.problem("must be restricted")


def selects(selector: Place, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector takes what has these labels; an empty one takes everything.

    Source: Kubernetes API, "LabelSelector".
    """
    if any(labels.get(name) != value for name, value in selector.at("matchLabels").labels.items()):
        return False
    return all(_holds(expression, labels) for expression in selector.at("matchExpressions").each())


def _holds(expression: Place, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression.at("key").text)
    values = [item.text for item in expression.at("values").each()]
    match expression.at("operator").text:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _labels(workload: Resource) -> dict[str, str]:
    return workload.template.at("metadata", "labels").labels if workload.template else {}


def _chosen(selector: Place, workloads: Iterable[Resource]) -> list[Resource]:
    return [workload for workload in workloads if selects(selector, _labels(workload))]


def _must_select(selector: Place, workloads: Iterable[Resource]) -> Iterator[Problem]:
    if not _chosen(selector, workloads):
        yield _at_selector(selector, "must select the pods of a workload")


def _at_selector(selector: Place, rule: str) -> Problem:
    """Place a problem at the one label that a selector asks for, or at the selector."""
    asked = [value for _, value in selector.at("matchLabels").members()]
    return asked[0].problem(rule) if len(asked) == 1 else selector.problem(rule)


def _workload(workload: Resource, base: Base) -> Iterator[Problem]:
    selector = workload.root.at("spec", "selector")
    if workload.kind in ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"):
        if not list(selector.members()):
            yield selector.problem("must select the workload's own pods")
        elif not selects(selector, _labels(workload)):
            yield _at_selector(selector, "must select the workload's own pods")
    if workload.kind == "StatefulSet":
        yield from _headless(workload.root.at("spec", "serviceName"), base)
    if workload.kind == "Deployment":
        yield from _one_writer(workload, base)
    if workload.template is not None:
        pod = workload.template.at("spec")
        for spread in pod.at("topologySpreadConstraints").each():
            yield from _must_select(spread.at("labelSelector"), [workload])
        yield from _names(pod, base, workload)


def _headless(name: Place, base: Base) -> Iterator[Problem]:
    named = [service for service in base.of("Service") if service.name == name.text]
    headless = [each.name for each in base.of("Service") if each.root.at("spec", "clusterIP").text == "None"]
    if name.text not in headless:
        hint = did_you_mean(name.text, headless) or (named and "add clusterIP: None to it") or None
        yield name.problem("must be the name of a headless Service", hint)


def _one_writer(workload: Resource, base: Base) -> Iterator[Problem]:
    """A claim that one node may have at a time lets no new pod start beside the old one."""
    claims = [volume.at("persistentVolumeClaim", "claimName") for volume in _volumes(workload)]
    shared = {
        claim.name
        for claim in base.of("PersistentVolumeClaim")
        if "ReadWriteMany" in [mode.text for mode in claim.root.at("spec", "accessModes").each()]
    }
    if all(not claim.given or claim.text in shared for claim in claims):
        return
    strategy = workload.root.at("spec", "strategy", "type")
    if strategy.text != "Recreate":
        yield strategy.problem("must be Recreate, as the volume is for one pod at a time")
    replicas = workload.root.at("spec", "replicas")
    if replicas.given and replicas.scalar not in (0, 1):
        yield replicas.problem("must be 1, as the volume is for one pod at a time", "a StatefulSet has a volume a pod")


def _volumes(workload: Resource) -> Iterable[Place]:
    return workload.template.at("spec", "volumes").each() if workload.template else ()


def _names(pod: Place, base: Base, workload: Resource) -> Iterator[Problem]:
    """Check what a pod calls by name; Secrets may be made in the cluster."""
    account = pod.at("serviceAccountName")
    if account.text != "default":
        yield from _named(account, base, "ServiceAccount", None)
    for volume in pod.at("volumes").each():
        claim, content = volume.at("persistentVolumeClaim"), volume.at("configMap")
        yield from _named(claim.at("claimName"), base, "PersistentVolumeClaim", None)
        yield from _named(content.at("name"), base, "ConfigMap", content)
    for container in containers(workload):
        for source in container.at("envFrom").each():
            reference = source.at("configMapRef")
            yield from _named(reference.at("name"), base, "ConfigMap", reference)
        for variable in container.at("env").each():
            reference = variable.at("valueFrom", "configMapKeyRef")
            yield from _named(reference.at("name"), base, "ConfigMap", reference)


def _named(name: Place, base: Base, kind: str, optional: Place | None) -> Iterator[Problem]:
    known = sorted(base.names(kind))
    if name.given and name.text not in known and not (optional and optional.at("optional").scalar is True):
        hint = did_you_mean(name.text, known) or ("there are: " + ", ".join(known) if known else "there is none")
        yield name.problem(f"must be the name of a {kind}", hint)


def _service(service: Resource, base: Base, images: Mapping[str, Runs]) -> Iterator[Problem]:
    spec = service.root.at("spec")
    for port in spec.at("ports").each():
        if port.at("port").scalar not in _PORTS:
            yield port.at("port").problem("must be from 1 to 65535")
    selector = spec.at("selector")
    if not selector.given:
        return
    chosen = [each for each in base.workloads if selector.labels.items() <= _labels(each).items()]
    if not chosen:
        asked = [value for _, value in selector.members()]
        place = asked[0] if len(asked) == 1 else selector
        yield place.problem("must select the pods of a workload")
    for port in spec.at("ports").each():
        target = port.at("targetPort") if port.at("targetPort").given else port.at("port")
        for workload in chosen:
            yield from _reached(target, workload, images, port.at("protocol").text or "TCP")


def _reached(port: Place, workload: Resource, images: Mapping[str, Runs], protocol: str) -> Iterator[Problem]:
    """Check that some container of a workload has a port."""
    all_containers = list(workload.template.at("spec", "containers").each()) if workload.template else []
    problems = [check_port(port, container, images, protocol) for container in all_containers]
    if problems and None not in problems:
        yield next(problem for problem in problems if problem)


def _policy(policy: Resource, base: Base, images: Mapping[str, Runs]) -> Iterator[Problem]:
    spec = policy.root.at("spec")
    own = _chosen(spec.at("podSelector"), base.workloads)
    if not own:
        yield _at_selector(spec.at("podSelector"), "must select the pods of a workload")
    for rule in spec.at("ingress").each():
        yield from _peers(rule.at("from"), base)
        yield from _allowed(rule.at("ports"), own, images)
    for rule in spec.at("egress").each():
        peers = list(rule.at("to").each())
        yield from _peers(rule.at("to"), base)
        if peers and all(_is_own(peer) for peer in peers):
            reached = [each for peer in peers for each in _chosen(peer.at("podSelector"), base.workloads)]
            yield from _allowed(rule.at("ports"), reached, images)


def _is_own(peer: Place) -> bool:
    """Tell whether a peer is in the namespace of the policy."""
    return peer.at("podSelector").given and not peer.at("namespaceSelector").given


def _peers(peers: Place, base: Base) -> Iterator[Problem]:
    for peer in peers.each():
        if _is_own(peer):
            yield from _must_select(peer.at("podSelector"), base.workloads)


def _allowed(ports: Place, reached: Iterable[Resource], images: Mapping[str, Runs]) -> Iterator[Problem]:
    """Check that the ports of a rule are ports of some workload that it is about."""
    known = {
        name: (protocol, number)
        for workload in reached
        for container in containers(workload)
        for name, (protocol, number) in known_ports(container, images).items()
    }
    names = sorted({workload.name for workload in reached})
    for entry in ports.each():
        protocol = entry.at("protocol").text or "TCP"
        port = entry.at("port")
        same = {name: number for name, (of, number) in known.items() if of == protocol}
        is_range = entry.at("endPort").given
        if names and port.given and not is_range and port.scalar not in (*same, *same.values()):
            yield port_problem(port, " or ".join(names), same, protocol)
