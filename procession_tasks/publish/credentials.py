"""Finds who pushes to a registry, in the files that `podman login` and `docker login` write.

Source: containers-auth.json(5), "docker login" (credential stores and helpers).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from procession_tasks import process
from procession_tasks.errors import BuildError
from procession_tasks.publish.reference import Reference

_TOKEN_USER = "<token>"  # noqa: S105  # what a helper names who has an identity token
_NOT_FOUND = b"credentials not found"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user's name and password; or an identity token, for which a registry's token service gives others."""

    user: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def find_credential(repository: Reference, environment: Mapping[str, str]) -> Credential | None:
    """Return the credential of the first file that has one, if any.

    Within a file the longest key that leads to the repository counts: ``host/team/api``, then
    ``host/team``, then ``host``.  May run a credential helper.  Raises BuildError for a file or a
    helper that does not give what it must.
    """
    for file in credential_files(environment, os.getuid()):
        found = _in_file(file, repository, environment)
        if found:
            return found
    return None


def credential_files(environment: Mapping[str, str], uid: int) -> tuple[Path, ...]:
    """List where credentials can be, in the order in which they count; a file that is named is the only one."""
    if named := environment.get("REGISTRY_AUTH_FILE"):
        return (Path(named),)
    home = Path(environment.get("HOME") or "/")
    runtime = environment.get("XDG_RUNTIME_DIR")
    return (
        Path(runtime, "containers/auth.json") if runtime else Path(f"/run/containers/{uid}/auth.json"),
        Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json"),
        Path(environment.get("DOCKER_CONFIG") or home / ".docker", "config.json"),
    )


def _in_file(file: Path, repository: Reference, environment: Mapping[str, str]) -> Credential | None:
    """Look for a helper of the host, then for what the file itself has, then in the store of all hosts."""
    content = _read(file)
    host = _host(repository.host)
    helpers, entries = content.get("credHelpers", {}), content.get("auths", {})
    if not isinstance(helpers, dict) or not isinstance(entries, dict):
        raise _broken(file, "auths and credHelpers must be objects")
    if (helper := helpers.get(host)) and (found := _ask(helper, host, environment)):
        return found
    for key in _keys(repository, entries):
        if found := _decoded(file, key, entries[key]):
            return found
    store = content.get("credsStore")
    return _ask(store, _server(host), environment) if store else None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise BuildError(f"{file}: cannot be read: {(error.strerror or '').lower()}") from None
    except ValueError:
        raise _broken(file, "must be JSON") from None
    if not isinstance(content, dict):
        raise _broken(file, "must be a JSON object")
    return content


def _keys(repository: Reference, entries: Mapping[str, Any]) -> Iterator[str]:
    """Go through the keys that lead to a repository, most specific first; older ones are URLs of the host."""
    parts = repository.path.split("/")
    for length in range(len(parts), -1, -1):
        key = "/".join([repository.host, *parts[:length]])
        if key in entries:
            yield key
    host = _host(repository.host)
    yield from (key for key in sorted(entries) if key != repository.host and _host_of_url(key) == host)


def _host_of_url(key: str) -> str | None:
    """Return the host of a key that names all of a host, as docker writes some: ``https://host/v1/``."""
    scheme, _, rest = key.rpartition("://")
    host, _, path = rest.partition("/")
    return _host(host) if scheme or path in ("", "v1", "v1/", "v2", "v2/") else None


def _host(host: str) -> str:
    """Return the name that a host's credentials have; that of Docker's own registry is another."""
    return "index.docker.io" if host in ("docker.io", "registry-1.docker.io") else host


def _server(host: str) -> str:
    """Return the name that `docker login` gives a host in a store."""
    return "https://index.docker.io/v1/" if host == "index.docker.io" else host


def _decoded(file: Path, key: str, entry: Any) -> Credential | None:
    """Read an entry; an empty one says that a store has the credential."""
    if not isinstance(entry, dict):
        raise _broken(file, f"auths[{key!r}] must be an object")
    encoded, token = entry.get("auth"), entry.get("identitytoken")
    if not encoded and not token:
        return None
    try:
        user, colon, password = base64.b64decode(encoded or "Og==", validate=True).decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        colon = ""
    if not colon:
        raise _broken(file, f"auths[{key!r}].auth must be user:password in base64")
    return Credential(user, password.rstrip("\0"), str(token or ""))


def _ask(helper: Any, server: str, environment: Mapping[str, str]) -> Credential | None:
    """Have a helper look for the credential of a host; what it says of secrets is not repeated."""
    program = f"docker-credential-{helper}"
    ended = process.run([program, "get"], folder=Path("/"), environment=environment, stdin=server.encode())
    if ended.status:
        if _NOT_FOUND in ended.stdout + ended.stderr:
            return None
        raise BuildError(f"{program}: must give the credential of {server}, got status {ended.status}")
    try:
        answer = json.loads(ended.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise BuildError(f"{program}: must print JSON with Username and Secret, got something else") from None
    return Credential("", identity_token=secret) if user == _TOKEN_USER else Credential(user, secret)


def _broken(file: Path, rule: str) -> BuildError:
    return BuildError(f"{file}: {rule}", hint="correct the file, or remove it and log in again")
