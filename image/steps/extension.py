"""Python packages that are published without a wheel for the robot: compiled by the cross compiler.

One so far. What uv.lock names is fetched by its hash; the compiler runs without a network.
"""

import io
import tarfile
import tomllib
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from image.archives import extract_all
from image.cache import Cache, sha256_of_file, sha256_of_text
from image.lockfile import PackageSet
from image.refusal import refused
from image.sandbox import Bind, run_inside
from image.steps.tools import unpack

RECIPE = "1"
MAX_BYTES = 64 << 20
NANOBIND = "/usr/share/nanobind/src"
SUFFIX = ".cpython-313-aarch64-linux-gnu.so"
FLAGS = (
    "-std=c++20",
    "-O3",
    "-DNDEBUG",
    "-DNB_COMPACT_ASSERTIONS",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-ffunction-sections",
    "-fdata-sections",
    "-shared",
    "-Wl,--gc-sections",
    "-Wl,-s",
    "-I/usr/include/python3.13",
    "-I/usr/share/nanobind/include",
)


@dataclass(frozen=True)
class Extension:
    name: str
    sources: tuple[str, ...]
    includes: tuple[str, ...]


RUCKIG = Extension(
    name="ruckig",
    sources=("src/ruckig/[!c]*.cpp", "src/wrapper/python.cpp"),  # all but the cloud client
    includes=("include",),
)


@dataclass(frozen=True)
class SourceFile:
    version: str
    url: str
    sha256: str


def locked_source(tree: Path, name: str) -> SourceFile:
    """What uv.lock says of a package's source."""
    lock = tomllib.loads((tree / "uv.lock").read_text(encoding="utf-8"))
    for package in lock["package"]:
        if package["name"] == name and "sdist" in package:
            source = package["sdist"]
            return SourceFile(package["version"], source["url"], source["hash"].split(":")[1])
    raise refused(
        "uv.lock",
        f"no source of {name}",
        "there is no wheel of it for the robot, so it is compiled here",
        f"uv lock; or leave {name} out of what the robot runs",
    )


def compile_extension(
    tree: Path, extension: Extension, toolchain: PackageSet, cache: Cache
) -> Path:
    """A folder with the module in it."""
    source = locked_source(tree, extension.name)
    recipe = sha256_of_text(RECIPE, repr(extension), *FLAGS, source.sha256, toolchain.sha256)

    def build(work: Path) -> None:
        archive = fetch_source(source, extension.name, cache)
        with cache.workspace(extension.name) as scratch:
            tree_of = unpack_source(archive, scratch / "source")
            module = scratch / "module.so"
            _compile(extension, tree_of, scratch, unpack("toolchain", toolchain, cache))
            (work / f"{extension.name}{SUFFIX}").write_bytes(module.read_bytes())
            (work / "VERSION").write_text(source.version)

    return cache.make(extension.name, recipe, build)


def fetch_source(source: SourceFile, name: str, cache: Cache) -> Path:
    if cache.has(source.sha256):
        return cache.file(source.sha256)
    try:
        with urllib.request.urlopen(source.url, timeout=60) as answer:
            data = answer.read(MAX_BYTES)
    except OSError as error:
        raise refused(
            f"{name} {source.version}",
            str(error),
            "its source is not in the cache yet",
            "see that this machine reaches the package index that uv.lock names",
        ) from error
    with cache.workspace("source") as work:
        part = work / "file"
        part.write_bytes(data)
        found = sha256_of_file(part)
        if found != source.sha256:
            raise refused(
                f"{name} {source.version}",
                f"sha256 {found[:16]}…, locked is {source.sha256[:16]}…",
                "what is not what was locked never gets into an image",
                "see whether a proxy alters files",
            )
        return cache.keep(part, source.sha256)


def unpack_source(archive: Path, folder: Path) -> Path:
    """The one folder that a source archive consists of."""
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as source:
        extract_all(source, folder, source)
    return next(folder.iterdir())


def _compile(extension: Extension, source: Path, scratch: Path, compiler: Path) -> None:
    files = sorted(path for pattern in extension.sources for path in source.glob(pattern))
    inside = [f"/build/{path.relative_to(scratch)}" for path in files]
    binding = sorted((compiler / NANOBIND.lstrip("/")).glob("*.cpp"))
    # One by one: its file that includes all the others does so twice with one header.
    inside += [f"{NANOBIND}/{path.name}" for path in binding if path.name != "nb_combined.cpp"]
    includes = [f"-I/build/{source.relative_to(scratch)}/{name}" for name in extension.includes]
    with (scratch / "log").open("wb") as log:
        run_inside(
            compiler,
            [
                "aarch64-linux-gnu-g++",
                *FLAGS,
                *includes,
                *inside,
                "-o",
                "/build/module.so",
            ],
            binds=[Bind(scratch, "/build")],
            cwd="/build",
            environment={"HOME": "/build"},
            why=f"compile {extension.name} for the robot",
            log=log,
        )
