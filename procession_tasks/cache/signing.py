"""Signatures of Ed25519 over results, for caches whose storage is not trusted.

What is signed is what a result means - the action, the outputs, the exit code - and not its
bytes, which servers may write anew.  Only who has the private key can sign; whoever reads needs
the public one alone.

Source: RFC 8032.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator

from procession_tasks.cache import entry
from procession_tasks.cache.reapi import ActionResult, Digest
from procession_tasks.cache.settings import raw_key
from procession_tasks.errors import BuildError

SIGNATURE_TYPE = "type.googleapis.com/procession.cache.v1.Signature"
_MISSING = "signatures of results need the package cryptography"
_HINT = "pip install 'procession-tasks[signing]'"


class Signer:
    """Signs results with a private key, in base64; raises BuildError for one that is none."""

    def __init__(self, text: str) -> None:
        private = _library().Ed25519PrivateKey
        raw = raw_key(text.strip())
        if raw is None:
            hint = "doit cache key makes a pair of keys"
            raise BuildError("PROCESSION_CACHE_SIGNING_KEY: must be a private key of Ed25519 in base64", hint=hint)
        self._key = private.from_private_bytes(raw)

    def sign(self, result: ActionResult, key: Digest) -> ActionResult:
        """Attach a signature to a result of an action."""
        return entry.attach(result, SIGNATURE_TYPE, self._key.sign(signed_text(result, key)))


class Verifier:
    """Knows the public keys, in base64, of those whose results are used."""

    def __init__(self, texts: Iterable[str]) -> None:
        public = _library().Ed25519PublicKey
        self._keys = [public.from_public_bytes(raw) for raw in map(raw_key, texts) if raw]

    def is_signed(self, result: ActionResult, key: Digest) -> bool:
        """Tell whether one of the keys vouches for a result of an action."""
        text = signed_text(result, key)
        signatures = entry.attached(result, SIGNATURE_TYPE)
        return any(_verifies(public, signature, text) for public in self._keys for signature in signatures)


def signed_text(result: ActionResult, key: Digest) -> bytes:
    """Say what a signature stands for: the action, and everything that follows from the result."""
    said = {
        "action": [key.hash, key.size_bytes],
        "exit": result.exit_code,
        "files": sorted([one.path, *_digest(one.digest), one.is_executable] for one in result.output_files),
        "folders": sorted([one.path, *_digest(one.tree_digest)] for one in result.output_directories),
        "links": sorted([one.path, one.target] for one in result.output_symlinks),
        "said": [result.stdout_raw.hex(), *_digest(result.stdout_digest)],
        "warned": [result.stderr_raw.hex(), *_digest(result.stderr_digest)],
    }
    return b"procession cache entry 1\n" + json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def new_pair() -> tuple[str, str]:
    """Make a private key and its public key, both in base64."""
    import base64  # for whoever makes keys alone

    private = _library().Ed25519PrivateKey.generate()
    pair = private.private_bytes_raw(), private.public_key().public_bytes_raw()
    first, second = (base64.b64encode(raw).decode() for raw in pair)
    return first, second


def _digest(digest: Digest | None) -> Iterator[str | int]:
    if digest:
        yield from (digest.hash, digest.size_bytes)


def _verifies(public: object, signature: bytes, text: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, text)  # type: ignore[attr-defined]
    except InvalidSignature:
        return False
    return True


@functools.cache
def _library():  # type: ignore[no-untyped-def]  # noqa: ANN202  # a module
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise BuildError(_MISSING, hint=_HINT) from None
    return ed25519
