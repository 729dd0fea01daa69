"""Reads an OCI image layout back and says where it is not what its definition promises.

Shares no code with the writers.  `documents` reads what leads to the layers, and `members` the
layers, piece by piece as it reads ACIs; here only the list of members is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import posixpath
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from procession_tasks import interruption
from procession_tasks.image import expected_oci
from procession_tasks.image.documents import Documents, at
from procession_tasks.image.members import BrokenError, Findings, GzipReader, Member, difference, read_members
from procession_tasks.image.verify import Expected
from procession_tasks.platform import Platform

_NAMES = {"blobs", "index.json", "oci-layout"}
_REMOVES = ".wh."  # what begins so in a layer is no file, but takes one away from the layers below
_ACCOUNTS_LIMIT = 1024 * 1024


def verify_layout(folder: Path, expected: Expected, platform: Platform) -> list[str]:
    """Compare the layout of one platform with what is expected; an empty list is a pass.

    A finding is ``folder: document or layer: what: expected …, got …``.  Raises BuildError for
    a layout that cannot be opened.
    """
    findings = Findings()
    try:
        layout = Documents(folder, findings)
        _check_image(layout, expected, platform)
        for name in sorted(set(os.listdir(folder)) - _NAMES):
            findings.append(difference(name, "member of the layout", "nothing", "something"))
        layout.check_blobs()
    except BrokenError as error:
        findings.append(str(error))
    return [f"{folder.parent.name}/{folder.name}: {finding}" for finding in findings]


def verify_index(folder: Path, platforms: Mapping[Platform, Path]) -> list[str]:
    """Compare the layout of all platforms with the layouts of one platform each, which are taken as right.

    Every blob is read; what the layers hold follows from their digests.  `folder` may hold the
    layouts of the platforms.  Findings and errors are those of `verify_layout`.
    """
    findings = Findings()
    try:
        layout = Documents(folder, findings)
        _check_index(layout, platforms)
        layout.check_blobs()
    except BrokenError as error:
        findings.append(str(error))
    return [f"{folder.name}: {finding}" for finding in findings]


def _check_image(layout: Documents, expected: Expected, platform: Platform) -> None:
    """Follow a layout from its top down to the files of its layers."""
    manifest, descriptor = layout.document("manifest", expected_oci.MANIFEST, layout.top)
    named = {**descriptor, "annotations": expected_oci.names(expected.manifest)}
    layout.compare("index.json", expected_oci.index([named]), layout.index)
    config, of_config = layout.document("configuration", expected_oci.CONFIG, at(manifest, "config"))
    blobs = [layout.blob(f"layer {n}", expected_oci.LAYER, one) for n, one in enumerate(_layers("manifest", manifest))]
    said = expected_oci.repeated(expected.manifest)
    layout.compare("manifest", expected_oci.image(of_config, [of_layer for _, of_layer in blobs], said), manifest)
    tree = _Tree(expected, layout.findings)
    digests = [tree.add(f"layer {number}", blob) for number, (blob, _) in enumerate(blobs)]
    tree.check_complete()
    comments = [at(at(at(config, "history"), number), "comment") or "what it holds" for number in range(len(blobs))]
    layers = list(zip(digests, comments, strict=True))
    wanted = expected_oci.configuration(expected.manifest, platform, expected.mtime, tree.accounts(), layers)
    layout.compare("configuration", wanted, config)


def _check_index(layout: Documents, platforms: Mapping[Platform, Path]) -> None:
    """Follow a layout from its top down to the blobs of every platform's image."""
    index, of_index = layout.document("index", expected_oci.INDEX, layout.top)
    children, said = [], {}
    for platform, folder in sorted(platforms.items()):
        top = Documents(folder, layout.findings).top
        named = {**of_index, "annotations": at(top, "annotations")}
        layout.compare("index.json", expected_oci.index([named]), layout.index)
        manifest, descriptor = layout.document(f"manifest of {platform}", expected_oci.MANIFEST, top)
        said = at(manifest, "annotations")
        of_platform = expected_oci.platform_of(platform)
        children.append({**descriptor, "platform": of_platform})
        place = f"configuration of {platform}"
        config, _ = layout.document(place, expected_oci.CONFIG, at(manifest, "config"))
        layout.compare(place, of_platform, {name: at(config, name) for name in of_platform})
        for number, one in enumerate(_layers(f"manifest of {platform}", manifest)):
            layout.blob(f"layer {number} of {platform}", expected_oci.LAYER, one)
    layout.compare("index", expected_oci.index(children, said), index)


