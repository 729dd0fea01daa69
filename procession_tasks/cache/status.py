"""Why a call of gRPC failed, in plain words: from the codes of google.rpc and what gRPC says of a connection.  Pure."""

from __future__ import annotations

import re

from procession_tasks.cache.remote import RemoteError

# google.rpc.Code, by number.
_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_WORDS = {
    "CANCELLED": "gave up the call",
    "DEADLINE_EXCEEDED": "no answer in time",
    "NOT_FOUND": "does not have it (not found)",
    "RESOURCE_EXHAUSTED": "has no room for it (resource exhausted)",
}
# What asking again does not change.
_LASTING = {
    "INVALID_ARGUMENT": "takes the call for wrong (invalid argument)",
    "PERMISSION_DENIED": "does not let us (permission denied)",
    "UNAUTHENTICATED": "does not know us (unauthenticated)",
    "UNIMPLEMENTED": "does not know the call (unimplemented)",
}
# What gRPC says in many words of a connection that did not come about, or broke: the first that matches.
_CONNECTIONS = (
    (r"hostname verification|not in peer certificate", "its certificate is for another host", True),
    (r"alert_(\w*certificate|unknown_ca)", "does not take our certificate", True),
    (r"no_application_protocol|http1", "does not speak gRPC", True),
    (r"certificate.?verify.?failed|certificate has expired|self.signed", "its certificate is not good", True),
    (r"wrong_version_number|packet_length_too_long|http_request", "does not speak TLS", True),
    (r"connection refused", "nobody answers (connection refused)", False),
    (r"dns|name resolution|domain name|resolve", "no such host", False),
    (r"unreachable|no route", "no way to it (unreachable)", False),
    (r"timed? ?out|timeout|endpoint closing", "no answer in time", False),
    (r"reset|closed|goaway|eof|broken pipe", "the connection broke", False),
    (r"handshake|ssl|tls", "the connection could not be secured", False),
)
_HTTP_STATUS = re.compile(r"received http2 header with status: ([0-9]{3})", re.IGNORECASE)  # of a proxy, mostly
_TOO_MANY = 429


class StatusError(RemoteError):
    """A call ended with a status, whose name is `code`."""

    def __init__(self, code: str, text: str, *, lasts: bool = False) -> None:
        super().__init__(text, lasts=lasts)
        self.code = code


def code_name(number: int) -> str:
    """Name a google.rpc.Code."""
    return _CODES[number] if 0 <= number < len(_CODES) else "UNKNOWN"


def failure(code: str, details: str = "") -> StatusError:
    """Say what a status means; of its details only what is known, for they may hold anything."""
    if code in _LASTING:
        return StatusError(code, _LASTING[code], lasts=True)
    if found := _HTTP_STATUS.search(details):
        return _refusal(code, int(found[1]))
    if code == "UNAVAILABLE":
        for pattern, words, lasts in _CONNECTIONS:
            if re.search(pattern, details, re.IGNORECASE):
                return StatusError(code, words, lasts=lasts)
        return StatusError(code, "is not there at the moment (unavailable)")
    return StatusError(code, _WORDS.get(code, f"failed ({code.lower().replace('_', ' ')})"))


def _refusal(code: str, status: int) -> StatusError:
    if status // 100 == 4 and status != _TOO_MANY:  # noqa: PLR2004  # RFC 9110: the client's fault
        return StatusError(code, f"refuses the call (HTTP {status})", lasts=True)
    return StatusError(code, f"is not there at the moment (HTTP {status})")
