"""Pushes to Debian's docker-registry, which tells in its log what it was asked; skopeo tells what is there then."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.debian import progress
from procession_tasks.errors import BuildError
from procession_tasks.image.layout import Layout
from procession_tasks.publish.push import Amount, Pushed, push
from procession_tasks.publish.registry import Registry

# The base is sent in two requests, the others in one.
BASE, PROGRAM, CHANGED = b"base" * 300_000, b"program" * 1000, b"changed" * 1000

pytestmark = pytest.mark.slow

NOTHING = Amount()


class Bench:
    """A registry of docker's, and who pushes to it."""

    def __init__(self, server: Any, environment: dict[str, str], tool: Callable[[str], str]) -> None:
        self.server = server
        self.environment = environment
        self._tool = tool

    def push(self, layout: Layout, path: str = "team/api", tags: tuple[str, ...] = ("1.0.0",), **how: Any) -> Pushed:
        """Push as a new process would."""
        return push(layout, Registry(self.server.host, self.environment), path, tags, **how)

    def asked(self) -> dict[str, int]:
        """How often the registry was asked what since the last time, by method, kind and status."""
        return Counter(
            re.sub(r" /v2/.*?/(manifests|blobs/uploads|blobs)/\S*", r" \1", line) for line in self.server.asked()
        )

    def skopeo(self, *words: str, options: tuple[str, ...] = ("--tls-verify=false",)) -> bytes:
        command = [self._tool("skopeo"), words[0], *options, *words[1:]]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def digest(self, name: str) -> str:
        """The digest that skopeo reports."""
        return self.skopeo("inspect", "--format", "{{.Digest}}", f"docker://{self.server.host}/{name}").decode().strip()


@pytest.fixture
def bench(docker_registry: Any, environment: dict[str, str], find_tool: Callable[[str], str]) -> Bench:
    return Bench(docker_registry, environment, find_tool)


def test_an_image_is_pushed_byte_for_byte_under_its_tags(bench: Bench, write: Any) -> None:
    layout = write.image("api", [BASE, PROGRAM])
    pushed = bench.push(layout, tags=("1.0.0", "latest", "1.0.0"))
    raw = bench.skopeo("inspect", "--raw", f"docker://{bench.server.host}/team/api:latest")

    assert raw == layout.read(layout.top)
    assert bench.digest("team/api:1.0.0") == bench.digest("team/api:latest") == layout.top.digest == pushed.digest
    assert pushed.reference == f"{bench.server.host}/team/api@{layout.top.digest}"
    assert bench.digest(f"team/api@{pushed.digest}") == pushed.digest
    assert pushed.tags == ("1.0.0", "latest")
    sizes = sum(blob.size for blob in layout.children(layout.top))
    assert (pushed.uploaded, pushed.mounted, pushed.skipped) == (Amount(3, sizes), NOTHING, NOTHING)
    assert pushed.manifests == 2


def test_what_was_pushed_can_be_pulled(bench: Bench, write: Any, tmp_path: Path) -> None:
    layout = write.image("api", [BASE, PROGRAM])
    bench.push(layout)
    bench.skopeo(
        "copy",
        f"docker://{bench.server.host}/team/api:1.0.0",
        f"dir:{tmp_path}/pulled",
        options=("--src-tls-verify=false",),
    )

    assert (tmp_path / "pulled/manifest.json").read_bytes() == layout.read(layout.top)
    for blob in layout.children(layout.top):
        assert (tmp_path / "pulled" / blob.digest.partition(":")[2]).read_bytes() == layout.path(
            blob.digest
        ).read_bytes()


def test_a_push_of_what_is_there_is_one_request(bench: Bench, write: Any) -> None:
    layout = write.image("api", [BASE, PROGRAM])
    first = bench.push(layout)
    bench.asked()
    again = bench.push(layout)

    assert bench.server.log.count('"HEAD /v2/team/api/manifests/1.0.0') == 2
    assert bench.asked() == {"HEAD manifests 200": 1}
    assert (again.uploaded, again.mounted, again.skipped) == (NOTHING, NOTHING, first.uploaded)
    assert again.manifests == 0
    assert again.reference == first.reference


