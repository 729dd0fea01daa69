"""What must hold between the items of a manifest's lists.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from procession_tasks.definition import appc
from procession_tasks.definition.annotations import date, web_address
from procession_tasks.definition.decode import Element
from procession_tasks.definition.findings import Fault, Report, fold
from procession_tasks.definition.gojson import Node
from procession_tasks.definition.isolators import beside

_WELL_KNOWN = {
    "created": date,
    "homepage": web_address,
    "documentation": web_address,
}


def check_unique(elements: Sequence[Element], report: Report) -> None:
    """Refuse a second item of one name."""
    first: dict[str, Node] = {}
    for element in elements:
        node, key = _field(element, "name")
        earlier = first.setdefault(element.value.name, node)
        if earlier is not node:
            report.add(node, key, Fault("must be unique in the list", f"first given on line {earlier.line}"))


def check_labels(elements: Sequence[Element], report: Report) -> None:
    """Refuse a second label of one name, an unknown os, and an arch that os does not have."""
    check_unique(elements, report)
    by_name = {element.value.name: element for element in elements}
    if "os" not in by_name:
        return
    os = by_name["os"].value.value
    fault = appc.operating_system(os)
    wrong = by_name["os"]
    if fault is None and "arch" in by_name:
        wrong = by_name["arch"]
        fault = appc.architecture(wrong.value.value, os)
    if fault:
        report.add(*_field(wrong, "value"), fault)


def check_annotations(elements: Sequence[Element], report: Report) -> None:
    """Refuse a second annotation of one name, and well-known ones whose value is not of their type."""
    check_unique(elements, report)
    for element in elements:
        rule = _WELL_KNOWN.get(element.value.name)
        fault = rule(element.value.value) if rule else None
        if fault:
            report.add(*_field(element, "value"), fault)


def check_isolators(elements: Sequence[Element], report: Report) -> None:
    """Refuse isolators that may not stand beside one another."""
    earlier: frozenset[str] = frozenset()
    for element in elements:
        fault = beside(element.value.name, earlier)
        if fault:
            report.add(*_field(element, "name"), fault)
        earlier |= {element.value.name}


def _field(element: Element, name: str) -> tuple[Node, str]:
    """Find the value of a field of a list's item, the item itself when it has none, and its dotted key."""
    found = [member.value for member in element.node.value if fold(member.key) == name]
    return (found[-1] if found else element.node), f"{element.key}.{name}"
