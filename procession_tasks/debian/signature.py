"""Verifies the signature of an index with gpgv, and gives out nothing that was not signed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError

_STATUS = "[GNUPG:] "
# What gpgv reports of a signature that does not count, in words; the first that is there is told.
_REFUSED = (
    ("BADSIG", "its text was altered after it was signed"),
    ("EXPKEYSIG", "the key that signed it has expired"),
    ("EXPSIG", "its signature has expired"),
    ("REVKEYSIG", "the key that signed it was revoked"),
    ("NO_PUBKEY", "it was signed by a key that is not in the keyring"),
    ("NODATA", "it is not signed"),
)


@dataclass(frozen=True, slots=True)
class Signed:
    """The text that was signed, and the fingerprints of the primary keys that did, sorted."""

    text: str
    signers: tuple[str, ...]


def verified(inrelease: bytes, keyring: Path, name: str, environment: Mapping[str, str]) -> Signed:
    """Check a clear-signed file against a keyring; `name` is how messages call it.

    What stands outside the signed part is dropped.  Raises BuildError for everything but at
    least one good signature and no bad one.
    """
    if not keyring.is_file():
        hint = "apt-get install debian-archive-keyring, or set keyring under [tool.procession.debian]"
        raise BuildError(f"{keyring}: must be a keyring, got no file", hint=hint)
    with tempfile.TemporaryDirectory(prefix="procession-") as folder:
        signed = Path(folder, "InRelease")
        signed.write_bytes(inrelease)
        argv = ("gpgv", "--status-fd", "2", "--keyring", str(keyring), "--output", "-", str(signed))
        try:
            ended = process.run(argv, folder=Path(folder), environment={**environment, "LC_ALL": "C"})
        except BuildError as error:
            raise BuildError(error.message, hint="apt-get install gpgv") from None
    said = ended.stderr.decode(errors="replace").splitlines()
    status = [line.removeprefix(_STATUS).split() for line in said if line.startswith(_STATUS)]
    signers = _signers(status)
    keywords = {words[0] for words in status}
    # One of several keys may be missing here, as apt has it; then gpgv ends with 2.
    if not signers or "BADSIG" in keywords or (ended.status != 0 and "NO_PUBKEY" not in keywords):
        why = next((text for keyword, text in _REFUSED if keyword in keywords), "its signature is not good")
        raise BuildError(f"{name}: must be signed by a key of {keyring}: {why}")
    return Signed(ended.stdout.decode("utf-8", "replace"), signers)


def _signers(status: list[list[str]]) -> tuple[str, ...]:
    """Collect the primary keys of good signatures: GnuPG, doc/DETAILS; an expired key's is valid but not good."""
    verdict, signers = "", set()
    for words in status:
        if words[0] in ("GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG"):
            verdict = words[0]
        elif words[0] == "VALIDSIG" and verdict == "GOODSIG":
            signers.add(words[-1])
    return tuple(sorted(signers))
