"""A manifest is read whole or refused with every problem, and written as actool writes it."""

import dataclasses
import textwrap

import pytest

from procession_tasks.definition.manifest import App, Isolator, Label, Port, canonical, parse_manifest
from procession_tasks.errors import DefinitionError

START = '{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a"'
KEYS = "acKind, acVersion, name, labels, app, annotations, dependencies, pathWhitelist"
APP = '"exec": ["/a"], "user": "0", "group": "0"'

BROKEN = """\
{
  "acKind": "ImageManifest",
  "acVersion": "v0.8.11",
  "nmae": "example.com/API",
  "labels": [
    {"name": "os", "value": "linux"},
    {"name": "arch", "value": "arm64"},
    {"name": "version"}, null,
    {"name": "os", "value": "linux"}
  ],
  "app": {
    "exec": "/bin/api",
    "user": 0,
    "workingDirectory": "srv",
    "enviroment": [],
    "ports": [
      {"name": "HTTP", "protocol": "tcp", "port": "80"},
      {"name": "more",
       "port": 65535, "count": 2}
    ],
    "eventHandlers": [{"name": "prestart"}],
    "isolators": [
      {"name": "resource/memory", "value": {"limit": "1K"}},
      {"name": "resource/mem", "value": {}},
      {"name": "os/linux/oom-score-adj", "value": 2000}
    ]
  },
  "annotations": [{"name": "created", "value": "today"}]
}
"""
MESSAGES = """\
deploy/aci/x/manifest:1: name: must be given
deploy/aci/x/manifest:3: acVersion: must be a semantic version above 0.0.0, such as 0.8.11, got "v0.8.11"
  hint: write "0.8.11"
deploy/aci/x/manifest:4: nmae: must be a known key
  hint: did you mean "name"?
deploy/aci/x/manifest:7: labels[1].value: must be one of amd64, i386, aarch64, aarch64_be, armv6l, armv7l, armv7b, \
ppc64, ppc64le, s390x for linux, got "arm64"
  hint: did you mean "aarch64"?
deploy/aci/x/manifest:8: labels[3]: must be an object, got null
deploy/aci/x/manifest:9: labels[4].name: must be unique in the list, got "os"
  hint: first given on line 6
deploy/aci/x/manifest:11: app.group: must be given
deploy/aci/x/manifest:12: app.exec: must be a list, got "/bin/api"
deploy/aci/x/manifest:13: app.user: must be a string, got 0
  hint: write "0"
deploy/aci/x/manifest:14: app.workingDirectory: must be an absolute path, got "srv"
  hint: write "/srv"
deploy/aci/x/manifest:15: app.enviroment: must be a known key
  hint: did you mean "environment"?
deploy/aci/x/manifest:17: app.ports[0].name: must be lower-case letters, digits and -, starting and ending with a \
letter or digit, got "HTTP"
  hint: did you mean "http"?
deploy/aci/x/manifest:17: app.ports[0].port: must be a whole number from 0, without sign, point or exponent, got "80"
  hint: write 80
deploy/aci/x/manifest:19: app.ports[1].count: must end at port 65535, not at 65536, got 2
deploy/aci/x/manifest:21: app.eventHandlers[0].name: must be one of pre-start, post-stop, got "prestart"
  hint: did you mean "pre-start"?
deploy/aci/x/manifest:23: app.isolators[0].value.limit: must be a number, with a suffix of n, u, m, k, M, G, T, P, E, \
Ki, Mi, Gi, Ti, Pi, Ei or an exponent where wanted, got "1K"
  hint: did you mean "1k"?
deploy/aci/x/manifest:24: app.isolators[1].name: must be an isolator of appc 0.8.11, got "resource/mem"
  hint: did you mean "resource/memory"?
deploy/aci/x/manifest:25: app.isolators[2].value: must be from -1000 to 1000, got 2000
deploy/aci/x/manifest:28: annotations[0].value: must be a date and time by RFC 3339, such as 2006-01-02T15:04:05Z, \
got "today\""""


