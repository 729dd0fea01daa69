"""Checks a kustomize base against the images that it runs, and its resources against one another.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from procession_tasks.errors import Problem
from procession_tasks.publish.kubernetes.base import Base
from procession_tasks.publish.kubernetes.containers import check_containers
from procession_tasks.publish.kubernetes.images import Runs
from procession_tasks.publish.kubernetes.podsecurity import check_security
from procession_tasks.publish.kubernetes.relations import check_relations


def check(base: Base, images: Mapping[str, Runs]) -> tuple[Problem, ...]:
    """Find everything that Kubernetes would refuse later, or that would run and not work.

    `images` are the project's, by the name in their manifests.  What a program of a schema finds, unknown
    keys and wrong types, is not looked for.
    """
    problems = list(check_relations(base, images))
    for workload in base.workloads:
        problems += check_containers(workload, images)
        problems += check_security(workload)
    return tuple(problems)
