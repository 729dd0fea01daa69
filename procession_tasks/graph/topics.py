"""What `doit help` tells of each command and each stage beside their purpose: in words, and by example."""

from __future__ import annotations

from dataclasses import dataclass

Examples = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """Paragraphs, pairs of a command line and what it does, and the document that has more.

    `purpose` is for a command of doit, whose own words fit badly.
    """

    text: str = ""
    examples: Examples = ()
    document: str = ""
    purpose: str = ""


COMMANDS = {
    "run": Topic(
        "A TASK is a stage of one image, such as build:api, or a whole stage, such as release; without one it is"
        " build. The word run can be left out. Tasks that a task needs run before it, and each only if what it is"
        " made from, or what it made, is not as it was.\n"
        "A platform other than this machine's stands after an @, as in build:api@linux-arm64.",
        (
            ("doit", "every image for this machine's platform"),
            ("doit build:api build:iam", "two images"),
            ("doit -c release", "all images for all platforms; goes on with the others when one fails"),
            ("doit -a pack-aci:api", "does a task, and those it needs, though they are up to date"),
            ("doit --report report.json", "says in JSON what was built and why"),
        ),
    ),
    "list": Topic(
        "Reads definitions and nothing else.",
        (
            ("doit list", "the stages"),
            ("doit list --all", "each task of every image and platform"),
            ("doit list --all --status build", "which would run (R), which are up to date (U)"),
            ("doit list --deps go-compile:api", "what a program is compiled from"),
        ),
    ),
    "info": Topic(
        "Ends with 1 if the task would run.",
        (
            ("doit info pack-aci:api", "what the archive is made from, and why it would be packed"),
            ("doit info go-compile:api", "the sources of a program"),
        ),
    ),
    "clean": Topic(
        "Removes exactly what tasks have made; without a task all of it, releases too. What was built comes back"
        " from the cache without work.",
        (
            ("doit clean -n", "says what would be removed"),
            ("doit clean build:api", "what was made for one image"),
        ),
    ),
    "forget": Topic(
        "What they made stays where it is; doit -a is the same for one run.",
        (("doit forget pack-aci:api", "one task"), ("doit forget -a", "all tasks")),
        purpose="have tasks run again next time, though nothing changed",
    ),
    "ignore": Topic(
        "doit forget TASK ends that.",
        (("doit ignore pack-aci:api", "no archive until further notice"),),
        purpose="leave tasks out of the next runs",
    ),
    "lock": Topic(
        "doit lock:IMAGE is the same. Writes packages.lock.yaml: each package's version and digest, chosen from the"
        " signed indexes of the suites for every platform. Builds use it alone.",
        (
            ("doit lock etcd", "one image"),
            ("doit lock --check", "changes nothing, says whether locks and definitions agree (for CI)"),
        ),
        "docs/definitions.md",
    ),
    "why": Topic(
        examples=(
            ("doit why", "all images"),
            ("doit why api", "one of them, or doit why pack-oci:api"),
            ("doit why --last api", "why it was built in the last run"),
        ),
    ),
    "affected": Topic(
        examples=(
            ("doit affected --since origin/main", "for a pull request"),
            ("doit affected --since HEAD~1 --json", "with each task"),
        ),
    ),
    "graph": Topic(
        examples=(("doit graph -o graph.svg", "all images"), ("doit graph api", "one, as Mermaid")),
    ),
    "diff": Topic(
        examples=(
            ("doit diff api", "what changed since it was pushed"),
            ("doit diff api api@linux-arm64", "two platforms"),
            ("doit diff old.aci new.aci", "two files"),
        ),
    ),
    "watch": Topic(
        examples=(("doit watch api", "one image"), ("doit watch --run", "all of them, and the system")),
    ),
    "trace": Topic(
        examples=(("doit trace -o trace.json", "for ui.perfetto.dev"), ("doit trace --summary", "in words")),
    ),
    "doctor": Topic(
        "Changes nothing, and works without a network. What no definition and no setting of this repository needs is"
        " told with a dash; ends with 1 if something that is needed is missing. Servers and the mirror are not asked"
        " for anything but whether they are there.",
        (("doit doctor --json", "the same for programs"),),
        "docs/everyday.md",
    ),
    "new": Topic(
        "The folder appears whole, or not at all, and doit validate accepts it. What its files say in comments is"
        " meant to be read once and removed. The name of the image begins as those of the others do.",
        (
            ("doit new web --go ./cmd/procession-web", "then doit build:web"),
            (
                "doit new redis --debian redis-server",
                "then doit lock:redis, which needs a mirror, and doit build:redis",
            ),
        ),
        "docs/definitions.md",
    ),
    "push": Topic(
        "doit push:IMAGE is the same. Builds what is stale, then sends what the registry does not have, byte for"
        " byte. A tag that names another image is not moved without --force. Credentials are those of podman login"
        " and docker login.",
        (
            ("doit push", "every image, to the registry of the settings"),
            ("doit push api --registry=registry.example/team --tag=latest", "one, with a tag beside its version"),
        ),
        "docs/registries.md",
    ),
    "kubernetes": Topic(
        "Builds what is stale first; needs kubectl, and no cluster.",
        (
            ("doit kubernetes | kubectl apply -f -", "by hand; doit deploy waits and checks too"),
            ("doit kubernetes --output=rendered", "a file for each object"),
        ),
        "docs/kubernetes.md",
    ),
    "deploy": Topic(
        "Applies what doit kubernetes renders, waits for each roll-out, and says why one fails. The images must be"
        " in the registry already: doit push.",
        (
            ("doit deploy --dry-run", "what would change"),
            ("doit deploy --context=staging", "another cluster than kubectl's current one"),
        ),
        "docs/kubernetes.md",
    ),
    "up": Topic(
        "Builds what is stale, gives the images to podman or docker without a registry, and starts what"
        " deploy/system.yaml says. What runs already as it should is left alone.",
        (("doit up", "all of it"), ("doit up api", "one image and what it needs")),
        "docs/running.md",
    ),
    "down": Topic("", (("doit down --volumes", "what they keep goes too: nothing is left"),), "docs/running.md"),
    "ps": Topic("", (), "docs/running.md"),
    "logs": Topic("", (("doit logs api --follow", "one image, until Ctrl-C"),), "docs/running.md"),
    "cache": Topic(
        "",
        (("doit cache stats", "what it holds"), ("doit cache gc", "makes room before the end of a build does")),
        "docs/cache.md",
    ),
    "schema": Topic(
        "Editors with a YAML language server follow the first line of a definition to these files.",
        (
            ("doit schema -o deploy/aci/image.schema.json", "the file that every image.yaml names"),
            ("doit schema system -o deploy/system.schema.json", "that of deploy/system.yaml"),
        ),
        "docs/everyday.md",
    ),
}

