"""Debian's part of the root file system, made from exactly the locked files."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from image.cache import Cache, sha256_of_text
from image.lockfile import PackageSet
from image.packages import SUITE
from image.programs import run
from image.steps.tools import Tools
from image.twins import twins

RECIPE = "2"  # raise it when another root is made of the same packages
TREE = Path(__file__).resolve().parents[2]
# Debian's programs sign return addresses where a processor can; emulating that costs tenfold.
EMULATED_CPU = "cortex-a57"
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/lintian/*",
    "/usr/share/linda/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/bug/*",
    # Of the update client: types of updates that no gate knows, and an identity that is not ours.
    "/usr/share/mender/identity/*",
    "/usr/share/mender/modules/*",
)


def root_recipe(packages: PackageSet, epoch: int) -> str:
    return sha256_of_text(RECIPE, packages.sha256, str(epoch), *LEFT_OUT)


def make_root(
    packages: PackageSet, tools: Tools, cache: Cache, work: Path, target: Path, epoch: int
) -> None:
    """Writes the root as mmdebstrap leaves it, a tar file at `target`."""
    repository = work / "repository"
    write_repository(packages, cache, repository)
    record = work / "twins.json"
    names = twins(tools.root, [row.name for row in packages.rows])
    record.write_text(json.dumps({"twins": names}))
    record.chmod(0o666)
    hook = f"PYTHONPATH={TREE} {sys.executable} -m image.twins"
    with (work / "mmdebstrap.log").open("wb") as log:
        run(
            [
                "mmdebstrap",
                f"--mode={'root' if os.getuid() == 0 else 'unshare'}",
                "--variant=essential",
                f"--architectures={packages.architecture}",
                f"--include={','.join(sorted(row.name for row in packages.rows))}",
                "--skip=check/empty",
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                "--dpkgopt=force-unsafe-io",
                '--aptopt=APT::Install-Recommends "false"',
                '--aptopt=Acquire::Languages "none"',
                '--aptopt=APT::Sandbox::User "root"',
                f'--extract-hook={hook} in {tools.root} {record} "$1"',
                f'--customize-hook={hook} out {tools.root} {record} "$1"',
                SUITE,
                str(target),
                f"deb [trusted=yes] copy://{repository} ./",
            ],
            why="make Debian's part of the root file system",
            environment={
                "SOURCE_DATE_EPOCH": str(epoch),
                "TMPDIR": str(work),
                "QEMU_CPU": EMULATED_CPU,
            },
            log=log,
        )


def write_repository(packages: PackageSet, cache: Cache, folder: Path) -> None:
    """A package archive of the locked files and no other, in the simplest form apt reads."""
    folder.mkdir(parents=True)
    entries: list[str] = []
    for row in packages.rows:
        name = f"{row.name}_{row.architecture}.deb"
        _place(cache.file(row.sha256), folder / name)
        control = subprocess.run(
            ["dpkg-deb", "--field", str(folder / name)], capture_output=True, text=True, check=True
        ).stdout.strip()
        entries.append(f"{control}\nFilename: ./{name}\nSize: {row.size}\nSHA256: {row.sha256}\n")
    index = "\n".join(entries).encode()
    (folder / "Packages").write_bytes(index)
    digest = hashlib.sha256(index).hexdigest()
    (folder / "Release").write_text(  # mmdebstrap asks apt what is essential by the release's name
        f"Suite: {SUITE}\nCodename: {SUITE}\nArchitectures: {packages.architecture} all\n"
        f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {digest} {len(index)} Packages\n"
    )


def _place(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def status_versions(status: str) -> Iterator[tuple[str, str, str]]:
    """Name, version, architecture of what dpkg's status calls installed."""
    for block in status.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " "
        )
        if fields.get("Status", "").endswith(" installed"):
            yield fields["Package"], fields["Version"], fields["Architecture"]
