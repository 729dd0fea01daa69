"""References to images: what they are made of, and which are refused."""

from __future__ import annotations

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.publish.reference import Reference

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("registry.example/api", ("registry.example", "api", None, None)),
        ("registry.example/team/api:1.0.0", ("registry.example", "team/api", "1.0.0", None)),
        ("registry.example:5000/team/api:1.0.0", ("registry.example:5000", "team/api", "1.0.0", None)),
        (f"registry.example/team/api@{DIGEST}", ("registry.example", "team/api", None, DIGEST)),
        (f"registry.example/api:v1@{DIGEST}", ("registry.example", "api", "v1", DIGEST)),
        ("localhost/api", ("localhost", "api", None, None)),
        ("registry:5000/api", ("registry:5000", "api", None, None)),
        ("127.0.0.1:5000/api:_", ("127.0.0.1:5000", "api", "_", None)),
        ("[::1]:5000/api:A-b.c_d", ("[::1]:5000", "api", "A-b.c_d", None)),
        ("registry.example/a.b/c_d/e__f/g-h/i---j", ("registry.example", "a.b/c_d/e__f/g-h/i---j", None, None)),
        (f"registry.example/api:{'x' * 128}", ("registry.example", "api", "x" * 128, None)),
    ],
)
def test_a_reference_is_host_path_tag_and_digest(text: str, parts: tuple[str | None, ...]) -> None:
    reference = Reference.parse(text)

    assert (reference.host, reference.path, reference.tag, reference.digest) == parts
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must begin with the host of a registry"),
        ("api", "must begin with the host of a registry"),
        ("team/api:1", "must begin with the host of a registry"),
        ("https://registry.example/api", "must begin with the host of a registry"),
        ("user@registry.example/api", "must begin with the host of a registry"),
        ("-registry.example/api", "must begin with the host of a registry"),
        ("registry..example/api", "must begin with the host of a registry"),
        ("registry.example:/api", "must begin with the host of a registry"),
        ("[::1/api", "must begin with the host of a registry"),
        ("[1.2.3.4]/api", "must have an IPv6 address in brackets"),
        ("[1:2]:5000/api", "must have an IPv6 address in brackets"),
        ("registry.example:0/api", "a port must be from 1 to 65535, got 0"),
        ("registry.example:65536/api", "a port must be from 1 to 65535, got 65536"),
        ("registry.example", "a repository must be lower-case"),
        ("registry.example/", "a repository must be lower-case"),
        ("registry.example/Team/api", "a repository must be lower-case"),
        ("registry.example/team//api", "a repository must be lower-case"),
        ("registry.example/team/api/", "a repository must be lower-case"),
        ("registry.example/team/../api", "a repository must be lower-case"),
        ("registry.example/a___b", "a repository must be lower-case"),
        ("registry.example/a..b", "a repository must be lower-case"),
        ("registry.example/_a", "a repository must be lower-case"),
        ("registry.example/a-", "a repository must be lower-case"),
        ("registry.example/api\n", "a repository must be lower-case"),
        ("registry.example/äpi", "a repository must be lower-case"),
        ("registry.example/api:", "a tag must be"),
        ("registry.example/api:.1", "a tag must be"),
        ("registry.example/api:-1", "a tag must be"),
        ("registry.example/api:1/2", "a tag must be"),
        ("registry.example/api:1+2", "a tag must be"),
        ("registry.example/api:1\n", "a tag must be"),
        (f"registry.example/api:{'x' * 129}", "a tag must be"),
        ("registry.example/api@", "a digest must be"),
        ("registry.example/api@sha256:abc", "a digest must be"),
        (f"registry.example/api@{DIGEST.upper()}", "a digest must be"),
        (f"registry.example/api@{DIGEST}:1", "a digest must be"),
        (f"registry.example/{'a' * 239}", "host and path must have at most 255 characters, got 256"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_rule(text: str, rule: str) -> None:
    with pytest.raises(BuildError) as refused:
        Reference.parse(text)

    assert refused.value.message.startswith(f"{text}: {rule}")
    assert refused.value.hint == "write it as registry.example/team/name:tag"


def test_another_image_of_the_repository_is_named_by_its_tag_or_its_digest() -> None:
    reference = Reference.parse("registry.example/api:1")

    assert str(reference.tagged("2")) == "registry.example/api:2"
    assert str(reference.pinned(DIGEST)) == f"registry.example/api@{DIGEST}"
    assert reference.repository == "registry.example/api"
    with pytest.raises(BuildError, match="registry.example/api: a tag must be .*, got 'a b'"):
        reference.tagged("a b")
