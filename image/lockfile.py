"""The lock: every Debian package that goes into an image or helps to make one.

A row names the file by its place in the archive and its sha256, never by a host.
"""

import hashlib
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from image.refusal import refused

LOCK_FILE = Path(__file__).parent / "lock" / "debian.json"
MAX_BYTES = 16 << 20
RELOCK = "make lock-image  makes a lock of what the archive has today and prints the difference"


class Row(BaseModel):
    """One file of the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+:~-]+$")]
    architecture: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    archive: Annotated[str, Field(pattern=r"^(debian|security)$")]
    path: Annotated[str, Field(pattern=r"^pool(/[A-Za-z0-9+~%:-][A-Za-z0-9+._~%:-]*)+\.deb$")]
    size: Annotated[int, Field(gt=0, le=4 << 30)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def key(self) -> str:
        return f"{self.name}:{self.architecture}"


class PackageSet(BaseModel):
    """Packages that are used together: the robot's, the build tools, the cross compiler."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    architecture: str
    wanted: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def sha256(self) -> str:
        lines = sorted(f"{row.key} {row.sha256}" for row in self.rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Lock(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    suite: str
    made_at: AwareDatetime  # every file in an image carries this time
    sets: dict[str, PackageSet]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every file once, by its hash."""
        return tuple({row.sha256: row for one in self.sets.values() for row in one.rows}.values())


def read_lock(path: Path = LOCK_FILE) -> Lock:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise _bad(path, str(error.strerror), "make lock-image") from error
    if len(raw) > MAX_BYTES:
        raise _bad(path, f"{len(raw)} bytes", f"git checkout {path.name}; a lock is under 16 MiB")
    return parse_lock(raw, path)


def parse_lock(raw: bytes, path: Path) -> Lock:
    try:
        return Lock.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise _bad(path, f"{place}: {first['msg']}", "make lock-image") from error


def _bad(path: Path, got: str, suggestion: str) -> Exception:
    because = "an input that is not locked would make the image depend on the day it is built"
    return refused(str(path), got, because, suggestion)


def lock_bytes(lock: Lock) -> bytes:
    """One row a line, sorted, so that a difference reads as one."""
    sets = {}
    for name, one in sorted(lock.sets.items()):
        rows = sorted(one.rows, key=lambda row: row.key)
        sets[name] = {
            "architecture": one.architecture,
            "wanted": list(one.wanted),
            "rows": [row.model_dump() for row in rows],
        }
    made_at = lock.made_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    head = orjson.dumps({"suite": lock.suite, "made_at": made_at, "sets": sets}).decode()
    lines = head.replace('{"name":', '\n{"name":').replace("]}", "]}\n")
    return lines.rstrip("\n").encode() + b"\n"


def differences(old: Lock, new: Lock) -> list[str]:
    """What a refresh changed, a line each."""
    lines: list[str] = []
    for name in sorted({*old.sets, *new.sets}):
        before = {row.key: row for row in old.sets[name].rows} if name in old.sets else {}
        after = {row.key: row for row in new.sets[name].rows} if name in new.sets else {}
        for key in sorted({*before, *after}):
            line = _difference(before.get(key), after.get(key))
            if line:
                lines.append(f"{name:<10} {key:<40} {line}")
    return lines


def _difference(before: Row | None, after: Row | None) -> str | None:
    if before is None and after is not None:
        return f"new      {after.version}"
    if after is None and before is not None:
        return f"gone     {before.version}"
    if before is None or after is None or before.sha256 == after.sha256:
        return None
    if before.version == after.version:
        return f"{before.version} has other content: {before.sha256[:12]} → {after.sha256[:12]}"
    return f"{before.version} → {after.version}"
