"""The durable queue between the robot and the fleet: nothing is published that is not on disk.

One SQLite file in WAL mode with `synchronous=FULL`: a commit that returned survives a power cut.
Alerts, events and metrics have a table each, so that each is dropped by its own rule and freed
pages are whole. A record gets its sequence number, its tags and its timestamp at the commit; sent
twice it is the same point. The file, its log and its ballast stay below the cap at every instant.
"""

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runtime.telemetry import thinning
from runtime.telemetry.client import Priority, Record, RecordKind, priority_of
from runtime.telemetry.line import encode_line, typed_names
from runtime.telemetry.ranges import Range, SeqSet, fold
from runtime.telemetry.spool_file import (
    PAGE_BYTES,
    SpoolLimits,
    SpoolState,
    connect,
    is_full,
    load,
    save,
    transaction,
    translated,
)
from runtime.telemetry.stamp import Instant

BLOCK_ROWS = 64  # metrics are thinned and counted in blocks, so that whole pages come free
THIN_PAGES = 64  # given up at a time: small, so that no commit waits long
EVENT_MEASUREMENT = "event"


@dataclass
class Commit:
    """What one commit did: sequence numbers given, and records given up for lack of room."""

    ranges: dict[Priority, list[int]]
    dropped: dict[Priority, int]
    clock_back_ns: int = 0


@dataclass(frozen=True)
class Depth:
    """How full the spool is, and what has become of all it ever held."""

    records: Mapping[Priority, int]
    used_bytes: int
    max_bytes: int
    committed: int
    counters: Mapping[str, int]
    durable: bool
    disk_full: bool

    @property
    def used_ratio(self) -> float:
        return self.used_bytes / self.max_bytes


