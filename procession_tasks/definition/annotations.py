"""The values of well-known annotations: a date, and addresses on the web.  Pure.

Both are read as the Go library of the reference tool reads them, since images that it made
must stay readable.
"""

from __future__ import annotations

import re

from procession_tasks.definition.findings import Fault

_DATE = r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_WEB = r"(?i:https?:(?://(?P<authority>[^/?]*))?(?P<path>[^?]*)(?:\?.*)?)"
_CONTROL = r"[\x00-\x1f\x7f]"
_BAD_PERCENT = r"%(?![0-9A-Fa-f]{2})"
_USER = r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*"
_PLAIN = r"[A-Za-z0-9._~!$&'()*+,;=:\[\]<>\"\x80-\U0010ffff-]"
_HOST = rf"(?:{_PLAIN}|%25|%[89A-Fa-f][0-9A-Fa-f])*"
_PORT = r"(?::[0-9]*)?"
_ZONE = rf"(?:{_PLAIN}|%25| )*"
_ZONE_ESCAPE = r"%([0-7][0-9A-Fa-f])"


def date(text: str) -> Fault | None:
    """Check a date and time.

    Source: RFC 3339 as time.Parse of Go 1.19 takes it: an hour of one digit, a comma before the
    fraction and any offset of two digits are fine, a space for T and second 60 are not.
    """
    match = re.fullmatch(_DATE, text)
    fault = Fault("must be a date and time by RFC 3339, such as 2006-01-02T15:04:05Z")
    if match is None:
        return fault
    year, month, day, hour, minute, second = map(int, match.groups())
    if not 1 <= month <= len(_DAYS) or hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004
        return fault
    return None if 1 <= day <= _days(year, month) else fault


def web_address(text: str) -> Fault | None:
    """Check an address on the web.

    Source: net/url of Go 1.19, Parse.
    """
    address, _, fragment = text.partition("#")
    if re.search(_CONTROL, address):
        return Fault("must not have control characters")
    match = re.fullmatch(_WEB, address)
    if match is None:
        return Fault("must be an address that starts with http:// or https://", _with_scheme(text))
    path = match["path"] if match["path"].startswith("/") else ""
    if re.search(_BAD_PERCENT, path) or re.search(_BAD_PERCENT, fragment):
        return Fault("must have two hexadecimal digits after each %")
    return _authority(match["authority"] or "")


def _days(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if leap and month == 2 else _DAYS[month - 1]  # noqa: PLR2004  # February


def _authority(text: str) -> Fault | None:
    user, at, host = text.rpartition("@")
    if at and (not re.fullmatch(_USER, user) or re.search(_BAD_PERCENT, user)):
        return Fault("must have a user before @ without characters an address escapes")
    bracketed, bracket, port = host.rpartition("]") if host.startswith("[") else _before_port(host)
    if host.startswith("[") and not bracket:
        return Fault("must close the [ before the IPv6 address with ]")
    if not re.fullmatch(_PORT, port):
        return Fault("must have a number as its port")
    if not (_is_zoned(bracketed) if bracket == "]" and "%25" in bracketed else re.fullmatch(_HOST, bracketed)):
        return Fault("must have a host without spaces and characters an address escapes")
    return None


def _before_port(host: str) -> tuple[str, str, str]:
    name, colon, port = host.rpartition(":")
    return (name, colon, colon + port) if colon else (host, "", "")


def _is_zoned(host: str) -> bool:
    """Check an IPv6 address with a zone, which by RFC 6874 may escape what a host may not."""
    address, _, zone = host.partition("%25")
    plain = re.sub(_ZONE_ESCAPE, _unescaped, zone)
    return bool(re.fullmatch(_HOST, address) and re.fullmatch(_ZONE, plain)) and " " not in zone


def _unescaped(match: re.Match[str]) -> str:
    return "%25" if match[1] == "25" else chr(int(match[1], 16))


def _with_scheme(text: str) -> str | None:
    return f'write "https://{text}"' if re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(/\S*)?", text) else None
