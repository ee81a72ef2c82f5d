"""What QEMU's `blklogwrites` recorded: every write and flush of a disk, in their order.

-blockdev driver=blklogwrites,node-name=…,file=DISK,log.driver=file,log.filename=LOG,
          log-super-update-interval=1
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

MAGIC: Final = 0x6A736677736872
FLUSH: Final = 1
FUA: Final = 2
DISCARD: Final = 4
HEAD: Final = struct.Struct("<QQQI")
ENTRY: Final = struct.Struct("<QQQQ")


class LogError(Exception):
    """The file is not such a log, or ends in the middle of an entry."""


@dataclass(frozen=True)
class Wrote:
    """Bytes at a place; `lasting`: on the disk before anything written later."""

    at_bytes: int
    content: bytes
    lasting: bool = False

    @property
    def end_bytes(self) -> int:
        return self.at_bytes + len(self.content)


Window = tuple[Wrote, ...]  # what was written between two flushes


def entries(log: Path) -> Iterator[Wrote | None]:
    """Writes, and `None` for a flush."""
    return (one for _, one in numbered(log))


def entry_count(log: Path) -> int:
    """How many there are so far; QEMU keeps the number up to date."""
    with log.open("rb") as stream:
        return _count(stream, log)[0]


def _count(stream: IO[bytes], log: Path) -> tuple[int, int]:
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        raise LogError(f"{log}: {len(head)} bytes are no log")
    magic, version, count, sector = HEAD.unpack(head)
    if magic != MAGIC or version != 1 or sector < ENTRY.size:
        raise LogError(f"{log}: not a log of writes, or of another version")
    return count, sector


def numbered(log: Path) -> Iterator[tuple[int, Wrote | None]]:
    """Each with the number of its entry. A discard promises nothing, so nothing is made of it."""
    with log.open("rb") as stream:
        count, sector = _count(stream, log)
        stream.seek(sector)
        for number in range(count):
            padded = stream.read(sector)
            if len(padded) < sector:
                raise LogError(f"{log}: entry {number} of {count} is cut short")
            first, sectors, flags, _ = ENTRY.unpack(padded[: ENTRY.size])
            if flags & FLUSH:
                yield number, None
            if sectors and not flags & DISCARD:
                content = stream.read(sectors * sector)
                if len(content) < sectors * sector:
                    raise LogError(f"{log}: the content of entry {number} is cut short")
                yield number, Wrote(first * sector, content, bool(flags & FUA))


def windows(found: Iterator[Wrote | None]) -> Iterator[Window]:
    """The writes between two flushes: the disk may take them in any order."""
    return (window for _, window in numbered_windows((0, one) for one in found))


def numbered_windows(found: Iterator[tuple[int, Wrote | None]]) -> Iterator[tuple[int, Window]]:
    """Each with the number of its first entry."""
    writes: list[Wrote] = []
    first = 0
    for number, one in found:
        if one is None:
            if writes:
                yield first, tuple(writes)
            writes = []
            continue
        if not writes:
            first = number
        writes.append(one)
    if writes:
        yield first, tuple(writes)
