"""The Secrets that pods need and that no file holds: they have to be in the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from procession_tasks.errors import BuildError
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.publish.kubernetes.objects import Key, Object


def see_secrets(kubectl: Kubectl, wanted: Sequence[Object], live: Mapping[Key, object]) -> None:
    """See that the cluster has every Secret that pods cannot start without.

    Who may not read Secrets is not told.  Raises BuildError that says how to make those that are missing.
    """
    needed = {name: keys for name, keys in _needed(wanted).items() if name not in {one.key for one in wanted}}
    missing = {name: keys for name, keys in sorted(needed.items()) if not _is_there(kubectl, name)}
    if not missing:
        return
    lines = [f"{name} must be in the namespace {name.namespace}: pods need it, got none" for name in missing]
    commands = [f"{kubectl.shown} {_creation(name, keys)}" for name, keys in missing.items()]
    spaces = {name.namespace for name in missing} - {name.name for name in live if name.kind == "Namespace"}
    commands = [*(f"{kubectl.shown} create namespace {space}" for space in sorted(spaces)), *commands]
    raise BuildError("\n".join(lines), hint=" && ".join(commands))


def _is_there(kubectl: Kubectl, name: Key) -> bool:
    words = ("secret", name.name, f"--namespace={name.namespace}", "--ignore-not-found", "--output=name")
    try:
        return bool(kubectl.ask("get", *words).strip())
    except BuildError as error:
        if "orbidden" in error.message:
            return True
        raise


def _creation(name: Key, keys: Sequence[str]) -> str:
    values = " ".join(f"--from-literal={each}=…" for each in keys)
    return f"--namespace={name.namespace} create secret generic {name.name} {values}".rstrip()


def _needed(wanted: Sequence[Object]) -> dict[Key, tuple[str, ...]]:
    """Say which keys of which Secrets the pods of workloads need."""
    found: dict[Key, tuple[str, ...]] = {}
    for one in wanted:
        if one.is_workload:
            for name, keys in _of_pod(one.value["spec"]["template"]["spec"]):
                secret = Key("Secret", one.key.namespace, name)
                found[secret] = tuple(dict.fromkeys((*found.get(secret, ()), *keys)))
    return found


def _of_pod(pod: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    for volume in pod.get("volumes", []):
        secret = volume.get("secret", {})
        if secret and not secret.get("optional"):
            yield secret["secretName"], [item["key"] for item in secret.get("items", [])]
    for container in (*pod.get("initContainers", []), *pod.get("containers", [])):
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
            if reference and not reference.get("optional"):
                yield reference["name"], [reference["key"]]
        for source in container.get("envFrom", []):
            reference = source.get("secretRef", {})
            if reference and not reference.get("optional"):
                yield reference["name"], []
