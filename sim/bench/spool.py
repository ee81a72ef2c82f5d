"""Records a second at full durability: the spool, SQLite alone, and the disk's own fdatasync."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from records import Severity
from runtime.hal.clock import SystemClock
from runtime.telemetry.client import Record, RecordKind
from runtime.telemetry.line import encode_tags
from runtime.telemetry.spool import Spool, SpoolLimits
from runtime.telemetry.stamp import Instant

BATCH = 100  # records of one group commit
Commit = Callable[[int], None]  # of one batch, by its number
TAGS = {"robot": "bench-01", "site": "bench"}


def measure_spool(seconds: float, folder: Path) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="bedplate-spool-", dir=folder) as home:
        return {
            "records_per_commit": BATCH,
            "spool": _rate(_spool(Path(home) / "spool.sqlite"), seconds),
            "sqlite_alone": _rate(_sqlite(Path(home) / "plain.sqlite"), seconds),
            "fdatasync": _rate(_fdatasync(Path(home) / "raw"), seconds),
        }


def _rate(commit: Commit, seconds: float) -> dict[str, float]:
    count, started = 0, time.monotonic()
    while (elapsed_s := time.monotonic() - started) < seconds:
        commit(count)
        count += 1
    commits = count / elapsed_s
    return {"commits_per_s": round(commits, 1), "records_per_s": round(commits * BATCH, 1)}


def _spool(path: Path) -> Commit:
    clock = SystemClock()
    limits = SpoolLimits(500 * 2**20)
    spool = Spool(path, limits=limits, tagset=encode_tags(TAGS), new_epoch=1)

    def commit(number: int) -> None:
        now = Instant(clock.now_ns(), clock.wall_ns())
        spool.commit([_record(number, index, now.now_ns) for index in range(BATCH)], now)

    return commit


def _record(number: int, index: int, now_ns: int) -> Record:
    fields = {"number": number, "index": index, "value": 0.5, "note": "bench"}
    return Record(RecordKind.METRIC, "bench", "bench", Severity.INFO, now_ns, fields)


def _sqlite(path: Path) -> Commit:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, line BLOB)")
    line = b'bench,robot=bench-01,site=bench number=1,index=1,value=0.5,note="bench" 1'

    def commit(number: int) -> None:
        database.execute("BEGIN")
        rows = ((number * BATCH + index, line) for index in range(BATCH))
        database.executemany("INSERT INTO record VALUES (?, ?)", rows)
        database.execute("COMMIT")

    return commit


def _fdatasync(path: Path) -> Commit:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    block = b"x" * 80 * BATCH

    def commit(_number: int) -> None:
        os.write(handle, block)
        os.fdatasync(handle)

    return commit
