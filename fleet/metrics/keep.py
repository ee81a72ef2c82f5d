"""Rollups grow coarser with age and end: sums move into wider rows, none is lost on the way.

Records may still come late for a time whose rows are coarse already: they make fine rows, which
the next turn moves. One transaction does it all, so that a question never sees a sum twice.
"""

from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from conf.schema.telemetry import Keep
from fleet.events.log import forget
from fleet.metrics.rollup import DAY_S, FLEET_WIDTH_S, HOUR_S, ROBOT_WIDTH_S, insert, summing
from fleet.metrics.tables import SUMMED, UPTIME
from fleet.store.rows import Transaction, hold
from fleet.traces.log import forget as forget_spans

FINE_S = (FLEET_WIDTH_S, ROBOT_WIDTH_S)


def thin(rows: Engine, now_s: int, keep: Keep) -> None:
    """Safe to call as often as one likes, by any number of processes; StoreUnavailableError."""
    hourly_s = now_s - round(keep.fine_hours * HOUR_S)
    daily_s = now_s - round(keep.hourly_days * DAY_S)
    gone_s = now_s - round(keep.daily_days * DAY_S)
    with Transaction(rows) as connection:
        hold(connection, ["rollup/thin"])
        for table in SUMMED:
            _widen(connection, table, FINE_S, HOUR_S, hourly_s)
            _widen(connection, table, (HOUR_S,), DAY_S, daily_s)
            connection.execute(
                sql.delete(table).where(table.c.width_s == DAY_S, table.c.start_s < gone_s)
            )
        connection.execute(sql.delete(UPTIME).where(UPTIME.c.hour_s < daily_s))
        events_s = now_s - round(keep.events_days * DAY_S)
        forget(connection, events_s)
        forget_spans(connection, events_s)


def _widen(
    connection: Connection, table: sql.Table, widths_s: tuple[int, ...], to_s: int, before_s: int
) -> None:
    """Whole wide spans only: half an hour that is fine and half that is not would be two rows."""
    whole_s = before_s - before_s % to_s
    old = sql.and_(table.c.width_s.in_(widths_s), table.c.start_s < whole_s)
    start = (table.c.start_s - table.c.start_s % to_s).label("start_s")
    keys = [column for column in table.primary_key if column.name not in ("width_s", "start_s")]
    sums = [column for column in table.c if not column.primary_key]
    columns: list[Any] = [sql.literal(to_s).label("width_s"), start, *keys]
    query = (
        sql.select(*columns, *(sql.func.sum(column).label(column.name) for column in sums))
        .where(old)
        .group_by(start, *keys)
    )
    names = ["width_s", "start_s", *(column.name for column in (*keys, *sums))]
    statement = insert(connection, table).from_select(names, query)
    connection.execute(summing(statement, table))
    connection.execute(sql.delete(table).where(old))
