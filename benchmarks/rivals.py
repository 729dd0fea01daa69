"""Other ways to make archives of packages: dpkg-deb with tar and gzip, and mmdebstrap."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.unpack import unpacked

_UNPACK = "mkdir -p trees/{image}; for deb in {debs}; do dpkg-deb -x archives/{image}/$deb trees/{image}; done"
_TAR = "tar -C trees/{image} --sort=name --mtime=@0 -cf -"
_SAME = "--no-recursion --verbatim-files-from -T $PWD/{image}.paths"
_SCRIPTS = {
    "dpkg-deb, tar, gzip -1": f"{_UNPACK}; {_TAR} . | gzip -1n > {{output}}",
    "dpkg-deb, tar, gzip -6": f"{_UNPACK}; {_TAR} . | gzip -6n > {{output}}",
    "dpkg-deb, tar of the same paths, gzip -6": f"{_UNPACK}; {_TAR} {_SAME} | gzip -6n > {{output}}",
    "mmdebstrap": "mmdebstrap --quiet --variant=extract --include={names} {suite} {output}"
    " 'deb [trusted=yes] copy:{folder}/archives/{image} ./'",
}
DOES = {
    "dpkg-deb, tar, gzip -1": "unpacks the packages over each other and packs all of it, manuals and translations too;"
    " verifies, merges, leaves out and checks nothing",
    "dpkg-deb, tar, gzip -6": "the same with the usual compression",
    "dpkg-deb, tar of the same paths, gzip -6": "packs only the paths that the image has, which are listed before",
    "mmdebstrap": "apt, from an archive of these packages alone, for which it verifies SHA-256, and tar; no maintainer"
    " script is run (--variant=extract); packs all of it, and what apt and dpkg need, with gzip -6",
}


@dataclass(frozen=True)
class Rival:
    """One way to make archives; a script makes one image, in `folder`, into the file in `outputs`."""

    name: str
    folder: Path
    environment: Mapping[str, str]
    scripts: Mapping[str, str]
    outputs: Mapping[str, Path]

    def command(self, images: Sequence[str]) -> Command:
        """Make the archives of some images, one after the other."""
        script = "; ".join(["set -eo pipefail", *(self.scripts[image] for image in images)])
        argv = ("/bin/bash", "-c", script)
        return Command(self.name, argv, self.folder, self.environment, before=self._clear)

    def why_not(self, image: str) -> str:
        """Try it on an image, and say why it does not work here."""
        self._clear()
        argv = self.command([image]).argv
        tried = subprocess.run(argv, cwd=self.folder, env=dict(self.environment), capture_output=True, text=True)
        return [*tried.stderr.splitlines(), f"status {tried.returncode}"][0] if tried.returncode else ""

    def _clear(self) -> None:
        shutil.rmtree(self.folder / "trees", ignore_errors=True)


def rivals(
    folder: Path,
    store: Path,
    pins: Mapping[str, Sequence[Pin]],
    paths: Mapping[str, Iterable[str]],
    environment: Mapping[str, str],
) -> tuple[list[Rival], list[str]]:
    """Prepare the ways that work here; the second result says which do not, and why.

    `store` has the folders of packages; `paths` are what the images hold.
    """
    for image, of in pins.items():
        _write_archive(folder / "archives" / image, store / "packages", of)
        shipped = _shipped(store, of, paths[image])
        (folder / f"{image}.paths").write_text("".join(f"{path}\n" for path in shipped))
    smallest = min(pins, key=lambda image: sum(pin.size for pin in pins[image]))
    found, left_out = [], []
    for number, (name, script) in enumerate(_SCRIPTS.items()):
        outputs = {image: folder / f"{image}-{number}.tar.gz" for image in pins}
        scripts = {image: _filled(script, folder, image, of, outputs[image]) for image, of in pins.items()}
        rival = Rival(name, folder, environment, scripts, outputs)
        if why := rival.why_not(smallest):
            left_out.append(f"{name} is left out: {why}")
        else:
            found.append(rival)
    return found, left_out


def _filled(script: str, folder: Path, image: str, pins: Sequence[Pin], output: Path) -> str:
    debs = " ".join(os.path.basename(pin.path) for pin in pins)
    names = ",".join(pin.name for pin in pins)
    return script.format(image=image, debs=debs, names=names, suite=pins[0].suite, folder=folder, output=output)


def _write_archive(folder: Path, packages: Path, pins: Sequence[Pin]) -> None:
    """Make an archive for apt of these packages alone, which therefore depend on nothing."""
    folder.mkdir(parents=True)
    stanzas = []
    for pin in pins:
        name = os.path.basename(pin.path)
        shutil.copyfile(packages / f"{pin.sha256}.deb", folder / name)
        head = f"Package: {pin.name}\nVersion: {pin.version}\nArchitecture: {pin.architecture}\nMaintainer: nobody\n"
        stanzas.append(f"{head}Filename: ./{name}\nSize: {pin.size}\nSHA256: {pin.sha256}\n")
    (folder / "Packages").write_text("\n".join(stanzas))


def _shipped(store: Path, pins: Sequence[Pin], paths: Iterable[str]) -> Iterator[str]:
    """Choose the paths that packages ship, there or where they were before /usr was merged."""
    found = [unpacked(store / "packages" / f"{pin.sha256}.deb", pin, store / "unpacked") for pin in pins]
    names = {member.path for contents in found for member in contents.members}
    for path in paths:
        yield from sorted({path, path.removeprefix("usr/")} & names)
