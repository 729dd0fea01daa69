"""Whose certificates a registry may show."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from procession_tasks.errors import BuildError


def trust(host: str, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust what the machine trusts, and what is there for this host.

    Source: containers-certs.d(5), and docker's "Verify repository client with certificates".
    """
    context = ssl.create_default_context()
    if file := environment.get("SSL_CERT_FILE"):
        _add(context, Path(file))
    home = Path(environment.get("HOME") or "/")
    configuration = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    for folder in (
        Path("/etc/docker"),
        Path("/etc/containers"),
        configuration / "docker",
        configuration / "containers",
    ):
        for certificate in _listed(folder / "certs.d" / host):
            _add(context, certificate)
    return context


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in (".crt", ".cert"))
    except OSError:
        return []


def _add(context: ssl.SSLContext, certificate: Path) -> None:
    """Trust an authority's certificate; one that is called .cert is our own, with its key beside it."""
    try:
        if certificate.suffix == ".cert":
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        else:
            context.load_verify_locations(certificate)
    except OSError as error:
        what = "no certificate" if isinstance(error, ssl.SSLError) else os.strerror(error.errno or 0).lower()
        raise BuildError(f"{certificate}: must be a certificate in PEM that can be read, got {what}") from None
