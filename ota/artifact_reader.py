"""Reads a Mender artifact, format 3, and says what it is. Nothing of it is believed unchecked."""

import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from ota.keys import is_signed_by

SMALL_MAX: Final = 1 << 20
FILES_MAX: Final = 64
UNREADABLE: Final = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


class UnreadableError(ValueError):
    """Not an artifact, or not all of one."""


@dataclass(frozen=True)
class Contents:
    name: str
    kind: str
    device_types: tuple[str, ...]
    depends: dict[str, Any]
    provides: dict[str, str]
    scripts: tuple[str, ...]
    files: tuple[tuple[str, int, str], ...]  # name, bytes, sha256
    signed: bool
    trusted: bool | None  # None: no key to compare with
    problems: tuple[str, ...]


def read_artifact(path: Path, key: ec.EllipticCurvePublicKey | None = None) -> Contents:
    """All of it is read, so that a file cut short or altered is known as one."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            return _read(tar, key)
    except UNREADABLE as error:
        raise UnreadableError(f"{path}: no whole Mender artifact ({error})") from error


def _read(tar: tarfile.TarFile, key: ec.EllipticCurvePublicKey | None) -> Contents:
    parts = _members(tar)
    version = _small(tar, parts.pop("version", None), "version")
    if json.loads(version) != {"format": "mender", "version": 3}:
        raise UnreadableError("not format 3")
    manifest = _small(tar, parts.pop("manifest", None), "manifest")
    signature = parts.pop("manifest.sig", None)
    header = _small(tar, parts.pop("header.tar.gz", None), "header.tar.gz")
    data = parts.pop("data/0000.tar.gz", None)
    if data is None or parts:
        raise UnreadableError(f"data of one payload, and nothing like {sorted(parts)}")
    wanted = _rows(manifest)
    found = {"version": version, "header.tar.gz": header}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
    files = tuple(_files(tar.extractfile(data)))
    hashes |= {f"data/0000/{name}": digest for name, _, digest in files}
    problems = tuple(
        f"{name} is not what the manifest says"
        for name in sorted({*wanted, *hashes})
        if wanted.get(name) != hashes.get(name)
    )
    sig = b"" if signature is None else _small(tar, signature, "manifest.sig")
    trusted = None if key is None else bool(sig) and is_signed_by(manifest, sig, key)
    return _contents(header, files, signed=bool(sig), trusted=trusted, problems=problems)


def _members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    parts: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        if not member.isreg() or member.name in parts or len(parts) > FILES_MAX:
            raise UnreadableError(f"{member.name[:80]!r} twice, or no file")
        parts[member.name] = member
    return parts


def _small(tar: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> bytes:
    stream = None if member is None or member.size > SMALL_MAX else tar.extractfile(member)
    if stream is None:
        raise UnreadableError(f"no {name}, or too large a one")
    return stream.read()


def _rows(manifest: bytes) -> dict[str, str]:
    rows = [line.split("  ", 1) for line in manifest.decode("utf-8").splitlines() if line]
    if any(len(row) != 2 for row in rows):
        raise UnreadableError("a manifest of other lines than hash and name")
    return {name: digest for digest, name in rows}


def _files(stream: IO[bytes] | None) -> Iterator[tuple[str, int, str]]:
    if stream is None:
        raise UnreadableError("no data")
    with tarfile.open(fileobj=stream, mode="r|gz") as tar:
        for count, member in enumerate(tar):
            file = tar.extractfile(member)
            if file is None or count > FILES_MAX:
                raise UnreadableError(f"payload {member.name[:80]!r} is no file")
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            yield member.name, member.size, digest.hexdigest()


def _contents(
    header: bytes,
    files: tuple[tuple[str, int, str], ...],
    *,
    signed: bool,
    trusted: bool | None,
    problems: tuple[str, ...],
) -> Contents:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(header), mode="r|gz") as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is None or member.size > SMALL_MAX or len(found) > FILES_MAX:
                raise UnreadableError(f"header file {member.name[:80]!r}")
            found[member.name] = stream.read()
    info = _table(found.get("header-info", b""))
    terms = _table(found.get("headers/0000/type-info", b""))
    depends = _inner(info, "artifact_depends")
    return Contents(
        name=str(_inner(info, "artifact_provides").get("artifact_name", "")),
        kind=str(terms.get("type", "")),
        device_types=tuple(map(str, depends.get("device_type", []))),
        depends=_inner(terms, "artifact_depends"),
        provides={k: str(v) for k, v in _inner(terms, "artifact_provides").items()},
        scripts=tuple(sorted(n.partition("/")[2] for n in found if n.startswith("scripts/"))),
        files=files,
        signed=signed,
        trusted=trusted,
        problems=problems,
    )


def _table(raw: bytes) -> dict[str, Any]:
    table = json.loads(raw)
    if not isinstance(table, dict):
        raise UnreadableError("a header without a table")
    return table


def _inner(table: dict[str, Any], key: str) -> dict[str, Any]:
    inner = table.get(key, {})
    if not isinstance(inner, dict):
        raise UnreadableError(f"{key} is no table")
    return inner
