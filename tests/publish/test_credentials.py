"""Credentials from the files of podman and docker, and from their helpers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.publish.credentials import Credential, credential_files, find_credential
from procession_tasks.publish.reference import Reference

API = Reference("registry.example:5000", "team/sub/api")


def auth(user: str, password: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


class Home:
    """Somebody's home, with credential files and helpers."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.folder = Path(environment["HOME"])

    def write(self, name: str, content: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def add_helper(self, name: str, script: str) -> None:
        """Make a helper, which finds what it was asked in $1 and `asked`."""
        path = self.write(f"bin/docker-credential-{name}", f"#!/bin/sh\nasked=$(cat)\n{script}\n")
        path.chmod(0o755)
        self.environment["PATH"] = f"{path.parent}:/usr/bin:/bin"

    def find(self, reference: Reference = API) -> Credential | None:
        return find_credential(reference, self.environment)

    def user(self, reference: Reference = API) -> str | None:
        found = self.find(reference)
        return found and found.user


@pytest.fixture
def home(environment: dict[str, str]) -> Home:
    return Home(environment)


def test_who_has_logged_in_nowhere_has_no_credential(home: Home) -> None:
    assert home.find() is None


@pytest.mark.parametrize("file", ["run/containers/auth.json", ".config/containers/auth.json", ".docker/config.json"])
def test_each_usual_file_counts(home: Home, file: str) -> None:
    home.write(file, {"auths": {"registry.example:5000": auth("me", "pass:word")}})

    assert home.find() == Credential("me", "pass:word")


def test_earlier_files_come_first_and_a_named_one_is_the_only_one(home: Home) -> None:
    home.write(
        ".docker/config.json", {"auths": {"registry.example:5000": auth("docker"), "other.example": auth("other")}}
    )
    home.write(".config/containers/auth.json", {"auths": {"registry.example:5000": auth("config")}})
    home.write("run/containers/auth.json", {"auths": {"registry.example:5000": auth("run")}})
    named = home.write("named.json", {"auths": {"registry.example:5000": auth("named")}})

    assert home.user() == "run"
    assert home.user(Reference("other.example", "api")) == "other"
    home.environment["REGISTRY_AUTH_FILE"] = str(named)
    assert home.user() == "named"
    assert home.user(Reference("other.example", "api")) is None


def test_folders_of_files_come_from_the_environment() -> None:
    named = {"XDG_RUNTIME_DIR": "/r", "XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d", "HOME": "/h"}
    listed = [str(file) for file in credential_files(named, 7)]

    assert listed == ["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json"]
    listed = [str(file) for file in credential_files({"HOME": "/h"}, 7)]
    assert listed == ["/run/containers/7/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"]


@pytest.mark.parametrize(
    ("keys", "user"),
    [
        (["registry.example:5000"], "registry.example:5000"),
        (["registry.example:5000", "registry.example:5000/team"], "registry.example:5000/team"),
        (["registry.example:5000/team/sub", "registry.example:5000/team"], "registry.example:5000/team/sub"),
        (["registry.example:5000/team/sub/api", "registry.example:5000/team"], "registry.example:5000/team/sub/api"),
        (["registry.example:5000/team/sub/ap", "registry.example:5000/te"], None),
        (["registry.example:5000/team/sub/api/more"], None),
        (["registry.example", "other.example:5000"], None),
        (["https://registry.example:5000"], "https://registry.example:5000"),
        (["https://registry.example:5000/v2/"], "https://registry.example:5000/v2/"),
        (["http://registry.example:5000/v1/", "registry.example:5000"], "registry.example:5000"),
        (["registry.example:5000/v1/"], "registry.example:5000/v1/"),
    ],
)
def test_the_most_specific_key_counts(home: Home, keys: list[str], user: str | None) -> None:
    # A user may have no colon in the name: what stands for it is the key with another letter.
    home.write(".docker/config.json", {"auths": {key: auth(key.replace(":", ";")) for key in keys}})

    assert home.user() == (user and user.replace(":", ";"))


def test_an_identity_token_is_found_beside_a_user(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {API.host: {**auth("me", ""), "identitytoken": "long"}}})

    assert home.find() == Credential("me", "", "long")