def test_a_changed_program_moves_one_layer_the_configuration_and_the_manifest(bench: Bench, write: Any) -> None:
    bench.push(write.image("old", [BASE, PROGRAM]))
    bench.asked()
    changed = write.image("new", [BASE, CHANGED])
    pushed = bench.push(changed, tags=("1.0.1",))
    asked = bench.asked()

    config, _, layer = changed.children(changed.top)
    assert asked == {
        "HEAD manifests 404": 2,
        "HEAD blobs 200": 1,
        "HEAD blobs 404": 2,
        "POST blobs/uploads 202": 2,
        "PUT blobs/uploads 201": 2,
        "PUT manifests 201": 1,
    }
    assert pushed.uploaded == Amount(2, config.size + layer.size)
    assert pushed.skipped == Amount(1, len(BASE))
    assert pushed.manifests == 1


def test_a_new_tag_of_what_is_there_writes_the_manifest_alone(bench: Bench, write: Any) -> None:
    layout = write.image("api", [BASE])
    bench.push(layout)
    bench.asked()

    assert bench.push(layout, tags=("1.0.0", "stable")).manifests == 1
    assert bench.asked() == {"HEAD manifests 200": 1, "HEAD manifests 404": 1, "PUT manifests 201": 1}
    assert bench.push(layout, tags=("other",)).uploaded == NOTHING
    assert bench.asked() == {"HEAD manifests 404": 1, "HEAD manifests 200": 1, "PUT manifests 201": 1}


def test_without_tags_an_image_is_there_by_its_digest(bench: Bench, write: Any) -> None:
    layout = write.image("api", [BASE])
    pushed = bench.push(layout, tags=())

    assert pushed.manifests == 1
    assert bench.skopeo("inspect", "--raw", f"docker://{pushed.reference}") == layout.read(layout.top)
    bench.asked()
    assert bench.push(layout, tags=()).manifests == 0
    assert bench.asked() == {"HEAD manifests 200": 1}


def test_a_tag_of_another_image_is_not_moved_and_nothing_is_changed(bench: Bench, write: Any) -> None:
    old, new = write.image("old", [BASE]), write.image("new", [CHANGED])
    bench.push(old, tags=("1.0.0", "b", "a"))
    bench.asked()
    with pytest.raises(BuildError) as refused:
        bench.push(new, tags=("new", "b", "a"))

    place = f"{bench.server.host}/team/api"
    assert refused.value.message.splitlines() == [
        f"{place}:{tag}: must not be moved to another image: it names {old.top.digest}, got {new.top.digest}"
        for tag in ("a", "b")
    ]
    assert refused.value.hint == "give the image another version, or push it with --force"
    assert bench.asked() == {"HEAD manifests 200": 2, "HEAD manifests 404": 1}


def test_a_tag_is_moved_by_force(bench: Bench, write: Any) -> None:
    old, new = write.image("old", [BASE]), write.image("new", [CHANGED])
    bench.push(old)
    bench.push(new, force=True)

    assert bench.digest("team/api:1.0.0") == new.top.digest
    assert bench.digest(f"team/api@{old.top.digest}") == old.top.digest


def test_blobs_are_mounted_from_the_neighbour_that_has_them(bench: Bench, write: Any) -> None:
    iam, api = write.image("iam", [BASE, b"iam"]), write.image("api", [BASE, PROGRAM])
    absent = Layout(write.folder / "absent")
    bench.push(iam, "team/iam")
    bench.asked()
    neighbours = {"team/api": api, "team/iam": iam, "team/absent": absent, "team/far": write.image("far", [b"far"])}
    pushed = bench.push(api, neighbours=neighbours)

    assert pushed.mounted == Amount(1, len(BASE))
    assert pushed.uploaded.blobs == 2
    asked = bench.asked()
    assert asked["POST blobs/uploads 201"] == 1
    assert asked["POST blobs/uploads 202"] == 2
    assert bench.digest("team/api:1.0.0") == api.top.digest


def test_what_a_neighbour_has_not_got_is_uploaded(bench: Bench, write: Any) -> None:
    iam, api = write.image("iam", [BASE, b"iam"]), write.image("api", [BASE, PROGRAM])
    pushed = bench.push(api, neighbours={"team/iam": iam, "team/other": iam})

    assert pushed.uploaded.blobs == 3
    assert bench.digest("team/api:1.0.0") == api.top.digest


