"""Shows a registry who asks: with a password, or with tokens from the service that it names.

Source: RFC 9110, section 11; the distribution project's "Token Authentication Specification"
and "OAuth2 Token Authentication".
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from procession_tasks.errors import BuildError
from procession_tasks.publish.connection import Answer, Connection
from procession_tasks.publish.credentials import Credential, find_credential
from procession_tasks.publish.failure import RefusedError
from procession_tasks.publish.reference import Reference

_CLIENT = "procession-tasks"
_LIFE_S = 60.0  # of a token of which nothing is said
_MARGIN_S = 10.0  # a token that is about to expire may expire on its way
_OK = 200
_WORD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\",]+)))?")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in which a server wants to be shown who asks; the scheme and names are in lower case."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    expires: float  # on the monotonic clock


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read WWW-Authenticate headers, each of which can have several challenges."""
    found: list[Challenge] = []
    for header in headers:
        parameters: dict[str, str] = {}
        for word in _WORD.finditer(header):
            name, quoted, plain = word.groups()
            if quoted is None and plain is None:
                parameters = {}
                found.append(Challenge(name.lower(), parameters))
            else:
                parameters[name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
    return found


class Authorization:
    """Makes the Authorization headers for one registry; several threads may ask for them.

    A password is sent at once, which spares a request each time; a registry that wants tokens
    says so.  Tokens are kept until shortly before they expire.
    """

    def __init__(self, host: str, connection: Connection, environment: Mapping[str, str]) -> None:
        self._host = host
        self._connection = connection
        self._environment = environment
        self._lock = threading.Lock()
        self._credentials: dict[str, Credential | None] = {}
        self._service: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def header(self, path: str, scopes: tuple[str, ...]) -> str | None:
        """Return what shows who works on a repository; None when nothing is known.

        Raises RefusedError when the token service does not take the credential.
        """
        with self._lock:
            credential = self._credential(path)
            if self._service is None:
                return credential.basic if credential and not credential.identity_token else None
            token = self._tokens.get(scopes)
            if token is None or token.expires <= time.monotonic():
                token = self._tokens[scopes] = self._ask(self._service, credential, scopes)
            return token.header

    def is_worth_another(self, used: str | None, challenges: Iterable[Challenge]) -> bool:
        """Take in why a header was not enough, and tell whether there will be another."""
        with self._lock:
            tokens = next((c for c in challenges if c.scheme == "bearer" and "realm" in c.parameters), None)
            self._service = tokens
            self._tokens = {scopes: token for scopes, token in self._tokens.items() if token.header != used}
        return tokens is not None

    def _credential(self, path: str) -> Credential | None:
        if path not in self._credentials:
            self._credentials[path] = find_credential(Reference(self._host, path), self._environment)
        return self._credentials[path]

    def _ask(self, service: Challenge, credential: Credential | None, scopes: tuple[str, ...]) -> _Token:
        asked = [("service", service.parameters.get("service", "")), *(("scope", scope) for scope in scopes)]
        realm = service.parameters["realm"]
        now = time.monotonic()
        if credential and credential.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credential.identity_token, "client_id": _CLIENT}
            form |= {"service": asked[0][1], "scope": " ".join(scopes)}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = self._connection.request("POST", realm, headers, urlencode(form).encode())
        else:
            headers = {"Authorization": credential.basic} if credential else {}
            url = realm + ("&" if "?" in realm else "?") + urlencode(asked)
            answer = self._connection.request("GET", url, headers)
        return self._read(answer, now)

    def _read(self, answer: Answer, now: float) -> _Token:
        if answer.status != _OK:
            raise RefusedError(
                f"{self._host}: its token service must take the credential, got HTTP {answer.status}",
                hint=f"podman login {self._host}",
            )
        try:
            content = json.loads(answer.body)
            token = str(content.get("token") or content["access_token"])
            life = float(content.get("expires_in") or _LIFE_S)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BuildError(f"{self._host}: its token service must answer with a token, got something else") from None
        if not (token.isascii() and token.isprintable()):
            raise BuildError(f"{self._host}: its token service must answer with a token of printable characters")
        return _Token(f"Bearer {token}", now + max(life - _MARGIN_S, life / 2))
