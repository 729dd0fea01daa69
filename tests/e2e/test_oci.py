"""OCI images, judged by the tools that people use them with: umoci, skopeo, podman."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.image.layers import divide
from procession_tasks.image.layout import Descriptor, Layout
from procession_tasks.image.oci import Said, write_layout
from procession_tasks.platform import Platform
from procession_tasks.rootfs.tree import Entry

pytestmark = pytest.mark.slow  # each builds

REPOSITORY = Path(__file__).parents[2]
IMAGES = ("api", "etcd", "iam", "memcached", "mysql", "prometheus")
INFRASTRUCTURE = ("etcd", "memcached", "mysql", "prometheus")
AMD64 = Platform("linux", "amd64")
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep
Tree = dict[str, tuple[Any, ...]]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def judge(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*argv: object, **environment: str) -> str:
    done = subprocess.run([*map(str, argv)], env=os.environ | environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def blobs(layout: Layout) -> tuple[Descriptor, ...]:
    """The manifest of a layout of one platform, its configuration and its layers."""
    return (layout.top, *layout.children(layout.top))


def layout(workspace: Any, name: str, platform: str = "linux-amd64") -> Layout:
    return Layout(workspace.path(f"build/oci/{name}/{platform}"))


# What is built when


def test_either_kind_of_image_can_be_had_alone(workspace: Any) -> None:
    assert "pack-aci:api" not in workspace.build("pack-oci:api").ran
    assert not workspace.path("build/aci").exists()
    assert workspace.build("pack-aci:api").ran == ("pack-aci:api",)
    assert workspace.build("build:api").ran == ()


def test_a_new_program_is_one_new_layer(workspace: Any) -> None:
    workspace.build("build:api")
    before = blobs(layout(workspace, "api"))
    workspace.edit("services/internal/apionly/api.go", '"api', '"changed')
    workspace.build("build:api")
    after = blobs(layout(workspace, "api"))
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, False]


def test_a_release_stays_when_one_platform_is_built_after_it(workspace: Any) -> None:
    workspace.build("release:api")
    before = workspace.files("build/oci")
    assert workspace.build("build:api").ran == ()
    assert workspace.build("release:api").ran == ()
    assert workspace.files("build/oci") == before
    index = Layout(workspace.path("build/oci/api"))
    tops = [layout(workspace, "api", platform).top for platform in ("linux-amd64", "linux-arm64")]
    assert list(index.children(index.top)) == tops


def blob_of_program(workspace: Any, layout_name: str = "build/oci/api/linux-amd64") -> Path:
    one = Layout(workspace.path(layout_name))
    return one.path(blobs(layout(workspace, "api"))[-1].digest)


def damage(blob: Path, how: str) -> None:
    if how == "edited in place":
        blob.chmod(0o644)
        with blob.open("r+b") as stream:
            stream.seek(20)
            stream.write(b"?")
    elif how == "replaced":
        blob.unlink()
        blob.write_bytes(b"another")
    elif how == "cut":
        os.truncate(blob, 5)
    else:
        blob.unlink()


@pytest.mark.parametrize("how", ["edited in place", "replaced", "cut", "deleted"])
@pytest.mark.parametrize("where", ["build/oci/api/linux-amd64", "build/oci/api"])
def test_a_damaged_blob_is_made_again_wherever_it_is(workspace: Any, where: str, how: str) -> None:
    workspace.build("release:api")
    before = workspace.files("build/oci")
    damage(blob_of_program(workspace, where), how)
    assert workspace.files("build/oci") != before
    workspace.build("release:api")
    assert workspace.files("build/oci") == before
    assert workspace.build("release:api").ran == ()


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
@pytest.mark.parametrize("where", ["build/oci/api/linux-amd64", "build/oci/api"])
def test_a_damaged_document_is_made_again(workspace: Any, where: str, name: str) -> None:
    workspace.build("release:api")
    before = workspace.files("build/oci")
    workspace.write(f"{where}/{name}", "{}")
    workspace.build("release:api")
    assert workspace.files("build/oci") == before


def test_a_layer_that_did_not_change_stays_the_file_that_it_is(workspace: Any) -> None:
    workspace.build("build:api")
    _, _, definition, program = blobs(layout(workspace, "api"))
    path = layout(workspace, "api").path(definition.digest)
    before = path.stat().st_ino
    workspace.edit("services/internal/apionly/api.go", '"api', '"changed')
    workspace.build("build:api")
    assert path.stat().st_ino == before
    assert not layout(workspace, "api").path(program.digest).exists()


def test_a_change_of_the_manifest_moves_no_layer(workspace: Any) -> None:
    workspace.build("build:api")
    before = blobs(layout(workspace, "api"))
    workspace.edit("deploy/aci/api/manifest", '"group": "app"', '"group": "app", "workingDirectory": "/etc"')
    assert set(workspace.build("build:api").ran) == {"pack-aci:api", "pack-oci:api"}
    after = blobs(layout(workspace, "api"))
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, True]


def test_after_an_edit_a_release_leads_to_the_new_images_and_holds_no_old_blob(workspace: Any) -> None:
    workspace.build("release:api")
    workspace.edit("services/internal/apionly/api.go", '"api', '"changed')
    workspace.build("release:api")
    index = Layout(workspace.path("build/oci/api"))
    wanted = {index.top, *index.children(index.top)}
    for top in index.children(index.top):
        wanted |= {*index.children(top)}
    assert {f"sha256:{blob.name}" for blob in (index.folder / "blobs/sha256").iterdir()} == {
        blob.digest for blob in wanted
    }
    with tarfile.open(workspace.path("build/oci/api/linux-arm64.tar")) as archive:
        assert {name.rpartition("/")[2] for name in archive.getnames() if name.count("/") == 2} == {
            blob.digest.partition(":")[2] for blob in blobs(layout(workspace, "api", "linux-arm64"))
        }


def test_a_name_that_oci_has_another_use_for_is_refused_there_alone(workspace: Any) -> None:
    workspace.write("deploy/aci/api/rootfs/etc/.wh.motd", "x")
    ended = workspace.doit("pack-oci:api")
    assert ended.status == 1
    assert "/etc/.wh.motd: a name in an OCI layer must not begin with .wh., which marks what is removed" in ended.err
    assert "Traceback" not in ended.err
    workspace.build("pack-aci:api")


def test_an_account_that_the_image_has_not_is_told_with_its_line(workspace: Any) -> None:
    workspace.edit("deploy/aci/api/manifest", '"group": "app"', '"group": "apo"')
    ended = workspace.doit("pack-oci:api")
    assert ended.status == 1
    rule = "must be a number, a path of the image or a name in its /etc/group"
    assert f"deploy/aci/api/manifest:16: app.group: {rule}, got 'apo'\n" in ended.err
    assert not workspace.path("build/oci/api/linux-amd64").exists()


def test_what_oci_cannot_say_is_warned_of(workspace: Any) -> None:
    workspace.edit(
        "deploy/aci/api/manifest",
        '"group": "app"',
        '"group": "app", "eventHandlers": [{"name": "pre-start", "exec": ["/bin/api"]}]',
    )
    ended = workspace.build("build:api")
    assert "app.eventHandlers: has no counterpart in OCI, and is left out of that image\n" in ended.err


def test_a_new_line_in_the_api_of_this_project_is_one_new_layer(project: Path, new_workspace: Any) -> None:
    """A registry is sent that layer, the configuration and the manifest."""
    workspace = new_workspace(project.parent / "unused", ())
    workspace.root = project
    workspace.build("build:api", "build:iam")
    before, iam = blobs(layout(workspace, "api")), blobs(layout(workspace, "iam"))
    workspace.edit("services/cmd/procession-api/main.go", "func main() {", 'func main() {\n\tprintln("a line")')
    workspace.build("build:api", "build:iam")
    after = blobs(layout(workspace, "api"))
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, False]
    assert blobs(layout(workspace, "iam")) == iam


# What other tools make of it


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of this repository, released, in a copy."""
    root = tmp_path_factory.mktemp("released") / "project"
    for name in ("deploy", "services"):
        shutil.copytree(REPOSITORY / name, root / name, symlinks=True)
    for name in ("dodo.py", "pyproject.toml"):
        shutil.copyfile(REPOSITORY / name, root / name)
    doit = Path(shutil.which("doit") or Path(os.sys.executable).with_name("doit"))
    subprocess.run([doit, "release"], cwd=root, check=True, capture_output=True, timeout=280)
    return root / "build"


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Podman with a store of its own."""
    program = judge("podman")
    configuration = tmp_path / "containers.conf"
    configuration.write_text('[containers]\ndefault_ulimits=[]\n[engine]\nruntime="runc"\n')
    running = Path(tempfile.mkdtemp(prefix="podman-"))  # which must be a short name
    store = ("--root", tmp_path / "root", "--runroot", running, "--storage-driver", "vfs")
    yield lambda *words: run(program, *store, *words, CONTAINERS_CONF=str(configuration))
    subprocess.run([program, *map(str, store), "rmi", "--all", "--force"], capture_output=True)
    shutil.rmtree(running, ignore_errors=True)


def unpacked(folder: Path) -> Tree:
    """What is below a folder, hard links by their contents like everything else."""
    found: Tree = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            what = os.readlink(path) if path.is_symlink() else sha256(path.read_bytes()) if path.is_file() else ""
            mode = 0 if path.is_symlink() else stat.S_IMODE(status.st_mode)
            place = str(path.relative_to(folder))
            found[place] = (kind, mode, status.st_uid, status.st_gid, int(status.st_mtime), what)
    return found


def packed(aci: Path) -> Tree:
    """What an ACI holds, in the same words."""
    found: Tree = {}
    kinds = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK, tarfile.REGTYPE: stat.S_IFREG}
    with tarfile.open(aci) as archive:
        for member in archive:
            place = member.name.removeprefix("rootfs/")
            if place == member.name:
                continue
            if member.islnk():
                found[place] = found[member.linkname.removeprefix("rootfs/")]
                continue
            what = (
                member.linkname
                if member.issym()
                else sha256(archive.extractfile(member).read())
                if member.isfile()
                else ""
            )
            mode = 0 if member.issym() else member.mode
            found[place] = (kinds[member.type], mode, member.uid, member.gid, int(member.mtime), what)
    return found


@pytest.mark.parametrize("platform", ["linux-amd64", "linux-arm64"])
@pytest.mark.parametrize("name", IMAGES)
def test_umoci_unpacks_the_tree_that_the_aci_holds(released: Path, tmp_path: Path, name: str, platform: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files their owners")
    one = Layout(released / f"oci/{name}/{platform}")
    run(judge("umoci"), "unpack", "--image", f"{one.folder}:{one.ref_name}", tmp_path / "bundle")
    [aci] = released.glob(f"aci/procession-{name}-*-{platform}.aci")
    tree = unpacked(tmp_path / "bundle/rootfs")
    assert tree == packed(aci)
    assert len(tree) > 5


ODD = (
    Entry("bin", "directory", 0o755),
    Entry("bin/su", "file", 0o4755, size=3, digest=sha256(b"odd"), xattrs=(("security.capability", CAPABILITY),)),
    Entry("bin/su-too", "hardlink", 0o4755, link="bin/su"),
    Entry("bin/" + "n" * 255, "symlink", 0o777, link="/" + "target/" * 30),
    Entry("caf\udce9 au lait\n", "file", 0o640, 3_000_000, 4_000_000, size=3, digest=sha256(b"odd")),
    Entry("caf\u00e9", "symlink", 0o777, 5, 6, link="caf\udce9 au lait\n"),
    Entry("empty", "directory", 0o2711, 7, 8),
    Entry("tmp", "directory", 0o1777),
    Entry("tmp/of-a-package", "file", 0o400, size=3, digest=sha256(b"odd")),
    Entry("tmp/own", "file", 0o444, size=3, digest=sha256(b"odd")),
    Entry("tmp/own-too", "hardlink", 0o444, link="tmp/own"),
)


@pytest.mark.parametrize("base", [(), ("lib",)])
def test_umoci_unpacks_every_kind_of_file(tmp_path: Path, base: tuple[str, ...]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files their owners")
    for entry in ODD:
        if entry.type == "file":
            (tmp_path / "tree" / entry.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "tree" / entry.path).write_bytes(b"odd")
    layers = divide(ODD, {"bin/su": "go", "tmp/of-a-package": "lib", "tmp/own-too": "lib"}, base)
    assert len(layers) == 3
    said = Said({"created": "1970-01-01T00:00:00Z", **AMD64.oci, "config": {}}, {}, "example.com/odd:1", "1")
    write_layout(tmp_path / "odd", said, layers, tmp_path / "tree", 1_700_000_000, tmp_path / "known")
    run(judge("umoci"), "unpack", "--image", f"{tmp_path}/odd:1", tmp_path / "bundle")
    rootfs = tmp_path / "bundle/rootfs"
    kinds = {"directory": stat.S_IFDIR, "symlink": stat.S_IFLNK, "file": stat.S_IFREG, "hardlink": stat.S_IFREG}
    assert unpacked(rootfs) == {
        entry.path: (
            kinds[entry.type],
            0 if entry.type == "symlink" else entry.mode,
            entry.uid,
            entry.gid,
            1_700_000_000,
            {"directory": "", "symlink": entry.link}.get(entry.type, sha256(b"odd")),
        )
        for entry in ODD
    }
    for one, other in (("bin/su", "bin/su-too"), ("tmp/own", "tmp/own-too")):
        assert (rootfs / one).samefile(rootfs / other)
    assert os.getxattr(rootfs / "bin/su", "security.capability") == CAPABILITY


@pytest.mark.parametrize("name", IMAGES)
def test_umoci_lists_each_layout_under_its_version(released: Path, name: str) -> None:
    manifest = json.loads((REPOSITORY / f"deploy/aci/{name}/manifest").read_text())
    [version] = [label["value"] for label in manifest["labels"] if label["name"] == "version"]
    for folder in ("", "/linux-amd64", "/linux-arm64"):
        assert run(judge("umoci"), "ls", "--layout", f"{released}/oci/{name}{folder}").split() == [version]


@pytest.mark.parametrize("name", IMAGES)
def test_skopeo_reads_every_form_and_reports_our_digests(released: Path, tmp_path: Path, name: str) -> None:
    skopeo = judge("skopeo")
    of_all, one = Layout(released / f"oci/{name}"), Layout(released / f"oci/{name}/linux-amd64")
    config, *layers = one.children(one.top)

    def inspect(image: str) -> Any:
        return json.loads(run(skopeo, "inspect", image))

    assert inspect(f"oci:{of_all.folder}:{of_all.ref_name}")["Digest"] == of_all.top.digest
    for image in (f"oci:{one.folder}:{one.ref_name}", f"oci-archive:{one.folder}.tar"):
        found = inspect(image)
        assert (found["Digest"], found["Layers"]) == (one.top.digest, [layer.digest for layer in layers])
        assert found["Architecture"] == "amd64"
    loaded = json.loads(run(skopeo, "inspect", "--config", f"docker-archive:{one.folder}.tar"))
    assert loaded == json.loads(one.read(config))
    raw = run(skopeo, "inspect", "--raw", f"oci:{of_all.folder}").encode()
    assert raw == of_all.read(of_all.top), "without the version too"
    for platform in ("amd64", "arm64"):
        words = ("--override-os", "linux", "--override-arch", platform, "inspect", "--config")
        assert json.loads(run(skopeo, *words, f"oci:{of_all.folder}"))["architecture"] == platform
    for source, target in (
        (f"oci:{of_all.folder}:{of_all.ref_name}", tmp_path / "all"),
        (f"oci:{one.folder}:{one.ref_name}", tmp_path / "one"),
        (f"oci-archive:{one.folder}.tar", tmp_path / "archived"),
    ):
        run(skopeo, "copy", "--all", "--preserve-digests", source, f"oci:{target}:copy")
        original = of_all if target.name == "all" else one
        assert Layout(target).top.digest == original.top.digest
        names = {blob.name for blob in (target / "blobs/sha256").iterdir()}
        assert names == {blob.name for blob in (original.folder / "blobs/sha256").iterdir()}


@pytest.mark.parametrize("name", IMAGES)
def test_podman_loads_the_archive_and_pulls_the_layout(released: Path, podman: Callable[..., str], name: str) -> None:
    one = Layout(released / f"oci/{name}/linux-amd64")
    config, *_ = one.children(one.top)
    assert podman("pull", "--quiet", f"oci:{one.folder}:{one.ref_name}").strip() == config.digest.partition(":")[2]
    of_all = Layout(one.folder.parent)
    pulled = podman("pull", "--quiet", f"oci:{of_all.folder}:{of_all.ref_name}").strip()
    assert pulled == config.digest.partition(":")[2], "the index leads to the image of this machine"
    assert f"Loaded image: {one.full_name}\n" in podman("load", "--input", f"{one.folder}.tar")
    [image] = json.loads(podman("image", "inspect", one.full_name))
    assert (image["Id"], image["Digest"]) == (config.digest.partition(":")[2], one.top.digest)
    manifest = json.loads((REPOSITORY / f"deploy/aci/{name}/manifest").read_text())
    assert image["Config"]["Entrypoint"] == manifest["app"]["exec"]
    assert [one for one in image["Config"]["Env"] if not one.startswith("PATH=")] == [
        f"{one['name']}={one['value']}" for one in manifest["app"]["environment"] if one["name"] != "PATH"
    ]
    assert sorted(image["Config"].get("ExposedPorts", {})) == sorted(
        f"{port['port']}/tcp" for port in manifest["app"]["ports"]
    )
    assert sorted(image["Config"].get("Volumes") or {}) == sorted(
        point["path"] for point in manifest["app"].get("mountPoints", [])
    )
    uid, _, gid = image["Config"]["User"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0


@pytest.fixture(scope="module")
def docker() -> Iterator[Callable[..., str]]:
    """A docker daemon of our own, which has no network and whose images go with it."""
    daemon, client = judge("dockerd"), judge("docker")
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root")
    home = Path(tempfile.mkdtemp(prefix="docker-"))  # the name of a socket must be short
    folders = [f"--{name}={home / name}" for name in ("data-root", "exec-root", "pidfile")]
    without = [f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward", "ip-masq")]
    words = [*folders, *without, "--bridge=none", "--storage-driver=vfs", f"--host=unix://{home}/socket"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([daemon, *words], stdout=log, stderr=log)
    try:
        for _ in range(300):
            asked = subprocess.run([client, f"--host=unix://{home}/socket", "version"], capture_output=True)
            if asked.returncode == 0 or process.poll() is not None:
                break
            time.sleep(0.1)
        if asked.returncode != 0:
            pytest.skip(f"dockerd does not start here: {(home / 'log').read_text()[-300:]}")
        yield lambda *argv: run(client, f"--host=unix://{home}/socket", *argv)
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("name", IMAGES)
def test_docker_loads_the_archive(released: Path, docker: Callable[..., str], name: str) -> None:
    for platform in ("linux-arm64", "linux-amd64"):
        one = Layout(released / f"oci/{name}/{platform}")
        config, *_ = one.children(one.top)
        assert f"Loaded image: {one.full_name}\n" in docker("load", "--input", f"{one.folder}.tar")
        [image] = json.loads(docker("image", "inspect", one.full_name))
        written = json.loads(one.read(config))
        assert image["Id"] == config.digest
        assert image["RootFS"]["Layers"] == written["rootfs"]["diff_ids"]
        assert (image["Os"], image["Architecture"]) == ("linux", platform.partition("-")[2])
        assert {key: image["Config"][key] for key in written["config"]} == written["config"]


def test_infrastructure_images_share_their_lowest_layer(released: Path) -> None:
    for platform in ("linux-amd64", "linux-arm64"):
        lowest = {blobs(Layout(released / f"oci/{name}/{platform}"))[2] for name in INFRASTRUCTURE}
        assert len(lowest) == 1
        assert lowest.pop().size > 1_000_000
