"""What pyproject.toml may say of caches and engines: ``[tool.procession.cache]`` and ``.remote``.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from procession_tasks.definition.shape import Boolean, Choice, Integer, Listing, Table, Text, key

CACHE_URL = Text(
    "must be the URL of a cache: http, https, grpc or grpcs",
    r"(https?|grpcs?)://([^\s/@]+@)?([A-Za-z0-9._-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[^\s?#]*)?",
    "such as https://cache.example/procession, or grpcs://cache.example:8980",
)
_FILE = Text("must be a file", r"[^\x00-\x1f]+")


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The ``[tool.procession.cache]`` table: where results of steps are kept for others and for later."""

    url: str | None = key(CACHE_URL, "a cache that machines share (default: none)", default=None)
    instance: str = key(Text("must be text", r"[^\s]*"), "the instance name, for a gRPC cache", default="")
    write: bool = key(Boolean(), "whether results are written there too, by who has a credential", default=False)
    disk: bool = key(Boolean(), "whether results are kept on this machine", default=True)
    size: str = key(
        Text("must be a size", r"[1-9][0-9]{0,11}[KMGT]?", 'such as "10G"'),
        "how much the cache on this machine may keep",
        default="10G",
    )
    salt: str = key(Text("must be text", r"[^\x00-\x1f]*"), "changes every key: disowns what was written", default="")
    go: bool = key(Boolean(), "whether Go's own build cache is kept there as well", default=True)
    authority: str | None = key(_FILE, "the certificate of the authority that vouches for the server", default=None)
    certificate: str | None = key(_FILE, "the certificate to show to the server", default=None)
    keyfile: str | None = key(_FILE, "the key of that certificate", default=None)
    signers: tuple[str, ...] = key(
        Listing(Text("must be a public key of Ed25519 in base64", r"[A-Za-z0-9+/]{43}=")),
        "the keys that results from the server must be signed with (default: none need be)",
        default=(),
    )


NO_CACHE = CacheSettings()
_PROPERTY = Text("must be the name of a platform property", r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """The ``[tool.procession.remote]`` table: an engine of the Remote Execution API that compiles programs."""

    execution: str | None = key(
        Text(
            "must be the URL of an engine: grpc or grpcs",
            CACHE_URL.pattern.replace("https?|grpcs?", "grpcs?"),
            "such as grpc://engine.example:8980",
        ),
        "where programs are compiled (default: here)",
        default=None,
    )
    instance: str = key(Text("must be text", r"[^\s]*"), "the instance name", default="")
    properties: tuple[tuple[str, str], ...] = key(
        Table(_PROPERTY, Text("must be text", r"[^\x00-\x1f]*")), "platform properties of a worker", default=()
    )
    toolchain: str = key(
        Choice(("input", "worker")), "whether Go goes with the inputs, or is on the worker", default="input"
    )
    root: str = key(
        Text("must be an absolute path", r"/[^\x00-\x1f]*"), "where the engine puts the inputs", default="/"
    )
    jobs: int = key(Integer(1, 1000), "how many programs are compiled at once", default=8)


NO_REMOTE = RemoteSettings()
