"""The disk as it is replayed from a recording, and what of it is whose."""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from ota.boot_env.esp import EspError, locate
from ota.boot_env.states import SECTOR_BYTES, SLOT_A, SLOT_B, State, agreed, decode
from ota.power_cut.gpt import mended
from ota.power_cut.judge import Slot, slot_at, table_of
from ota.power_cut.write_log import Window, Wrote, numbered, numbered_windows

TABLE: Final = 0
ESP: Final = 1
DATA: Final = 4
SMALL: Final = (TABLE, ESP)  # where every subset is tried
CHUNK_BYTES: Final = 1 << 20
TABLE_BYTES: Final = 1 << 20  # around the partitions, on both ends of the disk
SLOT_NAME: Final = {SLOT_A: "a", SLOT_B: "b"}


class Disk:
    """A file that stands for the disk; `size_bytes` is how large the robot's is."""

    def __init__(self, path: Path):
        self.path = path
        self._stream: IO[bytes] = path.open("r+b", buffering=0)
        self.size_bytes = os.fstat(self._stream.fileno()).st_size
        self.starts = table_of(path)
        self._versions = {SLOT_A: 0, SLOT_B: 0}
        self._slots: dict[tuple[int, int], Slot | None] = {}
        self.copies = self._find_copies()

    def close(self) -> None:
        self._stream.close()

    def read(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(size)

    def write(self, one: Wrote) -> None:
        """Of a slot it is then not known any more what it holds."""
        owner = self.owner(one)
        if owner in self._versions:
            self._versions[owner] += 1
        self._stream.seek(one.at_bytes)
        self._stream.write(one.content)

    def owner(self, one: Wrote) -> int:
        """Number of the partition that a write begins in; the tables are around them."""
        if one.at_bytes >= self.size_bytes - TABLE_BYTES:
            return TABLE
        return max((n for n, at in self.starts.items() if at <= one.at_bytes), default=TABLE)

    @contextmanager
    def holding(self, writes: Sequence[Wrote]) -> Iterator[None]:
        """With these writes; afterwards what they, or whoever looked, made of their places is put
        back as it was."""
        found = [Wrote(one.at_bytes, self.read(one.at_bytes, len(one.content))) for one in writes]
        for one in writes:
            self.write(one)
        try:
            yield
        finally:
            for one in reversed(found):
                self.write(one)

    def sectors(self, window: Window) -> Window:
        """Of writes to the tables and the ESP each sector that changes: a disk promises no more
        than that one sector arrives as one."""
        found: list[Wrote] = []
        for one in window:
            if one.lasting and len(one.content) > SECTOR_BYTES:
                found.append(one)
                continue
            for at in range(0, len(one.content), SECTOR_BYTES):
                content = one.content[at : at + SECTOR_BYTES]
                place = one.at_bytes + at
                if content != self.read(place, SECTOR_BYTES) or any(
                    place == other.at_bytes for other in found
                ):
                    found.append(Wrote(place, content, one.lasting))
        return tuple(found)

    def extent(self, number: int) -> tuple[int, int]:
        """From where to where a partition lies, in bytes; what is between two belongs to both."""
        start = self.starts[number]
        later = (at for at in self.starts.values() if at > start)
        return start, min(later, default=self.size_bytes)

    def environment(self) -> State | None:
        first, second = (decode(self.read(at, SECTOR_BYTES)) for at in self.copies)
        return agreed(first, second)

    def settled(self) -> bool:
        first, second = (decode(self.read(at, SECTOR_BYTES)) for at in self.copies)
        return first == second

    def slot(self, number: int) -> Slot | None:
        """What it holds, every byte hashed once; `None`: it is not whole."""
        key = number, self._versions[number]
        if key not in self._slots:
            self._slots[key] = slot_at(self.read, self.starts[number])
        return self._slots[key]

    def esp_digest(self) -> str:
        """Of every byte of the ESP."""
        at, end = self.extent(ESP)
        digest = hashlib.sha256()
        while at < end:
            digest.update(self.read(at, min(CHUNK_BYTES, end - at)))
            at += CHUNK_BYTES
        return digest.hexdigest()

    def mended_table(self) -> tuple[Wrote, ...] | None:
        return mended(self.read, self.size_bytes)

    def _find_copies(self) -> tuple[int, int]:
        base = self.starts[ESP]

        def read(sector: int) -> bytes:
            return self.read(base + sector * SECTOR_BYTES, SECTOR_BYTES)

        try:
            first, second = (base + locate(read, copy) * SECTOR_BYTES for copy in (1, 2))
        except EspError as error:
            raise EspError(f"{self.path}: its EFI system partition: {error}") from error
        return first, second


def windows_of(log: Path, disk: Disk, owners: Collection[int]) -> list[int]:
    """Those in which one of these partitions is written, by their first entries."""
    return [
        entry
        for entry, window in numbered_windows(numbered(log))
        if any(disk.owner(one) in owners for one in window)
    ]


def situation(state: State | None) -> str:
    if state is None:
        return "environment lost"
    if not state.upgrade:
        return f"slot {SLOT_NAME[state.part]} committed"
    return f"slot {SLOT_NAME[state.part]} on trial, {'tried' if state.tried else 'not yet tried'}"


def copy_sparse(source: Path, target: Path, start: int = 0) -> None:
    """From `start` on. Holes stay holes, and are not even read."""
    with source.open("rb") as disk, target.open("wb") as out:
        end = os.fstat(disk.fileno()).st_size
        out.truncate(end - start)
        at = start
        while at < end:
            try:
                at = os.lseek(disk.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                return
            stop = os.lseek(disk.fileno(), at, os.SEEK_HOLE)
            while at < stop:
                chunk = os.pread(disk.fileno(), min(CHUNK_BYTES, stop - at), at)
                out.seek(at - start)
                out.write(chunk)
                at += len(chunk)