def read(members="", *, strict=False):
    return parse_manifest(f"{START}{members}}}".encode("utf-8", "surrogateescape"), "manifest", strict=strict)


def problems(members, *, strict=False):
    with pytest.raises(DefinitionError) as caught:
        read(members, strict=strict)
    return [str(problem).removeprefix("manifest:") for problem in caught.value.problems]


def app(members):
    return f', "app": {{{APP}, {members}}}'


def test_every_problem_of_a_file_is_reported_in_order():
    with pytest.raises(DefinitionError) as caught:
        parse_manifest(BROKEN.encode(), "deploy/aci/x/manifest")

    assert str(caught.value) == MESSAGES.removesuffix(
        "\n  hint: write it as `date --rfc-3339` does, with T for the space"
    )


def test_text_that_is_not_json_is_one_problem():
    with pytest.raises(DefinitionError) as caught:
        parse_manifest(b'{\n  "acKind": "ImageManifest",\n}', "manifest")

    assert str(caught.value) == (
        'manifest:3: must have a key in double quotes here, got "}"\n  hint: remove the "," before it'
    )


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        (', "labels": {}', "1: labels: must be a list, got an object"),
        (', "labels": [{"value": "x"}]', "1: labels[0].name: must be given"),
        (', "labels": [{"name": "name"}]', '1: labels[0].name: must not be "name", got "name"'),
        (', "labels": [{"name": null}]', "1: labels[0].name: must be a string, got null"),
        (', "annotations": [{"name": "homepage"}]', "1: annotations[0].value: must be an address that starts with"),
        (', "pathWhitelist": [1]', "1: pathWhitelist[0]: must be a string, got 1"),
        (', "dependencies": [{}]', "1: dependencies[0].imageName: must be given"),
        (', "dependencies": [{"imageName": "b", "size": -1}]', "1: dependencies[0].size: must be a whole number"),
        (app('"ports": [{"name": "a", "port": 80.0}]'), "1: app.ports[0].port: must be a whole number from 0"),
        (app('"ports": [{"name": "a", "port": 0}]'), "1: app.ports[0].port: must be from 1 to 65535, got 0"),
        (app('"ports": [{"name": "a"}]'), "1: app.ports[0].port: must be given"),
        (app('"mountPoints": [{"path": "/a"}]'), "1: app.mountPoints[0].name: must be given"),
        (app('"supplementaryGIDs": [1e2]'), "1: app.supplementaryGIDs[0]: must be a whole number, without point"),
        (app('"supplementaryGIDs": [9223372036854775808]'), "1: app.supplementaryGIDs[0]: must fit into 64 bits"),
        (app('"environment": [{"name": "A"}, {"name": "A"}]'), "1: app.environment[1].name: must be unique"),
        (app('"environment": [{"name": ""}]'), "1: app.environment[0].name: must be given and not be empty"),
        (app('"userLabels": {"a": 1}'), "1: app.userLabels.a: must be a string, got 1"),
        (app('"user": ""'), '1: app.user: must be given and not be empty, got ""'),
        (app('"isolators": [{"name": "resource/cpu"}]'), "1: app.isolators[0].value: must be given"),
        (app('"isolators": [{"name": "os/unix/sysctl", "value": {"a": 1}}]'), "1: app.isolators[0].value.a: must be"),
        (
            app('"isolators": [{"name": "os/linux/capabilities-retain-set", "value": {"set": []}}]'),
            "1: app.isolators[0].value.set: must be given and not be empty, got a list",
        ),
        (
            app('"isolators": [{"name": "resource/block-iops", "value": {"default": true, "request": 1}}]'),
            "1: app.isolators[0].value.request: must be left out, this resource has only a limit, got 1",
        ),
        (
            app('"isolators": [{"name": "os/linux/seccomp-retain-set", "value": {"set": ["a"], "errno": "eperm"}}]'),
            "1: app.isolators[0].value.errno: must be E followed by",
        ),
        (
            app('"isolators": [{"name": "os/linux/selinux-context", "value": {"user": "a:b", "role": "r", "type": "t", '
                '"level": "s0:c0"}}]'),
            '1: app.isolators[0].value.user: must not have a ":"',
        ),
    ],
)  # fmt: skip
def test_a_broken_rule_names_its_place(members, problem):
    found = problems(members)

    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    "members",
    [
        ', "app": null, "labels": null, "annotations": null, "dependencies": null, "pathWhitelist": null',
        ', "labels": [{"name": "arch", "value": "anything without os"}]',
        ', "userLabels": {"only": "known inside app"}, "stuff": []',
        ', "app": {"user": "0", "group": "0"}',
        app('"exec": [], "exec": [null, ""], "workingDirectory": "", "supplementaryGIDs": [-1, -1, -0]'),
        app('"ports": [{"name": "a", "port": 65535, "count": 0, "protocol": null}]'),
        app('"mountPoints": [{"name": "a"}, {"name": "a", "path": "b"}]'),
        app('"isolators": [{"name": "resource/cpu", "value": {}}, {"name": "resource/cpu", "value": {"limit": null}}]'),
        app(
            '"isolators": [{"name": "os/linux/seccomp-retain-set", "value": {"set": [null], "errno": "E\u00c9\u00b2"}}]'
        ),
        ', "dependencies": [{"imageName": "b", "imageID": null, "size": null}, {"imageName": "b"}]',
    ],
)
def test_what_the_reference_tool_takes_is_taken(members):
    assert read(members).name == "example.com/a"


