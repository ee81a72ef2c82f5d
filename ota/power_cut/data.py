"""Whether the data partition is whole after a cut, without starting the robot.

Between two flushes a disk takes writes in any order: so a cut leaves any of them, here a beginning
of them and, once more, a random half. Each is checked as the robot's start checks it, and then
every file that is written to last must be whole or not there.
"""

import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from ota.power_cut.recording import Recording
from ota.power_cut.replay import DATA, Disk, copy_sparse, windows_of
from ota.power_cut.story import KEEPSAKE, KEEPSAKE_SHA256
from ota.power_cut.verdict import JUDGED, Kept, Kind, Say, Verdict
from ota.power_cut.write_log import Wrote, numbered, numbered_windows

WINDOWS: Final = 150
UNCORRECTED: Final = 4  # e2fsck's status from which on the robot's start does without its data
FOLDERS: Final = ("bedplate", "cut", "ssh", "system")
MACHINE_ID_BYTES: Final = 33


def judge_data(recording: Recording, folder: Path, say: Say, count: int = WINDOWS) -> None:
    """Two states at each of `count` random windows; what is judged is not judged again."""
    told, log = recording.told(), recording.log
    replayed = folder / "disk.img"
    copy_sparse(recording.disk, replayed)
    kept = Kept(folder / JUDGED, say)
    with closing(Disk(replayed)) as disk:
        drawn = data_windows(log, disk, count)
        for entry, window in numbered_windows(numbered(log)):
            if entry in drawn:
                for name, writes in cut(entry, [one for one in window if disk.owner(one) == DATA]):
                    key = f"{entry}: {name}"
                    if key not in kept.done:
                        faults = "; ".join(_after(disk, writes, folder))
                        kept.add(Verdict(key, Kind.DATA, told.phase(entry), "", "", "", faults))
            for one in window:
                disk.write(one)


def data_windows(log: Path, disk: Disk, count: int) -> frozenset[int]:
    """By their first entry; of those that write to data, `count` by chance, always the same."""
    found = windows_of(log, disk, (DATA,))
    return frozenset(random.Random(len(found)).sample(found, min(count, len(found))))


def cut(entry: int, window: Sequence[Wrote]) -> Iterator[tuple[str, tuple[Wrote, ...]]]:
    """What a cut in it leaves of these writes: the first so many, and any half of them."""
    chance = random.Random(entry)
    first = chance.randint(1, len(window))
    yield f"first {first} of {len(window)}", tuple(window[:first])
    half = tuple(one for one in window if chance.random() < 0.5)
    yield f"any {len(half)} of {len(window)}", half


def _after(disk: Disk, writes: Sequence[Wrote], folder: Path) -> list[str]:
    part = folder / "data.img"
    with disk.holding(writes):
        copy_sparse(disk.path, part, disk.starts[DATA])
    return faults_of(part, folder / "files")


def faults_of(part: Path, folder: Path) -> list[str]:
    """Of a file system in a file, which this mends as the robot would; `folder` is made anew."""
    checked = subprocess.run(["e2fsck", "-p", part], capture_output=True, text=True, check=False)
    if checked.returncode >= UNCORRECTED:
        return [f"e2fsck: status {checked.returncode}: {checked.stdout.strip()[-200:]}"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in FOLDERS:
        words = ["debugfs", "-R", f'rdump /{name} "{folder}"', part]
        subprocess.run(words, capture_output=True, check=True)
    return [*_keepsake(folder), *_tables(folder), *_identity(folder), *_databases(folder)]


def _keepsake(folder: Path) -> Iterator[str]:
    file = folder / KEEPSAKE
    found = hashlib.sha256(file.read_bytes() if file.exists() else b"").hexdigest()
    if found != KEEPSAKE_SHA256:
        yield f"{KEEPSAKE} is not what it was"


def _tables(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.json")):
        if not file.is_symlink():
            try:
                json.loads(file.read_bytes())
            except ValueError as error:
                yield f"{file.relative_to(folder)}: {error}"


def _identity(folder: Path) -> Iterator[str]:
    name, key = folder / "system/machine-id", folder / "ssh/ssh_host_ed25519_key"
    if name.exists() and name.stat().st_size != MACHINE_ID_BYTES:
        yield f"machine-id of {name.stat().st_size} bytes"
    if key.exists():
        words = ["ssh-keygen", "-y", "-f", key]
        read = subprocess.run(
            words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if read.returncode != 0:
            yield f"SSH host key: {read.stderr.strip()[-200:]}"


def _databases(folder: Path) -> Iterator[str]:
    """With what their journals hold, as whoever opens them next would find them."""
    for file in sorted(folder.rglob("*.sqlite")):
        try:
            with closing(sqlite3.connect(file)) as database:
                said = database.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.Error as error:
            said = [(str(error),)]
        if said != [("ok",)]:
            yield f"{file.relative_to(folder)}: {said[0][0]}"
