"""Files that are old or new after a power cut, never half: write beside, fsync, rename."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.skills.package import SkillFiles

INCOMING_PREFIX = ".incoming-"


def fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{INCOMING_PREFIX}{path.name}")
    write_synced(beside, content)
    beside.replace(path)
    fsync_folder(path.parent)


def create_folder(target: Path, files: "SkillFiles") -> None:
    """`target` appears with all its files, or does not appear."""
    incoming = target.with_name(f"{INCOMING_PREFIX}{target.name}")
    remove_folder(incoming)
    incoming.mkdir(mode=0o755)
    for name in sorted(files):
        write_synced(incoming / name, files[name])
    fsync_folder(incoming)
    incoming.rename(target)
    fsync_folder(target.parent)


def remove_folder(folder: Path) -> None:
    """Renamed away first: a cut in the middle leaves known rubbish, not half a skill."""
    if not folder.exists():
        return
    if not folder.name.startswith(INCOMING_PREFIX):
        doomed = folder.with_name(f"{INCOMING_PREFIX}{folder.name}")
        if doomed.exists():
            shutil.rmtree(doomed)
        folder.rename(doomed)
        folder = doomed
    shutil.rmtree(folder)


def remove_leftovers(parent: Path) -> None:
    for path in parent.glob(f"{INCOMING_PREFIX}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One writer at a time across processes; the kernel drops the lock of a killed holder."""
    with (folder / ".lock").open("a") as handle:
        flock(handle, LOCK_EX)
        yield
