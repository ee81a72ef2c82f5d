"""The recipe of the kernel: everything that decides its bytes, and the hash over all of it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rt_kernel.kconfig import Request, Text, parse_fragments
from rt_kernel.problem import KernelError

HERE: Final = Path(__file__).parent
SOURCE_LOCK: Final = HERE / "source.json"
ARCH: Final = "arm64"
CROSS: Final = "aarch64-linux-gnu-"
# Name, user and host that every kernel carries: two builds differ in nothing.
IDENTITY: Final = (
    ("KBUILD_BUILD_HOST", "bedplate"),
    ("KBUILD_BUILD_USER", "bedplate"),
    ("KBUILD_BUILD_VERSION", "1"),
)
TARGETS: Final = ("Image", "dtbs")
# Never compiled here, and a third of the tree's bytes.
LEFT_OUT: Final = ("drivers/gpu/drm/amd/include", "Documentation/devicetree")


@dataclass(frozen=True)
class Source:
    """The locked package: where it lies is relative to the archive that the machine is set to."""

    name: str
    version: str
    sha256: str
    path: str
    size_bytes: int


@dataclass(frozen=True)
class Toolchain:
    """What compiles it; another compiler makes other bytes, so it is part of the recipe."""

    compiler: str
    linker: str


@dataclass(frozen=True)
class Recipe:
    source: Source
    fragments: tuple[Text, ...]
    patches: tuple[Text, ...]
    toolchain: Toolchain

    @property
    def requests(self) -> tuple[Request, ...]:
        return parse_fragments(self.fragments)

    @property
    def sha256(self) -> str:
        """Over what reaches the compiler: a comment in a fragment changes no kernel."""
        decides = {
            "source": self.source.sha256,
            "options": sorted((r.option, r.value) for r in self.requests),
            "patches": [asdict(patch) for patch in self.patches],
            "toolchain": asdict(self.toolchain),
            "identity": IDENTITY,
            "targets": TARGETS,
            "arch": ARCH,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def local_version(self) -> str:
        """The end of `uname -r`: from a running kernel back to its recipe."""
        return f"-bedplate-{self.sha256[:8]}"


def read_recipe(toolchain: Toolchain, source: Source, folder: Path = HERE) -> Recipe:
    return Recipe(
        source=source,
        fragments=_texts(folder / "fragments", "*.config"),
        patches=_texts(folder / "patches", "*.patch"),
        toolchain=toolchain,
    )


def _texts(folder: Path, pattern: str) -> tuple[Text, ...]:
    files = sorted(folder.glob(pattern))
    return tuple(
        Text(f"rt_kernel/{folder.name}/{file.name}", file.read_text(encoding="utf-8"))
        for file in files
    )


def parse_source(text: str, where: str) -> Source:
    """A lock file, strictly: each field there, of its kind, and none besides."""
    try:
        row: Any = json.loads(text)
    except ValueError as error:
        raise _bad_lock(where, f"no JSON: {error}") from None
    kinds = {"name": str, "version": str, "sha256": str, "path": str, "size_bytes": int}
    if not isinstance(row, dict) or set(row) != set(kinds):
        raise _bad_lock(where, f"other fields than {', '.join(kinds)}")
    wrong = [name for name, kind in kinds.items() if type(row[name]) is not kind]
    if wrong:
        raise _bad_lock(where, f"{wrong[0]} = {row[wrong[0]]!r}")
    source = Source(**row)
    if len(source.sha256) != 64 or not set(source.sha256) <= set("0123456789abcdef"):
        raise _bad_lock(where, f"sha256 = {source.sha256[:80]!r}")
    if source.path.startswith("/") or "://" in source.path or ".." in source.path.split("/"):
        raise _bad_lock(where, f"path = {source.path!r}, which is not relative to an archive")
    return source


def _bad_lock(where: str, got: str) -> KernelError:
    return KernelError(
        where,
        got,
        "the lock decides which source is compiled, so nothing in it is guessed",
        "bedplate kernel lock  writes it anew from the machine's package lists",
    )


def render_source(source: Source) -> str:
    return json.dumps(asdict(source), indent=2) + "\n"
