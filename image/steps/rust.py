"""The compiled programs of the robot, by a cross compiler that the lock pins.

Crates are fetched by the build machine's cargo as Cargo.lock says, and vendored; the compiler runs
without a network, in a tree of its own, on sources at the same path everywhere.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from image.cache import Cache, sha256_of_file, sha256_of_text
from image.lockfile import PackageSet
from image.programs import run
from image.sandbox import Bind, run_inside
from image.steps.tools import unpack

RECIPE = "1"
TARGET = "aarch64-unknown-linux-gnu"
SUFFIXES = (".rs", ".toml", ".lock", ".json")
INSIDE = "/build/source"
ENVIRONMENT = {
    "CARGO_HOME": "/build/home",
    "CARGO_TARGET_DIR": "/build/target",
    "CARGO_NET_OFFLINE": "true",
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": "aarch64-linux-gnu-gcc",
    "CARGO_TERM_COLOR": "never",
    "HOME": "/build/home",
    "PYO3_NO_PYTHON": "1",
}


@dataclass(frozen=True)
class Crate:
    """A workspace of the tree, and which of its results go where in the image."""

    name: str
    folder: str  # of the workspace
    folders: tuple[str, ...]  # of all its members
    packages: tuple[str, ...]
    results: tuple[tuple[str, str], ...]  # pattern in the release folder → path in the image
    command: tuple[str, ...] = ("build",)


CONTROLD = Crate(
    name="controld",
    folder="runtime/controld",
    folders=("runtime/controld", "sim/dynamics"),
    packages=("controld", "python", "dynamics"),
    results=(
        ("controld", "opt/bedplate/bin/controld"),
        ("dynamics", "opt/bedplate/bin/dynamics"),
        ("lib_native.so", "opt/bedplate/runtime/shm/_native.abi3.so"),
    ),
)


# Tier 1's own tests as a program, for a guest that has the interfaces which they need.
CONTROLD_TESTS = Crate(
    name="controld-tests",
    folder="runtime/controld",
    folders=("runtime/controld", "sim/dynamics"),
    packages=("controld",),
    results=(("deps/controld-" + "[0-9a-f]" * 16, "controld-tests"),),
    command=("test", "--no-run", "--lib"),
)


def sources(tree: Path, crate: Crate) -> list[Path]:
    """What the compiler may read: build trees are none of it, tests' data only of tests."""
    found: list[Path] = []
    tested = crate.command[0] == "test"
    left_out = {"target"} if tested else {"target", "tests"}
    suffixes = (*SUFFIXES, ".control") if tested else SUFFIXES
    for folder in crate.folders:
        for path in sorted((tree / folder).rglob("*")):
            parts = path.relative_to(tree / folder).parts
            if path.suffix in suffixes and not left_out & set(parts) and path.is_file():
                found.append(path)
    return found


def recipe(tree: Path, crate: Crate, toolchain: PackageSet) -> str:
    files = [f"{path.relative_to(tree)} {sha256_of_file(path)}" for path in sources(tree, crate)]
    return sha256_of_text(RECIPE, toolchain.sha256, repr(crate), *files)


def compile_crate(tree: Path, crate: Crate, toolchain: PackageSet, cache: Cache, jobs: int) -> Path:
    """A folder with the results under their paths in the image."""

    def build(work: Path) -> None:
        with cache.workspace("rust") as scratch:
            _compile(tree, crate, unpack("toolchain", toolchain, cache), scratch, jobs)
            for name, place in crate.results:
                target = work / place
                target.parent.mkdir(parents=True, exist_ok=True)
                (result,) = (scratch / "target" / TARGET / "release").glob(name)
                shutil.copyfile(result, target)

    return cache.make(crate.name, recipe(tree, crate, toolchain), build)


def _compile(tree: Path, crate: Crate, compiler: Path, scratch: Path, jobs: int) -> None:
    source = scratch / "source"
    for path in sources(tree, crate):
        copy = source / path.relative_to(tree)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    home = scratch / "home"
    home.mkdir()
    with (scratch / "log").open("wb") as log:
        settings = run(
            ["cargo", "vendor", "--locked", "--quiet", "--versioned-dirs", scratch / "vendor"],
            why="fetch the crates that Cargo.lock names",
            cwd=source / crate.folder,
        )
        del settings  # its paths are this machine's; those below are the same everywhere
        (home / "config.toml").write_text(
            '[source.crates-io]\nreplace-with = "vendored"\n'
            '[source.vendored]\ndirectory = "/build/vendor"\n'
        )
        (scratch / "target").mkdir()
        run_inside(
            compiler,
            [
                "cargo",
                *crate.command,
                "--release",
                "--locked",
                "--jobs",
                str(jobs),
                "--target",
                TARGET,
                *(word for name in crate.packages for word in ("--package", name)),
            ],
            binds=[Bind(scratch, "/build")],
            cwd=f"{INSIDE}/{crate.folder}",
            environment=ENVIRONMENT,
            why=f"compile {crate.name} for the robot",
            log=log,
        )