def test_the_parts_of_a_manifest():
    manifest = read(
        ', "labels": [{"name": "version", "value": "1.2"}, {"name": "os", "value": "linux"}]'
        ', "annotations": [{"name": "authors", "value": "us"}]'
        + app('"ports": [{"name": "http", "protocol": "tcp", "port": 80}], "userLabels": {"b": "2", "a": null},'
              '"isolators": [{"name": "resource/memory", "value": { "limit" : "1Gi" }}]')
    )  # fmt: skip

    assert manifest.labels == (Label("version", "1.2"), Label("os", "linux"))
    assert (manifest.version, manifest.label("os"), manifest.label("arch")) == ("1.2", "linux", None)
    assert (manifest.annotation("authors"), manifest.annotation("created")) == ("us", None)
    assert manifest.app == App(
        exec=("/a",),
        user="0",
        group="0",
        ports=(Port("http", "tcp", 80, 1),),
        isolators=(Isolator("resource/memory", '{"limit":"1Gi"}'),),
        user_labels=(("a", ""), ("b", "2")),
    )
    assert manifest.app.isolators[0].data == {"limit": "1Gi"}


def test_a_line_is_that_of_the_nearest_key():
    manifest = parse_manifest(f'{START},\n"labels": [\n{{"name": "version"}}]\n}}'.encode(), "manifest")

    found = [
        manifest.line(key) for key in ("name", "labels", "labels[0].name", "labels[0].value", "labels[7]", "app.exec")
    ]
    assert found == [1, 2, 3, 3, 2, 1]


def test_manifests_of_equal_content_are_equal():
    assert read('\n, "labels": []') == read(', "stuff": 1')


def test_a_slip_in_a_key_is_a_problem_and_any_other_unknown_key_is_not():
    assert problems(', "lables": []') == ['1: lables: must be a known key\n  hint: did you mean "labels"?']
    assert read(', "maintainer": "us"')


def test_strict_refuses_every_unknown_key():
    found = problems(', "maintainer": "us", "labels": [{"name": "a", "val": "b"}]', strict=True)

    assert found == [
        '1: labels[0].val: must be a known key\n  hint: did you mean "value"?',
        f"1: maintainer: must be a known key\n  hint: known keys: {KEYS}",
    ]


