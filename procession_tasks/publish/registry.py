"""What a registry is asked: is this there, take this, give that.

Source: OCI distribution specification 1.1, "Pushing manifests", "Pushing blobs" and "Pulling blobs".
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlencode, urljoin

from procession_tasks.errors import BuildError
from procession_tasks.image.layout import INDEX, MANIFEST, Descriptor
from procession_tasks.publish.authorization import Authorization, parse_challenges
from procession_tasks.publish.connection import Answer, Body, Connection, server
from procession_tasks.publish.failure import LostUploadError, RefusedError, persistently
from procession_tasks.publish.reference import is_digest

_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = ", ".join([INDEX, MANIFEST, f"{_DOCKER}.list.v2+json", f"{_DOCKER}.v2+json"])
_OK, _CREATED, _ACCEPTED, _NO_CONTENT = 200, 201, 202, 204
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _BAD_RANGE = 401, 403, 404, 416
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]+)")
_SAID_LIMIT = 200
_NO_HEADERS: Mapping[str, str] = {}
_WHO = {"push": "pushes", "pull": "pulls"}
_BINARY = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that has begun: where it goes on, and how many bytes the registry has."""

    location: str
    received: int


class Registry:
    """One registry, with connections and tokens that are kept; several threads may use it.

    `insecure` allows plain HTTP to a host that is not this machine; a certificate is verified
    all the same.  Nothing is sent before the first question.
    """

    def __init__(self, host: str, environment: Mapping[str, str], *, insecure: bool = False) -> None:
        self.host = host
        serving = "registry-1.docker.io" if host == "docker.io" else host
        self._base = f"https://{serving}/v2"  # the connection finds out where there is no TLS
        self._connection = Connection(environment, [serving] if insecure else [])
        self._authorization = Authorization(host, self._connection, environment)

    def manifest_digest(self, path: str, name: str) -> str | None:
        """Return the digest of the manifest that a repository has under a tag or digest, if any."""
        place, url = f"{self.host}/{path}", f"{self._base}/{path}/manifests/{name}"
        headers = {"Accept": _ACCEPT}
        answer = persistently(lambda: self._ask("HEAD", url, path, headers))
        if answer.status == _NOT_FOUND:
            return None
        digest = _expected(place, answer, _OK).headers.get("Docker-Content-Digest")
        if digest is None or not is_digest(digest):  # the specification does not demand it
            answer = _expected(place, persistently(lambda: self._ask("GET", url, path, headers)), _OK)
            digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        return digest

    def has_blob(self, path: str, digest: str) -> bool:
        """Tell whether a repository has a blob."""
        answer = persistently(lambda: self._ask("HEAD", f"{self._base}/{path}/blobs/{digest}", path))
        return answer.status != _NOT_FOUND and bool(_expected(f"{self.host}/{path}", answer, _OK))

    def get(self, path: str, digest: str, into: IO[bytes]) -> bool:
        """Write a blob or a manifest into an empty file, and tell whether the repository has it.

        What it is has to be verified.
        """
        for kind in ("blobs", "manifests"):

            def fetch(url: str = f"{self._base}/{path}/{kind}/{digest}") -> Answer:
                into.seek(0)
                into.truncate()
                return self._ask("GET", url, path, {"Accept": f"{_ACCEPT}, */*"}, access="pull", into=into)

            answer = persistently(fetch)
            if answer.status != _NOT_FOUND:
                return bool(_expected(f"{self.host}/{path}", answer, _OK, does="pull"))
        return False

    def put_manifest(self, path: str, name: str, manifest: Descriptor, content: bytes) -> None:
        """Store exactly these bytes under a tag or digest; all that they lead to must be there."""
        place, url = f"{self.host}/{path}", f"{self._base}/{path}/manifests/{name}"
        headers = {"Content-Type": manifest.media_type}
        answer = persistently(lambda: self._ask("PUT", url, path, headers, content))
        _same_digest(place, _expected(place, answer, _CREATED), manifest.digest)

    def begin_upload(self, path: str, digest: str = "", other: str = "") -> Upload | None:
        """Begin to upload a blob; None if the registry could take it from the `other` repository at once.

        This and what follows is tried once.
        """
        url = f"{self._base}/{path}/blobs/uploads/"
        scopes: tuple[str, ...] = ()
        if other:
            url += "?" + urlencode({"mount": digest, "from": other})
            scopes = (f"repository:{other}:pull",)
        answer = self._ask("POST", url, path, body=b"", more_scopes=scopes)
        answer = _expected(f"{self.host}/{path}", answer, _ACCEPTED, *([_CREATED] if other else []))
        if answer.status == _CREATED:
            _same_digest(f"{self.host}/{path}", answer, digest)
            return None
        return Upload(self._location(path, answer, ""), 0)

    def send(self, path: str, upload: Upload, body: Body) -> Upload:
        """Send what comes after the received bytes; the result tells how far the registry has come."""
        headers = {"Content-Type": _BINARY}
        end = upload.received + body.size
        if upload.received:
            headers["Content-Range"] = f"{upload.received}-{end - 1}"
        answer = self._ask("PATCH", upload.location, path, headers, body)
        answer = self._continued(path, answer, _ACCEPTED, _NO_CONTENT)
        return Upload(self._location(path, answer, upload.location), _received(answer, end))

    def status(self, path: str, upload: Upload) -> Upload:
        """Ask how far an upload has come; raises LostUploadError when the registry has none such."""
        answer = self._continued(path, self._ask("GET", upload.location, path), _NO_CONTENT, _OK)
        return Upload(self._location(path, answer, upload.location), _received(answer, 0))

    def finish(self, path: str, upload: Upload, digest: str, body: Body) -> None:
        """Send the rest of a blob, which may be nothing, and have the registry verify all of it."""
        url = upload.location + ("&" if "?" in upload.location else "?") + urlencode({"digest": digest})
        headers = {"Content-Type": _BINARY}
        if upload.received and body.size:
            headers["Content-Range"] = f"{upload.received}-{upload.received + body.size - 1}"
        answer = self._ask("PUT", url, path, headers, body)
        _same_digest(f"{self.host}/{path}", self._continued(path, answer, _CREATED, _NO_CONTENT), digest)

    def _ask(
        self,
        method: str,
        url: str,
        path: str,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes | Body | None = None,
        more_scopes: tuple[str, ...] = (),
        access: str = "pull,push",
        into: IO[bytes] | None = None,
    ) -> Answer:
        """Ask once, and once more when the registry wants to be shown who asks in another way."""
        scopes = (f"repository:{path}:{access}", *more_scopes)
        if server(url) != server(self._base):  # where an upload may go, which must not learn who asks
            return self._connection.request(method, url, headers, body, into)
        shown = self._authorization.header(path, scopes)
        answer = self._connection.request(method, url, _with(headers, shown), body, into)
        if answer.status != _UNAUTHORIZED or server(answer.url) != server(self._base):
            return answer
        challenges = parse_challenges(answer.headers.getlist("WWW-Authenticate"))
        if not self._authorization.is_worth_another(shown, challenges):
            return answer
        shown = self._authorization.header(path, scopes)
        return self._connection.request(method, url, _with(headers, shown), body, into)

    def _location(self, path: str, answer: Answer, before: str) -> str:
        location = answer.headers.get("Location")
        if location is None and not before:
            raise BuildError(f"{self.host}/{path}: must say where an upload goes, got no Location")
        return urljoin(answer.url, location) if location else before

    def _continued(self, path: str, answer: Answer, *statuses: int) -> Answer:
        if answer.status in (_NOT_FOUND, _BAD_RANGE):
            raise LostUploadError(f"{self.host}/{path}: {_said(answer)}")
        return _expected(f"{self.host}/{path}", answer, *statuses)


