"""Holds containers to the manifests of the images that they run.  Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from procession_tasks.definition.findings import is_one_slip
from procession_tasks.definition.shape import did_you_mean
from procession_tasks.errors import Problem
from procession_tasks.publish.kubernetes.base import Place, Resource
from procession_tasks.publish.kubernetes.images import PINNED, Runs, containers
from procession_tasks.publish.kubernetes.quantity import quantity

_HANDLERS = (
    ("livenessProbe",), ("readinessProbe",), ("startupProbe",), ("lifecycle", "postStart"), ("lifecycle", "preStop"),
)  # fmt: skip
_ISOLATORS = (("cpu", "resource/cpu"), ("memory", "resource/memory"))
# Volumes that a container can write to, by the key of their kind.
_WRITABLE = ("emptyDir", "ephemeral", "persistentVolumeClaim", "csi")


def check_containers(workload: Resource, images: Mapping[str, Runs]) -> Iterator[Problem]:
    """Find where the containers of a workload do not fit their images, which are given by name."""
    if workload.template is None:
        return
    pod = workload.template.at("spec")
    for container in containers(workload):
        yield from _references(container, workload)
        yield from _probes(container, images)
        image = images.get(container.at("image").text)
        if image is None:
            yield from _image(container.at("image"), images)
            continue
        yield from _ports(container, image)
        yield from _user(container, pod, image)
        yield from _mounts(container, workload, image)
        yield from _resources(container, image)
        yield from _variables(container, image)


def known_ports(container: Place, images: Mapping[str, Runs]) -> dict[str, tuple[str, int]]:
    """Say which ports a container has, by name; those of a foreign image are what the container declares."""
    image = images.get(container.at("image").text)
    if image is not None:
        return image.ports
    return {
        port.at("name").text or str(number): (port.at("protocol").text or "TCP", number)
        for port in container.at("ports").each()
        if isinstance(number := port.at("containerPort").scalar, int)
    }


def check_port(value: Place, container: Place, images: Mapping[str, Runs], protocol: str = "TCP") -> Problem | None:
    """Find out whether a port, by name or number, is one of a container's; a name has to be declared there."""
    known = known_ports(container, images)
    same = {name: number for name, (of, number) in known.items() if of == protocol}
    declared = [port.at(key).scalar for port in container.at("ports").each() for key in ("name", "containerPort")]
    is_declared = value.text in declared or same.get(value.text) in declared  # if one of both is wrong, that is told
    if value.scalar in same.values() or (value.text in same and is_declared):
        return None
    return port_problem(value, container.at("image").text, same, protocol)


def port_problem(value: Place, image: str, ports: Mapping[str, int], protocol: str = "TCP") -> Problem:
    """Say that a port is none of an image's, and which there are."""
    listed = ", ".join(f"{name} ({number})" for name, number in ports.items())
    there = f"ports: {listed}" if ports else f"it has no {protocol} port"
    near = "declare it under ports of the container" if value.text in ports else did_you_mean(value.text, ports)
    kind = "" if protocol == "TCP" else f"{protocol} "
    return value.problem(f"must be a {kind}port of the image {posixpath.basename(image)}", near or there)


def _image(image: Place, images: Mapping[str, Runs]) -> Iterator[Problem]:
    if PINNED.fullmatch(image.text):
        return
    bare = image.text.partition("@")[0]
    tagged = bare.rpartition(":")[0] if ":" in posixpath.basename(bare) else bare
    by_short = {each.short: name for name, each in images.items()}
    if tagged in images:
        yield image.problem("must have no tag and no digest: these are rendered", f"write {tagged}")
    else:
        near = by_short.get(posixpath.basename(tagged))
        hint = f"did you mean {near}?" if near else did_you_mean(tagged, images)
        rule = "must be an image of the project, or another's that is pinned by its digest"
        yield image.problem(rule, hint or "images: " + ", ".join(sorted(images)))


def _ports(container: Place, image: Runs) -> Iterator[Problem]:
    numbers = {number: name for name, (_, number) in image.ports.items()}
    for port in container.at("ports").each():
        number = port.at("containerPort")
        name = numbers.get(number.scalar) if isinstance(number.scalar, int) else None
        if name is None:
            yield port_problem(number, image.manifest.name, {of: each for each, of in numbers.items()})
            continue
        protocol = port.at("protocol")
        if (protocol.text or "TCP") != image.ports[name][0]:
            yield protocol.problem(f"must be {image.ports[name][0]}, as in the manifest of {image.short}")
        if port.at("name").text != name:
            rule = f"must be the port's name in the manifest of {image.short}"
            yield port.at("name").problem(rule, f"write name: {name}")


