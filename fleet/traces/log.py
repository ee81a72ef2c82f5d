"""Spans into rows, in the transaction that settles them: each once, in any order, or not at all.

Beside what a robot tells stands what the fleet does with it: the message's trace contexts join the
step of ingest to the task. A context is believed only for a trace that the message itself carries,
and rows are kept by robot: none can write into another's journey.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from fleet.metrics.rollup import Origin, plausible_ns
from fleet.traces.context import parents_of
from fleet.traces.tables import TRACE_SPAN
from records import TelemetryFrame
from runtime.telemetry.ranges import SeqSet, expand
from runtime.telemetry.span import Span, SpanError, Status, read_span, span_id_of

log = logging.getLogger(__name__)

ROBOT, FLEET = "robot", "fleet"
INGEST = "ingest"
ATTRIBUTES_MAX_BYTES = 8192
MEASUREMENT = b"span"
_SPAN = MEASUREMENT + b","


@dataclass(frozen=True)
class Arrival:
    """What came with a message: its user properties, and the fleet's clock at that moment."""

    said: Sequence[tuple[str, str]] = ()
    at_ns: int = 0  # 0: not noted


@dataclass(frozen=True)
class Told:
    seq: int
    span: Span
    origin: str = ROBOT


@dataclass(frozen=True)
class Delivery:
    """The spans of one frame."""

    origin: Origin
    epoch: int
    arrival: Arrival
    told: tuple[Told, ...]


def delivery_of(frame: TelemetryFrame, origin: Origin, arrival: Arrival) -> Delivery:
    return Delivery(origin, frame.epoch, arrival, tuple(_told(frame)))


def _told(frame: TelemetryFrame) -> Iterator[Told]:
    for seq, line in zip(expand(frame.ranges), frame.lines, strict=True):
        if not line.startswith(_SPAN):
            continue
        try:
            span = read_span(line)
        except SpanError as error:
            log.warning("robot %s, record %d: no span (%s)", frame.robot_id, seq, error)
            continue
        if span is not None:
            yield Told(seq, span)


def write(
    connection: Connection, deliveries: Iterable[tuple[Delivery, SeqSet]], stored_ns: int
) -> None:
    """`stored_ns` is when the series store had taken them; the sets are numbers not seen before."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for delivery, fresh in deliveries:
        told = [item for item in delivery.told if item.seq in fresh]
        for item in (*told, *_ingested(delivery, told, stored_ns)):
            row = _row(delivery, item, stored_ns)
            key = (row["robot"], row["trace"], row["span"])
            if key not in rows or _rank(row) > _rank(rows[key]):
                rows[key] = row
    if rows:
        connection.execute(_upsert(connection.dialect.name), [rows[key] for key in sorted(rows)])


def forget(connection: Connection, before_s: int) -> int:
    """By arrival: a clock that is wrong by years must not make a journey live for years."""
    old = sql.delete(TRACE_SPAN).where(TRACE_SPAN.c.arrived_s < before_s)
    return connection.execute(old).rowcount


def _ingested(delivery: Delivery, told: Sequence[Told], stored_ns: int) -> Iterator[Told]:
    """The fleet's own step, once for each journey whose spans are new in this message."""
    parents = parents_of(delivery.arrival.said) if told else {}
    first: dict[str, Told] = {}
    for item in told:
        first.setdefault(item.span.trace_id, item)
    for trace_id, item in first.items():
        if trace_id not in parents:
            continue
        start_ns = delivery.arrival.at_ns or stored_ns
        span = Span(
            trace_id=trace_id,
            span_id=span_id_of(trace_id, INGEST, delivery.epoch, item.seq),
            parent_id=parents[trace_id],
            name=INGEST,
            task_id=item.span.task_id,
            start_ns=min(start_ns, stored_ns),
            end_ns=stored_ns,
            status=Status.OK,
            attributes={
                "records": sum(one.span.trace_id == trace_id for one in told),
                "replayed": delivery.origin.replayed,
            },
            source="ingestd",
        )
        yield Told(item.seq, span, FLEET)


def _row(delivery: Delivery, item: Told, stored_ns: int) -> dict[str, Any]:
    span, origin = item.span, delivery.origin
    shown = orjson.dumps(dict(span.attributes))
    return {
        "robot": origin.robot,
        "trace": span.trace_id,
        "span": span.span_id,
        "parent": span.parent_id,
        "origin": item.origin,
        "source": _storable(span.source)[:127],
        "name": span.name,
        "task_id": span.task_id,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": span.status.value,
        "attributes": shown.decode() if len(shown) <= ATTRIBUTES_MAX_BYTES else "{}",
        "site": origin.site,
        "hardware": origin.hardware,
        "version": origin.version,
        "epoch": delivery.epoch,
        "seq": item.seq,
        "at_ns": plausible_ns(span.start_ns, stored_ns),
        "arrived_s": stored_ns // 10**9,
        "exported": False,
    }


def _rank(row: dict[str, Any]) -> tuple[int, int, int]:
    """Of two words about one step the later end counts; then any order, so long as it is one."""
    return (-1 if row["end_ns"] is None else row["end_ns"], row["epoch"], row["seq"])


@lru_cache
def _upsert(dialect: str) -> Any:
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(TRACE_SPAN)
    old, new = TRACE_SPAN.c, statement.excluded
    old_end, new_end = (sql.func.coalesce(end, -1) for end in (old.end_ns, new.end_ns))
    same_end, same_epoch = new_end == old_end, new.epoch == old.epoch
    newer = sql.or_(
        new_end > old_end,
        sql.and_(same_end, new.epoch > old.epoch),
        sql.and_(same_end, same_epoch, new.seq > old.seq),
    )
    changed = {
        column.name: new[column.name]
        for column in TRACE_SPAN.c
        if column.name not in ("id", "robot", "trace", "span")
    }
    return statement.on_conflict_do_update(
        index_elements=["robot", "trace", "span"], set_=changed, where=newer
    )


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")
