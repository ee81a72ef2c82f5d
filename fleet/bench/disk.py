"""What a robot's day takes on the disk of the embedded stores: what the second half of a stretch of
telemetry adds to the first, so that an empty database and its first pages do not count.

The robots' seconds go through ingest as fast as it can. Sums that grow coarser with age, and what
is deleted at its end, only take from it.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fleet.bench.alone import message_of
from fleet.bench.recorded import as_robots_send
from fleet.clock import SystemClock
from fleet.ingest import Incoming, Ingest
from fleet.load.held import Spool
from fleet.load.plan import Plan
from fleet.load.story import Story
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from runtime.telemetry.frame import Ack

DAY_S = 86_400
BATCH_S = 5  # of all robots, in one batch
NS = 10**9


@dataclass(frozen=True)
class Disk:
    """`samples` 0: as a robot of `make run` sends, without its events."""

    robots: int
    samples: int
    half_s: int
    points: int
    series_mib_robot_day: float
    rows_mib_robot_day: float
    bytes_a_point: float


def disk_of(robots: int, samples: int, robot_seconds: int) -> Disk:
    half_s = max(BATCH_S, robot_seconds // 2 // robots // BATCH_S * BATCH_S)
    clock = SystemClock()
    start_ns = clock.wall_ns() - 2 * half_s * NS
    with tempfile.TemporaryDirectory(prefix="bedplate-disk-") as folder:
        series, rows = Path(folder) / "series.sqlite", Path(folder) / "books.sqlite"
        store, books = EmbeddedStore(series), Books(f"sqlite:///{rows}")
        ingest = Ingest(store, books, clock)
        batches = _batches(robots, samples, 2 * half_s, start_ns)
        before, points = (0, 0), 0
        for number, batch in enumerate(batches, start=1):
            ingest.process(batch)
            if number * BATCH_S == half_s:
                before, points = (_size(series), _size(rows)), ingest.counts.points_stored
        grown = (_size(series) - before[0], _size(rows) - before[1])
        points = ingest.counts.points_stored - points
        store.close()
        books.close()
    days = robots * half_s / DAY_S
    return Disk(
        robots=robots,
        samples=samples,
        half_s=half_s,
        points=points,
        series_mib_robot_day=round(grown[0] / 2**20 / days, 1),
        rows_mib_robot_day=round(grown[1] / 2**20 / days, 1),
        bytes_a_point=round(sum(grown) / points, 1),
    )


def _batches(robots: int, samples: int, seconds: int, start_ns: int) -> Iterator[list[Incoming]]:
    if samples == 0:
        frames = as_robots_send(robots, seconds, start_ns)
        for _ in range(seconds // BATCH_S):
            yield [message_of(next(frames)) for _ in range(robots * BATCH_S)]
        return
    plan = Plan(robots=robots, samples=samples)
    stories = [Story(plan, number, start_ns) for number in plan.numbers]
    spools = [Spool(plan.name(n), plan.site(n), epoch=n) for n in plan.numbers]
    for first in range(0, seconds, BATCH_S):
        batch: list[Incoming] = []
        for second in range(first + 1, first + BATCH_S + 1):
            for story, spool in zip(stories, spools, strict=True):
                now_ns = start_ns + second * NS
                spool.add(story.until(now_ns), plan.version)
                for frame in spool.frames(now_ns):
                    batch.append(message_of(frame))
                    spool.note_ack(Ack(spool.epoch, stored=frame.ranges))
        yield batch


def _size(path: Path) -> int:
    """Without its journal."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size
