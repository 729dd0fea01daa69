"""The value types of the appc specification, each a check that tells the broken rule or None.  Pure.

Source: appc spec 0.8.11, "App Container Image" and its Go package schema/types, which decides
where the two differ.
"""

from __future__ import annotations

import re

from procession_tasks.definition.findings import Fault, did_you_mean

KIND = "ImageManifest"
EVENTS = ("pre-start", "post-stop")
# Source: appc spec 0.8.11, schema/types/labels.go, ValidOSArch.
ARCHITECTURES = {
    "linux": (
        "amd64", "i386", "aarch64", "aarch64_be", "armv6l", "armv7l", "armv7b", "ppc64", "ppc64le", "s390x",
    ),
    "freebsd": ("amd64", "i386", "arm"),
    "darwin": ("x86_64", "i386"),
}  # fmt: skip
# Names that Go, Debian and uname use, and what appc calls them on Linux.
_OTHER_NAMES = {
    "arm64": "aarch64", "arm": "armv7l", "armhf": "armv7l", "armel": "armv6l", "386": "i386", "i686": "i386",
    "x86": "i386", "x86_64": "amd64", "x64": "amd64", "ppc64el": "ppc64le",
}  # fmt: skip

_IDENTIFIER = re.compile(r"[a-z0-9](?:[a-z0-9._~/-]*[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z_0-9.-]*")
_DIGEST = re.compile(r"sha512-[^-]+")
_WORDS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"([0-9]+)\.([0-9]+)\.([0-9]+)(?:-({_WORDS})?)?(?:\+({_WORDS})?)?")
_INT64_DIGITS = 19
_INT64_MAX = 2**63 - 1


def kind(text: str) -> Fault | None:
    """Check acKind of an image."""
    if text == KIND:
        return None
    return Fault(f'must be "{KIND}"', did_you_mean(text, (KIND,)))


def identifier(text: str) -> Fault | None:
    """Check an AC Identifier: an image's name, a label's or an annotation's."""
    if _IDENTIFIER.fullmatch(text):
        return None
    rule = "must be lower-case letters, digits and -._~/, starting and ending with a letter or digit"
    return Fault(rule, _mended(text, _IDENTIFIER))


def name(text: str) -> Fault | None:
    """Check an AC Name: a port's or a mount point's."""
    if _NAME.fullmatch(text):
        return None
    rule = "must be lower-case letters, digits and -, starting and ending with a letter or digit"
    return Fault(rule, _mended(text, _NAME))


def label_name(text: str) -> Fault | None:
    """Check the name of a label."""
    if text == "name":
        return Fault('must not be "name"', "the image's name stands at the top of the manifest")
    return identifier(text)


def variable(text: str) -> Fault | None:
    """Check the name of an environment variable."""
    if _VARIABLE.fullmatch(text):
        return None
    return Fault("must be letters, digits and _.-, starting with a letter or _")


def image_id(text: str) -> Fault | None:
    """Check an image ID; like the reference tool, not the digits of its digest."""
    return None if _DIGEST.fullmatch(text) else Fault('must be "sha512-" and the digest of the image')


def version(text: str) -> Fault | None:
    """Check acVersion."""
    if normal_version(text) is not None:
        return None
    stripped = text.strip().lstrip("vV")
    hint = f'write "{stripped}"' if normal_version(stripped) else 'write "0.8.11"'
    return Fault("must be a semantic version above 0.0.0, such as 0.8.11", hint)


def normal_version(text: str) -> str | None:
    """Write a semantic version as go-semver 0.3 does, without leading zeros; None for any other text."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    *digits, before_release, build = match.groups()
    numbers = [int(part) for part in digits if len(part.lstrip("0")) <= _INT64_DIGITS]
    if len(numbers) < len(digits) or max(numbers) > _INT64_MAX:
        return None
    if not any(numbers) and not before_release and not build:
        return None
    release = ".".join(map(str, numbers))
    return release + (f"-{before_release}" if before_release else "") + (f"+{build}" if build else "")


def operating_system(text: str) -> Fault | None:
    """Check the value of the label os."""
    if text in ARCHITECTURES:
        return None
    return Fault("must be one of " + ", ".join(ARCHITECTURES), did_you_mean(text, ARCHITECTURES))


def architecture(text: str, os: str) -> Fault | None:
    """Check the value of the label arch beside that of os, which must be a known one."""
    known = ARCHITECTURES[os]
    if text in known:
        return None
    other = _OTHER_NAMES.get(text.lower())
    hint = f'did you mean "{other}"?' if other in known else did_you_mean(text, known)
    return Fault(f"must be one of {', '.join(known)} for {os}", hint)


def event(text: str) -> Fault | None:
    """Check the name of an event handler."""
    if text in EVENTS:
        return None
    return Fault("must be one of " + ", ".join(EVENTS), did_you_mean(text, EVENTS))


def absolute_path(text: str) -> Fault | None:
    """Check a path inside the container."""
    return None if text.startswith("/") else Fault("must be an absolute path", f'write "/{text}"')


def port_range(port: int, count: int) -> Fault | None:
    """Check the last port of a range; count 0 stands for 1."""
    last = port + max(count, 1) - 1
    return None if last <= 65535 else Fault(f"must end at port 65535, not at {last}")  # noqa: PLR2004


def port_number(number: int) -> Fault | None:
    """Check the number of a port."""
    return None if 1 <= number <= 65535 else Fault("must be from 1 to 65535")  # noqa: PLR2004


def _mended(text: str, pattern: re.Pattern[str]) -> str | None:
    """Suggest the text in lower case, where that is all it takes."""
    lower = re.sub(r"[\s_]+", "-", text.strip().lower()).strip("-._~/")
    return f'did you mean "{lower}"?' if pattern.fullmatch(lower) else None
