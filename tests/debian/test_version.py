"""The order of Debian versions, judged by dpkg."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess

import pytest

from procession_tasks.debian.version import compare, satisfies, sort_key

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")

# One process a comparison is what dpkg offers; one shell for all of them is cheaper than one each.
DPKG = """
while read -r a b; do
  if dpkg --compare-versions "$a" lt "$b"; then echo -1
  elif dpkg --compare-versions "$a" eq "$b"; then echo 0
  else echo 1
  fi
done
"""

# In order, each later than the one before.
RISING = [
    "0~",
    "0-0~",
    "0",
    "1.0~~",
    "1.0~~a",
    "1.0~",
    "1.0~rc1-1",
    "1.0",
    "1.0-0+b1",
    "1.0-1~bpo12+1",
    "1.0-1",
    "1.0-1a",
    "1.0-01b",
    "1.0-1+b1",
    "1.0-1+b10",
    "1.0-1.1",
    "1.0a",
    "1.0a1",
    "1.0a01b",
    "1.0aA",
    "1.0aa",
    "1.0+",
    "1.0+dfsg-1",
    "1.0-a-1",
    "1.0.",
    "1.0.1",
    "1.0.10",
    "1.2",
    "1.10",
    "2:0.1",
    "2:0.1:1",
    "10:0",
    "2147483647:0",
]
EQUAL = [("1.0", "1.0-0"), ("1.0", "0:1.0"), ("1.0", "1.00"), ("1.0-1", "1.0-01"), ("1.", "1.0"), ("00:1", "1-000")]
MALFORMED = [
    "",
    " 1",
    "1 ",
    "1 0",
    "1-",
    ":1",
    "1:",
    "a:1",
    "-1:1",
    "2147483648:1",
    "99999999999999999999:1",
    "a1",
    "~1",
    "1:~",
    "1_0",
    "1-1_0",
    "1.0-é",
    "1.0é",
    "٣.0",
    "٣:1.0",
    "-1",
    "1\n",
    "1;true",
]


def dpkg_says(pairs: list[tuple[str, str]]) -> list[int]:
    lines = "".join(f"{a} {b}\n" for a, b in pairs)
    ended = subprocess.run(["sh", "-c", DPKG], input=lines, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return [int(line) for line in ended.stdout.split()]


def versions(generator: random.Random) -> list[str]:
    """A version and another that differs from it in few places, made of what is hard to order."""
    pieces = [generator.choice(["0", "1", "01", "9", "10", ".", "~", "+", "a", "b", "A", "Z"]) for _ in range(6)]
    other = [generator.choice(["", piece, "0", "~", "a"]) if generator.random() < 0.3 else piece for piece in pieces]
    ends = ["", "-1", "-1", "-0", "-1+b1", "-1~", "-a"]
    epochs = ["", "", "", "0:", "1:"]
    return [f"{generator.choice(epochs)}1{''.join(of)}{generator.choice(ends)}" for of in (pieces, other)]


def test_versions_rise_in_the_order_of_the_policy() -> None:
    shuffled = random.Random(5).sample(RISING, len(RISING))
    assert sorted(shuffled, key=sort_key) == RISING
    for earlier, later in itertools.combinations(RISING, 2):
        assert (compare(earlier, later), compare(later, earlier)) == (-1, 1), (earlier, later)


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_versions_that_differ_in_writing_only_are_equal(a: str, b: str) -> None:
    assert compare(a, b) == 0
    assert sort_key(a) == sort_key(b)


@needs_dpkg
def test_dpkg_orders_the_awkward_ones_alike() -> None:
    pairs = [*itertools.pairwise(RISING), *EQUAL]
    assert [compare(a, b) for a, b in pairs] == dpkg_says(pairs)


@pytest.mark.slow
@needs_dpkg
def test_dpkg_orders_random_ones_alike() -> None:
    generator = random.Random(20260711)
    pairs = [(a, b) for a, b in (versions(generator) for _ in range(400))]
    ours = [compare(a, b) for a, b in pairs]
    assert ours == dpkg_says(pairs)
    assert set(ours) == {-1, 0, 1}


@needs_dpkg
def test_dpkg_orders_the_versions_of_installed_packages_alike() -> None:
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Version}\n"], capture_output=True, text=True, check=True)
    real = sorted(set(listed.stdout.split()))
    pairs = list(itertools.pairwise(random.Random(7).sample(real, min(len(real), 200))))
    assert [compare(a, b) for a, b in pairs] == dpkg_says(pairs)


@pytest.mark.parametrize("version", MALFORMED)
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="must"):
        sort_key(version)
    with pytest.raises(ValueError, match="must"):
        compare("1.0", version)


@needs_dpkg
def test_dpkg_refuses_the_same_and_takes_the_rest() -> None:
    def taken(version: str) -> bool:
        return subprocess.run(["dpkg", "--validate-version", "--", version], capture_output=True).returncode == 0

    stripped = {" 1", "1 ", "1\n"}  # dpkg takes space around a version for granted; in an index there is none
    assert [version for version in MALFORMED if version not in stripped and taken(version)] == []
    assert [version for version in RISING if not taken(version)] == []


@pytest.mark.parametrize(
    ("relation", "answers"),
    [
        ("<<", [True, False, False]),
        ("<=", [True, True, False]),
        ("=", [False, True, False]),
        (">=", [False, True, True]),
        (">>", [False, False, True]),
    ],
)
def test_a_relation_holds_below_at_and_above_a_version(relation: str, answers: list[bool]) -> None:
    assert [satisfies(version, relation, "1:1.0-1") for version in ("9.0", "1:1.0-1", "1:1.0-1+b1")] == answers
