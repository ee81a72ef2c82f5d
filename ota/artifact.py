"""Writes Mender artifacts, format 3: signed always, and the same bytes from the same inputs.

`mender-artifact` stamps the time and signs with a random number, so its files differ each time;
this writes the same format without either. Its `validate` and the robot's client read the result
(tests/ota/test_artifact_peers.py).
"""

import gzip
import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from ota.keys import sign
from ota.refusal import refused

VERSION: Final = b'{"format":"mender","version":3}'
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}")
FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}")
SCRIPT_NAME: Final = re.compile(
    r"Artifact(Install|Reboot|Commit|Rollback|RollbackReboot|Failure)_(Enter|Leave|Error)"
    r"_[0-9]{2}(_[A-Za-z0-9._-]{1,60})?"
)
GZIP_LEVEL: Final = 6


@dataclass(frozen=True)
class Payload:
    """What an artifact brings. Files are given by path, or by their bytes where they are small."""

    kind: str
    files: Mapping[str, Path | bytes]
    provides: Mapping[str, str]
    clears: tuple[str, ...]
    depends: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifact:
    name: str
    device_types: tuple[str, ...]
    payload: Payload
    scripts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    path: Path
    size: int
    sha256: str


def check(artifact: Artifact) -> None:
    """No name may leave its folder, and none may be understood in two ways."""
    names = [(artifact.name, NAME, "an artifact")]
    names += [(name, FILE_NAME, "a payload file") for name in artifact.payload.files]
    names += [(name, SCRIPT_NAME, "a state script") for name in artifact.scripts]
    names += [(name, NAME, "a device type") for name in artifact.device_types]
    for name, pattern, what in names:
        if pattern.fullmatch(name) is None:
            raise refused(
                f"the name of {what}",
                repr(name)[:120],
                "a robot takes names as they come: one with a path in it would leave its folder",
                f"letters, digits, dot, dash and underscore: {pattern.pattern}",
            )
    if not artifact.device_types or not artifact.payload.files:
        raise refused(
            artifact.name, "no device type or no file", "nothing could install it", "name one"
        )


def write_artifact(
    artifact: Artifact, key: ec.EllipticCurvePrivateKey | None, target: Path
) -> Written:
    """`key` None makes one that every robot refuses: for tests of just that."""
    check(artifact)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with tempfile.TemporaryFile(dir=target.parent) as data:
        hashes = _write_data(artifact.payload, data)
        header = _header(artifact)
        manifest = _manifest(hashes, header)
        members: list[tuple[str, bytes]] = [("version", VERSION), ("manifest", manifest)]
        if key is not None:
            members.append(("manifest.sig", sign(manifest, key)))
        members.append(("header.tar.gz", header))
        with part.open("wb") as out:
            _write_outer(members, data, out)
    part.replace(target)
    return Written(target, target.stat().st_size, file_sha256(target))


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_outer(members: list[tuple[str, bytes]], data: IO[bytes], out: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            tar.addfile(_info(name, len(content)), io.BytesIO(content))
        size = data.seek(0, io.SEEK_END)
        data.seek(0)
        tar.addfile(_info("data/0000.tar.gz", size), data)


def _manifest(hashes: Mapping[str, str], header: bytes) -> bytes:
    rows = {
        **{f"data/0000/{name}": digest for name, digest in hashes.items()},
        "header.tar.gz": hashlib.sha256(header).hexdigest(),
        "version": hashlib.sha256(VERSION).hexdigest(),
    }
    return "".join(f"{rows[name]}  {name}\n" for name in sorted(rows)).encode()


def _header(artifact: Artifact) -> bytes:
    payload = artifact.payload
    info = {
        "payloads": [{"type": payload.kind}],
        "artifact_provides": {"artifact_name": artifact.name},
        "artifact_depends": {"device_type": list(artifact.device_types)},
    }
    type_info: dict[str, object] = {
        "type": payload.kind,
        "artifact_provides": dict(payload.provides),
        "clears_artifact_provides": list(payload.clears),
    }
    if payload.depends:
        type_info["artifact_depends"] = {key: _term(at) for key, at in payload.depends.items()}
    members = [("header-info", _json(info), 0o644)]
    members += [
        (f"scripts/{name}", artifact.scripts[name], 0o755) for name in sorted(artifact.scripts)
    ]
    members.append(("headers/0000/type-info", _json(type_info), 0o644))
    meta = _json(payload.meta) if payload.meta else b""
    members.append(("headers/0000/meta-data", meta, 0o644))
    packed = io.BytesIO()
    with _compressed(packed) as stream, _tar(stream) as tar:
        for name, content, mode in members:
            tar.addfile(_info(name, len(content), mode), io.BytesIO(content))
    return packed.getvalue()


def _term(value: str | tuple[str, ...]) -> str | list[str]:
    """One value is told as such: clients from 4 on refuse an artifact with a list here."""
    if isinstance(value, str):
        return value
    return value[0] if len(value) == 1 else list(value)


def _write_data(payload: Payload, target: IO[bytes]) -> dict[str, str]:
    """The payload's files, compressed; returns the hash of each."""
    hashes: dict[str, str] = {}
    with _compressed(target) as stream, _tar(stream) as tar:
        for name in sorted(payload.files):
            source = payload.files[name]
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
                reader = _Hashing(file)
                tar.addfile(_info(name, size), reader)  # pyright: ignore[reportArgumentType]
            hashes[name] = reader.digest.hexdigest()
    return hashes


class _Hashing:
    """Hashes what is read through it, so that a large file is read once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        return block


def _compressed(target: IO[bytes]) -> gzip.GzipFile:
    """Without name and time, which would differ."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=GZIP_LEVEL, mtime=0)


def _tar(stream: gzip.GzipFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT)


def _info(name: str, size: int, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, 0
    return info


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
