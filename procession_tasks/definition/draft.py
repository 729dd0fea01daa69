"""The files of a new definition: complete, valid, and with comments that say what to change.  Pure."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from procession_tasks.definition.schema import IMAGE_SCHEMA
from procession_tasks.platform import Platform

_USUAL = ("linux/amd64", "linux/arm64")
_ID = 65532  # belongs to nobody in Debian's accounts
_TAKEN = ("root", "nobody", "nogroup")
_IN_COMMON = {"base-files": {"awk": "only maintainer scripts of base-files use it"}, "netbase": {}}
_USUAL_OMISSIONS = {
    "adduser": "users are declared under accounts",
    "debconf": "nothing is asked while an image is built",
    "init-system-helpers": "the container is started by what runs it, not by an init system",
    "lsb-base": "only for the init script",
}
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class GoPart:
    """A main package; `module` where there are several, `output` where another image uses the program's name."""

    package: str
    program: str
    module: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a new image: its name, its whole name in manifests, and what it is made of.

    `common` are packages that the images of the repository share.
    """

    name: str
    full_name: str
    go: GoPart | None
    packages: tuple[str, ...]
    common: tuple[str, ...]
    here: Platform

    @property
    def account(self) -> str:
        """The user that the program runs as."""
        return "app" if self.name in _TAKEN else self.name

    @property
    def program(self) -> str:
        """What the image starts; of packages that is a guess."""
        return f"/bin/{self.go.program}" if self.go else f"/usr/bin/{self.packages[0]}"


def contents(draft: Draft) -> dict[str, bytes]:
    """Write the files of a definition, by their path in its folder."""
    return {
        "manifest": _manifest(draft).encode(),
        "image.yaml": "\n".join([*_image(draft), ""]).encode(),
        "rootfs/etc/nsswitch.conf": b"hosts: files dns\n",
    }


def prefix(names: Iterable[tuple[str, str]], otherwise: str) -> str:
    """Say what names in manifests begin with here, from pairs of an image and its whole name."""
    found = [whole.removesuffix(image) for image, whole in names if whole.endswith(image) and whole != image]
    return max(sorted(set(found)), key=found.count, default=otherwise)


def _manifest(draft: Draft) -> str:
    environment = f'    "environment": [\n      {{"name": "PATH", "value": "{_PATH}"}}\n    ],\n'
    return f"""{{
  "acKind": "ImageManifest",
  "acVersion": "0.8.11",
  "name": {json.dumps(draft.full_name)},
  "labels": [
    {{"name": "version", "value": "0.1.0"}}
  ],
  "app": {{
    "exec": [{json.dumps(draft.program)}],
    "user": "{draft.account}",
    "group": "{draft.account}",
    "workingDirectory": "/",
{environment if draft.packages else ""}    "isolators": [
      {{"name": "os/linux/no-new-privileges", "value": true}},
      {{"name": "os/linux/capabilities-retain-set", "value": {{"set": ["CAP_NET_BIND_SERVICE"]}}}}
    ]
  }}
}}
"""


def _image(draft: Draft) -> Iterable[str]:
    yield f"# yaml-language-server: $schema=../{IMAGE_SCHEMA}"
    yield f"# What the image {draft.name} is made of. How it is run stands in manifest, beside this file: the program,"
    yield "# its user, version, ports, environment, folders that outlive a container. docs/definitions.md has all"
    yield f"# keys; `doit validate:{draft.name}` checks both files without building."
    if draft.go:
        yield from _go(draft.go)
    if draft.packages:
        yield from _debian(draft)
    platforms = dict.fromkeys([*([] if str(draft.here) in _USUAL else [str(draft.here)]), *_USUAL])
    yield f"platforms: [{', '.join(platforms)}] # doit build is for this machine's, doit release for all"
    yield "accounts: # /etc/passwd and /etc/group; the manifest's user is one of these"
    yield f"  users: [{{name: {draft.account}, uid: {_ID}, gid: {_ID}, home: /}}]"
    yield "paths: # what is made rather than copied from rootfs/; modes are octal, in quotes"
    yield '  - {path: /tmp, type: directory, mode: "1777"}'
    yield f'# - {{path: /var/lib/{draft.name}, type: directory, mode: "0700", uid: {_ID}, gid: {_ID}}}'


def _go(part: GoPart) -> Iterable[str]:
    yield "go:"
    if part.module:
        yield f"  module: {json.dumps(part.module)}"
    yield f"  package: {part.package}"
    yield f"  binary: /bin/{part.program} # where the image has it; exec of the manifest starts it"
    if part.output:
        yield f"  output: {part.output} # its name under build/bin, where another image has one of that name"
    yield '# ldflags: "-s -w -buildid= -X main.version={version}" # instead of those of pyproject.toml; so are tags'


def _debian(draft: Draft) -> Iterable[str]:
    common = [name for name in _IN_COMMON if name in draft.common and name not in draft.packages]
    omit = {name: why for package in common for name, why in _IN_COMMON[package].items()}
    yield "debian:"
    yield f"  packages: [{', '.join([*draft.packages, *common])}] # their dependencies come with them"
    yield ("" if omit else "# ") + "  omit: # dependencies to leave out, each with its reason; these are usual"
    yield from (f"    {name}: {why}" for name, why in omit.items())
    yield from (f"#   {name}: {why}" for name, why in _USUAL_OMISSIONS.items() if name not in omit)
    yield "# prune: [usr/share/man] # paths to leave out"
    yield f"# `doit lock:{draft.name}` chooses versions and pins them in packages.lock.yaml. Maintainer scripts are not"
    yield "# run: what they would do is declared below or in rootfs/, and the build says what of it is missing."


def program_of(package: str, module: str) -> str:
    """Name the program that a main package becomes: by its folder, or by its module where it is at the top."""
    return posixpath.basename(package) if package != "." else posixpath.basename(module)
