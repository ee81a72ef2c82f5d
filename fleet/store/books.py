"""Rows: what became of every sequence number, and messages and points that were set aside.

The books answer one question exactly: of all that a robot ever gave a number to, what is stored,
what was refused for good, what did the robot give up, what does it still hold, and what is missing?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from fleet.store.rows import Transaction, hold, open_rows, read
from runtime.telemetry.ranges import Range, SeqSet, parse_ranges

POISON_KEPT = 1000
POISON_BYTES = 4096
REFUSED_KEPT = 10_000

METADATA = sql.MetaData()
SETTLED = sql.Table(
    "settled",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("outcome", sql.String, primary_key=True),
    sql.Column("first", sql.BigInteger, primary_key=True),
    sql.Column("last", sql.BigInteger, nullable=False),
)
PROVENANCE = sql.Table(
    "provenance",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("config_hash", sql.String, primary_key=True),
    sql.Column("artifact_name", sql.String, primary_key=True),
    sql.Column("first", sql.BigInteger, nullable=False),
    sql.Column("last", sql.BigInteger, nullable=False),
)
ACCOUNT = sql.Table(
    "account",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("head", sql.BigInteger, nullable=False),
    sql.Column("pending", sql.Text, nullable=False),
    sql.Column("counters", sql.Text, nullable=False),
    sql.Column("at_ns", sql.BigInteger, nullable=False),
)
REFUSED = sql.Table(
    "refused_point",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("seq", sql.BigInteger, primary_key=True),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("line", sql.Text, nullable=False),
)
POISON = sql.Table(
    "poison",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("at_ns", sql.BigInteger, nullable=False),
    sql.Column("topic", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("size", sql.Integer, nullable=False),
    sql.Column("payload", sql.LargeBinary, nullable=False),
)


class Outcome(StrEnum):
    STORED = "stored"
    REFUSED = "refused"
    THINNED = "thinned"
    REPLAYED = "replayed"  # beside the others: stored, but late


@dataclass
class Settlement:
    """What one frame came to."""

    robot_id: str
    epoch: int
    config_hash: str
    artifact_name: str
    stored: SeqSet = field(default_factory=SeqSet)
    refused: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    thinned: SeqSet = field(default_factory=SeqSet)
    replayed: SeqSet = field(default_factory=SeqSet)


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
            "topic": _storable(self.topic)[:500],
            "reason": _storable(self.reason)[:1000],
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

    def settle(self, settlements: Sequence[Settlement], also: Also | None = None) -> None:
        """Idempotent: a frame that comes twice changes nothing.

        `also` is told, within the transaction, which numbers of each settlement are stored for the
        first time: what it writes happens with that, exactly once, or not at all.
        """
        with self.transaction() as connection:
            hold(connection, (_lock_name(item.robot_id) for item in settlements))
            fresh: list[SeqSet] = []
            for item in settlements:
                key = (item.robot_id, item.epoch)
                known = _stored_near(connection, key, item.stored)
                fresh.append(item.stored.minus(known))
                late = item.replayed.minus(known)
                _add(connection, key, Outcome.STORED, item.stored)
                _add(connection, key, Outcome.REFUSED, SeqSet((s, s) for s in sorted(item.refused)))
                _add(connection, key, Outcome.THINNED, item.thinned)
                _add(connection, key, Outcome.REPLAYED, late)
                _note_refused(connection, item)
                _note_provenance(connection, item)
            if also is not None:
                also(connection, fresh)

    def note_account(self, robot_id: str, message: bytes, at_ns: int) -> None:
        """The robot's own word about what it gave out and holds; ValueError when it is none."""
        self.note([Report(robot_id, *parse_account(message), at_ns)], [])

    def set_aside(self, topic: str, reason: str, payload: bytes, at_ns: int) -> None:
        self.note([], [Poison(topic, reason, payload, at_ns)])

    def note(self, reports: Sequence[Report], poison: Sequence[Poison]) -> None:
        """All of a batch in one transaction: a flood of nonsense must not cost a flush each.

        Of what could not be understood the newest is kept, cut to a size one can look at.
        """
        if not reports and not poison:
            return
        with self.transaction() as connection:
            hold(connection, (_lock_name(report.robot_id) for report in reports))
            for report in reports:
                _note_report(connection, report)
            if poison:
                connection.execute(sql.insert(POISON), [item.row for item in poison])
                newest = sql.select(sql.func.max(POISON.c.id)).scalar_subquery()
                connection.execute(sql.delete(POISON).where(POISON.c.id <= newest - POISON_KEPT))

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


def _lock_name(robot_id: str) -> str:
    return f"books/{robot_id}"


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


