"""The spool's SQLite file: its schema, its settings, and what its errors mean for the robot."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from runtime.telemetry.stamp import Stamper

SCHEMA_VERSION = 1
PAGE_BYTES = 4096

_SCHEMA = """
CREATE TABLE state (
  id INTEGER PRIMARY KEY CHECK (id = 0), epoch INTEGER NOT NULL, next_seq INTEGER NOT NULL,
  last_us INTEGER NOT NULL, era INTEGER NOT NULL, counters TEXT NOT NULL);
CREATE TABLE alert (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, line BLOB NOT NULL);
CREATE TABLE event (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, line BLOB NOT NULL);
CREATE TABLE metric (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, line BLOB NOT NULL);
CREATE TABLE block (
  first INTEGER PRIMARY KEY, last INTEGER NOT NULL, rows INTEGER NOT NULL, level INTEGER NOT NULL);
CREATE TABLE thinned (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
"""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SpoolError(RuntimeError):
    """The spool cannot do what was asked; the text says what the robot does instead."""


class SpoolUnavailableError(SpoolError):
    """Read-only, unreadable or locked: records must wait in memory."""


class SpoolCorruptError(SpoolError):
    """The file is not a spool any more: it is set aside and a new one begun."""


@dataclass(frozen=True)
class SpoolLimits:
    """How the cap is divided: data, write-ahead log, ballast."""

    max_bytes: int

    @property
    def ballast_bytes(self) -> int:
        """Kept empty for the day the disk is full, when alerts still need a place."""
        return min(8 * 2**20, self.max_bytes // 8)

    @property
    def log_bytes(self) -> int:
        return min(16 * 2**20, self.max_bytes // 4)

    @property
    def max_pages(self) -> int:
        # One page in 64 is for what SQLite writes around pages: frame headers, the shared index.
        pages = (self.max_bytes - self.ballast_bytes - self.log_bytes) // PAGE_BYTES
        return pages - pages // 64 - 1

    @property
    def checkpoint_pages(self) -> int:
        """The log is written back at an eighth of its share: one large commit still fits."""
        return max(16, self.log_bytes // PAGE_BYTES // 8)


@dataclass
class SpoolState:
    epoch: int
    next_seq: int
    stamper: Stamper


def connect(path: Path | None, limits: SpoolLimits) -> sqlite3.Connection:
    """Opened as the spool's one owner, every commit flushed to the disk."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=1.0,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # one owner; no shared-memory file beside it
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {limits.checkpoint_pages}")
        db.execute(f"PRAGMA max_page_count = {limits.max_pages}")
        db.execute("PRAGMA cache_size = -2048")
        db.execute("PRAGMA temp_store = MEMORY")
        _create(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection, path: Path | None) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION):
        raise SpoolCorruptError(
            f"{path}: spool of schema version {version}, this runtime reads {SCHEMA_VERSION};"
            " it is set aside under another name and a new one is begun"
        )
    if version == 0:
        script = f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        db.executescript(script)
        if path is not None:
            _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """The new file's name must survive a power cut too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load(db: sqlite3.Connection, new_epoch: int) -> tuple[SpoolState, dict[str, int]]:
    row = db.execute("SELECT epoch, next_seq, last_us, era, counters FROM state").fetchone()
    if row is not None:
        return SpoolState(row[0], row[1], Stamper(row[2], row[3])), orjson.loads(row[4])
    state = SpoolState(new_epoch, 1, Stamper())
    save(db, state, {})
    return state, {}


def save(db: sqlite3.Connection, state: SpoolState, counters: Mapping[str, int]) -> None:
    """Part of the caller's transaction: numbers and records become durable together."""
    stamper, text = state.stamper, orjson.dumps(dict(counters)).decode()
    row = (state.epoch, state.next_seq, stamper.last_us, stamper.era, text)
    db.execute("INSERT OR REPLACE INTO state VALUES (0, ?, ?, ?, ?, ?)", row)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def is_full(error: sqlite3.OperationalError) -> bool:
    return _code(error) == sqlite3.SQLITE_FULL


@contextlib.contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """SQLite's errors as ours: damaged, or not to be written now."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _DAMAGED:
            raise SpoolCorruptError(
                f"{path}: spool is damaged ({error}); it is set aside under another name and a new"
                " one is begun; what it held and had not yet been sent stays in that file"
            ) from error
        raise _unavailable(path, error) from error
    except OSError as error:
        raise _unavailable(path, error) from error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _unavailable(path: Path | None, error: Exception) -> SpoolUnavailableError:
    return SpoolUnavailableError(
        f"{path}: spool cannot be written ({error}); records wait in memory and are lost"
        " at a power cut; look at the disk, its mount and the folder's owner"
    )


def set_aside(path: Path) -> Path:
    """Moves a damaged spool away, whole, for whoever wants to look into it."""
    number = 1
    while (target := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    path.rename(target)
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        log.rename(target.with_name(f"{target.name}-wal"))
    return target
