"""Mender artifact files, format 3: as small a writer and reader as server and client accept."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contents:
    name: str
    device_types: list[str]
    depends: dict[str, list[str]]
    provides: dict[str, str]
    clears: list[str]
    updates: list[dict[str, Any]]
    version: int
    signed: bool


BROKEN = (
    tarfile.TarError, zlib.error, OSError, EOFError, ValueError, LookupError, TypeError,
    AttributeError, RecursionError, OverflowError,
)  # fmt: skip


class NoArtifactError(ValueError):
    """The file is none, or one of another format."""


def make_artifact(
    name: str,
    device_type: str,
    *,
    payload_type: str = "bedplate-double",
    files: Mapping[str, bytes] | None = None,
    depends: Mapping[str, list[str]] | None = None,
) -> bytes:
    files = {"payload": b"hello"} if files is None else files
    info = {
        "payloads": [{"type": payload_type}],
        "artifact_provides": {"artifact_name": name},
        "artifact_depends": {"device_type": [device_type], **(depends or {})},
    }
    header = gzip.compress(
        _tar({"header-info": _json(info), "headers/0000/type-info": _json({"type": payload_type})}),
        mtime=0,
    )
    version = _json({"format": "mender", "version": 3})
    members = {f"data/0000/{path}": data for path, data in files.items()}
    hashed = {"version": version, "header.tar.gz": header, **members}
    manifest = "".join(f"{hashlib.sha256(d).hexdigest()}  {n}\n" for n, d in hashed.items())
    data = gzip.compress(_tar(files), mtime=0)
    return _tar(
        {
            "version": version,
            "manifest": manifest.encode(),
            "header.tar.gz": header,
            "data/0000.tar.gz": data,
        }
    )


def _tar(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def read_artifact(path: Path) -> Contents:
    """What the server takes from a file: all before the payload, nothing of the payload itself."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            names = tar.getnames()
            version = json.loads(_member(tar, "version"))
            header = gzip.decompress(_member(tar, "header.tar.gz"))
        with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as tar:
            info = json.loads(_member(tar, "header-info"))
            updates = [_update(tar, index) for index in range(len(info["payloads"]))]
        depends = {key: _list(value) for key, value in info["artifact_depends"].items()}
        provides = {str(k): str(v) for k, v in info["artifact_provides"].items()}
        for update in updates:
            provides.update(update.pop("provides"))
            depends.update(update.pop("depends"))
        clears = [pattern for update in updates for pattern in update.pop("clears")]
        return Contents(
            name=provides["artifact_name"],
            device_types=depends["device_type"],
            depends=depends,
            provides=provides,
            clears=clears,
            updates=updates,
            version=int(version["version"]),
            signed="manifest.sig" in names,
        )
    except BROKEN as problem:
        raise NoArtifactError(f"reader: {problem}") from problem


def _update(tar: tarfile.TarFile, index: int) -> dict[str, Any]:
    info = json.loads(_member(tar, f"headers/{index:04d}/type-info"))
    return {
        "type_info": {"type": str(info["type"])},
        "files": [],
        "provides": info.get("artifact_provides") or {},
        "depends": {k: _list(v) for k, v in (info.get("artifact_depends") or {}).items()},
        "clears": info.get("clears_artifact_provides") or [],
    }


def _list(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read()
