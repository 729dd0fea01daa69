"""Brings a cluster to what was rendered, and waits until it runs.

Objects are applied server-side: the cluster merges them, knows which values are this project's, and refuses to
overwrite those that somebody else has set since.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.publish.kubernetes.objects import Key, Object, joined, key, objects
from procession_tasks.publish.kubernetes.rollout import Change, changes, is_changed, reasons, standing
from procession_tasks.publish.kubernetes.secrets import see_secrets

_MANAGER = "--field-manager=procession"  # the name under which a cluster keeps what was applied
_PART_OF = "app.kubernetes.io/part-of"
_DIFFERS = 1  # how kubectl diff ends when there is a difference
_AGAIN_S = 2.0
_LOOK_S = 0.1

Live = dict[Key, Mapping[str, Any]]
Tell = Callable[[str], object]


def preview(kubectl: Kubectl, rendered: str, *, force: bool = False) -> str:
    """Say what deploying would change, from the cluster's own answer; nothing is changed.

    What is to be in a namespace that is not there yet cannot be compared: all of it is new.  Raises BuildError.
    """
    wanted = objects(rendered)
    kubectl.see_cluster()
    live = _live(kubectl, wanted)
    new = _without_namespace(wanted, live)
    there = [one for one in wanted if one not in new]
    text = "".join(f"would make {one.key}\n" for one in new)
    if there:
        options = ("--server-side", _MANAGER, *_forced(force))
        text += _tidy(kubectl.ask("diff", *options, "--filename=-", stdin=joined(there), allowed=(0, _DIFFERS)))
    others = [f"would roll out {change}\n" for change in _changes(wanted, live) if change.is_other_image]
    return text + "".join(others)


def _tidy(text: str) -> str:
    """Leave out of a difference what is of this one run: temporary folders and times."""
    text = re.sub(r"^diff .*/LIVE-[0-9]+/.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^--- \S*/LIVE-[0-9]+/(\S+).*$", r"--- cluster/\1", text, flags=re.MULTILINE)
    return re.sub(r"^\+\+\+ \S*/MERGED-[0-9]+/(\S+).*$", r"+++ rendered/\1", text, flags=re.MULTILINE)


def deploy(kubectl: Kubectl, rendered: str, timeout_s: float, tell: Tell, *, force: bool = False) -> None:
    """Apply what was rendered, and wait until every workload of it runs.

    The cluster is asked first whether it takes all of it, so that nothing changes when it does not; only a
    namespace that is not there is made before.  What is the same is left alone, and nothing is removed.
    `tell` gets a line for each warning, each object that changed, each workload, and what is left over.
    `force` overwrites values that somebody else has set.  Raises BuildError that says what does not start
    and why; what was applied stays, and the same call goes on waiting.
    """
    wanted = objects(rendered)
    kubectl.see_cluster()
    before = _live(kubectl, wanted)
    see_secrets(kubectl, wanted, before)
    if _without_namespace(wanted, before):
        spaces = [one for one in wanted if one.key.kind == "Namespace"]
        _apply(kubectl, spaces, force=force)
    _apply(kubectl, wanted, "--dry-run=server", force=force, warn=tell)
    _apply(kubectl, wanted, force=force)
    after = _live(kubectl, wanted)
    for one in wanted:
        if not one.is_workload and is_changed(before.get(one.key), after.get(one.key)):
            tell(f"{one.key}: {'changed' if one.key in before else 'made'}")
    told = {change.key: _outcome(change, before, after) for change in _changes(wanted, before)}
    _wait(kubectl, [one for one in wanted if one.is_workload], timeout_s, told, tell)
    if left := _left_over(kubectl, wanted):
        tell(f"left alone, as it was not rendered: {', '.join(map(str, left))}")


def _outcome(change: Change, before: Live, after: Live) -> str:
    if is_changed(before.get(change.key), after.get(change.key)):
        return f"{change}, rolled out"
    return f"{change.key}: unchanged"


def _changes(wanted: Iterable[Object], live: Live) -> tuple[Change, ...]:
    return changes((one.value for one in wanted if one.is_workload), live.values())


def _live(kubectl: Kubectl, wanted: Sequence[Object]) -> Live:
    """Return those of the objects that the cluster has."""
    answer = kubectl.ask("get", "--ignore-not-found", "--output=json", "--filename=-", stdin=joined(wanted))
    return {key(one): one for one in _items(answer)}


def _items(answer: str) -> list[dict[str, Any]]:
    """Read what kubectl tells of several objects, of one, or of none."""
    if not answer.strip():
        return []
    found = json.loads(answer)
    return list(found["items"]) if "items" in found else [found]


def _without_namespace(wanted: Sequence[Object], live: Live) -> list[Object]:
    """Choose the objects of namespaces that are not there, and these namespaces."""
    missing = {one.key.name for one in wanted if one.key.kind == "Namespace" and one.key not in live}
    return [one for one in wanted if (one.key.namespace or one.key.name) in missing]


def _apply(kubectl: Kubectl, wanted: Sequence[Object], *options: str, force: bool, warn: Tell | None = None) -> None:
    words = ("--server-side", _MANAGER, *_forced(force), *options)
    kubectl.ask("apply", *words, "--filename=-", stdin=joined(wanted), warn=warn)


def _forced(force: bool) -> tuple[str, ...]:  # noqa: FBT001  # passed on as it is
    return ("--force-conflicts",) if force else ()


def _wait(kubectl: Kubectl, workloads: Sequence[Object], timeout_s: float, told: Mapping[Key, str], tell: Tell) -> None:
    """Look again and again until all workloads run; raises BuildError for those that do not."""
    waiting = list(workloads)
    said: dict[Key, str] = {}
    failed: dict[Key, str] = {}
    deadline = time.monotonic() + timeout_s
    while waiting:
        live = _live(kubectl, waiting)
        for one in tuple(waiting):
            now = standing(live[one.key]) if one.key in live else None
            if now is None or now.failed or now.is_done:
                waiting.remove(one)
            if now is None or now.failed:
                failed[one.key] = now.failed if now and now.failed else "it was removed meanwhile"
            elif now.is_done:
                tell(told[one.key])
            elif said.get(one.key) != now.said:
                said[one.key] = now.said
                tell(f"{one.key}: {now.said}")
        if waiting and time.monotonic() > deadline:
            failed |= {one.key: f"{said[one.key]} after {timeout_s:g} s" for one in waiting}
            break
        _pause(_AGAIN_S if waiting else 0)
    if failed:
        raise _not_running(kubectl, [one for one in workloads if one.key in failed], failed)


def _not_running(kubectl: Kubectl, workloads: Iterable[Object], failed: Mapping[Key, str]) -> BuildError:
    lines = []
    for one in workloads:
        lines.append(f"{one.key}: must be rolled out, got: {failed[one.key]}")
        lines += [f"  {reason}" for reason in _reasons(kubectl, one)]
    name = next(iter(failed))
    hint = f"{kubectl.shown} --namespace={name.namespace} describe {name}; the same command again goes on waiting"
    return BuildError("\n".join(lines), hint=hint)


def _reasons(kubectl: Kubectl, workload: Object) -> list[str]:
    """Ask why the pods of a workload are not ready; who may not see them is told no reason."""
    labels = workload.value["spec"]["selector"].get("matchLabels", {})
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    words = ("pods", f"--namespace={workload.key.namespace}", f"--selector={selector}", "--output=json")
    try:
        return list(reasons(_items(kubectl.ask("get", *words))))
    except BuildError:
        return []


def _left_over(kubectl: Kubectl, wanted: Sequence[Object]) -> list[Key]:
    """Find what belongs to the same whole and is not wanted (any more); who may not list it is told of none.

    Claims stay out: a StatefulSet makes them for its pods.
    """
    kinds = {one.key.kind for one in wanted if one.key.namespace} - {"PersistentVolumeClaim"}
    wholes = {one.value["metadata"].get("labels", {}).get(_PART_OF) for one in wanted if one.key.namespace}
    found: set[Key] = set()
    for namespace in sorted({one.key.namespace for one in wanted} - {""}):
        for whole in sorted(filter(None, wholes)):
            words = (",".join(sorted(kinds)), f"--namespace={namespace}", f"--selector={_PART_OF}={whole}")
            try:
                answer = kubectl.ask("get", *words, "--output=json")
            except BuildError:
                continue
            found |= {key(one) for one in _items(answer) if not one["metadata"].get("ownerReferences")}
    return sorted(found - {one.key for one in wanted})


def _pause(length: float) -> None:
    end = time.monotonic() + length
    while (left := end - time.monotonic()) > 0:
        interruption.check()
        time.sleep(min(left, _LOOK_S))
