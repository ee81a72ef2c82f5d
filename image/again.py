"""Building once more elsewhere, and comparing bit for bit."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image.blockmap import read_map
from image.refusal import refused
from image.steps.manifest import PRODUCTS
from image.steps.python import find_uv

# Another home, host name, time zone, language, umask and place; caches of its own when asked for.
OTHER_SURROUNDINGS = {
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "TZ": "Pacific/Kiritimati",
    "USER": "somebody-else",
    "LOGNAME": "somebody-else",
}
KEPT_SETTINGS = ("PATH", "SSL_CERT_FILE", "UV_CACHE_DIR", "CARGO_HOME", "RUSTUP_HOME")


@dataclass(frozen=True)
class Difference:
    name: str
    detail: str


def copy_tree(tree: Path, target: Path) -> None:
    """The tree as git sees it, at another path."""
    listed = subprocess.run(
        ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, place = tree / name, target / name
        if source.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
    shutil.copytree(tree / ".git", target / ".git", symlinks=True)


def surroundings(ours: Mapping[str, str], home: Path, other_home: Path) -> dict[str, str]:
    """The environment of a build in another home, with the programs and caches of this one."""
    environment = {key: ours[key] for key in KEPT_SETTINGS if key in ours} | OTHER_SURROUNDINGS
    environment.setdefault("CARGO_HOME", str(home / ".cargo"))
    environment.setdefault("RUSTUP_HOME", str(home / ".rustup"))
    environment.setdefault("UV_CACHE_DIR", str(home / ".cache" / "uv"))
    # Last: where bootstrap.sh has installed uv, a Python of its own lies beside it.
    environment["PATH"] = os.pathsep.join((ours["PATH"], str(find_uv().parent)))
    return environment | {"HOME": str(other_home)}


def build_again(tree: Path, work: Path, cache: Path | None, arguments: list[str]) -> Path:
    """A second build in surroundings of its own; the folder of its products."""
    place = work / "elsewhere" / "tree"
    place.mkdir(parents=True)
    copy_tree(tree, place)
    out = work / "second"
    home = work / "home"
    home.mkdir()
    environment = surroundings(os.environ, Path.home(), home)
    words = [sys.executable, "-m", "bedplate", "image", "build", "--out", str(out), *arguments]
    if cache is not None:
        words += ["--cache", str(cache)]
    namespace = ["unshare", "--uts", "sh", "-c", 'hostname another-host && exec "$@"', "sh"]
    before = namespace if os.getuid() == 0 else []
    done = subprocess.run([*before, *words], cwd=place, env=environment, check=False, umask=0o077)
    if done.returncode != 0:
        raise refused(
            "the second build",
            f"status {done.returncode}",
            "there is nothing to compare with",
            "the lines above say why",
        )
    return out


def compare(first: Path, second: Path) -> list[Difference]:
    """Every product, and for the disk which part of it differs."""
    return [
        Difference(name, detail)
        for name in PRODUCTS
        if (detail := _difference(first / name, second / name))
    ]


def _difference(one: Path, other: Path) -> str:
    if not one.is_file() or not other.is_file():
        return f"missing in the {'second' if one.is_file() else 'first'} build"
    if one.name == "disk.img":
        return _differing_ranges(one.with_name("disk.bmap"), other.with_name("disk.bmap"))
    if _sha256(one) == _sha256(other):
        return ""
    return f"sha256 {_sha256(one)[:16]}… and {_sha256(other)[:16]}…"


def _differing_ranges(one: Path, other: Path) -> str:
    """By their maps, each of which was made of its own disk."""
    first = {(r.first, r.last): r.sha256 for r in read_map(one).ranges}
    second = {(r.first, r.last): r.sha256 for r in read_map(other).ranges}
    places = sorted(
        key for key in first.keys() | second.keys() if first.get(key) != second.get(key)
    )
    if not places:
        return ""
    return f"{len(places)} ranges differ, the first at block {places[0][0]}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
