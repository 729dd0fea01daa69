"""What the gzip writer promises, judged by gunzip, Go's reader through actool, and Python."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import subprocess
import threading
import zlib

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image import deflate

needs_gunzip = pytest.mark.skipif(shutil.which("gunzip") is None, reason="gunzip is not installed")

WORDS = [bytes(random.Random(number).randbytes(9)) for number in range(500)]
MIXED = b"".join(random.Random(7).choices(WORDS, k=200_000))
CONTENTS = {
    "nothing": b"",
    "one byte": b"x",
    "one block less one": MIXED[: deflate.BLOCK - 1],
    "one block": MIXED[: deflate.BLOCK],
    "one block and one": MIXED[: deflate.BLOCK + 1],
    "four blocks": MIXED[: 4 * deflate.BLOCK],
    "mixed": MIXED,
    "zeros": bytes(5_000_000),
    "random": random.Random(3).randbytes(2_000_000),
}


def compress(content: bytes, *, threads: int | None = None, step: int = 100_000) -> bytes:
    out = io.BytesIO()
    with deflate.GzipWriter(out, threads=threads) as writer:
        for start in range(0, len(content), step):
            writer.write(content[start : start + step])
    return out.getvalue()


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_python_reads_it_back(content: bytes) -> None:
    assert gzip.decompress(compress(content)) == content


@needs_gunzip
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_gunzip_reads_it_back(content: bytes) -> None:
    done = subprocess.run(["gunzip", "-c"], input=compress(content), capture_output=True, check=True)

    assert (done.stdout, done.stderr) == (content, b"")


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_threads_and_sizes_of_writes_do_not_change_the_bytes(content: bytes) -> None:
    first = compress(content, threads=1, step=len(content) or 1)

    for threads, step in ((1, 4096), (2, 777_777), (3, deflate.BLOCK), (8, 100_000)):
        assert compress(content, threads=threads, step=step) == first


def test_bytes_are_the_ones_that_the_compressor_is_named_for() -> None:
    """Another digest means other bytes for the same input: then the name has to change too."""
    compressed = compress(MIXED[:1_000_000])

    assert (deflate.COMPRESSOR, zlib.crc32(compressed)) == ("zlib-ng 2.3.3 level 2 block 262144", 0x457BF66E)


def test_header_names_no_file_time_or_system() -> None:
    assert compress(b"x")[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def test_blocks_use_what_came_before_them() -> None:
    """Without the dictionary every block would hold the random start again."""
    start = random.Random(5).randbytes(16 * 1024)
    content = start * (4 * deflate.BLOCK // len(start))

    assert len(compress(content)) < 2 * len(start)


def test_other_library_is_refused_with_the_command_that_mends_it() -> None:
    with pytest.raises(BuildError) as caught:
        deflate.check_library("2.2.4")

    assert str(caught.value) == "zlib-ng: must be version 2.3.3, got 2.2.4\n  hint: pip install zlib-ng==1.1.0"


def test_failure_inside_the_block_ends_every_thread_and_writes_no_trailer() -> None:
    before = threading.active_count()
    out = io.BytesIO()

    def interrupted() -> None:
        with deflate.GzipWriter(out, threads=4) as writer:
            writer.write(MIXED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert threading.active_count() == before
    with pytest.raises(EOFError):
        gzip.decompress(out.getvalue())


def test_failure_in_a_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(deflate, "_deflated", failing)

    with pytest.raises(MemoryError):
        compress(MIXED)


def test_failure_to_write_reaches_the_caller() -> None:
    class Full:
        def write(self, content: bytes) -> None:
            if len(content) > 10:
                raise OSError(28, "No space left on device")

    before = threading.active_count()

    with pytest.raises(OSError, match="No space left"), deflate.GzipWriter(Full()) as writer:
        writer.write(MIXED)

    assert threading.active_count() == before
