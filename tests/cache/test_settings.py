"""Which caches a run uses: settings, the environment, and who may write."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from procession_tasks.cache.settings import Access, Endpoint, chosen, endpoint, engine, size
from procession_tasks.definition.cache import CacheSettings, RemoteSettings
from procession_tasks.errors import BuildError

URL = "https://cache.example/team"
SET = CacheSettings(url=URL, write=True)
TOKEN = {"PROCESSION_CACHE_TOKEN": "secret"}


def test_without_settings_there_is_this_machine_s_cache_alone() -> None:
    found = chosen(CacheSettings(), Path("/r"), {})
    assert (found.disk, found.remote, found.write, found.go, found.size) == (True, None, False, False, 10 * 1024**3)


def test_a_url_turns_on_a_cache_elsewhere_and_go_s_own() -> None:
    found = chosen(CacheSettings(url=URL), Path("/r"), {})
    assert found.remote == Endpoint(URL, "", Access())
    assert (found.write, found.go) == (False, True)


def test_the_environment_wins() -> None:
    environment = {
        "PROCESSION_CACHE_URL": "grpc://other.example:1",
        "PROCESSION_CACHE_SALT": "s",
        "PROCESSION_CACHE_GO": "0",
    }
    found = chosen(SET, Path("/r"), environment)
    assert found.remote is not None
    assert (found.remote.url, found.salt, found.go) == ("grpc://other.example:1", "s", False)


def test_an_empty_variable_turns_the_setting_off() -> None:
    assert chosen(SET, Path("/r"), {"PROCESSION_CACHE_URL": ""}).remote is None


def test_everything_can_be_turned_off() -> None:
    found = chosen(SET, Path("/r"), {"PROCESSION_CACHE": "off", **TOKEN})
    assert (found.disk, found.remote, found.go) == (False, None, False)


@pytest.mark.parametrize(
    ("settings", "environment", "writes"),
    [
        (SET, TOKEN, True),
        (SET, {}, False),  # nobody knows who we are
        (dataclasses.replace(SET, write=False), TOKEN, False),  # nobody said so
        (SET, TOKEN | {"GITHUB_EVENT_NAME": "push"}, True),
        (SET, TOKEN | {"GITHUB_EVENT_NAME": "pull_request"}, False),
        (SET, TOKEN | {"GITHUB_EVENT_NAME": "pull_request_target"}, False),
        (SET, TOKEN | {"GITHUB_EVENT_NAME": "merge_group"}, False),
        (SET, TOKEN | {"CI_MERGE_REQUEST_IID": "7"}, False),
        (SET, TOKEN | {"CI_MERGE_REQUEST_IID": "7", "PROCESSION_CACHE_WRITE": "on"}, True),  # its CI says so
        (SET, TOKEN | {"PROCESSION_CACHE_WRITE": "off"}, False),
        (CacheSettings(url=URL), {"PROCESSION_CACHE_WRITE": "1"}, True),
        (CacheSettings(), {"PROCESSION_CACHE_WRITE": "1"}, False),  # nowhere to write to
        (dataclasses.replace(SET, url="https://me:word@cache.example"), {}, True),
    ],
)
def test_only_who_is_told_to_writes(settings: CacheSettings, environment: dict[str, str], *, writes: bool) -> None:
    assert chosen(settings, Path("/r"), environment).write == writes


def test_a_password_in_a_url_does_not_stay_there() -> None:
    found = endpoint("https://me:s%3Acret@cache.example:8443/team/", "i", Access())
    assert (found.url, found.name) == ("https://cache.example:8443/team", "https://cache.example:8443")
    assert found.access.authorization == "Basic bWU6czpjcmV0"
    assert "cret" not in repr(found)


@pytest.mark.parametrize(
    ("url", "token", "is_exposed"),
    [
        ("http://cache.example", "t", True),
        ("grpc://cache.example:1", "t", True),
        ("https://cache.example", "t", False),
        ("http://127.0.0.1:80", "t", False),
        ("grpc://localhost:80", "t", False),
        ("http://cache.example", None, False),
    ],
)
def test_a_credential_is_for_the_server_alone(url: str, token: str | None, *, is_exposed: bool) -> None:
    assert endpoint(url, "", Access(token=token)).is_exposed == is_exposed


def test_a_token_goes_before_a_password() -> None:
    assert Access(token="t", user="u", password="p").authorization == "Bearer t"
    assert Access().authorization is None


@pytest.mark.parametrize(
    "url",
    [
        "cache.example", "ftp://cache.example", "http:/cache.example", "https://", "grpc://a b", "http://a:port",
        "https://u:secret@", "redis://cache.example", "http://a?b=c", "s3://bucket",
    ],
)  # fmt: skip
def test_a_url_that_is_none_is_a_mistake_and_its_password_is_not_told(url: str) -> None:
    with pytest.raises(BuildError) as failed:
        chosen(CacheSettings(), Path("/r"), {"PROCESSION_CACHE_URL": url})
    assert failed.value.message.startswith(
        "PROCESSION_CACHE_URL: must be the URL of a cache: http, https, grpc or grpcs"
    )
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("10K", 10240), ("5M", 5 * 1024**2), ("2G", 2 * 1024**3), ("1T", 1024**4)]
)
def test_sizes_are_powers_of_1024(text: str, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize("url", ["http://h:99999/", "https://h:0", "http://[:::]/x"])
def test_a_port_or_an_address_that_cannot_be_is_a_mistake(url: str) -> None:
    with pytest.raises(BuildError, match="must be the URL of a cache"):
        chosen(CacheSettings(), Path("/r"), {"PROCESSION_CACHE_URL": url})


@pytest.mark.parametrize("url", ["https://ci:S3CRET@engine.example", "grpc://ci:S3/CRET@engine.example/x y"])
def test_no_password_is_told_whatever_is_wrong(url: str) -> None:
    for ask in (
        lambda: engine(RemoteSettings(), CacheSettings(), Path("/r"), {"PROCESSION_REMOTE_EXECUTION": url}),
        lambda: chosen(CacheSettings(), Path("/r"), {"PROCESSION_CACHE_URL": f"{url} "}),
    ):
        with pytest.raises(BuildError) as failed:
            ask()
        assert "CRET" not in str(failed.value)


def test_every_switch_is_looked_at_even_if_it_says_nothing() -> None:
    with pytest.raises(BuildError, match="PROCESSION_CACHE_WRITE"):
        chosen(CacheSettings(), Path("/r"), {"PROCESSION_CACHE_WRITE": "maybe"})


def test_who_signs_takes_only_what_is_signed() -> None:
    with pytest.raises(BuildError, match="PROCESSION_CACHE_SIGNING_KEY: must go with signers"):
        chosen(SET, Path("/r"), {"PROCESSION_CACHE_SIGNING_KEY": "k"})


def test_a_switch_is_on_or_off() -> None:
    with pytest.raises(BuildError, match="PROCESSION_CACHE_WRITE: must be on or off, got 'maybe'"):
        chosen(SET, Path("/r"), {"PROCESSION_CACHE_WRITE": "maybe"})


def test_certificates_are_found_from_the_repository(tmp_path: Path) -> None:
    for name in ("ca.pem", "mine.pem", "mine.key"):
        (tmp_path / name).write_text("")
    settings = CacheSettings(url=URL, authority="ca.pem", certificate="mine.pem", keyfile="mine.key")
    found = chosen(settings, tmp_path, {})
    assert found.remote is not None
    assert found.remote.access.authority == tmp_path / "ca.pem"
    assert found.remote.access.keyfile == tmp_path / "mine.key"


@pytest.mark.parametrize(
    ("settings", "environment", "message"),
    [
        (
            {"authority": "no.pem"},
            {},
            "pyproject.toml: tool.procession.cache.authority: must be a file that is there, got 'no.pem'",
        ),
        (
            {},
            {"PROCESSION_CACHE_AUTHORITY": "/no.pem"},
            "PROCESSION_CACHE_AUTHORITY: must be a file that is there, got '/no.pem'",
        ),
        (
            {"certificate": "a"},
            {},
            "PROCESSION_CACHE_CERTIFICATE: must go with PROCESSION_CACHE_KEYFILE, got one of them alone",
        ),
    ],
)
def test_certificates_that_are_not_there_are_a_mistake(
    settings: dict[str, str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(BuildError) as failed:
        chosen(CacheSettings(url=URL, **settings), tmp_path, environment)
    assert failed.value.message == message


def test_programs_are_compiled_here_unless_an_engine_is_named() -> None:
    assert engine(RemoteSettings(), CacheSettings(), Path("/r"), {}) is None
    remote = RemoteSettings(execution="grpc://engine.example:8980", instance="main")
    found = engine(remote, CacheSettings(), Path("/r"), TOKEN)
    assert found == Endpoint("grpc://engine.example:8980", "main", Access(token="secret"))
    assert engine(remote, CacheSettings(), Path("/r"), {"PROCESSION_REMOTE": "off"}) is None


def test_an_engine_speaks_grpc() -> None:
    with pytest.raises(BuildError, match="PROCESSION_REMOTE_EXECUTION: must be the URL of an engine"):
        engine(RemoteSettings(), CacheSettings(), Path("/r"), {"PROCESSION_REMOTE_EXECUTION": "https://engine.example"})
