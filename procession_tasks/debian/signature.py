"""Verifies the signature of an index with gpgv, and gives out nothing that was not signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError

_STATUS = "[GNUPG:] "
_VERDICTS = ("GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG")
_WEAK = ("1", "2", "3")  # MD5, SHA-1 and RIPEMD-160: RFC 9580, section 9.5
_TWO_TEXTS = "it is more than one signed text"
# What gpgv reports of a signature that does not count, in words; the first that is there is told.
_REFUSED = {
    "BADSIG": "its text was altered after it was signed",
    "ERROR": _TWO_TEXTS,
    "EXPKEYSIG": "the key that signed it has expired",
    "EXPSIG": "its signature has expired",
    "REVKEYSIG": "the key that signed it was revoked",
    "NO_PUBKEY": "it was signed by a key that is not in the keyring",
    "NODATA": "it is not signed, or not whole",
    "VALIDSIG": "it was signed with a digest that is too weak",
}
_ARMOUR = b"-----BEGIN PGP"


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
    import tempfile  # only who downloads needs it

    _check_keyring(keyring)
    with tempfile.TemporaryDirectory(prefix="procession-") as folder:
        signed, text = Path(folder, "InRelease"), Path(folder, "Release")
        signed.write_bytes(inrelease)
        argv = ("gpgv", "--status-fd", "1", "--keyring", str(keyring), "--output", str(text), str(signed))
        try:
            ended = process.run(argv, folder=Path(folder), environment={**environment, "LC_ALL": "C"})
        except BuildError as error:
            raise BuildError(error.message, hint="apt-get install gpgv") from None
        said = ended.stdout.decode(errors="replace").splitlines()
        status = [line.removeprefix(_STATUS).split() for line in said if line.startswith(_STATUS)]
        signers = _signers(status)
        keywords = {words[0] for words in status}
        # One of several keys may be unknown here, as apt has it; then gpgv ends with 2.
        is_good = ended.status == 0 or "ERRSIG" in keywords
        if not signers or not is_good or keywords & {"BADSIG", "ERROR"}:
            why = next((words for keyword, words in _REFUSED.items() if keyword in keywords), "gpgv cannot read it")
            raise BuildError(f"{name}: must be signed by a key of {keyring}: {why}")
        return Signed(text.read_text("utf-8", "replace"), signers)


def _check_keyring(keyring: Path) -> None:
    try:
        with keyring.open("rb") as stream:
            is_armoured = stream.read(len(_ARMOUR)) == _ARMOUR
    except OSError as error:
        hint = "apt-get install debian-archive-keyring, or set keyring under [tool.procession.debian]"
        raise BuildError(f"{keyring}: must be a keyring: {str(error.strerror).lower()}", hint=hint) from None
    if is_armoured:
        hint = f"gpg --dearmor {keyring}, and set keyring to what that writes"
        raise BuildError(f"{keyring}: must be a keyring as gpgv reads it, got one in ASCII armour", hint=hint)


def _signers(status: list[list[str]]) -> tuple[str, ...]:
    """Collect the primary keys of good signatures: GnuPG, doc/DETAILS; an expired key's is valid but not good."""
    verdict, signers = "", set()
    for words in status:
        if words[0] in _VERDICTS:
            verdict = words[0]
        elif words[0] == "VALIDSIG" and verdict == "GOODSIG" and words[8] not in _WEAK:
            signers.add(words[-1])
    return tuple(sorted(signers))