def test_an_index_is_pushed_with_all_its_images(bench: Bench, write: Any) -> None:
    layout = write.index("api", [("amd64", [BASE, PROGRAM]), ("arm64", [BASE, CHANGED])])
    pushed = bench.push(layout)
    place = f"docker://{bench.server.host}/team/api:1.0.0"

    assert bench.skopeo("inspect", "--raw", place) == layout.read(layout.top)
    assert pushed.digest == layout.top.digest
    assert pushed.uploaded.blobs == 5
    assert pushed.manifests == 3
    for manifest in layout.children(layout.top):
        raw = bench.skopeo("inspect", "--raw", f"docker://{bench.server.host}/team/api@{manifest.digest}")
        assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == manifest.digest
    bench.asked()
    assert bench.push(layout).skipped.blobs == 5
    assert bench.asked() == {"HEAD manifests 200": 1}


def test_of_an_index_only_the_image_that_changed_is_pushed(bench: Bench, write: Any) -> None:
    bench.push(write.index("old", [("amd64", [BASE, PROGRAM]), ("arm64", [BASE, b"arm64"])]))
    bench.asked()
    pushed = bench.push(write.index("new", [("amd64", [BASE, CHANGED]), ("arm64", [BASE, b"arm64"])]), tags=("1.0.1",))

    assert pushed.uploaded == Amount(2, len(CHANGED) + pushed.uploaded.size - len(CHANGED))
    assert pushed.manifests == 2
    asked = bench.asked()
    assert asked["PUT blobs/uploads 201"] == 2
    assert asked["PUT manifests 201"] == 2


def test_a_broken_connection_in_the_middle_of_a_blob_is_survived(
    bench: Bench, write: Any, new_cutter: Callable[..., Any]
) -> None:
    cutter = new_cutter(bench.server.port, after=1_500_000, times=2)
    layout = write.image("api", [b"large" * 1_000_000])
    push(layout, Registry(cutter.host, bench.environment), "team/api", ["1.0.0"])

    assert cutter.left == 0
    assert bench.digest("team/api:1.0.0") == layout.top.digest


def test_a_push_that_failed_half_way_is_continued_by_the_next(
    bench: Bench, write: Any, new_cutter: Callable[..., Any]
) -> None:
    cutter = new_cutter(bench.server.port, after=1_500_000, times=4)
    large = b"large" * 1_000_000
    layout = write.image("api", [PROGRAM, large])
    with pytest.raises(BuildError, match="the connection ended|connection reset|broken pipe"):
        push(layout, Registry(cutter.host, bench.environment), "team/api", ["1.0.0"])
    with pytest.raises(subprocess.CalledProcessError):
        bench.digest("team/api:1.0.0")
    pushed = push(layout, Registry(cutter.host, bench.environment), "team/api", ["1.0.0"])

    assert pushed.uploaded == Amount(1, len(large))
    assert pushed.skipped.blobs == 2
    assert bench.digest("team/api:1.0.0") == layout.top.digest


def test_a_registry_that_is_down_is_told_and_a_repeat_works(bench: Bench, write: Any) -> None:
    layout = write.image("api", [BASE])
    bench.server.stop()
    with pytest.raises(BuildError) as failed:
        bench.push(layout)
    bench.server.start()
    bench.push(layout)

    assert failed.value.message == f"{bench.server.host}: connection refused"
    assert failed.value.hint == "see whether the registry works and its name is right"
    assert bench.digest("team/api:1.0.0") == layout.top.digest


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_blob_is_not_sent(bench: Bench, write: Any, damage: str) -> None:
    layout = write.image("api", [BASE])
    blob = layout.path(layout.children(layout.top)[1].digest)
    {
        "changed": lambda: blob.write_bytes(b"x" * len(BASE)),
        "cut": lambda: blob.write_bytes(BASE[:-1]),
        "gone": blob.unlink,
    }[damage]()
    with pytest.raises(BuildError) as failed:
        bench.push(layout)

    assert failed.value.message.startswith(f"{blob}: ")
    assert failed.value.hint == "build the image again"
    assert bench.asked()["PUT manifests 201"] == 0


@pytest.mark.parametrize("tag", ["", "a b", "-x", "x" * 129, "1.0+2"])
def test_what_can_be_no_tag_is_refused_before_anything_is_asked(bench: Bench, write: Any, tag: str) -> None:
    with pytest.raises(BuildError, match="a tag must be"):
        bench.push(write.image("api", [BASE]), tags=("good", tag))

    assert bench.asked() == {}