def test_strict_refuses_a_key_given_twice():
    assert problems(',\n"NAME": "b"', strict=True) == ["2: name: must be given once\n  hint: first given on line 1"]
    assert problems(app('"userLabels": {"a": "1",\n"a": "2"}'), strict=True) == [
        "2: app.userLabels.a: must be given once\n  hint: first given on line 1"
    ]


def test_keys_match_whatever_their_case():
    manifest = parse_manifest(
        '{"ac\u212aIND": "ImageManifest", "ACVERSION": "0.8.11", "Name": "a", "label\u017f": [{"name": "x"}]}'.encode(),
        "manifest",
    )

    assert manifest.labels == (Label("x", ""),)


def test_a_later_app_fills_over_the_earlier():
    manifest = read(
        app('"userLabels": {"a": "1"}, "mountPoints": [{"name": "m", "path": "/m"}], "supplementaryGIDs": [1, 2]')
        + ', "APP": {"exec": null, "userLabels": {"b": "2"}, "mountPoints": [{"path": "/n"}], '
        + '"supplementaryGIDs": [null]}'
    )

    assert canonical(manifest).endswith(
        b'"app":{"exec":null,"user":"0","group":"0","supplementaryGIDs":[1],'
        b'"mountPoints":[{"name":"m","path":"/n"}],"userLabels":{"a":"1","b":"2"}}}'
    )


def test_canonical_is_compact_in_the_order_of_the_schema_without_what_is_empty():
    source = textwrap.dedent("""\
        {"pathWhitelist": [], "name": "a", "app": {
           "group": "0", "user": "0", "ports": [{"port": 80, "name": "p", "count": 0}], "environment": [],
           "mountPoints": [{"name": "m", "readOnly": false}, {"name": "n", "path": "/n", "readOnly": true}],
           "isolators": [{"name": "resource/cpu", "value": { "x" : "\\u0041 <" , "limit" : 1 }}]},
         "dependencies": [{"imageName": "b", "size": 0, "labels": []}],
         "acVersion": "00.8.11-", "acKind": "ImageManifest", "unknown": 1}
        """)

    assert canonical(parse_manifest(source.encode(), "manifest")) == (
        b'{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a","app":{"exec":null,"user":"0","group":"0",'
        b'"mountPoints":[{"name":"m","path":""},{"name":"n","path":"/n","readOnly":true}],'
        b'"ports":[{"name":"p","protocol":"","port":80,"count":1,"socketActivated":false}],'
        b'"isolators":[{"name":"resource/cpu","value":{"x":"\\u0041 \\u003c","limit":1}}]},'
        b'"dependencies":[{"imageName":"b"}]}'
    )


def test_canonical_escapes_as_go_does():
    manifest = read(', "annotations": [{"name": "x", "value": "<&>\u2028\\u0001\\b\\n\\t\\"\\\\\\/\x7f\u00e9\udcff"}]')

    assert canonical(manifest).endswith(
        rb'"value":"\u003c\u0026\u003e\u2028\u0001\u0008\n\t\"\\/' + "\x7f\u00e9\ufffd".encode() + b'"}]}'
    )


def test_canonical_keeps_bytes_inside_an_isolator():
    manifest = read(app('"isolators": [{"name": "resource/cpu", "value": {"x": "\udcff"}}]'))

    assert b'{"x":"\xff"}' in canonical(manifest)


def test_canonical_sets_labels_in_place_or_after_the_others():
    manifest = read(', "labels": [{"name": "os", "value": "linux"}, {"name": "version", "value": "1"}]')
    written = parse_manifest(canonical(manifest, {"arch": "i386", "os": "freebsd"}), "manifest")

    assert written.labels == (Label("os", "freebsd"), Label("version", "1"), Label("arch", "i386"))
    assert manifest.label("os") == "linux"


def test_a_canonical_manifest_reads_as_itself():
    manifest = read(app('"eventHandlers": [{"name": "pre-start"}, {"name": "post-stop", "exec": []}]'))

    assert parse_manifest(canonical(manifest), "manifest") == manifest


def test_a_manifest_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().name = "b"