def _add(connection: Connection, key: tuple[str, int], outcome: Outcome, numbers: SeqSet) -> None:
    """Joins ranges with those already booked, so that the table stays as small as the losses."""
    robot_id, epoch = key
    mine = sql.and_(
        SETTLED.c.robot == robot_id, SETTLED.c.epoch == epoch, SETTLED.c.outcome == outcome.value
    )
    for first, last in numbers:
        touching = sql.and_(mine, SETTLED.c.first <= last + 1, SETTLED.c.last >= first - 1)
        rows = connection.execute(sql.select(SETTLED.c.first, SETTLED.c.last).where(touching)).all()
        if rows:
            connection.execute(sql.delete(SETTLED).where(touching))
        connection.execute(
            sql.insert(SETTLED).values(
                robot=robot_id,
                epoch=epoch,
                outcome=outcome.value,
                first=min([first, *(row.first for row in rows)]),
                last=max([last, *(row.last for row in rows)]),
            )
        )


def _stored_near(connection: Connection, key: tuple[str, int], numbers: SeqSet) -> SeqSet:
    """What was stored already: a record that came live and is sent again did not come late."""
    ranges = numbers.ranges()
    if not ranges:
        return SeqSet()
    query = sql.select(SETTLED.c.first, SETTLED.c.last).where(
        SETTLED.c.robot == key[0],
        SETTLED.c.epoch == key[1],
        SETTLED.c.outcome == Outcome.STORED.value,
        SETTLED.c.first <= ranges[-1][1],
        SETTLED.c.last >= ranges[0][0],
    )
    return SeqSet((row.first, row.last) for row in connection.execute(query))


def _note_report(connection: Connection, report: Report) -> None:
    """An older word that comes later changes nothing."""
    row = {
        "head": report.head,
        "pending": orjson.dumps(report.pending).decode(),
        "counters": orjson.dumps(report.counters).decode(),
        "at_ns": report.at_ns,
    }
    same = sql.and_(ACCOUNT.c.robot == report.robot_id, ACCOUNT.c.epoch == report.epoch)
    newer = sql.and_(same, ACCOUNT.c.head <= report.head)
    if connection.execute(sql.update(ACCOUNT).where(newer).values(**row)).rowcount:
        return
    if connection.execute(sql.select(ACCOUNT.c.head).where(same)).first() is None:
        values = {"robot": report.robot_id, "epoch": report.epoch, **row}
        connection.execute(sql.insert(ACCOUNT).values(**values))


def _note_refused(connection: Connection, item: Settlement) -> None:
    for seq, (reason, line) in item.refused.items():
        same = sql.and_(
            REFUSED.c.robot == item.robot_id, REFUSED.c.epoch == item.epoch, REFUSED.c.seq == seq
        )
        connection.execute(sql.delete(REFUSED).where(same))
        text = _storable(line.decode(errors="replace"))[:POISON_BYTES]
        row = {"robot": item.robot_id, "epoch": item.epoch, "seq": seq}
        why = _storable(reason)[:1000]
        connection.execute(sql.insert(REFUSED).values(**row, reason=why, line=text))
    if item.refused:
        count = sql.select(sql.func.count()).select_from(REFUSED)
        if connection.execute(count).scalar_one() > REFUSED_KEPT:
            mine = sql.and_(REFUSED.c.robot == item.robot_id, REFUSED.c.epoch == item.epoch)
            oldest = sql.select(sql.func.min(REFUSED.c.seq)).where(mine).scalar_subquery()
            connection.execute(sql.delete(REFUSED).where(mine, REFUSED.c.seq == oldest))


def _note_provenance(connection: Connection, item: Settlement) -> None:
    numbers = item.stored.ranges()
    if not numbers:
        return
    first, last = numbers[0][0], numbers[-1][1]
    key = {
        "robot": item.robot_id,
        "epoch": item.epoch,
        "config_hash": item.config_hash,
        "artifact_name": item.artifact_name,
    }
    same = sql.and_(*(PROVENANCE.c[name] == value for name, value in key.items()))
    row = connection.execute(sql.select(PROVENANCE).where(same)).first()
    if row is None:
        connection.execute(sql.insert(PROVENANCE).values(**key, first=first, last=last))
    elif first < row.first or last > row.last:
        wider = {"first": min(first, row.first), "last": max(last, row.last)}
        connection.execute(sql.update(PROVENANCE).where(same).values(**wider))


def _storable(text: str) -> str:
    """PostgreSQL has no zero byte in a text, nor halves of a character."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _plain(row: Any) -> dict[str, Any]:
    """A row with keys that are plain texts, which the library's own are not quite."""
    return {str(key): value for key, value in row._mapping.items()}
