"""What a robot's day takes on a store's disk: what the second half of a stretch of telemetry
adds to the first, so that an empty database and its first pages do not count.

The robots' seconds go through ingest as fast as it can. Sums that grow coarser with age, and what
is deleted at its end, only take from it. InfluxDB is asked to compact within a second, not after
hours, and its files count when it has done so.
"""

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

from conf.schema.telemetry import Store
from fleet.bench.alone import message_of
from fleet.bench.servers import INFLUX_PORT
from fleet.bench.told import NS, told
from fleet.broker import free_port
from fleet.clock import SystemClock
from fleet.influxd import ensure_credentials, ensure_database, start
from fleet.ingest import Ingest
from fleet.settings import InfluxSettings
from fleet.store.books import Books
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import SeriesStore

DAY_S = 86_400
BATCH_S = 5  # of all robots, in one batch
AT_ONCE: Final = {
    "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "1s",
    "INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION": "1s",
}
STILL_S: Final = 10.0  # without a change of its files: it has compacted
STILL_WITHIN_S: Final = 600.0
Sized = tuple[SeriesStore, Callable[[], int]]  # bytes of what it holds


@dataclass(frozen=True)
class Disk:
    """`samples` as in `told`."""

    store: str
    robots: int
    samples: int
    half_s: int
    points: int
    series_mib_robot_day: float
    rows_mib_robot_day: float
    bytes_a_point: float


def disk_of(robots: int, samples: int, robot_seconds: int, store: Store = Store.EMBEDDED) -> Disk:
    half_s = max(BATCH_S, robot_seconds // 2 // robots // BATCH_S * BATCH_S)
    clock = SystemClock()
    start_ns = clock.wall_ns() - 2 * half_s * NS
    with tempfile.TemporaryDirectory(prefix="bedplate-disk-") as name:
        folder, rows = Path(name), Path(name) / "books.sqlite"
        opened = closing(Books(f"sqlite:///{rows}"))
        with _series(store, folder) as (series, size), opened as books:
            ingest = Ingest(series, books, clock)
            seconds = told(robots, 2 * half_s, samples, start_ns)
            sizes: list[tuple[int, int, int]] = []
            for _half in range(2):
                for _batch in range(half_s // BATCH_S):
                    frames = chain.from_iterable(islice(seconds, BATCH_S))
                    ingest.process([message_of(frame) for frame in frames])
                sizes.append((size(), _sqlite_bytes(rows), ingest.counts.points_stored))
    grown_series, grown_rows, points = (b - a for a, b in zip(*sizes, strict=True))
    days = robots * half_s / DAY_S
    return Disk(
        store=store.value,
        robots=robots,
        samples=samples,
        half_s=half_s,
        points=points,
        series_mib_robot_day=round(grown_series / 2**20 / days, 1),
        rows_mib_robot_day=round(grown_rows / 2**20 / days, 1),
        bytes_a_point=round((grown_series + grown_rows) / points, 1),
    )


@contextmanager
def _series(store: Store, folder: Path) -> Iterator[Sized]:
    match store:
        case Store.EMBEDDED:
            with closing(EmbeddedStore(folder / "series.sqlite")) as series:
                yield series, lambda: _sqlite_bytes(folder / "series.sqlite")
        case Store.INFLUXDB:
            with _influx(folder / "influxdb") as made:
                yield made


@contextmanager
def _influx(folder: Path) -> Iterator[Sized]:
    # Its client takes a second to import.
    from fleet.store.influx import InfluxStore

    settings = InfluxSettings(
        url=f"http://127.0.0.1:{free_port(INFLUX_PORT)}",
        database="bench",
        credentials=folder / "credentials",
    )
    process = start(folder, settings.url, AT_ONCE)
    try:
        credentials = ensure_credentials(settings.credentials)
        ensure_database(settings.url, credentials, settings.database)
        with closing(InfluxStore(settings)) as series:
            yield series, lambda: _compacted_bytes(folder, settings.database)
    finally:
        process.terminate()
        process.wait()


def _compacted_bytes(folder: Path, database: str) -> int:
    """When nothing waits in its journal and the files have not changed for a while."""
    parts = [folder / "data" / database, folder / "wal" / database]
    began = changed = time.monotonic()
    before: dict[Path, int] = {}
    while time.monotonic() - changed < STILL_S:
        if time.monotonic() - began > STILL_WITHIN_S:
            raise RuntimeError(f"InfluxDB still compacts after {STILL_WITHIN_S:.0f} s")
        files = {path: _bytes(path) for part in parts for path in part.rglob("*.*")}
        if files != before:
            before, changed = files, time.monotonic()
        time.sleep(0.5)
    waiting = sum(size for path, size in before.items() if path.suffix == ".wal")
    if waiting:
        raise RuntimeError(f"{waiting} bytes are still in InfluxDB's journal")
    return sum(size for path, size in before.items() if path.suffix == ".tsm")


def _bytes(path: Path) -> int:
    """0 where it went meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sqlite_bytes(path: Path) -> int:
    """Without its journal."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size
