"""Which packages are chosen, why, and what cannot be: told with indexes of a few packages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.resolve import Closure, resolve
from procession_tasks.errors import BuildError

FIELDS = (
    "Pre-Depends",
    "Depends",
    "Conflicts",
    "Breaks",
    "Provides",
    "Priority",
    "Multi-Arch",
    "Essential",
    "Protected",
)


def stanzas(packages: Sequence[str]) -> str:
    """Write packages out in full; each is given as `name version; Field: value; ...`."""
    written = []
    for package in packages:
        head, *fields = package.split("; ")
        name, _, version = head.partition(" ")
        version = version or "1"
        assert all(field.partition(":")[0] in (*FIELDS, "SHA256") for field in fields), package
        default = {"SHA256": hashlib.sha256(head.encode()).hexdigest()}
        given = default | dict(field.split(": ", 1) for field in fields)
        lines = "".join(f"{field}: {value}\n" for field, value in given.items())
        where = f"Architecture: amd64\nFilename: pool/{name}.deb\nSize: 1\n"
        written.append(f"Package: {name}\nVersion: {version}\n{where}{lines}")
    return "\n".join(written)


@pytest.fixture
def index(tmp_path: Path):
    """Open an index of these packages; each further argument is another suite."""

    def opened(*suites: Sequence[str], architecture: str = "amd64") -> Index:
        files = []
        for number, packages in enumerate(suites):
            path = tmp_path / f"{number}.Packages"
            path.write_text(stanzas(packages))
            files.append(PackagesFile(path, "debian", f"suite{number}"))
        return Index(files, architecture)

    return opened


def names(closure: Closure) -> str:
    return " ".join(package.name for package in closure.packages)


def chosen(index: Index, roots: str, omit: str = "") -> str:
    with index:
        return names(resolve(index, roots.split(), dict.fromkeys(omit.split(), "for a reason")))


def refusal(index: Index, roots: str, omit: str = "") -> list[str]:
    with index, pytest.raises(BuildError) as raised:
        resolve(index, roots.split(), dict.fromkeys(omit.split(), "for a reason"))
    return str(raised.value).split("\n")


def hinted(lines: Sequence[str]) -> list[str]:
    """Add the hint that goes with every need that is not met and every conflict."""
    unmet = "  hint: add a suite that has it, or omit what can be done without"
    clash = "  hint: ask for an alternative to one of them, or omit one"
    hints = [[unmet] * (": needs " in line) + [clash] * (": conflicts with " in line) for line in lines]
    return [text for line, hint in zip(lines, hints, strict=True) for text in (line, *hint)]


# What is asked for of which packages -> what is chosen.  Names have two letters, as Debian has it.
CHOICES = {
    "what is needed comes with it": (
        ["aa; Depends: bb, cc", "bb; Pre-Depends: dd", "cc", "dd", "ee"],
        "aa",
        "aa bb cc dd",
    ),
    "packages may need each other": (["aa; Depends: bb", "bb; Depends: aa"], "bb", "aa bb"),
    "essential packages come only if something needs them": (["aa", "bb; Essential: yes"], "aa", "aa"),
    "the first alternative is taken": (["aa; Depends: bb | cc", "bb", "cc"], "aa", "aa bb"),
    "what is there already is as good": (["aa; Depends: bb | cc", "bb", "cc"], "aa cc", "aa cc"),
    "what an earlier root brought is as good": (
        ["aa; Depends: cc", "bb; Depends: dd | cc", "cc", "dd"],
        "aa bb",
        "aa bb cc",
    ),
    "an earlier root has the first say": (
        ["aa; Depends: cc", "bb; Depends: dd | cc", "cc", "dd"],
        "bb aa",
        "aa bb cc dd",
    ),
    "an alternative that is not there is passed over": (["aa; Depends: xx | bb", "bb"], "aa", "aa bb"),
    "an alternative that is too old is passed over": (["aa; Depends: bb (>= 2) | cc", "bb 1", "cc"], "aa", "aa cc"),
    "an alternative that cannot be had is passed over": (
        ["aa; Depends: bb | cc", "bb; Depends: dd, ee", "cc", "dd", "ee; Depends: xx"],
        "aa",
        "aa cc",
    ),
    "what is provided counts": (["aa; Depends: awk", "bb; Provides: awk"], "aa", "aa bb"),
    "a package itself goes before its providers": (
        ["aa; Depends: bb", "bb; Priority: extra", "cc; Provides: bb; Essential: yes; Priority: required"],
        "aa",
        "aa bb",
    ),
    "an alternative's providers go before the next alternative": (
        ["aa; Depends: awk | bb", "bb", "cc; Provides: awk"],
        "aa",
        "aa cc",
    ),
    "of providers the essential one is taken": (
        [
            "aa; Depends: awk",
            "bb; Provides: awk; Priority: required",
            "cc; Provides: awk; Priority: optional; Essential: yes",
        ],
        "aa",
        "aa cc",
    ),
    "then the protected one": (
        [
            "aa; Depends: awk",
            "bb; Provides: awk; Priority: required",
            "cc; Provides: awk; Priority: optional; Protected: yes",
        ],
        "aa",
        "aa cc",
    ),
    "then the one of the highest priority": (
        [
            "aa; Depends: awk",
            "bb; Provides: awk; Priority: optional",
            "cc; Provides: awk; Priority: standard",
            "dd; Provides: awk; Priority: extra",
        ],
        "aa",
        "aa cc",
    ),
    "of equals the one the index names last": (
        ["aa; Depends: awk", "dd; Provides: awk", "cc; Provides: awk", "bb; Provides: awk"],
        "aa",
        "aa bb",
    ),
    "what provides something in no version meets no version": (
        ["aa; Depends: awk (>= 1) | bb", "bb", "cc; Provides: awk"],
        "aa",
        "aa bb",
    ),
    "what provides a version meets it, whatever its own": (
        ["aa; Depends: awk (>= 2)", "bb 9; Provides: awk (= 1)", "cc 1; Provides: awk (= 2)"],
        "aa",
        "aa cc",
    ),
    "what an older version provides does not count": (
        ["aa; Depends: awk | cc", "bb 1; Provides: awk", "bb 2", "cc"],
        "aa",
        "aa cc",
    ),
    "any architecture is met by what allows it": (
        ["aa; Depends: bb:any, awk:any (>= 1)", "bb; Multi-Arch: allowed; Provides: awk (= 1)"],
        "aa",
        "aa bb",
    ),
    "any architecture is not met by what does not allow it": (
        ["aa; Depends: bb:any | cc", "bb; Multi-Arch: foreign", "cc"],
        "aa",
        "aa cc",
    ),
    "an architecture may be named if it is this one": (
        ["aa; Depends: bb:arm64 | cc:amd64", "bb", "cc; Multi-Arch: same"],
        "aa",
        "aa cc",
    ),
    "a conflict with what is asked for rules an alternative out": (
        ["aa; Depends: cc | dd", "bb; Conflicts: cc", "cc", "dd"],
        "aa bb",
        "aa bb dd",
    ),
    "whichever of the two declares it": (
        ["aa; Depends: cc | dd", "bb", "cc; Breaks: bb", "dd"],
        "aa bb",
        "aa bb dd",
    ),
    "what only one package can be is ruled in before it is reached": (
        ["aa; Depends: bb | cc, dd", "bb", "cc", "dd; Conflicts: bb"],
        "dd aa",
        "aa cc dd",
    ),
    "what only one package can be is ruled in if something else brought it": (
        ["aa; Depends: cc | dd", "bb; Depends: cc, ee | ff", "cc", "dd", "ee; Conflicts: cc", "ff"],
        "aa bb",
        "aa bb cc ff",
    ),
    "what an alternative that failed would have brought next is not there": (
        ["aa; Depends: bb | cc, hh | gg", "bb; Depends: dd, gg", "cc", "dd; Conflicts: aa", "gg", "hh"],
        "aa",
        "aa cc hh",
    ),
    "what it brought before stays there if it is of use": (
        ["aa; Depends: bb | cc, hh | gg", "bb; Depends: gg, dd", "cc", "dd; Conflicts: aa", "gg", "hh"],
        "aa",
        "aa cc gg",
    ),
    "nor does it exclude anything if it is of none": (
        ["aa; Depends: ee | gg, bb | cc", "bb; Depends: dd, ff", "cc", "dd", "ee; Breaks: dd", "ff; Breaks: aa", "gg"],
        "aa",
        "aa cc ee",
    ),
    "versions that are not there are not broken": (
        ["aa; Depends: bb; Breaks: bb (<< 2)", "bb 2"],
        "aa",
        "aa bb",
    ),
    "a package does not conflict with what it provides itself": (
        ["aa; Depends: bb", "bb; Provides: mta; Conflicts: mta"],
        "aa",
        "aa bb",
    ),
    "one provider is there if providers exclude one another": (
        [
            "aa; Depends: mta",
            "bb; Depends: cc | mta",
            "cc; Provides: mta; Conflicts: mta; Priority: optional",
            "dd; Provides: mta; Conflicts: mta; Priority: important",
        ],
        "aa bb",
        "aa bb dd",
    ),
    "what was taken for an alternative that failed is let go": (
        ["aa; Depends: bb | cc", "bb; Depends: dd, ee", "cc", "dd", "ee; Conflicts: aa"],
        "aa",
        "aa cc",
    ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_choice_is_right(index, case: str) -> None:
    packages, roots, expected = CHOICES[case]
    assert chosen(index(packages), roots) == expected


@pytest.mark.parametrize("case", CHOICES)
def test_apt_chooses_the_same(apt, case: str) -> None:
    packages, roots, expected = CHOICES[case]
    apt.offer(stanzas(packages))
    assert " ".join(name for name, *_ in apt.choose(roots.split())) == expected


# The same, with omissions.
OMISSIONS = {
    "what is omitted is not there, nor what only it needs": (
        ["aa; Depends: bb, cc", "bb; Depends: dd", "cc", "dd"],
        "aa",
        "bb",
        "aa cc",
    ),
    "any version of it counts as there": (["aa; Depends: bb (= 7), bb:any (<< 1)", "bb 2"], "aa", "bb", "aa"),
    "it meets a group of alternatives": (["aa; Depends: bb | cc", "bb", "cc"], "aa", "cc", "aa"),
    "a name that is only provided can be omitted": (["aa; Depends: awk", "bb; Provides: awk"], "aa", "awk", "aa"),
    "so can one that is not in the index": (["aa; Depends: xx"], "aa", "xx", "aa"),
    "what is omitted provides nothing": (
        ["cc; Provides: awk", "aa; Depends: bb, awk", "bb; Provides: awk"],
        "aa",
        "bb",
        "aa cc",
    ),
    "nothing conflicts with what is omitted": (
        ["aa; Depends: bb; Conflicts: cc", "bb; Depends: cc", "cc"],
        "aa",
        "cc",
        "aa bb",
    ),
}


@pytest.mark.parametrize("case", OMISSIONS)
def test_omissions_leave_out(index, case: str) -> None:
    packages, roots, omit, expected = OMISSIONS[case]
    assert chosen(index(packages), roots, omit) == expected


# To apt what is omitted is there, in one version.
@pytest.mark.parametrize("case", [case for case in OMISSIONS if "version" not in case and "conflict" not in case])
def test_apt_leaves_out_the_same(apt, case: str) -> None:
    packages, roots, omit, expected = OMISSIONS[case]
    apt.offer(stanzas(packages))
    assert " ".join(name for name, *_ in apt.choose(roots.split(), omit.split())) == expected


def test_packages_are_sorted_and_each_knows_who_asked_for_it(index) -> None:
    packages = ["bb; Depends: aa, cc", "aa; Depends: dd", "cc; Depends: dd | aa", "dd", "ee; Depends: bb"]
    with index(packages) as opened:
        closure = resolve(opened, ["ee", "cc"], {})
    assert names(closure) == "aa bb cc dd ee"
    assert closure.why == {"ee": "", "cc": "", "bb": "ee", "dd": "cc", "aa": "cc"}
    assert closure.warnings == ()


def test_the_shortest_way_tells_who_asked(index) -> None:
    packages = ["aa; Depends: cc, bb", "bb; Depends: dd", "cc; Depends: ff", "dd; Depends: ff", "ff"]
    with index(packages) as opened:
        assert resolve(opened, ["aa"], {}).why["ff"] == "cc"


def test_the_highest_version_of_all_suites_is_taken(index) -> None:
    with index(["aa 1; Depends: bb", "bb 2"], ["aa 1; Depends: bb", "bb 2+deb12u1"]) as opened:
        closure = resolve(opened, ["aa"], {})
    assert [(str(package), package.pin.suite) for package in closure.packages] == [
        ("aa 1", "suite0"),
        ("bb 2+deb12u1", "suite1"),
    ]


def test_no_older_version_is_taken_for_the_sake_of_another_package(index) -> None:
    """As with apt, which needs to be told to."""
    said = hinted(["aa: needs bb (<< 2), got bb 2; aa is asked for"])
    assert refusal(index(["aa; Depends: bb (<< 2)", "bb 1", "bb 2"]), "aa") == said


def test_one_version_with_two_contents_is_remarked_on(index) -> None:
    with index(["aa 1; SHA256: " + "a" * 64], ["aa 1; SHA256: " + "b" * 64]) as opened:
        closure = resolve(opened, ["aa"], {})
    assert closure.packages[0].pin.sha256 == "a" * 64
    assert list(map(str, closure.warnings)) == [
        "aa: 1 differs between debian suite0 and debian suite1; taken from the first (twins)"
    ]


def test_a_choice_between_equals_is_remarked_on(index) -> None:
    providers = [f"{name}; Provides: awk" for name in ("bb", "cc", "dd", "ee", "ff")]
    with index(["aa; Depends: awk, gg", "gg; Depends: awk", *providers]) as opened:
        closure = resolve(opened, ["aa"], {})
    assert list(map(str, closure.warnings)) == ["ff: taken for awk, which is also provided by bb, cc, dd, ... (tie)"]


def test_a_choice_that_something_settles_is_not_remarked_on(index) -> None:
    packages = ["aa; Depends: bb | awk", "bb; Provides: awk", "cc; Provides: awk", "dd; Provides: awk"]
    with index(packages) as opened:
        assert resolve(opened, ["aa"], {}).warnings == ()
        assert resolve(opened, ["dd", "aa"], {}).warnings == ()


def test_a_name_that_one_package_provides_can_be_asked_for(index) -> None:
    with index(["aa; Provides: mta"]) as opened:
        closure = resolve(opened, ["mta", "aa"], {})
    assert names(closure) == "aa"
    assert list(map(str, closure.warnings)) == ["aa: taken for mta, which it alone provides (virtual)"]


def test_a_name_that_several_provide_cannot(index) -> None:
    assert refusal(index(["aa; Provides: mta", "bb; Provides: mta"]), "mta") == [
        "mta: must be a package, got what several provide",
        "  hint: ask for one of aa, bb",
    ]


def test_an_unknown_package_is_named_with_the_nearest_there_is(index) -> None:
    assert refusal(index(["etcd-server", "nginx"]), "etcd-srver qqqq") == [
        "etcd-srver: must be a package for amd64, there is none",
        "  hint: did you mean etcd-server?",
        "qqqq: must be a package for amd64, there is none",
        "  hint: look for it in another suite",
    ]


def test_a_package_of_another_architecture_is_unknown(index) -> None:
    assert refusal(index(["aa"], architecture="arm64"), "aa") == [
        "aa: must be a package for arm64, there is none",
        "  hint: look for it in another suite",
    ]


# What is asked for, omitted -> what is said.
REFUSALS = {
    "a need that nothing meets, through whom it came": (
        ["aa; Depends: bb", "bb; Depends: cc", "cc; Depends: xx | yy (>= 1)"],
        "aa",
        "",
        ["cc: needs xx | yy (>= 1), got no xx and no yy; cc is needed by bb, needed by aa"],
    ),
    "a version that is not there": (
        ["aa; Depends: bb (>= 2~) | awk (= 3)", "bb 1.5", "cc; Provides: awk", "dd; Provides: awk (= 2)"],
        "aa",
        "",
        [
            "aa: needs bb (>= 2~) | awk (= 3), got bb 1.5 and awk provided by cc and awk (= 2) provided by dd; aa is asked for"
        ],
    ),
    "every alternative's own end": (
        ["aa; Depends: bb | cc", "bb; Depends: dd", "cc; Depends: xx", "dd; Depends: yy"],
        "aa",
        "",
        [
            "cc: needs xx, got no xx; cc is needed by aa",
            "dd: needs yy, got no yy; dd is needed by bb, needed by aa",
        ],
    ),
    "two that are asked for": (
        ["aa; Conflicts: bb", "bb; Breaks: aa (<< 2)"],
        "aa bb",
        "",
        ["aa: conflicts with bb, got bb 1; aa is asked for; bb is asked for"],
    ),
    "two that are needed, and by whom": (
        ["aa; Depends: cc", "bb; Depends: dd", "cc; Conflicts: ee (>= 1)", "dd; Depends: ee", "ee 1.5"],
        "aa bb",
        "",
        ["cc: conflicts with ee (>= 1), got ee 1.5; cc is needed by aa; ee is needed by dd, needed by bb"],
    ),
    "two that are needed, where the later declares it": (
        ["aa; Depends: cc", "bb; Depends: dd", "cc", "dd; Breaks: cc"],
        "aa bb",
        "",
        ["dd: conflicts with cc, got cc 1; dd is needed by bb; cc is needed by aa"],
    ),
    "a conflict with what something provides": (
        ["aa; Depends: bb, cc", "bb; Provides: mta; Conflicts: mta", "cc; Provides: mta; Conflicts: mta"],
        "aa",
        "",
        ["bb: conflicts with mta, got cc 1; bb is needed by aa; cc is needed by aa"],
    ),
    "needs that go in a circle around a conflict": (
        ["aa; Depends: bb", "bb; Depends: cc", "cc; Depends: bb; Conflicts: aa"],
        "aa",
        "",
        ["cc: conflicts with aa, got aa 1; cc is needed by bb, needed by aa; aa is asked for"],
    ),
    "an omission of what is asked for": (
        ["aa"],
        "aa",
        "aa",
        ["omit: must not name what is asked for, got aa", "  hint: remove it from one of the two"],
    ),
    "an omission that leaves nothing out": (
        ["aa; Depends: mawk | awk", "mawk", "bb", "cc; Depends: bb"],
        "aa",
        "bb nawk",
        [
            "omit: must name what would be there otherwise, got bb",
            "  hint: remove it",
            "omit: must name what would be there otherwise, got nawk",
            "  hint: did you mean awk?",
        ],
    ),
    "an omission of an alternative that another makes up for": (
        ["aa; Depends: bb, bb | cc", "bb", "cc"],
        "aa",
        "cc",
        ["omit: must name what would be there otherwise, got cc", "  hint: remove it"],
    ),
    "all of it at once": (
        ["aa; Depends: xx", "bb; Conflicts: cc", "cc"],
        "cc bb aa zzz dd",
        "dd unneeded",
        [
            "aa: needs xx, got no xx; aa is asked for",
            "bb: conflicts with cc, got cc 1; bb is asked for; cc is asked for",
            "omit: must not name what is asked for, got dd",
            "  hint: remove it from one of the two",
            "zzz: must be a package for amd64, there is none",
            "  hint: look for it in another suite",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_is_refused_with_its_reasons(index, case: str) -> None:
    packages, roots, omit, expected = REFUSALS[case]
    assert refusal(index(packages), roots, omit) == hinted(expected)


@pytest.mark.parametrize("case", [case for case in REFUSALS if "omission" not in case])
def test_apt_refuses_the_same(apt, case: str) -> None:
    packages, roots, omit, _ = REFUSALS[case]
    apt.offer(stanzas(packages))
    assert apt.choose(roots.split(), omit.split()) == []


def chain(length: int) -> list[str]:
    return [*(f"p{number}; Depends: p{number + 1}" for number in range(length)), f"p{length}"]


def test_a_long_chain_is_followed(index) -> None:
    assert len(chosen(index(chain(200)), "p0").split()) == 201


def test_an_endless_one_is_given_up(index) -> None:
    assert refusal(index(chain(2000)), "p0") == ["p201: must be needed through at most 200 packages"]


def test_the_answer_does_not_depend_on_the_order_of_hashes(index) -> None:
    """Sets of names are in another order in each process."""
    packages = [f"p{number}; Provides: v{number % 3}; Depends: v{(number + 1) % 3}" for number in range(30)]
    first = chosen(index(packages), "p0 p1")
    assert {chosen(index(packages), "p0 p1") for _ in range(3)} == {first}