def test_a_push_that_takes_long_tells_how_far_it_is(
    bench: Bench, write: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0)
    bench.push(write.image("api", [BASE, PROGRAM]))

    place = f"pushing {bench.server.host}/team/api"
    assert capsys.readouterr().err.splitlines()[-1] == f"{place}: 1.2 of 1.2 MB"
    bench.push(write.image("api", [BASE, PROGRAM]))
    assert capsys.readouterr().err == ""


def test_several_images_are_pushed_at_once_through_one_registry(bench: Bench, write: Any) -> None:
    layouts = {f"team/image{i}": write.image(f"image{i}", [BASE, b"%d" % i]) for i in range(5)}
    registry = Registry(bench.server.host, bench.environment)
    interruption.few_at_once(
        lambda path: push(layouts[path], registry, path, ["1"], neighbours=layouts), list(layouts), 5
    )

    assert {path: bench.digest(f"{path}:1") for path in layouts} == {
        p: layout.top.digest for p, layout in layouts.items()
    }


# With passwords, and with TLS


@pytest.fixture
def guarded(
    new_docker_registry: Callable[..., Any],
    tmp_path: Path,
    environment: dict[str, str],
    find_tool: Callable[[str], str],
) -> Bench:
    """A registry that lets in one user, who has logged in with skopeo."""
    argv = [find_tool("htpasswd"), "-nbB", "pusher", "pass:word"]
    (tmp_path / "htpasswd").write_bytes(subprocess.run(argv, check=True, capture_output=True).stdout)
    server = new_docker_registry(auth={"htpasswd": {"realm": "registry", "path": str(tmp_path / "htpasswd")}})
    bench = Bench(server, environment, find_tool)
    log_in(bench)
    return bench


def log_in(bench: Bench) -> None:
    argv = ["skopeo", "login", "--tls-verify=false", "-u", "pusher", "-p", "pass:word", bench.server.host]
    subprocess.run(argv, env=bench.environment, check=True, capture_output=True)
    bench.asked()


def test_who_has_logged_in_pushes(guarded: Bench, write: Any) -> None:
    layout = write.image("api", [BASE])
    assert guarded.push(layout).uploaded.blobs == 2
    guarded.asked()
    guarded.push(layout)

    assert guarded.asked() == {"HEAD manifests 200": 1}


