"""Which caches a run uses, and how: the settings, and what the environment says of this machine."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from procession_tasks.definition.cache import CACHE_URL, CacheSettings, RemoteSettings
from procession_tasks.errors import BuildError
from procession_tasks.web import is_loopback

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
# A pull request's code decides what it builds: GitHub Actions and GitLab CI say that it is one.
_PULL_REQUESTS = ("pull_request", "pull_request_target", "merge_group")


@dataclass(frozen=True, slots=True)
class Access:
    """What a server is shown and trusted by; paths are absolute.  `repr` holds no secret."""

    token: str | None = None
    user: str | None = None
    password: str | None = None
    authority: Path | None = None
    certificate: Path | None = None
    keyfile: Path | None = None

    @property
    def is_known(self) -> bool:
        """Whether a server can tell who we are."""
        return bool(self.token or self.user or self.certificate)

    @property
    def authorization(self) -> str | None:
        """The Authorization header: RFC 6750 for a token, RFC 7617 for a name and password."""
        if self.token:
            return f"Bearer {self.token}"
        if self.user:
            pair = f"{self.user}:{self.password or ''}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return None

    def __repr__(self) -> str:
        return "Access(…)"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: `url` without user and password, `name` as messages call it."""

    url: str
    instance: str
    access: Access

    @property
    def name(self) -> str:
        """Scheme, host and port."""
        return "/".join(self.url.split("/")[:3])

    @property
    def is_exposed(self) -> bool:
        """Whether a credential leaves this machine without encryption."""
        parts = urlsplit(self.url)
        return bool(self.access.authorization) and parts.scheme in ("http", "grpc") and not is_loopback(parts.netloc)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The caches of a run; `size` is how many bytes the disk cache may keep."""

    disk: bool
    size: int
    salt: str
    remote: Endpoint | None
    write: bool
    go: bool
    signers: tuple[str, ...]
    signing_key: str | None


def chosen(settings: CacheSettings, root: Path, environment: Mapping[str, str]) -> Chosen:
    """Choose caches; a variable of the environment wins over the setting of its name.

    Raises BuildError for what cannot be meant: a URL that is none, files that are not there.
    """
    url = environment.get("PROCESSION_CACHE_URL", settings.url or "")
    remote = None
    if url:
        _check_url("PROCESSION_CACHE_URL", url)
        remote = endpoint(url, settings.instance, _access(settings, root, environment, "PROCESSION_CACHE"))
    on = flag("PROCESSION_CACHE", environment, default=True)
    may_write = _may_write(settings, remote.access if remote else Access(), environment)
    go = flag("PROCESSION_CACHE_GO", environment, default=settings.go)
    signing_key = environment.get("PROCESSION_CACHE_SIGNING_KEY") or None
    if signing_key and not settings.signers:
        rule = "must go with signers in [tool.procession.cache]: what is taken unsigned is not to be signed"
        raise BuildError(f"PROCESSION_CACHE_SIGNING_KEY: {rule}", hint="doit cache key prints both")
    return Chosen(
        disk=settings.disk and on,
        size=size(settings.size),
        salt=environment.get("PROCESSION_CACHE_SALT", settings.salt),
        remote=remote if on else None,
        write=remote is not None and may_write,
        go=go and remote is not None and on,
        signers=settings.signers,
        signing_key=signing_key,
    )


def engine(
    settings: RemoteSettings, cache: CacheSettings, root: Path, environment: Mapping[str, str]
) -> Endpoint | None:
    """Choose where programs are compiled, None for here; raises BuildError as `chosen`."""
    url = environment.get("PROCESSION_REMOTE_EXECUTION", settings.execution or "")
    if not url or not flag("PROCESSION_REMOTE", environment, default=True):
        return None
    if not url.startswith("grpc"):
        rule = "must be the URL of an engine, such as grpc://engine.example:8980"
        raise BuildError(f"PROCESSION_REMOTE_EXECUTION: {rule}, got {_shown(url)!r}")
    _check_url("PROCESSION_REMOTE_EXECUTION", url)
    prefix = "PROCESSION_REMOTE" if "PROCESSION_REMOTE_TOKEN" in environment else "PROCESSION_CACHE"
    return endpoint(url, settings.instance, _access(cache, root, environment, prefix))


def endpoint(url: str, instance: str, access: Access) -> Endpoint:
    """Take user and password out of a URL."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    credentials, _, host = host.rpartition("@")
    if credentials and not access.user:
        user, _, password = (unquote(part) for part in credentials.partition(":"))
        access = Access(access.token, user, password, access.authority, access.certificate, access.keyfile)
    return Endpoint(f"{scheme}://{host}{slash}{path}".rstrip("/"), instance, access)


