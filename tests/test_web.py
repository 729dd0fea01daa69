"""Hosts, and the proxies before them."""

from __future__ import annotations

import pytest

from procession_tasks.web import is_loopback, proxy


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9:5000", True),
        ("[::1]:5000", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST:5000", True),
        ("128.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example:5000", False),
        ("registry.example", False),
        ("[::2]", False),
        ("", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, *, is_so: bool) -> None:
    assert is_loopback(host) == is_so


@pytest.mark.parametrize(
    ("host", "excepted", "is_excepted"),
    [
        ("registry.example", "", False),
        ("registry.example", "other.example", False),
        ("registry.example", "registry.example", True),
        ("registry.example:5000", "registry.example", True),
        ("registry.example:5000", "a, registry.example:5000", True),
        ("registry.example:5000", "registry.example:5001", False),
        ("registry.example", ".example", True),
        ("registry.example", "example", True),
        ("registry.example", "*.example", True),
        ("registry.example", "istry.example", False),
        ("registry.example", "*", True),
        ("registry.example", " , ", False),
    ],
)
def test_some_hosts_need_no_proxy(host: str, excepted: str, *, is_excepted: bool) -> None:
    found = proxy("https", host, {"https_proxy": "proxy.example:3128", "no_proxy": excepted})

    assert found == (None if is_excepted else "http://proxy.example:3128")


def test_this_machine_needs_no_proxy() -> None:
    assert proxy("http", "127.0.0.1:5000", {"http_proxy": "http://proxy.example"}) is None