def _layers(where: str, manifest: Any) -> list[Any]:
    found = at(manifest, "layers")
    if not isinstance(found, list) or not found:
        raise BrokenError(where, "layers", "at least one", found)
    return found


class _Tree:
    """The tree that layers make, one over the other, beside the one that they must make."""

    def __init__(self, expected: Expected, findings: Findings) -> None:
        self._wanted = {one.path: dataclasses.replace(one, mtime=expected.mtime) for one in expected.members}
        self._found: dict[str, tuple[Member, Path]] = {}
        self._findings = findings

    def add(self, where: str, blob: Path) -> str:
        """Read a layer, and return the digest of its tar.

        What stands in two layers must be a folder, and the one that is wanted in both: then
        unpacking one over the other loses nothing and changes nothing.
        """
        findings = Findings()
        members: dict[str, Member] = {}
        try:
            with blob.open("rb") as file:
                stream = _LayerReader(file)
                for member in read_members(stream, findings):
                    interruption.check()
                    _check_place(member, members, findings)
                    self._check_member(member, findings)
                    members[member.path] = member
                stream.finish()
        except BrokenError as error:
            raise BrokenError(where, "tar", "one that can be read", error) from None
        finally:
            self._findings.extend(f"{where}: {finding}" for finding in findings)
        self._found |= {path: (member, blob) for path, member in members.items()}
        return stream.diff_id

    def check_complete(self) -> None:
        """Note what no layer has."""
        for path in sorted(self._wanted.keys() - self._found.keys()):
            self._findings.append(difference(path, "member", self._wanted[path].type, "nothing"))

    def accounts(self) -> expected_oci.Accounts:
        """Read the accounts that the image has in the end."""
        members = {path: member for path, (member, _) in self._found.items()}
        return expected_oci.Accounts(self._text("etc/passwd"), self._text("etc/group"), members)

    def _check_member(self, member: Member, findings: Findings) -> None:
        path, wanted = member.path, self._wanted.get(member.path)
        if path in self._found and member.type != "directory":
            findings.append(difference(path, "member", "one layer that has it", "one below too"))
        if wanted is None:
            findings.append(difference(path, "member", "nothing", member.type))
            return
        for field in dataclasses.fields(Member):
            pair = getattr(wanted, field.name), getattr(member, field.name)
            if pair[0] != pair[1]:
                shown = (f"{value:04o}" if field.name == "mode" else repr(value) for value in pair)
                findings.append(difference(path, field.name, *shown))

    def _text(self, path: str) -> str:
        """Read a small file from the layer that has it."""
        member, blob = self._found.get(path, (None, Path()))
        if member is None or member.type != "file" or member.size > _ACCOUNTS_LIMIT:
            return ""
        with tarfile.open(blob, "r|gz", encoding="utf-8", errors="surrogateescape") as archive:
            for one in archive:
                if one.name == path and (content := archive.extractfile(one)):
                    return content.read().decode("utf-8", "surrogateescape")
        return ""


class _LayerReader(GzipReader):
    """The tar of a layer, digested as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = super().read(size)
        self._sha256.update(content)
        return content

    @property
    def diff_id(self) -> str:
        return f"sha256:{self._sha256.hexdigest()}"


def _check_place(member: Member, before: dict[str, Member], findings: Findings) -> None:
    """Check a member's name against those before it in its layer."""
    path, parts = member.path, member.path.split("/")
    if any(part in ("", ".", "..") or part.startswith(_REMOVES) for part in parts):
        rule = f"a relative path with no empty, '.' or '..' part, and none that begins with {_REMOVES}"
        findings.append(difference(path, "name", rule, path))
    last = next(reversed(before), "")
    if os.fsencode(path) <= os.fsencode(last):
        findings.append(difference(path, "order", f"a name that sorts after {last}", path))
    parent = posixpath.dirname(path)
    if parent and _type(before.get(parent)) != "directory":
        findings.append(difference(path, "parent", "a directory before it", _type(before.get(parent))))
    if member.type == "hardlink" and _type(before.get(member.link)) != "file":
        findings.append(difference(path, f"target {member.link}", "a file before it", _type(before.get(member.link))))


def _type(member: Member | None) -> str:
    return "nothing" if member is None else member.type
