"""Files of a board's vendor that nobody else may hand out: named, checked, laid into the image.

`image/vendor/<board>.json` declares each: what it is for, its file name and version, its sha256
once a person has put the file there and accepted it, and what it needs of the others. A file is
looked for in one folder; what is missing is said before the first long step.
"""

import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from conf.schema import Config
from image.cache import sha256_of_file
from image.layers import Entry, normal
from image.plan import Plan
from image.refusal import BuildRefused, Problem, refused
from image.steps.python import VERSION as PYTHON_VERSION

FOLDER = Path(__file__).resolve().parents[1] / "vendor"
SETTING = "BEDPLATE_VENDOR"
KERNEL_SERIES = "6.12"  # of rt_kernel's source
KERNEL_LOADS_MODULES = False  # everything is built in: docs/adr/0010


class VendorFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9+._~-]*$")]
    purpose: str
    where_from: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    unpack_to: Annotated[str, Field(pattern=r"^([a-z][a-z0-9/._-]*)?$")]


class VendorSet(BaseModel):
    """One release of a vendor's files that is known to fit together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    release: str
    python: str  # of the vendor's bindings
    kernels: tuple[str, ...]  # series that the sources of its modules build against
    needs_modules: bool  # they are loaded, not built in
    files: tuple[VendorFile, ...]


@dataclass(frozen=True)
class Vendor:
    """What goes into the image; nothing on a board that needs nothing, or when it is left out."""

    release: str | None
    entries: tuple[Entry, ...] = ()
    inputs: tuple[tuple[str, str, str], ...] = ()  # name, version, sha256


def read_vendor(board: str, folder: Path = FOLDER) -> VendorSet | None:
    path = folder / f"{board}.json"
    if not path.is_file():
        return None
    try:
        return VendorSet.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise refused(
            str(path),
            f"{place}: {first['msg']}",
            "which files of the vendor are needed is not known",
            "see docs/jetson.md for the form of this file",
        ) from error


def vendor_folder(board: str) -> Path:
    base = os.environ.get(SETTING) or str(Path.home() / ".local/share/bedplate/vendor")
    return Path(base) / board


def vendor(plan: Plan, say: Callable[[str], None]) -> Vendor:
    board = plan.config.hardware.name
    declared = read_vendor(board)
    if declared is None:
        return Vendor(None)
    if plan.without_vendor:
        say(f"without the files of {declared.release}: inference runs on the CPU")
        return Vendor(None)
    problems = problems_of(declared, vendor_folder(board), plan.config)
    if problems:
        raise BuildRefused(problems)
    return _taken(declared, vendor_folder(board))


def problems_of(declared: VendorSet, folder: Path, config: Config) -> list[Problem]:
    """Everything that is missing, altered, or cannot work together."""
    return [
        *_combination(declared, config),
        *(problem for file in declared.files if (problem := _file(file, folder)) is not None),
    ]


def _combination(declared: VendorSet, config: Config) -> list[Problem]:
    found: list[Problem] = []
    if declared.python != PYTHON_VERSION:
        found.append(
            Problem(
                f"{declared.release}: Python bindings",
                f"for Python {declared.python}, the image has {PYTHON_VERSION}",
                "a compiled module of another Python is not even loaded",
                "a release with bindings for it, bindings built for it, or --without-vendor",
            )
        )
    own = config.hardware.realtime.kernel == "preempt_rt"
    if own and KERNEL_SERIES not in declared.kernels:
        found.append(
            Problem(
                f"{declared.release}: kernel modules",
                f"sources for Linux {', '.join(declared.kernels)}, the image has {KERNEL_SERIES}",
                "out-of-tree modules of another series do not build against our kernel",
                "a release whose sources build against it, or --without-vendor",
            )
        )
    if own and declared.needs_modules and not KERNEL_LOADS_MODULES:
        found.append(
            Problem(
                f"{declared.release}: kernel modules",
                "a kernel that loads none",
                "the GPU's driver is a module of its own, and without it no CUDA program starts",
                "a fragment in rt_kernel/ with CONFIG_MODULES, or --without-vendor: Tier 2 on CPU",
            )
        )
    return found


def _file(file: VendorFile, folder: Path) -> Problem | None:
    path = folder / file.name
    if not path.is_file():
        return Problem(
            f"{file.name}  ({file.purpose})",
            f"no such file; its sha256 is {file.sha256 or 'not declared yet'}",
            "its licence lets nobody but its maker hand it out, so it is not fetched",
            f"get it from {file.where_from}, put it at {path}; or go on with --without-vendor",
        )
    found = sha256_of_file(path)
    if file.sha256 is None:
        return Problem(
            f"{file.name}  ({file.purpose})",
            "no hash in its declaration",
            "nobody has said yet that this is the file that is meant",
            f'when it is the right one, write "sha256": "{found}" into image/vendor/',
        )
    if found != file.sha256:
        return Problem(
            f"{file.name}  ({file.purpose})",
            f"sha256 {found[:16]}…, declared is {file.sha256[:16]}…",
            "what is not what was declared never gets into an image",
            f"fetch it again from {file.where_from}",
        )
    return None


def _taken(declared: VendorSet, folder: Path) -> Vendor:
    """Files of packages and archives, unpacked below the folder that the declaration names."""
    entries: list[Entry] = []
    inputs: list[tuple[str, str, str]] = []
    for file in declared.files:
        entries += unpacked(folder / file.name, file.unpack_to)
        inputs.append((file.name, declared.release, file.sha256 or ""))
    return Vendor(declared.release, tuple(entries), tuple(inputs))


def unpacked(path: Path, below: str) -> Iterator[Entry]:
    """The files of a .deb or a tar file; anything else goes in as it is."""
    if path.suffix == ".deb":
        words = ["dpkg-deb", "--fsys-tarfile", str(path)]
        data = subprocess.run(words, capture_output=True, check=True).stdout
    elif tarfile.is_tarfile(path):
        data = path.read_bytes()
    else:
        yield Entry.copy(f"{below}/{path.name}", path)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            place = str(PurePosixPath("/", below) / normal(member.name)).lstrip("/")
            if ".." in PurePosixPath(place).parts:
                continue
            if member.issym():
                yield Entry.link(place, member.linkname)
            elif (stream := archive.extractfile(member)) is not None:
                yield Entry.file(place, stream.read(), mode=member.mode & 0o755)