def flag(name: str, environment: Mapping[str, str], *, default: bool) -> bool:
    """Read a variable that is on or off; raises BuildError for another word."""
    text = environment.get(name)
    if text is None:
        return default
    if text.lower() not in (*_TRUE, *_FALSE):
        raise BuildError(f"{name}: must be on or off, got {text!r}")
    return text.lower() in _TRUE


def size(text: str) -> int:
    """Read a size such as ``10G``, in bytes; K, M, G and T are powers of 1024."""
    number, unit = text[:-1], text[-1]
    return int(number) * 1024 ** ("KMGT".index(unit) + 1) if unit in "KMGT" else int(text)


def is_pull_request(environment: Mapping[str, str]) -> bool:
    """Tell whether a CI runs this for a change that nobody has accepted yet."""
    return environment.get("GITHUB_EVENT_NAME") in _PULL_REQUESTS or "CI_MERGE_REQUEST_IID" in environment


def _may_write(settings: CacheSettings, access: Access, environment: Mapping[str, str]) -> bool:
    """Who writes results decides what others build: only who is told to, and in a pull request only by its CI."""
    if "PROCESSION_CACHE_WRITE" in environment:
        return flag("PROCESSION_CACHE_WRITE", environment, default=False)
    return settings.write and access.is_known and not is_pull_request(environment)


def _check_url(name: str, url: str) -> None:
    if not re.fullmatch(CACHE_URL.pattern, url) or not _has_port(url):
        raise BuildError(f"{name}: {CACHE_URL.rule}, got {_shown(url)!r}", hint=CACHE_URL.hint)


def _has_port(url: str) -> bool:
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port is None or port > 0


def _shown(url: str) -> str:
    """Leave out of a URL whatever may be a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if "@" in rest else url


def _access(settings: CacheSettings, root: Path, environment: Mapping[str, str], prefix: str) -> Access:
    named = {"AUTHORITY": settings.authority, "CERTIFICATE": settings.certificate, "KEYFILE": settings.keyfile}
    paths: dict[str, Path | None] = {}
    for name, setting in named.items():
        variable = f"{prefix}_{name}"
        text = environment.get(variable, setting or "")
        paths[name] = root / text if text else None
        if text and not (root / text).is_file():
            where = variable if variable in environment else f"pyproject.toml: tool.procession.cache.{name.lower()}"
            raise BuildError(f"{where}: must be a file that is there, got {text!r}")
    if (paths["CERTIFICATE"] is None) != (paths["KEYFILE"] is None):
        raise BuildError(f"{prefix}_CERTIFICATE: must go with {prefix}_KEYFILE, got one of them alone")
    return Access(
        _secret(f"{prefix}_TOKEN", environment) or None,
        _secret(f"{prefix}_USER", environment) or None,
        _secret(f"{prefix}_PASSWORD", environment),
        paths["AUTHORITY"],
        paths["CERTIFICATE"],
        paths["KEYFILE"],
    )


def _secret(name: str, environment: Mapping[str, str]) -> str | None:
    """Read a credential; the line end that secrets of a CI come with is none of it."""
    text = environment.get(name)
    if text is None:
        return None
    if not text.strip().isprintable() or not text.isascii():
        raise BuildError(
            f"{name}: must be one line of printable ASCII characters", hint="see how the secret was pasted"
        )
    return text.strip()


def raw_key(text: str, length: int = 32) -> bytes | None:
    """Read a key of Ed25519 in base64, None for what is none."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length else None
