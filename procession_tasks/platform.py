"""The platforms images are built for, in the names of Go, of appc and of Debian."""

from __future__ import annotations

import os
from dataclasses import dataclass

# Go's os/arch -> the os and arch labels of an ACI (appc spec 0.8.11, "Image Manifest Schema").
_APPC = {
    ("linux", "amd64"): ("linux", "amd64"),
    ("linux", "386"): ("linux", "i386"),
    ("linux", "arm64"): ("linux", "aarch64"),
    ("linux", "arm"): ("linux", "armv7l"),
    ("linux", "ppc64"): ("linux", "ppc64"),
    ("linux", "ppc64le"): ("linux", "ppc64le"),
    ("linux", "s390x"): ("linux", "s390x"),
}
# Go's arch -> Debian's architecture (dpkg's cputable and tupletable), where the two differ.
_DEBIAN = {"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "ppc64le": "ppc64le", "s390x": "s390x"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """An operating system and processor in Go's names, such as linux/arm64."""

    os: str
    arch: str

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm64``.

        Raises ValueError for a platform that has no name in both Go and appc.
        """
        os_name, _, arch = text.partition("/")
        if (os_name, arch) not in _APPC:
            raise ValueError(text)
        return cls(os_name, arch)

    def __str__(self) -> str:
        return f"{self.os}/{self.arch}"

    @property
    def slug(self) -> str:
        """The platform in a file or task name: ``linux-arm64``."""
        return f"{self.os}-{self.arch}"

    @property
    def appc_labels(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The labels os and arch of an ACI for this platform."""
        appc_os, appc_arch = _APPC[self.os, self.arch]
        return (("os", appc_os), ("arch", appc_arch))

    @property
    def oci(self) -> dict[str, str]:
        """This platform in OCI's documents: Go's names, and the variant that GOARM means by default."""
        return {"architecture": self.arch, "os": self.os} | ({"variant": "v7"} if self.arch == "arm" else {})

    @property
    def debian(self) -> str:
        """The architecture of this platform's Debian packages."""
        return _DEBIAN.get(self.arch, self.arch)


def known() -> tuple[str, ...]:
    """List every platform an image can be built for, sorted."""
    return tuple(sorted("/".join(pair) for pair in _APPC))


def host() -> Platform:
    """Name the platform images are built for by default: Linux on this machine's processor."""
    machine = os.uname().machine
    return Platform("linux", _MACHINES.get(machine, machine))