def _with(headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    return {**headers, **({} if authorization is None else {"Authorization": authorization})}


def _received(answer: Answer, otherwise: int) -> int:
    """Read how many bytes a registry has; one that has none cannot say it but as ``0-0``."""
    found = _RANGE.fullmatch(answer.headers.get("Range", ""))
    if found is None:
        return otherwise
    return int(found[1]) + 1 if int(found[1]) else 0


def _same_digest(place: str, answer: Answer, digest: str) -> None:
    got = answer.headers.get("Docker-Content-Digest", digest)  # the specification does not demand it
    if got != digest:
        raise BuildError(
            f"{place}: must have stored what it was sent, {digest}, got {_printable(got)}",
            hint="see whether something between here and the registry changes what is sent, and push again",
        )


def _expected(place: str, answer: Answer, *statuses: int, does: str = "push") -> Answer:
    """Return an answer that has one of the statuses; raises what says why it has not."""
    if answer.status in statuses:
        return answer
    host = place.partition("/")[0]
    if answer.status == _UNAUTHORIZED:
        raise RefusedError(f"{place}: must know who {_WHO[does]}, got {_said(answer)}", hint=f"podman login {host}")
    if answer.status == _FORBIDDEN:
        hint = f"podman login {host}, as a user who may {does} there"
        raise RefusedError(f"{place}: must allow this user to {does}, got {_said(answer)}", hint=hint)
    if answer.status == _NOT_FOUND:
        hint = "see whether the name is right, and whether the registry wants the repository to be made first"
        raise BuildError(f"{place}: must be a repository of a registry, got {_said(answer)}", hint=hint)
    done = {"push": "taken", "pull": "given"}[does]
    raise BuildError(f"{place}: must be {done} by the registry, got {_said(answer)}")


def _said(answer: Answer) -> str:
    """Tell a status, with the registry's own reason where it gives one in the standard form."""
    status = f"HTTP {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
    try:
        first = json.loads(answer.body)["errors"][0]
        said = ": ".join(str(first[key]) for key in ("code", "message") if first.get(key))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        said = ""
    return f"{status} ({_printable(said)})" if said else status


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:_SAID_LIMIT])
