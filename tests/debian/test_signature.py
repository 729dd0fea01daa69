"""Which signatures count, and that nothing is read that was not signed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.debian.signature import Signed, verified
from procession_tasks.errors import BuildError

TEXT = b"Origin: Debian\nSuite: bookworm\n"
NAME = "debian/dists/bookworm/InRelease"
ENVIRONMENT = {"PATH": os.environ["PATH"]}
Keyring = Callable[..., Path]


@pytest.fixture
def keyring(signing_keys: Any, tmp_path: Path) -> Keyring:
    """Make a keyring with some keys."""
    return lambda *names: signing_keys.export(tmp_path / "keyring.gpg", *names)


def reason(inrelease: bytes, keyring: Path) -> str:
    """Why a signature does not count."""
    with pytest.raises(BuildError) as refused:
        verified(inrelease, keyring, NAME, ENVIRONMENT)
    assert refused.value.hint is None
    said = str(refused.value)
    begin = f"{NAME}: must be signed by a key of {keyring}: "
    assert said.startswith(begin)
    return said.removeprefix(begin)


def test_a_signed_text_is_given_out_with_its_signers(signing_keys: Any, keyring: Keyring) -> None:
    signed = verified(signing_keys.sign(TEXT, "archive"), keyring("archive"), NAME, ENVIRONMENT)

    assert signed == Signed(TEXT.decode(), (signing_keys.fingerprint("archive"),))


def test_all_good_signers_are_told_in_order(signing_keys: Any, keyring: Keyring) -> None:
    names = ("archive", "other")
    signed = verified(signing_keys.sign(TEXT, *names), keyring(*names), NAME, ENVIRONMENT)

    assert signed.signers == tuple(sorted(map(signing_keys.fingerprint, names)))


def test_a_signer_is_known_by_the_primary_key(signing_keys: Any, keyring: Keyring) -> None:
    signing_keys.make("parent")
    primary = signing_keys.fingerprint("parent")
    signing_keys.gpg("--passphrase", "", "--quick-add-key", primary, "ed25519", "sign", "never")
    inrelease = signing_keys.sign(TEXT, "parent")  # gpg takes the newest subkey that can sign

    assert verified(inrelease, keyring("parent"), NAME, ENVIRONMENT).signers == (primary,)


def test_of_several_signers_some_may_be_unknown(signing_keys: Any, keyring: Keyring) -> None:
    for names in (("archive", "other"), ("other", "archive")):
        signed = verified(signing_keys.sign(TEXT, *names), keyring("archive"), NAME, ENVIRONMENT)

        assert signed == Signed(TEXT.decode(), (signing_keys.fingerprint("archive"),))


def test_of_several_signers_some_may_have_expired(signing_keys: Any, keyring: Keyring) -> None:
    signing_keys.make("old", at="20200101T000000", expires="1y")
    signing_keys.make("ancestor", at="20200101T000000")
    inrelease = signing_keys.sign(TEXT, "old", "ancestor", at="20200601T000000")

    signed = verified(inrelease, keyring("old", "ancestor"), NAME, ENVIRONMENT)

    assert signed.signers == (signing_keys.fingerprint("ancestor"),)


def test_what_is_around_the_signed_part_is_dropped(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = b"Suite: evil\n\n" + signing_keys.sign(TEXT, "archive") + b"\nSuite: evil\n"

    assert verified(inrelease, keyring("archive"), NAME, ENVIRONMENT).text == TEXT.decode()


def test_lines_that_were_escaped_for_signing_are_given_out_as_they_were(signing_keys: Any, keyring: Keyring) -> None:
    text = b"- dash\n-----BEGIN PGP SIGNATURE-----\nFrom here\n"

    assert verified(signing_keys.sign(text, "archive"), keyring("archive"), NAME, ENVIRONMENT).text == text.decode()


def test_a_text_that_is_not_utf_8_is_read_as_far_as_it_goes(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = signing_keys.sign(b"Label: caf\xe9\n", "archive")

    assert verified(inrelease, keyring("archive"), NAME, ENVIRONMENT).text == "Label: caf\ufffd\n"


def test_the_users_own_keys_do_not_count(
    signing_keys: Any, keyring: Keyring, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing_keys.export(tmp_path / "trustedkeys.gpg", "other")
    environment = {**ENVIRONMENT, "GNUPGHOME": str(tmp_path), "HOME": str(tmp_path)}

    with pytest.raises(BuildError, match="a key that is not in the keyring"):
        verified(signing_keys.sign(TEXT, "other"), keyring("archive"), NAME, environment)


@pytest.mark.parametrize("content", [TEXT, b"", b"\0\xff" * 100, b"<html>Log in</html>\n"])
def test_a_text_without_a_signature_is_refused(keyring: Keyring, content: bytes) -> None:
    assert reason(content, keyring("archive")) == "it is not signed, or not whole"


def test_a_truncated_text_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = signing_keys.sign(TEXT, "archive")
    for size in (60, 100, inrelease.index(b"-----BEGIN PGP SIGNATURE"), len(inrelease) - 60):
        assert reason(inrelease[:size], keyring("archive")) == "it is not signed, or not whole"


def test_an_altered_text_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = signing_keys.sign(TEXT, "archive").replace(b"bookworm", b"trixie")

    assert reason(inrelease, keyring("archive")) == "its text was altered after it was signed"


def test_a_text_that_one_of_its_signers_did_not_sign_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    begin = b"-----BEGIN PGP SIGNATURE-----"
    good = signing_keys.sign(TEXT, "archive")
    other = signing_keys.sign(TEXT + b"more\n", "other").partition(begin)[2]

    assert reason(good + begin + other, keyring("archive", "other")) == "its text was altered after it was signed"


def test_one_good_signer_makes_up_for_no_bad_one(signing_keys: Any, keyring: Keyring) -> None:
    begin = b"-----BEGIN PGP SIGNATURE-----"
    signed = [signing_keys.sign(TEXT, "archive")]
    signed += [signing_keys.sign(text, name) for text, name in ((b"x\n", "other"), (TEXT, "unknown"))]
    inrelease = begin.join([signed[0], *(each.partition(begin)[2] for each in signed[1:])])

    assert reason(inrelease, keyring("archive", "other")) == "its text was altered after it was signed"


def test_the_key_of_somebody_else_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = signing_keys.sign(TEXT, "other")

    assert reason(inrelease, keyring("archive")) == "it was signed by a key that is not in the keyring"


def test_an_expired_key_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    signing_keys.make("old", at="20200101T000000", expires="1y")
    inrelease = signing_keys.sign(TEXT, "old", at="20200601T000000")

    assert reason(inrelease, keyring("old")) == "the key that signed it has expired"


def test_an_expired_signature_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    signing_keys.make("ancestor", at="20200101T000000")
    options = ("--default-sig-expire", "1d")
    inrelease = signing_keys.sign(TEXT, "ancestor", at="20200601T000000", options=options)

    assert reason(inrelease, keyring("ancestor")) == "its signature has expired"


def test_a_revoked_key_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = signing_keys.sign(TEXT, "revoked")
    signing_keys.revoke("revoked")

    assert reason(inrelease, keyring("revoked")) == "the key that signed it was revoked"


def test_a_weak_digest_is_refused(signing_keys: Any, keyring: Keyring) -> None:
    inrelease = signing_keys.sign(TEXT, "archive", options=("--digest-algo", "SHA1"))

    assert reason(inrelease, keyring("archive")) == "it was signed with a digest that is too weak"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("archive",), ("other",)),
        (("other",), ("archive",)),
        (("archive",), ("archive",)),
        (("archive", "other"), ("other",)),
    ],
)
def test_more_than_one_signed_text_is_refused(
    signing_keys: Any, keyring: Keyring, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    inrelease = signing_keys.sign(TEXT, *first) + signing_keys.sign(b"Suite: evil\n", *second)

    assert reason(inrelease, keyring("archive")) == "it is more than one signed text"


def test_a_missing_keyring_is_said_with_where_to_get_it(signing_keys: Any, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as refused:
        verified(signing_keys.sign(TEXT, "archive"), tmp_path / "none.gpg", NAME, ENVIRONMENT)

    assert str(refused.value) == (
        f"{tmp_path}/none.gpg: must be a keyring: no such file or directory\n"
        "  hint: apt-get install debian-archive-keyring, or set keyring under [tool.procession.debian]"
    )


def test_a_keyring_in_ascii_armour_is_said_to_be_one(signing_keys: Any, tmp_path: Path) -> None:
    keyring = tmp_path / "archive.asc"
    keyring.write_bytes(signing_keys.gpg("--armor", "--export", signing_keys.make("archive")))

    with pytest.raises(BuildError) as refused:
        verified(signing_keys.sign(TEXT, "archive"), keyring, NAME, ENVIRONMENT)

    assert str(refused.value) == (
        f"{keyring}: must be a keyring as gpgv reads it, got one in ASCII armour\n"
        f"  hint: gpg --dearmor {keyring}, and set keyring to what that writes"
    )
    signing_keys.gpg("--dearmor", str(keyring))
    assert verified(signing_keys.sign(TEXT, "archive"), tmp_path / "archive.asc.gpg", NAME, ENVIRONMENT)


def test_a_file_that_is_no_keyring_has_no_keys(signing_keys: Any, tmp_path: Path) -> None:
    for content in (b"", b"not a keyring\n", b"\0" * 1000):
        (tmp_path / "broken.gpg").write_bytes(content)

        assert reason(signing_keys.sign(TEXT, "archive"), tmp_path / "broken.gpg") == (
            "it was signed by a key that is not in the keyring"
        )


def test_without_gpgv_it_is_said_what_to_install(signing_keys: Any, keyring: Keyring, tmp_path: Path) -> None:
    with pytest.raises(BuildError) as refused:
        verified(signing_keys.sign(TEXT, "archive"), keyring("archive"), NAME, {"PATH": str(tmp_path)})

    assert str(refused.value) == ("gpgv: cannot be started: No such file or directory\n  hint: apt-get install gpgv")
