"""Rollups: sums of task ends, failure reasons and latencies; minutes of uptime; robots seen."""

import sqlalchemy as sql
from alembic import op

revision = "metrics_0001"
down_revision = None
branch_labels = ("metrics",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollup_count",
        *_keys("robot", "site", "version", "task"),
        *(_sum(name) for name in ("done", "failed", "attempts", "errors", "duration_ms")),
    )
    op.create_table(
        "rollup_reason", *_keys("robot", "site", "version", "task", "reason"), _sum("failed")
    )
    for name in ("rollup_count", "rollup_reason"):
        op.create_index(f"{name}_of", name, ["robot", "width_s", "start_s"])
    op.create_table(
        "rollup_latency",
        *_keys("site", "version", "task", "kind"),
        sql.Column("slot", sql.Integer, primary_key=True, autoincrement=False),
        _sum("samples"),
    )
    op.create_table(
        "uptime",
        sql.Column("robot", sql.String(127), primary_key=True),
        sql.Column("hour_s", sql.BigInteger, primary_key=True, autoincrement=False),
        _sum("minutes"),
    )
    op.create_table(
        "robot_seen",
        sql.Column("robot", sql.String(127), primary_key=True),
        sql.Column("site", sql.String(127), nullable=False),
        sql.Column("hardware", sql.String(127), nullable=False),
        sql.Column("version", sql.String(127), nullable=False),
        sql.Column("config_hash", sql.String(64), nullable=False),
        *(_sum(name) for name in ("first_s", "heard_s", "misdated")),
    )


def _keys(*names: str) -> list["sql.Column[object]"]:
    return [
        sql.Column("width_s", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("start_s", sql.BigInteger, primary_key=True, autoincrement=False),
        *(sql.Column(name, sql.String(127), primary_key=True) for name in names),
    ]


def _sum(name: str) -> "sql.Column[int]":
    return sql.Column(name, sql.BigInteger, nullable=False)
