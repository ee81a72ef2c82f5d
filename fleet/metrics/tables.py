"""Rollups: what the fleet's numbers are summed from, so that no page has to scan events.

A row holds a span of time (`start_s`, `width_s`) and sums; rows never overlap in what they count.
Robot "" is the fleet: a robot's record is counted in its own row and in the fleet's.
"""

from typing import Any

import sqlalchemy as sql

METADATA = sql.MetaData()
FLEET = ""

_SPAN = (("width_s", sql.Integer), ("start_s", sql.BigInteger))


def _keys(*names: str) -> list["sql.Column[Any]"]:
    span = [sql.Column(name, kind, primary_key=True, autoincrement=False) for name, kind in _SPAN]
    return [*span, *(sql.Column(name, sql.String(127), primary_key=True) for name in names)]


COUNT = sql.Table(
    "rollup_count",
    METADATA,
    *_keys("robot", "site", "version", "task"),
    sql.Column("done", sql.BigInteger, nullable=False),
    sql.Column("failed", sql.BigInteger, nullable=False),
    sql.Column("attempts", sql.BigInteger, nullable=False),
    sql.Column("errors", sql.BigInteger, nullable=False),  # attempts that failed
    sql.Column("duration_ms", sql.BigInteger, nullable=False),  # of tasks that ended, summed
)
REASON = sql.Table(
    "rollup_reason",
    METADATA,
    *_keys("robot", "site", "version", "task", "reason"),
    sql.Column("failed", sql.BigInteger, nullable=False),
)
LATENCY = sql.Table(
    "rollup_latency",
    METADATA,
    *_keys("site", "version", "task", "kind"),
    sql.Column("slot", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("samples", sql.BigInteger, nullable=False),
)
UPTIME = sql.Table(
    "uptime",
    METADATA,
    sql.Column("robot", sql.String(127), primary_key=True),
    sql.Column("hour_s", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("minutes", sql.BigInteger, nullable=False),  # bit n: up in minute n
)
SEEN = sql.Table(
    "robot_seen",
    METADATA,
    sql.Column("robot", sql.String(127), primary_key=True),
    sql.Column("site", sql.String(127), nullable=False),
    sql.Column("hardware", sql.String(127), nullable=False),
    sql.Column("version", sql.String(127), nullable=False),
    sql.Column("config_hash", sql.String(64), nullable=False),
    sql.Column("first_s", sql.BigInteger, nullable=False),  # the fleet's clock
    sql.Column("heard_s", sql.BigInteger, nullable=False),
    sql.Column("misdated", sql.BigInteger, nullable=False),  # records whose time cannot be true
    # Of the newest record by its time: that one says what runs now, in whatever order they come.
    sql.Column("newest_ns", sql.BigInteger, nullable=False, server_default="0"),
)
SUMMED = (COUNT, REASON, LATENCY)
# The keys serve questions about all robots; these, about the fleet as one and about one robot.
for _table in (COUNT, REASON):
    sql.Index(f"{_table.name}_of", _table.c.robot, _table.c.width_s, _table.c.start_s)
