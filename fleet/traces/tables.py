"""Rows of spans. The series store has those of robots too; these can be put together and asked."""

import sqlalchemy as sql

METADATA = sql.MetaData()
TRACE_SPAN = sql.Table(
    "trace_span",
    METADATA,
    sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True),
    sql.Column("robot", sql.String(127), nullable=False),
    sql.Column("trace", sql.String(32), nullable=False),
    sql.Column("span", sql.String(16), nullable=False),
    sql.Column("parent", sql.String(16), nullable=False),  # "" for the task itself
    sql.Column("origin", sql.String(8), nullable=False),  # whose clock: robot or fleet
    sql.Column("source", sql.String(127), nullable=False),  # which process
    sql.Column("name", sql.String(64), nullable=False),
    sql.Column("task_id", sql.BigInteger, nullable=False),
    sql.Column("start_ns", sql.BigInteger, nullable=False),
    sql.Column("end_ns", sql.BigInteger),  # none: it goes on, or its end was never told
    sql.Column("status", sql.String(8), nullable=False),
    sql.Column("attributes", sql.Text, nullable=False),
    sql.Column("site", sql.String(127), nullable=False),
    sql.Column("hardware", sql.String(127), nullable=False),
    sql.Column("version", sql.String(127), nullable=False),
    sql.Column("epoch", sql.BigInteger, nullable=False),  # and the number it has on its robot
    sql.Column("seq", sql.BigInteger, nullable=False),
    sql.Column("at_ns", sql.BigInteger, nullable=False),  # its beginning, where plausible
    sql.Column("arrived_s", sql.BigInteger, nullable=False),
    sql.Column("exported", sql.Boolean, nullable=False),
    sql.UniqueConstraint("robot", "trace", "span"),
    sql.Index("trace_span_task", "robot", "task_id"),
    sql.Index("trace_span_trace", "trace"),
    sql.Index("trace_span_parent", "parent", "at_ns"),
    sql.Index("trace_span_arrived", "arrived_s"),
    sql.Index(
        "trace_span_unsent",
        "id",
        sqlite_where=sql.text("exported = 0"),
        postgresql_where=sql.text("NOT exported"),
    ),
)
