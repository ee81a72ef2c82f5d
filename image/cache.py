"""The cache: files by the hash of what is in them, made trees by the hash of what they came from.

Everything is written under another name first and renamed, so that a build ended at any moment
leaves nothing half-made behind.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK_BYTES = 1 << 20


def default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "bedplate" / "image"


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_text(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class Cache:
    """One folder; `files` holds inputs by content, `made` results by recipe."""

    def __init__(self, root: Path):
        self.root = root
        for name in ("files", "made", "work"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def file(self, sha256: str) -> Path:
        return self.root / "files" / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        return self.file(sha256).is_file()

    def keep(self, source: Path, sha256: str) -> Path:
        """Moves a finished file in."""
        target = self.file(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as stream:
            os.fsync(stream.fileno())
        source.replace(target)
        return target

    def made(self, kind: str, recipe: str) -> Path:
        return self.root / "made" / f"{kind}-{recipe[:24]}"

    def make(self, kind: str, recipe: str, build: Callable[[Path], None]) -> Path:
        """The folder that `build` fills, made once for this recipe."""
        target = self.made(kind, recipe)
        if target.is_dir():
            os.utime(target)  # its age says when it was last of use
            return target
        with self.workspace(kind) as work:
            build(work)
            try:
                work.rename(target)
            except OSError:
                if not target.is_dir():
                    raise  # another build was not first: the disk refused
        return target

    @contextmanager
    def workspace(self, kind: str) -> Iterator[Path]:
        """A folder that is gone afterwards, unless it was renamed to its place."""
        work = Path(tempfile.mkdtemp(prefix=f"{kind}-{os.getpid()}-", dir=self.root / "work"))
        work.chmod(0o755)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def sweep(self) -> list[str]:
        """Removes what builds that no longer run have left in `work`."""
        swept: list[str] = []
        for folder in (self.root / "work").iterdir():
            owner = folder.name.rsplit("-", 2)
            alive = len(owner) == 3 and owner[1].isdigit() and Path(f"/proc/{owner[1]}").exists()
            if not alive:
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder.name)
        return swept
