"""The caches of a run together: what is used, what is a miss, and what is told of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.cache import entry, outputs, wire
from procession_tasks.cache.action import Keyed, keyed
from procession_tasks.cache.contents import Contents
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.merkle import File
from procession_tasks.cache.reapi import ActionResult, Digest, OutputFile, digest_of
from procession_tasks.cache.remote import Accept, Blob, GoneError, RemoteError
from procession_tasks.cache.signing import Signer, Verifier, new_pair
from procession_tasks.cache.store import Store
from procession_tasks.step import Step

CONTENT = b"what was made"
DIGEST = digest_of(CONTENT)
MADE = ActionResult(output_files=(OutputFile("out", DIGEST),))
BLOBS = {DIGEST: Blob(DIGEST, CONTENT)}


def action(source: str = "source") -> Keyed:
    step = Step("make", "it", "linux-amd64", ("make",), ("in",), ("out",))
    return keyed(step, {"in": File(digest_of(source.encode()))}, "")


class Memory:
    """A cache elsewhere, that can be looked into and put wrong."""

    name = "https://cache.example"
    knows_directories = False

    def __init__(self) -> None:
        self.results: dict[Digest, ActionResult] = {}
        self.contents: dict[Digest, bytes] = {}
        self.fails: Exception | None = None

    def result(self, key: Digest) -> ActionResult | None:
        self._fail()
        return self.results.get(key)

    def put_result(self, key: Digest, result: ActionResult) -> None:
        self._fail()
        assert all(file.digest in self.contents for file in result.output_files)
        self.results[key] = result

    def fetch(self, digests: Collection[Digest], accept: Accept) -> None:
        self._fail()
        for digest in digests:
            if digest not in self.contents:
                raise GoneError("a blob is not there, though a result names it")
            accept(digest, [self.contents[digest]])

    def send(self, blobs: Collection[Blob]) -> None:
        self._fail()
        self.contents |= {blob.digest: blob.read() for blob in blobs}

    def close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.fails:
            raise self.fails


@dataclasses.dataclass
class Bench:
    """Stores as machines have them: a disk each, and what they were warned of."""

    folder: Path
    remote: Memory = dataclasses.field(default_factory=Memory)
    warned: list[str] = dataclasses.field(default_factory=list)
    count: int = 0

    def machine(self, **options: Any) -> Store:
        self.count += 1
        disk = Disk(self.folder / f"disk-{self.count}")
        disk.open()
        return Store(disk, self.remote, self.warned.append, **options)

    def write(self, asked: Keyed, **options: Any) -> None:
        store = self.machine(writes=True, **options)
        store.keep(asked, MADE, BLOBS, 2.5)
        store.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def taken(store: Store, asked: Keyed) -> tuple[bytes, str] | None:
    read: list[bytes] = []
    found = store.take(asked, lambda result, disk: read.append(outputs.only(result, disk)))
    return (read[-1], found.where) if found else None


def test_what_one_machine_made_another_takes(bench: Bench) -> None:
    bench.write(action())
    store = bench.machine()
    found = store.take(action(), lambda result, disk: None)

    assert found is not None
    assert (found.where, found.seconds) == ("https://cache.example", 2.5)
    assert taken(store, action()) == (CONTENT, "disk")
    store.close()
    assert bench.warned == []
    assert store.account.fetched == len(CONTENT)


def test_what_is_moved_is_noted_with_its_time(bench: Bench) -> None:
    begun = time.monotonic()
    bench.write(action())
    store = bench.machine()
    taken(store, action())
    taken(store, action())  # it is here by now

    ((what, started, seconds, size),) = store.account.moves
    assert (what, size) == ("fetch https://cache.example", len(CONTENT))
    assert begun <= started <= started + seconds <= time.monotonic()


def test_what_was_made_here_is_taken_from_here(bench: Bench) -> None:
    store = bench.machine()
    store.keep(action(), MADE, BLOBS, 0)
    assert taken(store, action()) == (CONTENT, "disk")
    assert bench.remote.results == {}  # nobody said that it may be written


def test_another_action_is_a_miss(bench: Bench) -> None:
    bench.write(action())
    assert taken(bench.machine(), action("other")) is None


def test_a_result_moved_under_another_key_is_never_used(bench: Bench) -> None:
    bench.write(action())
    bench.remote.results[action("other").key] = bench.remote.results[action().key]
    store = bench.machine()

    assert taken(store, action("other")) is None
    store.close()
    assert bench.warned == ["cache: 1 of the results there could not be used: of another action, or incomplete"]


def test_a_content_that_was_edited_is_never_used(bench: Bench) -> None:
    bench.write(action())
    bench.remote.contents[DIGEST] = CONTENT[:-1] + b"!"
    store = bench.machine()

    assert taken(store, action()) is None
    store.close()
    assert bench.warned == [
        f"cache https://cache.example: failed once: a blob is not what its digest says ({DIGEST.hash[:12]}…)"
    ]


def test_a_content_damaged_here_is_fetched_again(bench: Bench, tmp_path: Path) -> None:
    bench.write(action())
    store = bench.machine()
    taken(store, action())
    path = Disk(tmp_path / "disk-2").path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1] + b"!")

    assert taken(store, action()) == (CONTENT, "disk")


def test_a_result_whose_content_was_evicted_is_a_miss_without_a_word(bench: Bench) -> None:
    bench.write(action())
    bench.remote.contents.clear()
    store = bench.machine()
    assert taken(store, action()) is None
    store.close()
    assert bench.warned == []


def test_what_was_evicted_is_stored_again(bench: Bench) -> None:
    bench.write(action())
    bench.remote.contents.clear()
    bench.write(action())
    assert taken(bench.machine(), action()) == (CONTENT, "https://cache.example")


@pytest.mark.parametrize(
    "result",
    [
        ActionResult(),
        ActionResult(exit_code=1),
        dataclasses.replace(MADE, output_files=()),
        dataclasses.replace(MADE, output_files=(OutputFile("/etc/passwd", DIGEST),)),
        MADE,  # which does not say what it is of
    ],
)
def test_a_result_that_is_none_of_the_action_is_a_miss(result: ActionResult, bench: Bench) -> None:
    bench.write(action())
    of = result if result == MADE else entry.bound(result, action().key)
    bench.remote.results[action().key] = of
    assert taken(bench.machine(), action()) is None


def test_what_its_user_finds_damaged_is_a_miss(bench: Bench) -> None:
    bench.write(action())

    def use(result: ActionResult, disk: Disk) -> None:
        raise ValueError("no list of packages")

    store = bench.machine()
    assert store.take(action(), use) is None
    store.close()
    assert bench.warned == ["cache: 2 of the results there could not be used: damaged (no list of packages)"]


def test_what_the_user_of_a_result_cannot_write_is_its_own_error(bench: Bench) -> None:
    bench.write(action())

    def use(result: ActionResult, disk: Disk) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        bench.machine().take(action(), use)


def test_a_server_that_is_down_costs_one_line(bench: Bench) -> None:
    bench.remote.fails = RemoteError("nobody answers")
    store = bench.machine(writes=True)
    for number in range(5):
        assert taken(store, action(str(number))) is None
        store.keep(action(str(number)), MADE, BLOBS, 0)
    store.close()

    assert bench.warned == ["cache https://cache.example: nobody answers; building without it"]


def test_a_disk_that_cannot_be_written_costs_one_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = bench.machine(writes=True)
    monkeypatch.setattr(Disk, "accept", full)
    for number in range(3):
        store.keep(action(str(number)), MADE, BLOBS, 0)
        assert taken(store, action(str(number))) is None
    store.close()
    assert len(bench.warned) == 1
    assert "cannot be written: No space left on device; going on without it" in bench.warned[0]


def test_results_go_last(bench: Bench) -> None:
    """`Memory.put_result` sees that every content is there before."""
    bench.write(action())
    assert bench.remote.results


def test_who_is_told_not_to_wait_leaves_what_has_not_begun(bench: Bench) -> None:
    store = bench.machine(writes=True)
    store.keep(action(), MADE, BLOBS, 0)
    store.close(wait=False)
    assert set(bench.remote.results) <= {action().key}


def test_proposals_are_read_from_every_cache(bench: Bench) -> None:
    bench.write(action())
    store = bench.machine()
    other = digest_of(b"mine")
    store.keep(action(), ActionResult(output_files=(OutputFile("out", other),)), {other: Blob(other, b"mine")}, 0)
    assert list(store.texts(action())) == [b"mine", CONTENT]


def test_signed_results_are_used(bench: Bench) -> None:
    private, public = new_pair()
    bench.write(action(), signer=Signer(private))
    store = bench.machine(verifier=Verifier([new_pair()[1], public]))
    assert taken(store, action()) == (CONTENT, "https://cache.example")


def forged(result: ActionResult) -> ActionResult:
    """Say something else under the same signature."""
    return dataclasses.replace(result, output_files=(OutputFile("out", digest_of(b"evil")),))


def restated(result: ActionResult) -> ActionResult:
    return dataclasses.replace(result, stderr_raw=b"warning: nothing is wrong\n")


@pytest.mark.parametrize("how", ["unsigned", "wrongly signed", "forged", "restated"])
def test_results_without_a_good_signature_are_misses_that_are_told(how: str, bench: Bench) -> None:
    private, public = new_pair()
    signer = {"unsigned": None, "wrongly signed": Signer(new_pair()[0])}.get(how, Signer(private))
    bench.write(action(), signer=signer)
    bench.remote.contents[digest_of(b"evil")] = b"evil"
    change: Callable[[ActionResult], ActionResult] = {"forged": forged, "restated": restated}.get(how, lambda it: it)
    bench.remote.results[action().key] = change(bench.remote.results[action().key])
    store = bench.machine(verifier=Verifier([public]))

    assert taken(store, action()) is None
    store.close()
    assert bench.warned == ["cache: 1 of the results there could not be used: not signed by any of the signers"]


def test_what_was_taken_unsigned_is_not_trusted_once_signatures_are_asked_for(bench: Bench, tmp_path: Path) -> None:
    bench.write(action())
    assert taken(bench.machine(), action()) is not None
    disk = Disk(tmp_path / "disk-2")
    disk.open()
    bench.remote.results.clear()
    store = Store(disk, bench.remote, bench.warned.append, verifier=Verifier([new_pair()[1]]))
    assert taken(store, action()) is None
    store.keep(action(), MADE, BLOBS, 0)  # made here
    assert taken(store, action()) == (CONTENT, "disk")


def test_a_server_cannot_say_that_a_result_was_made_here(bench: Bench) -> None:
    bench.write(action())
    bench.remote.results[action().key] = entry.marked(bench.remote.results[action().key])
    store = bench.machine(verifier=Verifier([new_pair()[1]]))
    assert taken(store, action()) is None
    bench.warned.clear()
    trusting = bench.machine()
    assert taken(trusting, action()) is not None
    assert not entry.is_marked(trusting._disk.result(action().key))


def test_a_signature_is_of_one_action(bench: Bench) -> None:
    private, public = new_pair()
    bench.write(action(), signer=Signer(private))
    result = bench.remote.results[action().key]
    rebound = entry.attach(result, entry._KEY_TYPE, wire.encode(action("other").key))
    bench.remote.results[action("other").key] = rebound
    assert taken(bench.machine(verifier=Verifier([public])), action("other")) is None


def test_a_signature_survives_being_written_anew(bench: Bench) -> None:
    private, public = new_pair()
    bench.write(action(), signer=Signer(private))
    result = bench.remote.results[action().key]
    bench.remote.results[action().key] = wire.decode(ActionResult, wire.encode(result) + b"\xfa\x07\x03new")
    assert taken(bench.machine(verifier=Verifier([public])), action()) is not None


def test_inputs_that_changed_while_they_were_used_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("one")
    contents = Contents(tmp_path)
    nodes = contents.nodes(["in"])
    assert contents.are_same(nodes)
    (tmp_path / "in").write_text("two")
    assert not contents.are_same(nodes)
    (tmp_path / "in").unlink()
    assert not contents.are_same(nodes)


def test_an_edit_in_the_same_tick_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size, times and inode are as they were, because the clock of files is coarse."""
    monkeypatch.setattr("procession_tasks.cache.contents._key", lambda stat: (1, 1, 2**62, 1))
    (tmp_path / "in").write_text("one")
    contents = Contents(tmp_path)
    nodes = contents.nodes(["in"])
    (tmp_path / "in").write_text("two")
    assert not contents.are_same(nodes)
