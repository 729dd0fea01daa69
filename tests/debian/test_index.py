"""What is found in Packages files, and what is refused of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from procession_tasks.debian import index as indexes
from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.pin import Pin
from procession_tasks.errors import BuildError


def stanza(name: str, version: str = "1.0", **fields: str) -> str:
    """A stanza; a field that is given empty is left out, `_` stands for a hyphen."""
    written = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Filename": f"pool/main/{name}_{version}_amd64.deb",
        "Size": "1000",
        "SHA256": hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
    }
    written |= {field.replace("_", "-"): value for field, value in fields.items()}
    return "".join(f"{field}: {value}\n" for field, value in written.items() if value)


@pytest.fixture
def write(tmp_path: Path):
    """Write stanzas to the Packages file of a suite."""

    def written(*stanzas: str, suite: str = "bookworm", between: str = "\n") -> PackagesFile:
        path = tmp_path / f"{suite}.Packages"
        path.write_text(between.join(stanzas))
        return PackagesFile(path, "debian", suite)

    return written


def versions(index: Index, name: str) -> list[str]:
    return [f"{package.version} {package.pin.suite}" for package in index.candidates(name)]


def test_a_package_is_all_that_its_stanza_says(write) -> None:
    text = stanza(
        "libhello2",
        "1:2.0-1",
        Source="hello (1:2.0-0.1)",
        Multi_Arch="same",
        Essential="yes",
        Priority="required",
        Pre_Depends="a",
        Depends="b | c, d (>= 1)",
        Conflicts="e",
        Breaks="f (<< 2)",
        Provides="g (= 3)",
    )
    with Index([write(text)], "amd64") as index:
        (package,) = index.candidates("libhello2")
    path = "pool/main/libhello2_1:2.0-1_amd64.deb"
    sha256 = hashlib.sha256(b"libhello2 1:2.0-1").hexdigest()
    assert package.pin == Pin("libhello2", "1:2.0-1", "amd64", "hello", "debian", "bookworm", path, 1000, sha256)
    assert (package.multi_arch, package.essential, package.important, package.priority) == (
        "same",
        True,
        False,
        "required",
    )
    assert [" | ".join(map(str, group)) for group in package.needs] == ["a", "b | c", "d (>= 1)"]
    assert list(map(str, package.excludes)) == ["e", "f (<< 2)"]
    assert list(map(str, package.provides)) == ["g (= 3)"]


def test_what_a_stanza_does_not_say_is_nothing(write) -> None:
    with Index([write(stanza("hello"))], "amd64") as index:
        (package,) = index.candidates("hello")
    assert package.pin.source == "hello"
    assert (package.multi_arch, package.essential, package.important, package.priority) == ("no", False, False, "")
    assert (package.needs, package.excludes, package.provides) == ((), (), ())


@pytest.mark.parametrize("field", ["Important", "Protected"])
def test_either_field_makes_a_package_important(write, field: str) -> None:
    with Index([write(stanza("hello", **{field: "yes"}))], "amd64") as index:
        assert index.candidates("hello")[0].important


def test_the_highest_version_comes_first_and_of_equal_ones_that_of_the_first_file(write) -> None:
    files = [
        write(stanza("a1", "1.9"), stanza("a1", "1.10"), stanza("b1"), suite="bookworm"),
        write(stanza("a1", "1.10"), stanza("a1", "2~"), suite="bookworm-security"),
    ]
    with Index(files, "amd64") as index:
        assert versions(index, "a1") == [
            "2~ bookworm-security",
            "1.10 bookworm",
            "1.10 bookworm-security",
            "1.9 bookworm",
        ]
        assert versions(index, "b1") == ["1.0 bookworm"]
        assert versions(index, "c1") == []
    with Index(files[::-1], "amd64") as index:
        assert versions(index, "a1")[1] == "1.10 bookworm-security"


def test_packages_of_another_architecture_are_not_there(write) -> None:
    file = write(stanza("a1", Architecture="arm64"), stanza("b1", Architecture="all"), stanza("c1", Provides="a1"))
    with Index([file], "amd64") as index:
        assert (versions(index, "a1"), versions(index, "b1")) == ([], ["1.0 bookworm"])
    with Index([file], "arm64") as index:
        assert (versions(index, "c1"), index.providers("a1")) == ([], ())


def test_providers_are_those_whose_highest_version_provides_it(write) -> None:
    file = write(
        stanza("old", "1", Provides="awk"),
        stanza("old", "2"),
        stanza("new", "1"),
        stanza("new", "2", Provides="x,\n awk (= 3),y"),
        stanza("also", Provides="awk"),
        stanza("not", Provides="awkward, gawk"),
    )
    with Index([file], "amd64") as index:
        assert [str(package) for package in index.providers("awk")] == ["also 1.0", "new 2"]
        assert index.names() >= {"old", "not", "awk", "y", "awkward"}


@pytest.mark.parametrize("block", [1, 7, 100, 10_000])
def test_where_blocks_end_changes_nothing(write, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(indexes, "_BLOCK", block)
    monkeypatch.setattr(indexes, "_STANZA", block)
    names = [f"package-{number}" for number in range(20)]
    with Index([write(*(stanza(name, Provides=f"{name}-x") for name in names), between="\n\n")], "amd64") as index:
        assert [index.candidates(name)[0].name for name in names] == names
        assert [index.providers(f"{name}-x")[0].name for name in names] == names
        assert sorted(names, key=index.first_named(names).__getitem__) == names


def test_packages_are_numbered_where_anything_first_names_them(write) -> None:
    files = [
        write(
            stanza("a", Recommends="i, h:amd64", Depends="lib-d, c | d:any, d-1 (>= 3+b)", Pre_Depends="e"),
            stanza("b", Description="g", Suggests="g:arm64"),
            suite="one",
        ),
        write(*map(stanza, "bcdefghij"), suite="two"),
    ]
    with Index(files, "amd64") as index:
        named = index.first_named("abcdefghij")
        assert "".join(sorted(named, key=named.__getitem__)) == "aecihbdfgj"
        assert index.first_named("cb") == {name: named[name] for name in "cb"}


def test_an_empty_file_holds_nothing(write) -> None:
    with Index([write(), write("\n\n\n", suite="blank")], "amd64") as index:
        assert index.names() == set()


def test_many_files_are_open_no_longer_than_the_index(write, tmp_path: Path) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = opened()
    with Index([write(stanza("a")), write(stanza("b"), suite="two")], "amd64"):
        assert opened() == before + 2
    with pytest.raises(BuildError):
        Index([write(stanza("a")), PackagesFile(tmp_path / "missing", "debian", "x")], "amd64")
    assert opened() == before


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="missing: cannot be read: No such file or directory"):
        Index([PackagesFile(tmp_path / "missing", "debian", "bookworm")], "amd64")


def test_a_file_of_another_kind_is_refused(write) -> None:
    with pytest.raises(BuildError, match="each stanza must have the field Package, got b'<html>"):
        Index([write("<html>\n")], "amd64")


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"Version": ""}, "must have the field Version"),
        ({"Architecture": ""}, "must have the field Architecture"),
        ({"Filename": ""}, "must have the field Filename"),
        ({"Size": ""}, "must have the field Size"),
        ({"SHA256": ""}, "must have the field SHA256"),
        ({"size": "2"}, "line 7 must not repeat a field, got size"),
        ({"Version": "one"}, "must begin with a digit"),
        ({"Size": "-1"}, "Size must be a number of bytes, got '-1'"),
        ({"Size": "0"}, "Size must be a number"),
        ({"Size": "1e3"}, "Size must be a number"),
        ({"Size": "9" * 13}, "Size must be a number"),
        ({"SHA256": "0" * 63}, "sha256 must be a SHA-256"),
        ({"SHA256": "A" * 64}, "sha256 must be a SHA-256"),
        ({"Filename": "/etc/passwd.deb"}, "path must be a path below the repository"),
        ({"Filename": "pool/../../x.deb"}, "path must be a path below"),
        ({"Filename": "pool/./x.deb"}, "path must be a path below"),
        ({"Filename": "pool//x.deb"}, "path must be a path below"),
        ({"Filename": ".//x.deb"}, "path must be a path below"),
        ({"Filename": "pool/x"}, "path must be a path below"),
        ({"Filename": "pool/x y.deb"}, "path must be a path below"),
        ({"Source": "../x"}, "source must be the name of a Debian package"),
        ({"Architecture": "am d64"}, "architecture must be a word"),
        ({"Depends": "a [amd64]"}, "must be a package such as"),
        ({"Conflicts": "a | b"}, "must not have alternatives"),
    ],
)
def test_a_stanza_that_is_not_right_is_named_when_it_is_asked_for(write, fields: dict[str, str], rule: str) -> None:
    with Index([write(stanza("good"), stanza("hello", **fields))], "amd64") as index:
        assert versions(index, "good") == ["1.0 bookworm"]
        with pytest.raises(BuildError, match=rf"bookworm.Packages: hello: {rule}"):
            index.candidates("hello")


@pytest.mark.parametrize("name", ["../x", "Hello", "x"])
def test_a_name_that_is_none_is_refused(write, name: str) -> None:
    file = write(stanza(name, Filename="x.deb"))
    with Index([file], "amd64") as index, pytest.raises(BuildError, match="name must be the name of a Debian package"):
        index.candidates(name)


def test_a_flat_repository_gives_paths_below_its_base(write) -> None:
    with Index([write(stanza("hello", Filename="./hello.deb"))], "amd64") as index:
        assert index.candidates("hello")[0].pin.path == "hello.deb"
