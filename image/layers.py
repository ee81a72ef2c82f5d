"""The root file system as layers: tar files that are put one after the other, never on top.

Who owns a path is then plain, a layer is made again only when its own inputs change, and no step
needs the rights to make files of other owners.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from image.refusal import refused

BLOCK_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One path of a layer: a folder unless it has data, a source or a target."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    data: bytes | None = None
    source: Path | None = None
    target: str | None = None

    @classmethod
    def file(cls, path: str, text: str | bytes, mode: int = 0o644, gid: int = 0) -> Self:
        data = text.encode() if isinstance(text, str) else text
        return cls(path=path, mode=mode, gid=gid, data=data)

    @classmethod
    def copy(cls, path: str, source: Path, mode: int = 0o644) -> Self:
        return cls(path=path, mode=mode, source=source)

    @classmethod
    def link(cls, path: str, target: str) -> Self:
        return cls(path=path, mode=0o777, target=target)


@dataclass(frozen=True)
class Layer:
    """A tar file and the paths in it."""

    name: str
    tar: Path

    def members(self) -> Iterator[tarfile.TarInfo]:
        with tarfile.open(self.tar) as archive:
            yield from archive


def write_layer(name: str, target: Path, entries: Iterable[Entry], epoch: int) -> Layer:
    """Sorted, with one time for all, and with the folders that lead to each path."""
    chosen = {entry.path: entry for entry in entries}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(chosen):
            _add(archive, chosen[path], epoch)
    return Layer(name, target)


def _add(archive: tarfile.TarFile, entry: Entry, epoch: int) -> None:
    info = tarfile.TarInfo(f"./{entry.path}")
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, epoch
    if entry.target is not None:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        archive.addfile(info)
    elif entry.data is not None:
        info.size = len(entry.data)
        archive.addfile(info, io.BytesIO(entry.data))
    elif entry.source is not None:
        info.size = entry.source.stat().st_size
        with entry.source.open("rb") as stream:
            archive.addfile(info, stream)
    else:
        info.type = tarfile.DIRTYPE
        archive.addfile(info)


def join(layers: Sequence[Layer], target: Path, epoch: int) -> str:
    """One tar file of all layers; its sha256. A path in two of them is refused.

    Folders that lead to a path and are in no layer so far come before the layer that needs them,
    with usual rights.
    """
    owner: dict[str, str] = {}
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for layer in layers:
            folders = _claim(layer, owner)
            for data in (_folder_bytes(folders, epoch), *_content(layer)):
                out.write(data)
                digest.update(data)
        out.write(bytes(2 * BLOCK_BYTES))
    return digest.hexdigest()


def _claim(layer: Layer, owner: dict[str, str]) -> list[str]:
    """Notes whose path is whose; folders that must be there first."""
    names = [normal(member.name) for member in layer.members()]
    for name in names:
        if name in owner:
            raise refused(
                f"/{name}",
                f"layers {owner[name]} and {layer.name} both have it",
                "which of them a robot gets would depend on their order",
                "leave it out of one of them",
            )
    owner.update(dict.fromkeys(names, layer.name))
    wanted = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    folders = sorted(wanted - set(owner) - {"."})
    owner.update(dict.fromkeys(folders, layer.name))
    return folders


def normal(name: str) -> str:
    return str(PurePosixPath(name))


def _content(layer: Layer) -> Iterator[bytes]:
    with tarfile.open(layer.tar) as archive:
        archive.getmembers()
        left = archive.offset  # where the closing zero blocks begin
    with layer.tar.open("rb") as stream:
        while left:
            chunk = stream.read(min(left, 1 << 20))
            left -= len(chunk)
            yield chunk


def _folder_bytes(folders: list[str], epoch: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in folders:
            _add(archive, Entry(path=folder), epoch)
        end = archive.offset
    return buffer.getvalue()[:end]
