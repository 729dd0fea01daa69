"""A base is read with the place of everything in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession_tasks.errors import DefinitionError
from procession_tasks.publish.kubernetes.base import Base, parse_resources, read_base

TWO = b"""\
# the first
apiVersion: v1
kind: Service
metadata:
  name: one
spec:
  ports:
    - {port: 80}
--- # another
apiVersion: v1
kind: ConfigMap
metadata:
  name: two
data:
  text: |
    ---
    no document
---
# nothing but a remark
"""


def test_documents_of_a_file_keep_their_lines() -> None:
    one, two = parse_resources(TWO, "x.yaml")

    assert [(each.kind, each.name, each.root.line) for each in (one, two)] == [
        ("Service", "one", 2),
        ("ConfigMap", "two", 10),
    ]
    (port,) = one.root.at("spec", "ports").each()
    assert (port.at("port").line, port.at("port").key, port.at("port").scalar) == (8, "spec.ports[0].port", 80)
    assert two.root.at("data", "text").text == "---\nno document\n"


def test_what_is_not_there_has_the_place_of_what_would_hold_it() -> None:
    one, _ = parse_resources(TWO, "x.yaml")
    place = one.root.at("spec", "selector", "app")

    assert (place.given, place.line, place.key, place.text, place.scalar) == (False, 6, "spec.selector.app", "", None)
    assert str(place.problem("must be given")) == "x.yaml:6: spec.selector.app: must be given"
    assert list(place.each()) == list(place.members()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Service\nmetadata: {name: a}", "x.yaml:1: apiVersion: must be given"),
        ("apiVersion: v1\nmetadata: {name: a}", "x.yaml:1: kind: must be given"),
        ("apiVersion: v1\nkind: Service", "x.yaml:1: metadata.name: must be given"),
        (
            "apiVersion: v1\nkind: Servce\nmetadata: {name: a}",
            "x.yaml:2: kind: must be a kind, got 'Servce'\n  hint: did you mean Service?",
        ),
        (
            "kind: [",
            "x.yaml:2: must be YAML: did not find expected node content",
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\nkind: a\nkind: b\n",
            "x.yaml:6: kind: must be written once (first on line 5)\n  hint: remove one of the two",
        ),
        (
            "- a",
            "x.yaml:1: apiVersion: must be given\nx.yaml:1: kind: must be given\nx.yaml:1: metadata.name: must be given",
        ),
    ],
)
def test_what_is_no_resource_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        parse_resources(text.encode(), "x.yaml")
    assert str(refused.value) == message


def test_resources_of_other_makers_are_taken_as_they_are() -> None:
    (one,) = parse_resources(b"apiVersion: m.example/v1\nkind: ServiceMonitor\nmetadata: {name: a}", "x.yaml")
    assert one.kind == "ServiceMonitor"
    assert one.template is None


def write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\n"


def test_a_base_is_read_with_the_bases_it_is_made_from(tmp_path: Path) -> None:
    write(
        tmp_path,
        over__kustomization_yaml="resources: [../base, own.yaml]\nconfigMapGenerator: [{name: made}]\n",
        over__own_yaml=SERVICE.replace("NAME", "own"),
        base__kustomization_yaml="resources: [one.yaml]\nsecretGenerator: [{name: hidden}]\n",
        base__one_yaml=SERVICE.replace("NAME", "one"),
    )
    base = read_base(tmp_path, "over")

    assert [(each.name, each.root.file) for each in base.resources] == [
        ("one", "base/one.yaml"),
        ("own", "over/own.yaml"),
    ]
    assert base.names("Service") == {"one", "own"}
    assert (base.names("ConfigMap"), base.names("Secret")) == ({"made"}, {"hidden"})


def refusal(root: Path, folder: str = "base") -> str:
    with pytest.raises(DefinitionError) as refused:
        read_base(root, folder)
    return str(refused.value)


def test_all_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        base__kustomization_yaml="resources:\n  - gone.yaml\n  - bad.yaml\n  - https://elsewhere.example/base\n",
        base__bad_yaml="kind: Service\n",
    )
    assert refusal(tmp_path).splitlines() == [
        "base/bad.yaml:1: apiVersion: must be given",
        "base/bad.yaml:1: metadata.name: must be given",
        "base/kustomization.yaml:2: resources[0]: must be a file of resources, or a folder of the repository, got 'gone.yaml'",
        "base/kustomization.yaml:4: resources[2]: must be a file of resources, or a folder of the repository, got 'https://elsewhere.example/base'",
    ]


def test_a_base_without_a_kustomization_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "base/kustomization.yaml:1: must be a readable file"


def test_a_resource_may_be_given_once(tmp_path: Path) -> None:
    text = SERVICE.replace("NAME", "one")
    write(
        tmp_path,
        base__kustomization_yaml="resources: [one.yaml, two.yaml]\n",
        base__one_yaml=text,
        base__two_yaml=f"\n{text}",
    )
    assert refusal(tmp_path) == (
        "base/two.yaml:4: metadata.name: must be given once (the first is in base/one.yaml:1), got 'one'"
    )


def test_a_base_that_is_made_from_itself_ends(tmp_path: Path) -> None:
    write(tmp_path, base__kustomization_yaml="resources: [../base]\n")
    assert "must be a file of resources, or a folder of the repository, got '../base'" in refusal(tmp_path)


def test_an_empty_base_has_no_workloads() -> None:
    assert Base(()).workloads == ()
