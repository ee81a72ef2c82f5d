"""Processes that do what none should: flood, scribble, hog memory, write the disk full speed, spin.

Each is a program of its own: `python -m runtime.controld.abuse flood --shm FOLDER`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from runtime.shm import Shm, Source

if TYPE_CHECKING:
    from collections.abc import Callable

# What a scribbler leaves alone: the part of the header that says what the file is.
HEADER_BYTES: Final = 1024
HOG_BYTES: Final = 512 << 20
CHUNK_BYTES: Final = 8 << 20
# Ends by itself even where whoever started it was killed.
LIFETIME_S: Final = 180


class Abuse(Enum):
    FLOOD = "flood"
    SCRIBBLE = "scribble"
    HOG = "hog"
    DISK = "disk"
    SPIN = "spin"


def flood(shm_dir: Path) -> None:
    """Commands as fast as they can be written, sound in every field but the positions."""
    shm = Shm(shm_dir)
    writer, state = shm.writer("command.fallback"), shm.reader("state")
    record = writer.new()
    record["source"] = Source.FALLBACK
    while True:
        record["epoch"] = state.epoch()
        for _ in range(1000):
            now_ns = time.monotonic_ns()
            record["seq"] += 1
            record["created_ns"], record["expires_ns"] = now_ns, now_ns + 20_000_000
            record["q"] = np.nan if record["seq"] % 2 else 1e9
            writer.write(record)


def scribble(shm_dir: Path) -> None:
    """Random bytes all over its own slot."""
    path = shm_dir / "command.fallback"
    rng = random.Random(os.getpid())
    size = path.stat().st_size
    with path.open("r+b", buffering=0) as file:
        while True:
            file.seek(rng.randrange(HEADER_BYTES, size - 256))
            file.write(rng.randbytes(256))


def hog(_: Path) -> None:
    """Touches much memory, over and over."""
    block = np.zeros(HOG_BYTES, np.uint8)
    while True:
        block[::64] += 1


def write_disk(_: Path) -> None:
    """Writes and syncs a file where temporary files go."""
    path = Path(os.environ.get("TMPDIR", "/var/tmp")) / f"bedplate-abuse-{os.getpid()}"
    chunk = os.urandom(CHUNK_BYTES)
    try:
        with path.open("wb", buffering=0) as file:
            path.unlink()  # gone with this process, however it ends
            while True:
                for _chunk in range(16):
                    file.write(chunk)
                os.fdatasync(file.fileno())
                file.truncate(0)
                file.seek(0)
    except OSError as error:
        sys.stderr.write(f"disk: {error}\n")


def spin(_: Path) -> None:
    """Uses a whole CPU, and the kernel a little with it."""
    while True:
        os.getppid()


PROGRAMS: dict[Abuse, Callable[[Path], None]] = {
    Abuse.FLOOD: flood,
    Abuse.SCRIBBLE: scribble,
    Abuse.HOG: hog,
    Abuse.DISK: write_disk,
    Abuse.SPIN: spin,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abuse", type=Abuse, choices=list(Abuse))
    parser.add_argument("--shm", type=Path, required=True)
    arguments = parser.parse_args()
    signal.alarm(LIFETIME_S)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    PROGRAMS[arguments.abuse](arguments.shm)


if __name__ == "__main__":
    main()
