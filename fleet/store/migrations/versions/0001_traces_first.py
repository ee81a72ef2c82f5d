"""Spans of tasks' journeys."""

import sqlalchemy as sql
from alembic import op

revision = "traces_0001"
down_revision = None
branch_labels = ("traces",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trace_span",
        sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True),
        _text("robot", 127),
        _text("trace", 32),
        _text("span", 16),
        _text("parent", 16),
        _text("origin", 8),
        _text("source", 127),
        _text("name", 64),
        _whole("task_id"),
        _whole("start_ns"),
        sql.Column("end_ns", sql.BigInteger),
        _text("status", 8),
        sql.Column("attributes", sql.Text, nullable=False),
        *(_text(name, 127) for name in ("site", "hardware", "version")),
        *(_whole(name) for name in ("epoch", "seq", "at_ns", "arrived_s")),
        sql.Column("exported", sql.Boolean, nullable=False),
        sql.UniqueConstraint("robot", "trace", "span"),
    )
    op.create_index("trace_span_task", "trace_span", ["robot", "task_id"])
    op.create_index("trace_span_trace", "trace_span", ["trace"])
    op.create_index("trace_span_parent", "trace_span", ["parent", "at_ns"])
    op.create_index("trace_span_arrived", "trace_span", ["arrived_s"])
    op.create_index(
        "trace_span_unsent",
        "trace_span",
        ["id"],
        sqlite_where=sql.text("exported = 0"),
        postgresql_where=sql.text("NOT exported"),
    )


def _text(name: str, length: int) -> "sql.Column[str]":
    return sql.Column(name, sql.String(length), nullable=False)


def _whole(name: str) -> "sql.Column[int]":
    return sql.Column(name, sql.BigInteger, nullable=False)