def test_secrets_are_in_no_text_of_a_credential() -> None:
    assert "secret" not in repr(Credential("me", "secret", "secret"))


def test_a_helper_of_the_host_comes_before_what_the_file_has(home: Home) -> None:
    home.add_helper("here", """echo "{\\"Username\\": \\"$1 $asked\\", \\"Secret\\": \\"helped\\"}" """)
    home.write(".docker/config.json", {"credHelpers": {API.host: "here"}, "auths": {API.host: auth("file")}})

    assert home.find() == Credential("get registry.example:5000", "helped")
    assert home.user(Reference("other.example", "api")) is None


def test_the_store_of_all_hosts_is_asked_for_what_the_file_has_not(home: Home) -> None:
    home.add_helper("all", """echo "{\\"Username\\": \\"$asked\\", \\"Secret\\": \\"stored\\"}" """)
    entries = {API.host: {}, "other.example": auth("file")}
    home.write(".docker/config.json", {"credsStore": "all", "auths": entries})

    assert home.user() == "registry.example:5000"
    assert home.user(Reference("other.example", "api")) == "file"
    assert home.user(Reference("docker.io", "team/api")) == "https://index.docker.io/v1/"


def test_the_hub_goes_by_its_older_name(home: Home) -> None:
    home.write(".docker/config.json", {"auths": {"https://index.docker.io/v1/": auth("hub")}})

    assert home.user(Reference("docker.io", "team/api")) == "hub"


def test_a_helper_can_have_an_identity_token_or_nothing(home: Home) -> None:
    home.add_helper("token", """echo '{"Username": "<token>", "Secret": "long"}'""")
    home.add_helper("none", "echo credentials not found in native keychain; exit 1")
    home.write("run/containers/auth.json", {"credHelpers": {API.host: "none"}})
    home.write(".docker/config.json", {"credsStore": "token"})

    assert home.find() == Credential("", "", "long")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda home: None, "docker-credential-x: cannot be started: No such file or directory"),
        (
            lambda home: home.add_helper("x", "echo the secret; exit 3"),
            "docker-credential-x: must give the credential of registry.example:5000, got status 3",
        ),
        (
            lambda home: home.add_helper("x", "echo the secret"),
            "docker-credential-x: must print JSON with Username and Secret, got something else",
        ),
        (
            lambda home: home.add_helper("x", "echo '[\"secret\"]'"),
            "docker-credential-x: must print JSON with Username and Secret, got something else",
        ),
    ],
)
def test_a_helper_that_fails_is_named_and_not_quoted(home: Home, prepare: Callable[[Home], None], message: str) -> None:
    home.write(".docker/config.json", {"credsStore": "x"})
    prepare(home)
    with pytest.raises(BuildError) as failed:
        home.find()

    assert failed.value.message == message


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("{", "must be JSON"),
        ("\udcff", "must be JSON"),
        ("[]", "must be a JSON object"),
        ({"auths": []}, "auths and credHelpers must be objects"),
        ({"credHelpers": "x"}, "auths and credHelpers must be objects"),
        ({"auths": {API.host: "c2VjcmV0"}}, "auths['registry.example:5000'] must be an object"),
        (
            {"auths": {API.host: {"auth": "secret"}}},
            "auths['registry.example:5000'].auth must be user:password in base64",
        ),
        (
            {"auths": {API.host: {"auth": "c2VjcmV0"}}},
            "auths['registry.example:5000'].auth must be user:password in base64",
        ),
        ({"auths": {API.host: {"auth": 7}}}, "auths['registry.example:5000'].auth must be user:password in base64"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_rule(home: Home, content: Any, rule: str) -> None:
    if content == "\udcff":
        file = home.write(".docker/config.json", "")
        file.write_bytes(b"\xff\xfe")
    else:
        file = home.write(".docker/config.json", content)
    with pytest.raises(BuildError) as wrong:
        home.find()

    assert wrong.value.message == f"{file}: {rule}"
    assert "log in again" in str(wrong.value.hint)


def test_a_file_that_cannot_be_read_is_named(home: Home) -> None:
    (home.folder / ".docker/config.json").mkdir(parents=True)
    with pytest.raises(BuildError, match="config.json: cannot be read: is a directory"):
        home.find()
