"""Series in SQLite: the default, for a fleet that runs without a database server.

It answers as InfluxDB would: equal points merge field by field, the type of a field is fixed by its
first point and a conflict is refused for good, and a write that returned is on the disk.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from fleet.store.series import Query, StoreUnavailableError
from runtime.telemetry.client import Value
from runtime.telemetry.line import LineError, Point, decode_rest, decode_series, split_series

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, measurement TEXT NOT NULL, robot TEXT NOT NULL, tags TEXT NOT NULL,
  UNIQUE (measurement, tags));
CREATE TABLE IF NOT EXISTS point (
  series INTEGER NOT NULL REFERENCES series, time INTEGER NOT NULL, fields TEXT NOT NULL,
  PRIMARY KEY (series, time)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS field (
  measurement TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
  PRIMARY KEY (measurement, name)) WITHOUT ROWID;
"""
_UPSERT = """
INSERT INTO point VALUES (?, ?, CAST(? AS TEXT))
ON CONFLICT DO UPDATE SET fields = json_patch(fields, excluded.fields)
WHERE fields IS NOT excluded.fields
"""
NS_PER_DAY = 86_400_000_000_000


class EmbeddedStore:
    """One writer at a time; readers do not wait for it."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.Lock()
        self._series: dict[str, tuple[int, str]] = {}  # by its text: number and measurement
        self._types: dict[str, dict[str, type[Value]]] = {}  # by measurement and field
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=10.0, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            if not read_only:
                self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(
                f"{path}: the series store cannot be opened ({error}); robots keep their records"
            ) from error

    def write(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        refused: dict[int, str] = {}
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                rows: list[tuple[int, int, bytes]] = []
                for index, line in enumerate(lines):
                    try:
                        rows.append(self._row(line))
                    except LineError as error:
                        refused[index] = str(error)
                self._db.executemany(_UPSERT, rows)
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise StoreUnavailableError(
                    f"the series store took nothing of {len(lines)} points ({error})"
                ) from error
        return refused

    def points(self, query: Query) -> list[Point]:
        conditions, values = ["measurement = ?"], [query.measurement]
        arguments: list[str | int] = [*values]
        for text, value in (
            ("robot = ?", query.robot_id),
            ("time >= ?", query.since_ns),
            ("time <= ?", query.until_ns),
        ):
            if value is not None:
                conditions.append(text)
                arguments.append(value)
        order = "DESC" if query.newest_first else "ASC"
        statement = (
            "SELECT measurement, tags, fields, time FROM point JOIN series ON series.id = series"
            f" WHERE {' AND '.join(conditions)} ORDER BY time {order} LIMIT ?"
        )
        with self._lock:
            try:
                rows = self._db.execute(statement, (*arguments, query.limit)).fetchall()
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the series store cannot be read ({error})") from error
        return [
            Point(measurement, orjson.loads(tags), orjson.loads(fields), time)
            for measurement, tags, fields, time in rows
        ]

    def expire(self, now_ns: int, days: float) -> int:
        """Deletes points older than the retention; returns how many."""
        with self._lock:
            oldest_ns = now_ns - round(days * NS_PER_DAY)
            return self._db.execute("DELETE FROM point WHERE time < ?", (oldest_ns,)).rowcount

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _row(self, line: bytes) -> tuple[int, int, bytes]:
        """Most lines are of a series and have fields that are known; LineError."""
        series, rest = split_series(line)
        fields, time_ns = decode_rest(rest)
        known = self._series.get(series)
        measurement = decode_series(series)[0] if known is None else known[1]
        types = self._types.setdefault(measurement, {})
        for name, value in fields.items():
            if types.get(name) is not type(value):
                self._check_type(measurement, name, value)
        if known is None:
            known = self._series[series] = (self._series_id(series), measurement)
        return known[0], time_ns, orjson.dumps(fields)

    def _check_type(self, measurement: str, name: str, value: Value) -> None:
        """The first point that has it decides."""
        row = (measurement, name, type_name(value))
        self._db.execute("INSERT OR IGNORE INTO field VALUES (?, ?, ?)", row)
        query = "SELECT type FROM field WHERE measurement = ? AND name = ?"
        (wanted,) = self._db.execute(query, row[:2]).fetchone()
        if wanted != row[2]:
            raise LineError(f"field {name} of {measurement} is {wanted}, got {row[2]}")
        self._types[measurement][name] = type(value)

    def _series_id(self, series: str) -> int:
        measurement, tags = decode_series(series)
        shown = orjson.dumps(tags, option=orjson.OPT_SORT_KEYS).decode()
        row = (measurement, tags.get("robot", ""), shown)
        self._db.execute(
            "INSERT OR IGNORE INTO series (measurement, robot, tags) VALUES (?, ?, ?)", row
        )
        query = "SELECT id FROM series WHERE measurement = ? AND tags = ?"
        return self._db.execute(query, (measurement, shown)).fetchone()[0]

    def _roll_back(self) -> None:
        """What was learned within the failed transaction is not true any more."""
        self._series.clear()
        self._types.clear()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def type_name(value: Value) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "integer" if isinstance(value, int) else "float"
