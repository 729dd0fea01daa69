"""Every value type of appc takes what the reference tool takes, and nothing else."""

import pytest

from procession_tasks.definition import appc
from procession_tasks.definition.annotations import date, web_address
from procession_tasks.definition.isolators import beside, isolator, quantity

TABLES = {
    appc.kind: (["ImageManifest"], ["", "PodManifest", "imagemanifest", "ImageManifest "]),
    appc.identifier: (
        ["a", "0", "example.com/~bob/data_base-1.0", "a--b", "a//b", "a/../b"],
        ["", "A", "a b", "/a", "a/", "-a", "a-", "a#", "\u00e9", "a\n", "\uff11"],
    ),
    appc.name: (["a", "0", "a-b", "a--b"], ["", "A", "a.b", "a_b", "a/b", "-a", "a-", "a\n"]),
    appc.label_name: (["version", "names"], ["name", "Version", ""]),
    appc.variable: (["A", "_", "_0_a.b-c"], ["", "0A", "A B", "A=", "A\n", "-A", "\u00c9"]),
    appc.image_id: (
        ["sha512-06c733b1838136838e6d2d3e8fa5aea4c7905e92", "sha512-xyz", "sha512-..."],
        ["", "-", "sha512", "sha512-", "sha1-ab", "SHA512-ab", "sha512-a-b", "-ab"],
    ),
    appc.version: (
        ["0.8.11", "00.08.011", "0.8.11-", "0.8.11+", "0.0.0-a", "1.0.0--", "1.2.3-a.1+b-c", "99.99.99"],
        ["", "0.0.0", "0.0.0-", "0.8", "v0.8.11", "1.2.3.4", "1.0.0-a..b", "1.0.0-_", "1.0.0+a+b", " 1.0.0", "1.0.0\n",
         "9223372036854775808.0.0", "1" * 5000 + ".0.0", "\uff11.0.0"],
    ),
    appc.operating_system: (["linux", "freebsd", "darwin"], ["", "Linux", "windows"]),
    appc.event: (["pre-start", "post-stop"], ["prestart", "PRE-START", "post-start"]),
    appc.absolute_path: (["/", "/a", "/../.."], ["a", "./a", " /a"]),
    appc.port_number: ([1, 65535], [0, 65536]),
    date: (
        ["2004-05-14T23:11:14+00:00", "2001-02-03T04:05:06Z", "2004-05-14T3:11:14Z", "2004-05-14T23:11:14,5Z",
         "2004-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "0000-02-29T00:00:00Z", "2004-05-14T23:11:14.5+99:99"],
        ["", "today", "1416015188", "2004-05-14t23:11:14Z", "2004-05-14T23:11:14z", "2004-05-14 23:11:14Z",
         "2004-05-14T23:11:14", "2004-05-14T23:11:60Z", "2004-05-14T24:00:00Z", "2003-02-29T00:00:00Z",
         "1900-02-29T00:00:00Z", "2004-13-01T00:00:00Z", "2004-00-01T00:00:00Z", "2004-5-14T23:11:14Z",
         "2004-05-00T00:00:00Z", "2004-05-14T23:11:14.Z", "2004-05-14T23:11:14+0100", "2004-05-14T23:11:14Z\n"],
    ),
    web_address: (
        ["http://a", "HTTPS://a/b?c=%zz#d", "http:a%zz", "http:", "http://", "http://a:", "http://a:80", "http://[::1]:80",
         "http://u:p@a", "http://[fe80::1%25en0]", "http://[fe80::1%25%20x]", "http://\u00e9", "http://a%80",
         "http://a/b c"],
        ["", "a", "//a", "ftp://a", "not a url", " http://a", "http://a b", "http://a/%zz", "http://a/#%4", "http:/%zz",
         "http://a:b", "http://a:80:90x", "http://[::1", "http://[::1]x", "http://u p@a", "http://u%zz@a", "http://a%41",
         "http://a\n", "http://a/\x7f", "http://a^", "http://[fe80::1%25a%80]", "http://[fe80::1%25 x]"],
    ),
    quantity: (
        ["0", "1", " 1 ", "-1", "+1", "1.", ".5", "1.5Gi", "100m", "1k", "9Ei", "1e3", "1E-9", "12E", "0.0005k",
         ".", "-", "G", "Ti", "0Pi"],
        ["", " ", "1K", "1i", "1mi", "0.1am", "1.1.M", "1+1.0M", "1e", "1e+", "Pi", ".Ei", "e-10", "1 G", "\\u0031G",
         "\uff11"],
    ),
    isolator: (
        ["resource/cpu", "os/linux/seccomp-retain-set", "os/unix/sysctl"],
        ["", "resource/ponies", "os/linux/apparmor-profile"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "good"), [(rule, text) for rule, (good, _) in TABLES.items() for text in good])
def test_takes_a_good_value(rule, good):
    assert rule(good) is None


@pytest.mark.parametrize(("rule", "bad"), [(rule, text) for rule, (_, bad) in TABLES.items() for text in bad])
def test_refuses_a_bad_value(rule, bad):
    assert rule(bad) is not None


@pytest.mark.parametrize(
    ("text", "normal"),
    [("00.08.011-", "0.8.11"), ("1.2.3-a+", "1.2.3-a"), ("1.2.3+b", "1.2.3+b"), ("0.0.0+b", "0.0.0+b")],
)
def test_a_version_is_written_the_normal_way(text, normal):
    assert appc.normal_version(text) == normal


@pytest.mark.parametrize(
    ("os", "arch", "good"),
    [("linux", "amd64", True), ("linux", "arm64", False), ("freebsd", "arm", True), ("linux", "arm", False),
     ("darwin", "x86_64", True), ("darwin", "amd64", False), ("linux", "S390x", False), ("linux", "", False)],
)  # fmt: skip
def test_an_architecture_belongs_to_its_operating_system(os, arch, good):
    assert (appc.architecture(arch, os) is None) is good


@pytest.mark.parametrize(
    ("port", "count", "good"),
    [
        (65535, 0, True),
        (65535, 1, True),
        (65535, 2, False),
        (1, 65535, True),
        (1, 65536, False),
        (80, 2**64 - 1, False),
    ],
)
def test_a_range_of_ports_ends_at_the_last(port, count, good):
    assert (appc.port_range(port, count) is None) is good


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (appc.kind("ImageManifst"), 'did you mean "ImageManifest"?'),
        (appc.identifier("Example.com/App"), 'did you mean "example.com/app"?'),
        (appc.version("v0.8.11"), 'write "0.8.11"'),
        (appc.operating_system("linx"), 'did you mean "linux"?'),
        (appc.architecture("arm64", "linux"), 'did you mean "aarch64"?'),
        (appc.architecture("x86_64", "linux"), 'did you mean "amd64"?'),
        (appc.event("prestart"), 'did you mean "pre-start"?'),
        (appc.absolute_path("srv"), 'write "/srv"'),
        (web_address("example.com/docs"), 'write "https://example.com/docs"'),
        (quantity("64MB"), 'did you mean "64M"?'),
        (isolator("resource/mem"), 'did you mean "resource/memory"?'),
    ],
)
def test_a_hint_says_how_to_mend_it(fault, hint):
    assert fault.hint == hint


@pytest.mark.parametrize(
    ("name", "earlier", "rule"),
    [
        ("resource/cpu", "resource/cpu", None),
        ("os/linux/cpu-shares", "resource/cpu", None),
        ("os/linux/cpu-shares", "os/linux/cpu-shares", "must be unique in the list"),
        (
            "os/linux/seccomp-retain-set",
            "os/linux/seccomp-remove-set",
            "must not stand beside os/linux/seccomp-remove-set",
        ),
        ("os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set", None),
    ],
)
def test_some_isolators_exclude_one_another(name, earlier, rule):
    fault = beside(name, frozenset({earlier}))

    assert (fault and fault.rule) == rule
