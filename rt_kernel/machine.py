"""What building needs of this machine: tools, space. Looked at in a second, all of it at once."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rt_kernel.problem import KernelError
from rt_kernel.recipe import CROSS, Toolchain

GIB: Final = 1024**3
# Source 1.2, objects 0.5, the package 0.15; the rest is for whatever else writes meanwhile.
SPACE_NEEDED_GIB: Final = 3.0
APT_HELPER: Final = Path("/usr/lib/apt/apt-helper")


@dataclass(frozen=True)
class Tool:
    program: str
    package: str
    why: str


TOOLS: Final = (
    Tool(f"{CROSS}gcc", "gcc-aarch64-linux-gnu", "compiles for the robot"),
    Tool(f"{CROSS}ld", "binutils-aarch64-linux-gnu", "links for the robot"),
    Tool("gcc", "gcc", "compiles the tools that the kernel's own build runs"),
    Tool("make", "make", "walks the kernel's tree"),
    Tool("flex", "flex", "reads Kconfig files"),
    Tool("bison", "bison", "reads Kconfig files"),
    Tool("bc", "bc", "computes the kernel's time constants"),
    Tool("perl", "perl-base", "writes some of the kernel's tables"),
    Tool("patch", "patch", "lays our patches over Debian's source"),
    Tool("xz", "xz-utils", "unpacks the source"),
    Tool("tar", "tar", "unpacks the source"),
    Tool("dpkg-deb", "dpkg", "opens Debian's package"),
    Tool("apt-get", "apt", "knows this machine's archive"),
    Tool("setpriv", "util-linux", "ends the compiler when the build is killed"),
)


def find_missing(tools: tuple[Tool, ...], which: Callable[[str], str | None]) -> tuple[Tool, ...]:
    return tuple(tool for tool in tools if which(tool.program) is None)


def check_machine(cache: Path) -> None:
    """Refuses in a second what would fail after minutes."""
    missing = find_missing(TOOLS, shutil.which)
    if missing:
        raise KernelError(
            "this machine",
            "no " + ", no ".join(f"{tool.program} ({tool.why})" for tool in missing),
            "the kernel is built here, from source",
            "./bootstrap.sh image, or  apt-get install "
            + " ".join(sorted({tool.package for tool in missing})),
        )
    free_gib = shutil.disk_usage(nearest_folder(cache)).free / GIB
    if free_gib < SPACE_NEEDED_GIB:
        raise KernelError(
            str(cache),
            f"{free_gib:.1f} GiB of free space",
            f"source and objects take {SPACE_NEEDED_GIB:.0f} GiB until the kernel is made",
            "make room there, or set XDG_CACHE_HOME to a larger disk",
        )


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the one in which it will be made."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())


def read_toolchain() -> Toolchain:
    """The first line that each part says of itself."""
    return Toolchain(compiler=_version(f"{CROSS}gcc"), linker=_version(f"{CROSS}ld"))


def _version(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        check_machine(Path())
        raise AssertionError(f"{program} came while it was looked for")
    said = subprocess.run(
        [found, "--version"], capture_output=True, text=True, check=True, env={"LC_ALL": "C"}
    )
    return re.sub(r"\s+", " ", said.stdout.partition("\n")[0]).strip()


def clean_environment(outer: Mapping[str, str], home: Path) -> dict[str, str]:
    """Only what the build needs: flags, locale and jobs of whoever calls change no byte."""
    return {
        "PATH": outer.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": str(home),
        "LC_ALL": "C",
        "TZ": "UTC",
    }
