"""Events into rows, in the transaction that settles them: each once, or not at all."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from fleet.events.tables import EVENT_LOG, words_of
from fleet.metrics.rollup import Origin, insert, plausible_ns
from fleet.store.rows import Transaction, hold, read
from fleet.store.series import EVENT, Query, SeriesStore
from runtime.telemetry.client import Value
from runtime.telemetry.line import LineError, Point, decode_rest, plain_names, split_series

NAME_MAX = 127
FIELDS_MAX = 16_384
ADOPTED_MAX = 50_000
MEASUREMENT = EVENT.encode()
OWN = frozenset({"name", "severity", "source", "seq", "epoch"})


@dataclass(frozen=True)
class Logged:
    """One event, and the number it has on its robot; fields as its process named them."""

    origin: Origin
    epoch: int
    seq: int
    at_ns: int
    fields: Mapping[str, Value]

    def row(self, arrived_ns: int) -> dict[str, Any]:
        fields = self.fields
        said = {key: value for key, value in fields.items() if key not in OWN}
        shown = orjson.dumps(said).decode()
        task_id = fields.get("task_id")
        return {
            "robot": self.origin.robot,
            "epoch": self.epoch,
            "seq": self.seq,
            "at_ns": plausible_ns(self.at_ns, arrived_ns),
            "clock_ns": self.at_ns,
            "arrived_s": arrived_ns // 10**9,
            "site": self.origin.site,
            "version": self.origin.version,
            "name": _text(fields.get("name"), "unnamed"),
            "severity": _text(fields.get("severity"), "info")[:16],
            "source": _text(fields.get("source"), ""),
            "task": _text(fields.get("skill"), ""),
            "task_id": _whole(task_id),
            "replayed": self.origin.replayed,
            "fields": shown if len(shown) <= FIELDS_MAX else "{}",
            "words": words_of(" ".join(_words(self.origin, fields))),
        }


def read_event(line: bytes, origin: Origin, epoch: int, seq: int) -> Logged | None:
    """Of a line of this measurement and of that robot; None: it cannot be read."""
    try:
        fields, at_ns = decode_rest(split_series(line)[1])
    except LineError:
        return None
    return Logged(origin, epoch, seq, at_ns, plain_names(fields))


def write(connection: Connection, events: Iterable[Logged], arrived_ns: int) -> None:
    rows = [event.row(arrived_ns) for event in events]
    if rows:
        statement = insert(connection, EVENT_LOG)
        same = ["robot", "epoch", "seq"]
        connection.execute(statement.on_conflict_do_nothing(index_elements=same), rows)


def forget(connection: Connection, before_s: int) -> int:
    """By arrival: a clock that is wrong by years must not make an event live for years."""
    old = sql.delete(EVENT_LOG).where(EVENT_LOG.c.arrived_s < before_s)
    return connection.execute(old).rowcount


def adopt(rows: Engine, store: SeriesStore, now_ns: int) -> int:
    """Once: events of before there were rows of them, from the series; returns how many."""
    if read(rows, sql.select(EVENT_LOG.c.id).limit(1)):
        return 0
    points = store.points(Query(EVENT, limit=ADOPTED_MAX))
    found = [event for point in reversed(points) if (event := _of_point(point)) is not None]
    with Transaction(rows) as connection:
        hold(connection, ["events/adopt"])
        write(connection, found, now_ns)
    return len(found)


def _of_point(point: Point) -> Logged | None:
    epoch, seq = point.fields.get("epoch"), point.fields.get("seq")
    if not isinstance(epoch, int | float) or not isinstance(seq, int | float):
        return None
    tags = point.tags
    origin = Origin(
        robot=tags.get("robot", ""),
        site=tags.get("site", ""),
        hardware=tags.get("hardware", ""),
        version=tags.get("version", ""),
        config_hash="",
        replayed=False,
    )
    return Logged(origin, int(epoch), int(seq), point.time_ns, plain_names(point.fields))


def _words(origin: Origin, fields: Mapping[str, Value]) -> Iterable[str]:
    yield from (origin.robot, origin.site, origin.version)
    for key, value in fields.items():
        if isinstance(value, str):
            yield value
        elif key == "task_id":
            yield f"{value:.0f}"


def _text(value: Value | None, otherwise: str) -> str:
    if not isinstance(value, str) or not value:
        return otherwise
    return value.replace("\0", "\ufffd")[:NAME_MAX]


def _whole(value: Value | None) -> int | None:
    if isinstance(value, bool | str) or value is None or not abs(value) < 2**62:
        return None
    return int(value)
