"""What HTTP needs to know of a host: whether it is this machine, the proxy before it, connections to it."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from procession_tasks.errors import BuildError

if TYPE_CHECKING:
    import urllib3

_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:[0-9]{1,5})?")


def is_loopback(host: str) -> bool:
    """Tell whether a host, with or without a port, can only be this machine."""
    found = _HOST.fullmatch(host)
    name = found[1].strip("[]") if found else host
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def proxy(scheme: str, host: str, environment: Mapping[str, str]) -> str | None:
    """Find the proxy that the environment names for a host; this machine is reached without."""
    named, excepted = (environment.get(f"{x}_proxy") or environment.get(f"{x}_proxy".upper()) for x in (scheme, "no"))
    if not named or is_loopback(host) or _is_excepted(host, excepted or ""):
        return None
    return named if "://" in named else f"http://{named}"


def pool(
    scheme: str,
    host: str,
    environment: Mapping[str, str],
    context: ssl.SSLContext | None,
    timeout: urllib3.Timeout,
    most: int,
) -> urllib3.PoolManager:
    """Make connections to a host, at most so many, which stay open; raises BuildError for a proxy that is none."""
    import urllib3  # only who asks the network pays for it
    from urllib3.exceptions import HTTPError

    through = proxy(scheme, host, environment)
    if through is None:
        return urllib3.PoolManager(maxsize=most, ssl_context=context, timeout=timeout)
    user = urlsplit(through).netloc.rpartition("@")[0]
    authorization = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
    try:
        return urllib3.ProxyManager(
            through, proxy_headers=authorization, maxsize=most, ssl_context=context, timeout=timeout
        )
    except (HTTPError, ValueError):
        raise BuildError(f"{scheme}_proxy: must be the URL of a proxy, got something else") from None


def _is_excepted(host: str, names: str) -> bool:
    """Tell whether a list such as ``.internal.example,registry.example:5000`` has a host, or a domain that it is in."""
    alone = re.sub(r":[0-9]+$", "", host)
    wanted = [name.strip().removeprefix("*").removeprefix(".") for name in names.split(",") if name.strip()]
    return any(name in ("", host, alone) or alone.endswith(f".{name}") for name in wanted)
