"""What is to be built, and with what: decided before the first step, never changed after."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from conf.load import Composed, compose
from conf.mistake import ConfigError
from conf.schema import Config
from image.cache import Cache, default_cache
from image.lockfile import LOCK_FILE, Lock, read_lock
from image.mirror import Mirrors, find_mirrors
from image.progress import Progress
from image.refusal import BuildRefused, Problem

TREE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Plan:
    """One image of one profile."""

    config: Config
    files: tuple[str, ...]  # of YAML it was composed from
    lock: Lock
    lock_file: Path
    tree: Path
    out: Path
    cache: Cache
    jobs: int
    without_vendor: bool
    update_key: bytes | None  # checks what updates are signed with
    progress: Progress

    @property
    def name(self) -> str:
        return f"{self.config.hardware.name}-{self.config.facility.name}"

    @property
    def epoch(self) -> int:
        """The time that everything in the image carries: when its inputs were locked."""
        return int(self.lock.made_at.timestamp())

    def mirrors(self) -> Mirrors:
        return find_mirrors()


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks for."""

    hardware: str
    facility: str
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    cache: Path | None = None
    lock_file: Path = LOCK_FILE
    jobs: int = 0
    without_vendor: bool = False
    update_key: bytes | None = None


def plan(request: Request, progress: Progress) -> Plan:
    composed = composed_for_image(request)
    name = f"{request.hardware}-{request.facility}"
    return Plan(
        config=composed.config,
        files=tuple(composed.files),
        lock=read_lock(request.lock_file),
        lock_file=request.lock_file,
        tree=TREE,
        out=(request.out or TREE / "var" / "image" / name).absolute(),
        cache=Cache((request.cache or default_cache()).absolute()),
        jobs=request.jobs or os.cpu_count() or 1,
        without_vendor=request.without_vendor,
        update_key=request.update_key,
        progress=progress,
    )


def composed_for_image(request: Request) -> Composed:
    """The profile, under the name that updates will know it by."""
    try:
        first = compose(
            hardware=request.hardware, facility=request.facility, overrides=request.overrides
        )
        name = artifact_name(first, request)
        return compose(
            hardware=request.hardware,
            facility=request.facility,
            overrides=(*request.overrides, f"artifact_name={name}"),
        )
    except ConfigError as error:
        raise BuildRefused([_as_problem(error)]) from error


def _as_problem(error: ConfigError) -> Problem:
    return Problem(
        "the configuration",
        str(error),
        "an image is made of a profile that holds",
        "bedplate config check",
    )


def artifact_name(composed: Composed, request: Request) -> str:
    """What was asked for, or board, facility and the first of the profile's hash."""
    if composed.config.artifact_name != "dev":
        return composed.config.artifact_name
    return f"{request.hardware}-{request.facility}-{composed.config.config_hash[:12]}"


def tree_version(tree: Path) -> str:
    """The commit, and whether more than that is in the tree."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    words = [git, "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def now_s() -> int:
    return int(datetime.now(UTC).timestamp())