@pytest.mark.parametrize("password", ["", "wrong"])
def test_who_is_not_let_in_is_told_how_to_log_in(guarded: Bench, write: Any, password: str) -> None:
    file = Path(guarded.environment["XDG_RUNTIME_DIR"], "containers/auth.json")
    auth = base64.b64encode(f"pusher:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {guarded.server.host: {"auth": auth}} if password else {}}))
    layout = write.image("api", [BASE])
    with pytest.raises(BuildError) as refused:
        guarded.push(layout)

    place = f"{guarded.server.host}/team/api"
    assert refused.value.message == f"{place}: must know who pushes, got HTTP 401 Unauthorized"
    assert refused.value.hint == f"podman login {guarded.server.host}"
    assert guarded.asked() == {"HEAD manifests 401": 1}
    log_in(guarded)
    assert guarded.push(layout).uploaded.blobs == 2


@pytest.fixture
def tokens(
    new_docker_registry: Callable[..., Any],
    token_service: Any,
    environment: dict[str, str],
    find_tool: Callable[[str], str],
    log_in: Callable[..., None],
) -> Bench:
    """A registry that wants tokens, and who may have them for what is below team/."""
    bench = Bench(new_docker_registry(auth=token_service.settings), environment, find_tool)
    log_in(environment, bench.server.host)
    return bench


def test_who_gets_tokens_pushes_and_mounts(tokens: Bench, token_service: Any, write: Any) -> None:
    iam, api = write.image("iam", [BASE, b"iam"]), write.image("api", [BASE, PROGRAM])
    registry = Registry(tokens.server.host, tokens.environment)
    push(iam, registry, "team/iam", ["1.0.0"])
    pushed = push(api, registry, "team/api", ["1.0.0"], neighbours={"team/iam": iam})

    assert (pushed.uploaded.blobs, pushed.mounted.blobs) == (2, 1)
    own = "repository:team/api:pull,push"
    assert token_service.scopes == [["repository:team/iam:pull,push"], [own], [own, "repository:team/iam:pull"]]
    tokens.asked()
    push(api, registry, "team/api", ["1.0.0"])
    assert tokens.asked() == {"HEAD manifests 200": 1}


def test_who_gets_no_token_for_a_neighbour_uploads(tokens: Bench, token_service: Any, write: Any) -> None:
    api = write.image("api", [BASE, PROGRAM])

    assert tokens.push(api, neighbours={"other/iam": api}).uploaded.blobs == 3
    assert ["repository:team/api:pull,push", "repository:other/iam:pull"] in token_service.scopes


@pytest.mark.parametrize("path", ["other/api", "team/api"])
def test_who_gets_no_token_for_the_repository_is_told(
    tokens: Bench, write: Any, log_in: Callable[..., None], path: str
) -> None:
    if path == "team/api":
        log_in(tokens.environment, tokens.server.host, "somebody:else")
    with pytest.raises(BuildError) as refused:
        tokens.push(write.image("api", [BASE]), path)

    assert refused.value.message == f"{tokens.server.host}/{path}: must know who pushes, got HTTP 401 Unauthorized"
    assert refused.value.hint == f"podman login {tokens.server.host}"


@pytest.fixture
def encrypted(
    new_docker_registry: Callable[..., Any],
    certificates: Any,
    environment: dict[str, str],
    find_tool: Callable[[str], str],
) -> Bench:
    """A registry with TLS, whose certificate nobody knows."""
    tls = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    return Bench(new_docker_registry(tls=tls), environment, find_tool)


def test_a_certificate_of_an_unknown_authority_is_not_trusted(encrypted: Bench, write: Any) -> None:
    with pytest.raises(BuildError) as refused:
        push(
            write.image("api", [BASE]),
            Registry(encrypted.server.host, encrypted.environment, insecure=True),
            "api",
            ["1"],
        )

    assert refused.value.message.startswith(f"{encrypted.server.host}: its certificate is not good: ")
    assert refused.value.hint is not None
    assert f"certs.d/{encrypted.server.host}/ca.crt" in refused.value.hint
    assert encrypted.asked() == {}


def test_an_authority_is_trusted_by_the_environment(encrypted: Bench, write: Any, certificates: Any) -> None:
    encrypted.environment["SSL_CERT_FILE"] = str(certificates.authority)
    layout = write.image("api", [BASE])
    encrypted.push(layout)

    assert encrypted.digest("team/api:1.0.0") == layout.top.digest


@pytest.mark.parametrize("folder", [".config/containers", ".config/docker"])
def test_an_authority_is_trusted_for_its_host(encrypted: Bench, write: Any, certificates: Any, folder: str) -> None:
    trusted = Path(encrypted.environment["HOME"], folder, "certs.d", encrypted.server.host, "ca.crt")
    trusted.parent.mkdir(parents=True)
    trusted.write_bytes(certificates.authority.read_bytes())
    layout = write.image("api", [BASE])
    encrypted.push(layout)

    assert encrypted.digest("team/api:1.0.0") == layout.top.digest


def test_a_registry_may_want_the_certificate_of_who_pushes(
    new_docker_registry: Callable[..., Any], certificates: Any, environment: dict[str, str], write: Any
) -> None:
    tls = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    server = new_docker_registry(tls={**tls, "clientcas": [str(certificates.authority)]})
    folder = Path(environment["HOME"], ".config/containers/certs.d", server.host)
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(certificates.authority.read_bytes())
    layout = write.image("api", [BASE])
    with pytest.raises(BuildError, match="no secure connection: .* certificate"):
        push(layout, Registry(server.host, environment), "api", ["1"])
    (folder / "client.cert").write_bytes(certificates.certificate.read_bytes())
    (folder / "client.key").write_bytes(certificates.key.read_bytes())

    assert push(layout, Registry(server.host, environment), "api", ["1"]).uploaded.blobs == 2


def test_a_certificate_file_that_is_none_is_named(encrypted: Bench, write: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for file, got in ((tmp_path / "ca.pem", "no certificate"), (tmp_path / "absent", "no such file or directory")):
        encrypted.environment["SSL_CERT_FILE"] = str(file)
        with pytest.raises(BuildError, match=f"{file}: must be a certificate in PEM that can be read, got {got}"):
            encrypted.push(write.image("api", [BASE]))
