"""Rows: what became of every sequence number, and messages and points that were set aside.

The books answer one question exactly: of all that a robot ever gave a number to, what is stored,
what was refused for good, what did the robot give up, what does it still hold, and what is missing?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from fleet.store.rows import Transaction, hold, insert, open_rows, read, reading, storable
from fleet.store.series import StoreUnavailableError
from fleet.store.settle import Settlement, have, settle
from fleet.store.tables import ACCOUNT, METADATA, POISON, PROVENANCE, REFUSED, SETTLED, Outcome
from runtime.telemetry.ranges import Range, SeqSet, parse_ranges

POISON_KEPT = 1000
POISON_BYTES = 4096

Also = Callable[[Connection, Sequence[SeqSet]], None]


@dataclass(frozen=True)
class Report:
    """A robot's own word: numbers given out up to `head`, and which of them it still holds."""

    robot_id: str
    epoch: int
    head: int
    pending: tuple[Range, ...]
    counters: dict[str, int]
    at_ns: int


@dataclass(frozen=True)
class Poison:
    """A message that made no sense."""

    topic: str
    reason: str
    payload: bytes
    at_ns: int

    @property
    def row(self) -> dict[str, Any]:
        return {
            "at_ns": self.at_ns,
            "topic": storable(self.topic)[:500],
            "reason": storable(self.reason)[:1000],
            "size": len(self.payload),
            "payload": self.payload[:POISON_BYTES],
        }


@dataclass(frozen=True)
class Account:
    """The books of one spool; `missing` is the number that must be zero."""

    robot_id: str
    epoch: int
    head: int
    stored: int
    refused: int
    thinned: int
    pending: int
    missing: int
    missing_ranges: tuple[Range, ...]
    counters: dict[str, int]
    at_ns: int


class Books:
    """Safe to use from several ingesters: each change is one transaction."""

    def __init__(self, rows: str | Engine) -> None:
        """An engine stays its owner's; one made here from a URL ends with `close`."""
        self._owned = isinstance(rows, str)
        self.engine = open_rows(rows) if isinstance(rows, str) else rows

    def settle(
        self,
        settlements: Sequence[Settlement],
        also: Also | None = None,
        reports: Sequence[Report] = (),
        poison: Sequence[Poison] = (),
    ) -> None:
        """All of a batch, or nothing. Idempotent: a frame that comes twice changes nothing.

        `also` is told, within the transaction, which numbers of each settlement are stored for the
        first time: what it writes happens with that, exactly once, or not at all.
        """
        robots = {item.robot_id for item in settlements} | {item.robot_id for item in reports}
        with self.transaction() as connection:
            hold(connection, (f"books/{robot}" for robot in robots))
            if settlements:
                fresh = settle(connection, settlements)
                if also is not None:
                    also(connection, fresh)
            if reports:
                _note_reports(connection, reports)
            if poison:
                _note_poison(connection, poison)

    def have(self, asked: Sequence[tuple[str, int, SeqSet]]) -> list[bool]:
        """Of each (robot, epoch, numbers), whether all are stored; StoreUnavailableError."""
        try:
            with reading(self.engine).connect() as connection:
                return have(connection, asked)
        except SQLAlchemyError as error:
            raise StoreUnavailableError(f"the books cannot be read ({error})") from error

    def note_account(self, robot_id: str, message: bytes, at_ns: int) -> None:
        """The robot's own word about what it gave out and holds; ValueError when it is none."""
        self.settle((), reports=[Report(robot_id, *parse_account(message), at_ns)])

    def set_aside(self, topic: str, reason: str, payload: bytes, at_ns: int) -> None:
        self.settle((), poison=[Poison(topic, reason, payload, at_ns)])

    def poison(self, limit: int = 100) -> list[dict[str, Any]]:
        query = sql.select(POISON).order_by(POISON.c.id.desc()).limit(limit)
        return [_plain(row) for row in self.read(query)]

    def poison_count(self) -> int:
        """How many were ever set aside; the oldest are not kept themselves."""
        return int(self.read(sql.select(sql.func.coalesce(sql.func.max(POISON.c.id), 0)))[0][0])

    def refused(self, robot_id: str, limit: int = 100) -> list[dict[str, Any]]:
        query = sql.select(REFUSED).where(REFUSED.c.robot == robot_id).limit(limit)
        return [_plain(row) for row in self.read(query)]

    def provenance(self, robot_id: str) -> list[dict[str, Any]]:
        """Which configuration the numbers came from."""
        query = sql.select(PROVENANCE).where(PROVENANCE.c.robot == robot_id)
        return [_plain(row) for row in self.read(query)]

    def accounts(self, robot_id: str | None = None) -> list[Account]:
        """Of each spool, in two questions however many there are."""
        accounts = sql.select(ACCOUNT).order_by(ACCOUNT.c.robot, ACCOUNT.c.at_ns)
        settled = sql.select(SETTLED)
        if robot_id is not None:
            accounts = accounts.where(ACCOUNT.c.robot == robot_id)
            settled = settled.where(SETTLED.c.robot == robot_id)
        parts: dict[tuple[str, int, str], SeqSet] = {}
        found = self.read(accounts)  # first: what is settled meanwhile only adds to it
        for row in self.read(settled):
            part = parts.setdefault((row.robot, row.epoch, row.outcome), SeqSet())
            part.add(row.first, row.last)
        return [_account(row, parts) for row in found]

    def settled(self, robot_id: str, epoch: int, outcome: Outcome) -> SeqSet:
        query = sql.select(SETTLED.c.first, SETTLED.c.last).where(
            SETTLED.c.robot == robot_id, SETTLED.c.epoch == epoch, SETTLED.c.outcome == outcome
        )
        return SeqSet((row.first, row.last) for row in self.read(query))

    def close(self) -> None:
        if self._owned:
            self.engine.dispose()

    def read(self, query: Any) -> Sequence[Any]:
        return read(self.engine, query)

    def transaction(self) -> Transaction:
        return Transaction(self.engine)