STAGES = {
    "go-inputs": Topic(
        "Asks go list for all programs of a platform at once, and writes for each build/state/inputs/…, one line a"
        " source with its digest: two of them diffed say what changed. A list that did not change compiles nothing."
    ),
    "go-compile": Topic(
        "Runs one go build for all stale programs of a platform, with the pinned toolchain and nothing of the"
        " shell's environment; the programs are in build/bin/OS-ARCH/.",
        (("doit info go-compile:api", "the sources of a program"),),
    ),
    "fetch-packages": Topic(
        "Downloads what packages.lock.yaml names, verified by its digests, into a store outside of the repository;"
        " nothing, if a cache has what would be made of it.",
        (("doit fetch-packages", "all of it, for a machine that goes offline"),),
    ),
    "inject-binary": Topic(
        "Puts rootfs/, the programs and what image.yaml declares together in build/rootfs/IMAGE/OS-ARCH/. The .files"
        " list beside it has a line a path: type, mode, owner, size, digest."
    ),
    "inject-packages": Topic(
        "Unpacks the packages, leaves out what is pruned, and puts rootfs/, programs and what image.yaml declares"
        " over it. Maintainer scripts are not run: what they would do must be declared, or waived with a reason.",
        (),
        "docs/definitions.md",
    ),
    "check-size": Topic(
        "Fails with what grew when an image is larger than size-budget in its image.yaml; runs before it is packed.",
        (("doit sizes:mysql", "what an image holds"),),
        "docs/definitions.md",
    ),
    "pack-aci": Topic(
        "Writes build/aci/NAME-VERSION-OS-ARCH.aci, with its image ID (.id) and checksum (.sha256) beside it."
    ),
    "pack-oci": Topic("Writes build/oci/IMAGE/OS-ARCH/, an image layout that podman, skopeo and umoci take."),
    "index-oci": Topic("Makes build/oci/IMAGE/, the image for all its platforms."),
    "archive-oci": Topic(
        "", (("doit archive-oci:api && podman load -i build/oci/api/linux-amd64.tar", "into an engine"),)
    ),
    "build": Topic(
        "Everything from the sources to the archives, and of it only what is stale.",
        (
            ("doit", "every image"),
            ("doit build:api", "one image"),
            ("doit build:api@linux-arm64", "for another platform"),
        ),
    ),
    "release": Topic(
        "As build, for each platform that an image declares; with an index of all, and archives for engines.",
        (("doit release:api", "one image"),),
    ),
    "validate": Topic(
        "Tells all mistakes at once, each with file, line, rule and hint; deploy/kubernetes is held against the"
        " images as well.",
        (("doit validate:api", "one definition"),),
        "docs/definitions.md",
    ),
    "verify": Topic(
        "Builds what is stale, then reads archives and layouts with code that shares nothing with what wrote them.",
        (("doit verify:api", "one image"),),
    ),
    "sizes": Topic("", (("doit sizes:mysql", "one image"),)),
    "run": Topic(
        "What follows the task is for the program. Ctrl-C stops it; its exit status is doit's.",
        (("doit run:api", "with the ports of its manifest on 127.0.0.1"), ("doit run:api --help", "an option of it")),
        "docs/running.md",
    ),
    "outdated": Topic("Asks the mirror; changes nothing.", (("doit outdated:etcd", "one image"),)),
}