class Spool:
    """One writer; every method may be called from any thread of that process."""

    def __init__(
        self, path: Path | None, *, limits: SpoolLimits, tagset: bytes, new_epoch: int
    ) -> None:
        """`path` None keeps the records in memory: what is left when the disk cannot be written."""
        self.path = path
        self.limits = limits
        self.disk_full = False
        self._tagset = tagset
        self._lock = threading.RLock()
        with translated(path):
            self._db = connect(path, limits)
            try:
                self._state, self.counters = load(self._db, new_epoch)
                self._count = {p: self._count_rows(p) for p in Priority}
            except BaseException:
                self._db.close()
                raise
        self.ballast = thinning.Ballast(path, limits.ballast_bytes)
        self.ballast.restore()

    @property
    def epoch(self) -> int:
        return self._state.epoch

    @property
    def head(self) -> int:
        """The last sequence number given."""
        return self._state.next_seq - 1

    def commit(self, records: Sequence[Record], now: Instant) -> Commit:
        """Durable when it returns. A full disk takes alerts, then events, then metrics."""
        with self._lock, translated(self.path):
            if self.disk_full:
                self.disk_full = not self.ballast.restore()
            if not self.disk_full:
                try:
                    self._keep_below_cap()
                    return self._insert(records, now)
                except sqlite3.OperationalError as error:
                    if not is_full(error):
                        raise
                    self.disk_full = self.ballast.release_if_needed()
            return self._insert_what_fits(records, now)

    def take(
        self,
        priority: Priority,
        first: int,
        last: int,
        *,
        rows: int,
        size: int,
        retry: bool = True,
    ) -> list[tuple[int, bytes]]:
        """The oldest records between two sequence numbers, at most so many rows and bytes.

        Damaged rows are booked as lost and the rest is read again, once: on a file that is broken
        deeper than its rows, deleting them may change nothing.
        """
        taken: list[tuple[int, bytes]] = []
        damaged: list[int] = []
        with self._lock, translated(self.path):
            query = f"SELECT * FROM {priority} WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
            room = size
            for seq, crc, line in self._db.execute(query, (first, last, rows)):
                if not isinstance(line, bytes) or zlib.crc32(line) != crc:
                    damaged.append(seq)
                    continue
                room -= len(line) + 1
                if room < 0 and taken:
                    break
                taken.append((seq, line))
            if damaged and retry:
                self._book_damaged(priority, damaged)
                return self.take(priority, first, last, rows=rows, size=size, retry=False)
        return taken

    def span(self, priority: Priority) -> Range | None:
        """First and last sequence number held."""
        with self._lock, translated(self.path):
            query = f"SELECT min(seq), max(seq) FROM {priority}"
            first, last = self._db.execute(query).fetchone()
            return None if first is None else (first, last)

    def thinned(self, most: int) -> tuple[Range, ...]:
        """Sequence numbers given up that the fleet has not booked yet."""
        with self._lock, translated(self.path):
            rows = self._db.execute(
                "SELECT first, last FROM thinned ORDER BY first LIMIT ?", (most,)
            )
            return tuple((first, last) for first, last in rows)

    def settle(
        self, *, stored: Sequence[Range], refused: Sequence[Range], thinned: Sequence[Range]
    ) -> int:
        """Forget what the fleet has settled; returns how many records left the spool."""
        with self._lock, translated(self.path), transaction(self._db):
            gone = sum(self._delete(first, last) for first, last in stored)
            bad = sum(self._delete(first, last) for first, last in refused)
            for first, last in thinned:
                thinning.forget(self._db, first, last)
            self._add_counts({"settled_stored": gone, "settled_refused": bad})
            save(self._db, self._state, self.counters)
        return gone + bad

    def pending(self, most: int) -> tuple[Range, ...]:
        """What is still here; metrics by block, more than `most` ranges joined: never too few."""
        held = SeqSet()
        with self._lock, translated(self.path):
            for first, last in self._db.execute("SELECT first, last FROM block"):
                held.add(first, last)
            for priority in (Priority.ALERT, Priority.EVENT):
                query = f"SELECT seq FROM {priority} ORDER BY seq"
                for first, last in fold(row[0] for row in self._db.execute(query)):
                    held.add(first, last)
        return thinning.join_nearest(held.ranges(), most)

    def depth(self) -> Depth:
        with self._lock, translated(self.path):
            return Depth(
                records=dict(self._count),
                used_bytes=self._used_pages() * PAGE_BYTES,
                max_bytes=self.limits.max_pages * PAGE_BYTES,
                committed=self.head,
                counters=dict(self.counters),
                durable=self.path is not None,
                disk_full=self.disk_full,
            )

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Counters of things without a sequence number; saved with the next commit."""
        with self._lock:
            self._add_counts(counts)

    def close(self) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    # The parts of a commit.

    def _insert(self, records: Sequence[Record], now: Instant) -> Commit:
        state = SpoolState(self.epoch, self._state.next_seq, replace(self._state.stamper))
        done = Commit({p: [] for p in Priority}, dict.fromkeys(Priority, 0))
        done.clock_back_ns = state.stamper.observe(now)
        counters = dict(self.counters)
        with transaction(self._db):
            for record in sorted(records, key=lambda item: item.created_ns):
                done.ranges[priority_of(record)].append(self._insert_one(state, record, now))
            self._extend_block(done.ranges[Priority.METRIC])
            if done.clock_back_ns:
                counters["clock_set_back"] = counters.get("clock_set_back", 0) + 1
            save(self._db, state, counters)
        self._state, self.counters = state, counters
        for priority, given in done.ranges.items():
            self._count[priority] += len(given)
        return done

    def _insert_one(self, state: SpoolState, record: Record, now: Instant) -> int:
        seq = state.next_seq
        state.next_seq += 1
        line = encode_line(
            *_measurement_and_fields(record, self._tagset),
            seq=seq,
            epoch=state.epoch,
            time_ns=state.stamper.stamp(record.created_ns, now),
        )
        table = priority_of(record)
        row = (seq, zlib.crc32(line), line)
        self._db.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", row)
        return seq

    def _extend_block(self, given: Sequence[int]) -> None:
        """Metrics of this commit join the newest block, or begin one."""
        if not given:
            return
        newest = self._db.execute(
            "SELECT first, rows, level FROM block ORDER BY first DESC LIMIT 1"
        ).fetchone()
        if newest is not None and newest[1] < BLOCK_ROWS and newest[2] == 0:
            query = "UPDATE block SET last = ?, rows = rows + ? WHERE first = ?"
            self._db.execute(query, (given[-1], len(given), newest[0]))
        else:
            row = (given[0], given[-1], len(given))
            self._db.execute("INSERT INTO block VALUES (?, ?, ?, 0)", row)

    def _insert_what_fits(self, records: Sequence[Record], now: Instant) -> Commit:
        """The disk is full. Only alerts may make the file grow, into what the ballast left free."""
        total = Commit({p: [] for p in Priority}, dict.fromkeys(Priority, 0))
        for priority in (Priority.ALERT, Priority.EVENT, Priority.METRIC):
            part = [record for record in records if priority_of(record) is priority]
            if not part:
                continue
            done = self._insert_part(priority, part, now)
            if done is None:
                total.dropped[priority] = len(part)
                self._add_counts({f"dropped_{priority}": len(part)})
                continue
            total.ranges[priority] = done.ranges[priority]
            total.clock_back_ns = max(total.clock_back_ns, done.clock_back_ns)
        return total

    def _insert_part(
        self, priority: Priority, part: Sequence[Record], now: Instant
    ) -> Commit | None:
        """First into pages that are free; then, for alerts, into new ones. None: no room at all."""
        free = self._pragma("freelist_count")
        for most_pages in self._growth(priority):
            try:
                if free < THIN_PAGES // 4:  # an event makes way for an alert, a metric for both
                    lowest = Priority.EVENT if priority is Priority.ALERT else Priority.METRIC
                    self._thin(THIN_PAGES // 4, down_to=lowest)
                self._db.execute(f"PRAGMA max_page_count = {most_pages}")
                return self._insert(part, now)
            except sqlite3.OperationalError as error:
                if not is_full(error):
                    raise
            finally:
                self._db.execute(f"PRAGMA max_page_count = {self.limits.max_pages}")
        return None

    def _growth(self, priority: Priority) -> tuple[int, ...]:
        """File sizes, in pages, that may be tried for a record of this priority."""
        present = self._pragma("page_count")
        return (present, self.limits.max_pages) if priority is Priority.ALERT else (present,)

    def _keep_below_cap(self) -> None:
        over = self._used_pages() - self.limits.max_pages * 9 // 10
        if over > 0:
            self._thin(over + min(THIN_PAGES, self.limits.max_pages // 20))

    def _thin(self, pages: int, down_to: Priority = Priority.ALERT) -> None:
        """Give up the least important until so many pages are free."""
        wanted = self._used_pages() - pages
        while self._used_pages() > wanted:
            with transaction(self._db):
                freed = thinning.give_up(self._db, down_to)
                if freed is None:
                    return
                priority, rows = freed
                self._add_counts({f"thinned_{priority}": rows})
                save(self._db, self._state, self.counters)
            self._count[priority] -= rows

    def _book_damaged(self, priority: Priority, sequences: Sequence[int]) -> None:
        """Records whose bytes changed on the disk are given up, by number, and counted."""
        with transaction(self._db):
            for seq in sequences:
                thinning.give_up_rows(self._db, priority, seq, seq)
            thinning.recount_blocks(self._db, sequences[0], sequences[-1])
            self._add_counts({"damaged": len(sequences)})
            save(self._db, self._state, self.counters)
        self._count[priority] -= len(sequences)

    def _delete(self, first: int, last: int) -> int:
        gone = 0
        for priority in Priority:
            query = f"DELETE FROM {priority} WHERE seq BETWEEN ? AND ?"
            rows = self._db.execute(query, (first, last)).rowcount
            self._count[priority] -= rows
            gone += rows
        thinning.recount_blocks(self._db, first, last)
        return gone

    def _add_counts(self, counts: Mapping[str, int]) -> None:
        for key, value in counts.items():
            if value:
                self.counters[key] = self.counters.get(key, 0) + value

    def _used_pages(self) -> int:
        return self._pragma("page_count") - self._pragma("freelist_count")

    def _pragma(self, name: str) -> int:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    def _count_rows(self, priority: Priority) -> int:
        if priority is Priority.METRIC:  # by block: counting rows would read the whole file
            return self._db.execute("SELECT coalesce(sum(rows), 0) FROM block").fetchone()[0]
        return self._db.execute(f"SELECT count(*) FROM {priority}").fetchone()[0]


def _measurement_and_fields(
    record: Record, tagset: bytes
) -> tuple[str, bytes, dict[str, float | int | bool | str]]:
    match record.kind:
        case RecordKind.METRIC:
            name = "metric_event" if record.name == EVENT_MEASUREMENT else record.name
            return name, tagset, {"source": record.source, **record.fields}
        case RecordKind.EVENT:
            own = {"name": record.name, "severity": record.severity.value, "source": record.source}
            return EVENT_MEASUREMENT, tagset, {**typed_names(record.fields), **own}