def _account(row: Any, settled: Mapping[tuple[str, int, str], SeqSet]) -> Account:
    parts = {o: settled.get((row.robot, row.epoch, o.value), SeqSet()) for o in Outcome}
    given = SeqSet(((1, row.head),)) if row.head else SeqSet()
    stored = parts[Outcome.STORED].within(1, row.head)
    refused = parts[Outcome.REFUSED].within(1, row.head).minus(stored)
    thinned = parts[Outcome.THINNED].within(1, row.head).minus(stored).minus(refused)
    left = given.minus(stored).minus(refused).minus(thinned)
    pending = SeqSet(parse_ranges(orjson.loads(row.pending)))
    missing = left.minus(pending)
    return Account(
        robot_id=row.robot,
        epoch=row.epoch,
        head=row.head,
        stored=len(stored),
        refused=len(refused),
        thinned=len(thinned),
        pending=len(left) - len(missing),
        missing=len(missing),
        missing_ranges=missing.ranges()[:100],
        counters=orjson.loads(row.counters),
        at_ns=row.at_ns,
    )


def parse_account(message: bytes) -> tuple[int, int, tuple[Range, ...], dict[str, int]]:
    try:
        raw: Any = orjson.loads(message)
        epoch, head, counters = raw["epoch"], raw["head"], raw["counters"]
        pending = parse_ranges(raw["pending"])
        whole = all(type(value) is int and 0 <= value < 2**62 for value in (epoch, head))
        counted = isinstance(counters, dict) and all(
            type(value) is int for value in counters.values()
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no account of a spool: {error!r:.200}") from error
    if not whole or not counted or raw.get("v") != 1:
        raise ValueError("no account of a spool: epoch, head, counters or version is wrong")
    return epoch, head, pending, counters


@lru_cache
def _put_report(dialect: str) -> Any:
    """An older word that comes later changes nothing."""
    statement = insert(dialect, ACCOUNT)
    new = statement.excluded
    changes = {name: new[name] for name in ("head", "pending", "counters", "at_ns")}
    return statement.on_conflict_do_update(
        index_elements=["robot", "epoch"], set_=changes, where=ACCOUNT.c.head <= new.head
    )


def _note_reports(connection: Connection, reports: Sequence[Report]) -> None:
    rows = [
        {
            "robot": report.robot_id,
            "epoch": report.epoch,
            "head": report.head,
            "pending": orjson.dumps(report.pending).decode(),
            "counters": orjson.dumps(report.counters).decode(),
            "at_ns": report.at_ns,
        }
        for report in reports
    ]
    connection.execute(_put_report(connection.dialect.name), rows)


def _note_poison(connection: Connection, poison: Sequence[Poison]) -> None:
    """Of what could not be understood the newest is kept, cut to a size one can look at."""
    connection.execute(sql.insert(POISON), [item.row for item in poison])
    newest = sql.select(sql.func.max(POISON.c.id)).scalar_subquery()
    connection.execute(sql.delete(POISON).where(POISON.c.id <= newest - POISON_KEPT))


def _plain(row: Any) -> dict[str, Any]:
    """A row with keys that are plain texts, which the library's own are not quite."""
    return {str(key): value for key, value in row._mapping.items()}


__all__ = ["METADATA", "Account", "Books", "Outcome", "Poison", "Report", "Settlement"]
