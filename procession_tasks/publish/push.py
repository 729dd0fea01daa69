"""Pushes an image layout to a repository: what is missing there, byte for byte, and then its tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from procession_tasks import interruption
from procession_tasks.debian.progress import Progress
from procession_tasks.errors import BuildError
from procession_tasks.image.layout import INDEX, Descriptor, Layout
from procession_tasks.publish.connection import AT_ONCE
from procession_tasks.publish.reference import Reference
from procession_tasks.publish.registry import Registry
from procession_tasks.publish.upload import upload_blob

T = TypeVar("T")
R = TypeVar("R")

_MOVE = "give the image another version, or push it with --force"


@dataclass(frozen=True, slots=True)
class Amount:
    """How many blobs, and how many bytes they have."""

    blobs: int = 0
    size: int = 0

    @classmethod
    def of(cls, blobs: Iterable[Descriptor]) -> Amount:
        """Count blobs."""
        sizes = [blob.size for blob in blobs]
        return cls(len(sizes), sum(sizes))


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image that is in a registry now, and what it took.

    `reference` pins it (``registry.example/team/api@sha256:…``).  The amounts count layers and
    configurations, each once: sent, taken over from another repository, and found there.
    `manifests` is how many manifests and indexes were written, a tag counting as one; 0 when
    all was there.
    """

    reference: str
    digest: str
    tags: tuple[str, ...]
    uploaded: Amount
    mounted: Amount
    skipped: Amount
    manifests: int


def push(
    layout: Layout,
    registry: Registry,
    path: str,
    tags: Iterable[str],
    *,
    neighbours: Mapping[str, Layout] | None = None,
    force: bool = False,
) -> Pushed:
    """Bring a layout into the repository `path`, and have the tags name it.

    `neighbours` are the layouts of other repositories of the registry, by path; blobs that they
    have too are not sent where the registry can take them from there.  An image that is there
    under all its tags costs one request a tag.  Nothing is changed before it is known that no
    tag names another image, unless they may be moved (`force`).  Who stops it stops it soon;
    what was uploaded is found there the next time.  Raises BuildError.
    """
    repository = Reference(registry.host, path)
    names = tuple(dict.fromkeys(repository.tagged(tag).tag or "" for tag in tags))
    target = _Target(layout, registry, repository)
    done: list[Pushed] = []
    interruption.few_at_once(lambda tags: done.append(_push(target, tags, neighbours or {}, force=force)), [names])
    return done[0]


@dataclass(frozen=True, slots=True)
class _Target:
    """What is pushed, and where."""

    layout: Layout
    registry: Registry
    repository: Reference

    def manifest_digest(self, name: str) -> str | None:
        return self.registry.manifest_digest(self.repository.path, name)

    def put(self, manifest: Descriptor, name: str) -> None:
        self.registry.put_manifest(self.repository.path, name, manifest, self.layout.read(manifest))

    def has_blob(self, blob: Descriptor) -> bool:
        return self.registry.has_blob(self.repository.path, blob.digest)


def _push(target: _Target, tags: tuple[str, ...], neighbours: Mapping[str, Layout], *, force: bool) -> Pushed:
    layout, top = target.layout, target.layout.top
    named = _each(target.manifest_digest, tags)
    if not force:
        _refuse_moves(target.repository, top, named)
    is_there = top.digest in named.values()
    manifests = [] if is_there else _missing(target, top)
    wanted = [blob for blob, is_found in _each(target.has_blob, _blobs(layout, manifests)).items() if not is_found]
    sent = _bring(target, wanted, neighbours)
    by_digest = [manifest for manifest in manifests if manifest != top or not tags]
    by_tag = [tag for tag in tags if named[tag] != top.digest]
    for manifest in by_digest:  # an index comes after what it leads to
        target.put(manifest, manifest.digest)
    for tag in by_tag:
        target.put(top, tag)
    return Pushed(
        reference=str(target.repository.pinned(top.digest)),
        digest=top.digest,
        tags=tags,
        uploaded=Amount.of(blob for blob in wanted if sent[blob]),
        mounted=Amount.of(blob for blob in wanted if not sent[blob]),
        skipped=Amount.of(blob for blob in _blobs(layout, _manifests(layout, top)) if blob not in sent),
        manifests=len(by_digest) + len(by_tag),
    )


def _refuse_moves(repository: Reference, top: Descriptor, named: Mapping[str, str | None]) -> None:
    problems = [
        f"{repository.tagged(tag)}: must not be moved to another image: it names {digest}, got {top.digest}"
        for tag, digest in sorted(named.items())
        if digest not in (None, top.digest)
    ]
    if problems:
        raise BuildError("\n".join(problems), hint=_MOVE)


def _missing(target: _Target, top: Descriptor) -> list[Descriptor]:
    """List the manifests that the repository has not got, each after those that it leads to."""
    if target.manifest_digest(top.digest):
        return []
    manifests = [manifest for manifest in _manifests(target.layout, top) if manifest != top]
    found = _each(lambda manifest: target.manifest_digest(manifest.digest), manifests)
    return [*(manifest for manifest in manifests if not found[manifest]), top]


def _manifests(layout: Layout, top: Descriptor) -> list[Descriptor]:
    """List a manifest, or an index after all that it leads to, each once."""
    if top.media_type != INDEX:
        return [top]
    below = [manifest for child in layout.children(top) for manifest in _manifests(layout, child)]
    return [*dict.fromkeys(below), top]


def _blobs(layout: Layout, manifests: Iterable[Descriptor]) -> list[Descriptor]:
    """List the configurations and layers of manifests, each once."""
    images = (manifest for manifest in manifests if manifest.media_type != INDEX)
    return list({blob.digest: blob for image in images for blob in layout.children(image)}.values())


def _bring(target: _Target, blobs: Sequence[Descriptor], neighbours: Mapping[str, Layout]) -> dict[Descriptor, bool]:
    """Upload or mount blobs, and tell which had to be sent."""
    layout, path = target.layout, target.repository.path
    others = {other: _digests(neighbour) for other, neighbour in neighbours.items() if blobs and other != path}
    progress = Progress(f"pushing {target.repository.repository}", sum(blob.size for blob in blobs))

    def bring(blob: Descriptor) -> bool:
        having = [other for other, digests in others.items() if blob.digest in digests]
        return upload_blob(target.registry, path, blob, layout.path(blob.digest), having, progress.advance)

    try:
        return _each(bring, blobs)
    finally:
        progress.finish()


def _digests(layout: Layout) -> frozenset[str]:
    """Return the blobs of a layout; none of one that is not there or broken, which another push will tell."""
    try:
        return frozenset(blob.digest for blob in _blobs(layout, _manifests(layout, layout.top)))
    except BuildError:
        return frozenset()


def _each(do: Callable[[T], R], items: Sequence[T]) -> dict[T, R]:
    """Do something with all items, a few at once, and return the results in the order of the items."""
    results: dict[T, R] = {}

    def one(item: T) -> None:
        results[item] = do(item)

    interruption.few_at_once(one, items, AT_ONCE)
    return {item: results[item] for item in items}