def _user(container: Place, pod: Place, image: Runs) -> Iterator[Problem]:
    wanted = (("runAsUser", image.uid, "user"), ("runAsGroup", image.gid, "group"))
    for key, number, what in wanted:
        own = container.at("securityContext", key)
        value = own if own.given else pod.at("securityContext", key)
        if number is not None and value.scalar != number:
            yield value.problem(f"must be {number}, the {what} of the image {image.short}")
    group = pod.at("securityContext", "fsGroup")
    mounts = [True for mount in container.at("volumeMounts").each() if mount.at("readOnly").scalar is not True]
    if image.gid is not None and group.scalar != image.gid and (group.given or mounts):
        rule = f"must be {image.gid}, the group of the image {image.short}, which writes to volumes"
        yield group.problem(rule)


def _mounts(container: Place, workload: Resource, image: Runs) -> Iterator[Problem]:
    kinds = _volumes(workload)
    points = image.mount_points
    mounts = container.at("volumeMounts")
    mounted = {}
    for mount in mounts.each():
        path = mount.at("mountPath")
        normal = posixpath.normpath(path.text)
        is_written = kinds.get(mount.at("name").text) in _WRITABLE and mount.at("readOnly").scalar is not True
        mounted[normal] = is_written
        if is_written and normal not in points:
            listed = ", ".join(points)
            hint = did_you_mean(normal, points) or (f"mount points: {listed}" if points else "the image has none")
            yield path.problem(f"must be a mount point of the image {image.short}", hint)
    for point, is_written in points.items():
        if is_written and not mounted.get(point):
            rule = f"must have a volume to write to at {point}, a mount point of the image {image.short}"
            yield Problem(mounts.file, mounts.line, mounts.key, rule, None, f"add {{name: …, mountPath: {point}}}")


def _resources(container: Place, image: Runs) -> Iterator[Problem]:
    isolators = {
        isolator.name: isolator.data for isolator in (image.manifest.app.isolators if image.manifest.app else ())
    }
    for resource, isolator in _ISOLATORS:
        for group, key in (("requests", "request"), ("limits", "limit")):
            wanted = isolators.get(isolator, {}).get(key)
            value = container.at("resources", group, resource)
            if wanted is not None and (not value.given or quantity(value.text) != quantity(str(wanted))):
                yield value.problem(f"must be {wanted}, as {isolator} in the manifest of {image.short}")


def _variables(container: Place, image: Runs) -> Iterator[Problem]:
    """Find variables that are one slip away from one of the image; others are the program's affair."""
    known = [variable.name for variable in (image.manifest.app.environment if image.manifest.app else ())]
    given = [variable.at("name") for variable in container.at("env").each()]
    for name in given:
        slips = [each for each in known if is_one_slip(name.text, each)]
        if slips and name.text not in known:
            yield name.problem(
                f"must not differ from a variable of the image {image.short} by a slip", f"did you mean {slips[0]}?"
            )
    for name in _twice(given):
        yield name.problem("must be given once")


def _twice(names: Iterable[Place]) -> Iterator[Place]:
    seen: set[str] = set()
    for name in names:
        if name.text in seen:
            yield name
        seen.add(name.text)


def _probes(container: Place, images: Mapping[str, Runs]) -> Iterator[Problem]:
    for path in _HANDLERS:
        for action in ("httpGet", "tcpSocket", "grpc"):
            probe = container.at(*path, action)
            if probe.given and (problem := check_port(probe.at("port"), container, images)):
                yield problem


def _volumes(workload: Resource) -> dict[str, str]:
    """Say of what kind each volume of a workload's pods is, by name."""
    found = {
        claim.at("metadata", "name").text: "persistentVolumeClaim"
        for claim in workload.root.at("spec", "volumeClaimTemplates").each()
    }
    for volume in workload.template.at("spec", "volumes").each() if workload.template else ():
        found[volume.at("name").text] = next((kind for kind, _ in volume.members() if kind != "name"), "emptyDir")
    return found


def _references(container: Place, workload: Resource) -> Iterator[Problem]:
    volumes = _volumes(workload)
    for mount in container.at("volumeMounts").each():
        name = mount.at("name")
        if name.text not in volumes:
            hint = did_you_mean(name.text, volumes) or "volumes: " + ", ".join(volumes)
            yield name.problem("must be a volume of the pod", hint)
