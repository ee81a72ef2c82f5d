"""What a full spool gives up: metrics by age, then old events, and alerts last.

Metrics lie in blocks of neighbours in time. A pass takes every second block of the older half that
has been spared least often, so that yesterday keeps its course at a coarser grain while the newest
half stays whole. What is given up keeps its sequence numbers in a table, for the fleet's books.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runtime.telemetry.client import Priority
from runtime.telemetry.ranges import Range, fold

CHUNK_ROWS = 64  # events and alerts go in such portions, oldest first
_RISING = (Priority.METRIC, Priority.EVENT, Priority.ALERT)
VICTIM_BLOCKS = 8  # in one transaction, which the write-ahead log must hold


def give_up(db: sqlite3.Connection, down_to: Priority) -> tuple[Priority, int] | None:
    """One portion of the least important, nothing above `down_to`; None: nothing left to give."""
    victims = choose_blocks(db)
    if victims:
        rows = 0
        for first, last in victims:
            rows += give_up_rows(db, Priority.METRIC, first, last)
            db.execute("DELETE FROM block WHERE first = ?", (first,))
        return Priority.METRIC, rows
    for priority in _RISING[: _RISING.index(down_to) + 1][1:]:
        query = f"SELECT seq FROM {priority} ORDER BY seq LIMIT {CHUNK_ROWS}"
        oldest = [row[0] for row in db.execute(query)]
        if oldest:
            return priority, give_up_rows(db, priority, oldest[0], oldest[-1])
    return None


def choose_blocks(db: sqlite3.Connection) -> list[Range]:
    """Every second of those in the older half that were spared least often, a few at a time."""
    total = db.execute("SELECT count(*) FROM block").fetchone()[0]
    older = db.execute(
        "SELECT first, last, level FROM block ORDER BY first LIMIT ?", (max(2, total // 2),)
    ).fetchall()
    if len(older) <= 1:
        return [(first, last) for first, last, _level in older]
    level = min(row[2] for row in older)
    equals = [row for row in older if row[2] == level]
    if len(equals) == 1:  # nobody left to pair it with
        return [(equals[0][0], equals[0][1])]
    pairs = list(zip(equals[::2], equals[1::2], strict=False))[:VICTIM_BLOCKS]
    for survivor, _victim in pairs:
        db.execute("UPDATE block SET level = level + 1 WHERE first = ?", (survivor[0],))
    return [(victim[0], victim[1]) for _survivor, victim in pairs]


def give_up_rows(db: sqlite3.Connection, priority: Priority, first: int, last: int) -> int:
    """Deletes these records and books their numbers; returns how many there were."""
    query = f"SELECT seq FROM {priority} WHERE seq BETWEEN ? AND ? ORDER BY seq"
    sequences = [row[0] for row in db.execute(query, (first, last))]
    for gone_first, gone_last in fold(sequences):
        _book(db, gone_first, gone_last)
    db.execute(f"DELETE FROM {priority} WHERE seq BETWEEN ? AND ?", (first, last))
    return len(sequences)


def _book(db: sqlite3.Connection, first: int, last: int) -> None:
    """Joined with its neighbours, so that the table stays small after a long outage."""
    query = "SELECT first, last FROM thinned WHERE first < ? ORDER BY first DESC LIMIT 1"
    before = db.execute(query, (first,)).fetchone()
    after = db.execute("SELECT last FROM thinned WHERE first = ?", (last + 1,)).fetchone()
    if after is not None:
        db.execute("DELETE FROM thinned WHERE first = ?", (last + 1,))
        last = after[0]
    if before is not None and before[1] == first - 1:
        first = before[0]
    db.execute("INSERT OR REPLACE INTO thinned VALUES (?, ?)", (first, last))


def forget(db: sqlite3.Connection, first: int, last: int) -> None:
    """The fleet has booked these; a range may have grown since it was sent, so only cut it."""
    for old_first, old_last in _overlapping(db, "thinned", first, last):
        db.execute("DELETE FROM thinned WHERE first = ?", (old_first,))
        if old_first < first:
            db.execute("INSERT INTO thinned VALUES (?, ?)", (old_first, first - 1))
        if old_last > last:
            db.execute("INSERT INTO thinned VALUES (?, ?)", (last + 1, old_last))


def recount_blocks(db: sqlite3.Connection, first: int, last: int) -> None:
    """After records left by acknowledgement, their blocks hold fewer or none."""
    for block_first, block_last in _overlapping(db, "block", first, last):
        query = "SELECT count(*) FROM metric WHERE seq BETWEEN ? AND ?"
        rows = db.execute(query, (block_first, block_last)).fetchone()[0]
        if rows:
            db.execute("UPDATE block SET rows = ? WHERE first = ?", (rows, block_first))
        else:
            db.execute("DELETE FROM block WHERE first = ?", (block_first,))


def _overlapping(db: sqlite3.Connection, table: str, first: int, last: int) -> list[Range]:
    """Rows of a table of ranges that meet a range; the ranges never overlap each other."""
    before = f"SELECT first, last FROM {table} WHERE first < ? ORDER BY first DESC LIMIT 1"
    inside = f"SELECT first, last FROM {table} WHERE first BETWEEN ? AND ?"
    rows = db.execute(before, (first,)).fetchall() + db.execute(inside, (first, last)).fetchall()
    return [(row[0], row[1]) for row in rows if row[1] >= first]


def join_nearest(ranges: Sequence[Range], most: int) -> tuple[Range, ...]:
    """At most so many ranges that cover all the given ones: the narrowest gaps are closed."""
    if len(ranges) <= most:
        return tuple(ranges)
    gaps = sorted(range(1, len(ranges)), key=lambda i: ranges[i][0] - ranges[i - 1][1])
    closed = set(gaps[: len(ranges) - most])
    joined: list[Range] = [ranges[0]]
    for index in range(1, len(ranges)):
        if index in closed:
            joined[-1] = (joined[-1][0], ranges[index][1])
        else:
            joined.append(ranges[index])
    return tuple(joined)


class Ballast:
    """Disk space held for the moment in which there is none."""

    def __init__(self, spool: Path | None, size: int) -> None:
        self._path = None if spool is None else spool.with_name(f"{spool.name}.ballast")
        self._size = size

    def restore(self) -> bool:
        """Whether the ballast lies ready; taken only where twice its size is free."""
        if self._path is None:
            return True
        with suppress(OSError):
            if self._path.exists() and self._path.stat().st_size == self._size:
                return True
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < 2 * self._size:
                return False
            with self._path.open("wb") as handle:
                os.posix_fallocate(handle.fileno(), 0, self._size)
            return True
        return False

    def release_if_needed(self) -> bool:
        """Whether it is the disk that is full, and not only the spool; then the ballast goes."""
        if self._path is None:
            return False
        with suppress(OSError):
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize >= self._size:
                return False
            self._path.unlink(missing_ok=True)
        return True
