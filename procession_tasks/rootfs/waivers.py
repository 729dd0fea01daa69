"""What is found wrong with an image of packages, and which of it its definition accepts.  Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from procession_tasks.definition.shape import did_you_mean
from procession_tasks.rootfs.prune import expression


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule that a definition can accept by naming its subject.

    `check` is the rule's name under ``waive``.  `message` begins with its place; `hint` is
    the way out that is no waiver.
    """

    check: str
    subject: str
    message: str
    hint: str


def unwaived(findings: Iterable[Finding], waive: Mapping[str, Collection[str]], definition: str) -> list[str]:
    """Put into words the findings that are not waived, and the waivers that waive nothing.

    `waive` has patterns of subjects, by check; `definition` is the definition's folder.
    """
    findings = list(findings)
    problems = []
    waived: set[Finding] = set()
    for check, patterns in waive.items():
        of_check = [finding for finding in findings if finding.check == check]
        for pattern in patterns:
            matches = re.compile(expression(pattern), re.DOTALL).fullmatch
            accepted = {one for one in of_check if one.subject == pattern or matches(one.subject)}
            waived |= accepted
            if not accepted:
                hint = did_you_mean(pattern, [finding.subject for finding in of_check]) or "remove it"
                place = f"{definition}/image.yaml: debian.waive.{check}"
                problems.append(f"{place}: must waive something that is found, got {pattern!r}\n  hint: {hint}")
    return problems + [_problem(finding) for finding in findings if finding not in waived]


def _problem(finding: Finding) -> str:
    waiver = f'{{{finding.check}: {{"{finding.subject}": why}}}}'
    return f"{finding.message}\n  hint: {finding.hint}; or waive: {waiver} under debian"
