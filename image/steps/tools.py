"""The build's own programs, unpacked from locked packages: two build machines use the same ones."""

import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image.archives import extract_all
from image.cache import Cache, sha256_of_text
from image.lockfile import PackageSet
from image.programs import run
from image.refusal import refused

RECIPE = "1"  # raise it when unpacking changes
LINKS = {"usr/bin/awk": "mawk", "usr/bin/cc": "gcc"}  # what maintainer scripts would have linked


@dataclass(frozen=True)
class Tools:
    """Programs in a folder, started through that folder's own loader and libraries."""

    root: Path

    def command(self, program: str, *words: str | Path) -> list[str]:
        loader = self.root / "usr/lib64/ld-linux-x86-64.so.2"
        library = self.root / "usr/lib/x86_64-linux-gnu"
        place = next(
            path
            for path in (self.root / "usr/sbin" / program, self.root / "usr/bin" / program)
            if path.exists()
        )
        head = [str(loader), "--library-path", f"{library}:{library}/systemd"]
        return [*head, "--argv0", program, str(place), *(str(word) for word in words)]

    def run(
        self,
        program: str,
        *words: str | Path,
        why: str,
        environment: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        settings = {"MKE2FS_CONFIG": str(self.root / "etc/mke2fs.conf"), **(environment or {})}
        return run(
            self.command(program, *words), why=why, environment=settings, stdin=stdin, alone=True
        )


def tools(packages: PackageSet, cache: Cache) -> Tools:
    return Tools(unpack("tools", packages, cache))


def unpack(kind: str, packages: PackageSet, cache: Cache) -> Path:
    """The files of every package of the set in one folder; no script of theirs is run."""
    recipe = sha256_of_text(RECIPE, packages.sha256, json.dumps(LINKS))

    def build(work: Path) -> None:
        owned: dict[str, Sequence[str]] = {}
        # base-files has the links of the merged /usr, through which the others are unpacked.
        for row in sorted(packages.rows, key=lambda r: (r.name != "base-files", r.key)):
            owned[row.name] = _unpack_one(cache.file(row.sha256), work)
        for name, target in LINKS.items():
            link = work / name
            if (link.parent / target).exists() and not link.exists():
                link.symlink_to(target)
        (work / "files.json").write_text(json.dumps(owned))

    return cache.make(kind, recipe, build)


def _unpack_one(deb: Path, target: Path) -> list[str]:
    done = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise refused(
            str(deb),
            done.stderr.decode(errors="replace").strip(),
            "a package that cannot be unpacked cannot be used",
            f"rm {deb}  and build again: it is fetched anew",
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = [member for member in archive if member.isfile() or not member.isdev()]
        extract_all(archive, target, members)
    return [member.name.removeprefix("./") for member in members if member.isfile()]
