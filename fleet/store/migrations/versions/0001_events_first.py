"""The log of events, with its index of words."""

import sqlalchemy as sql
from alembic import op

revision = "events_0001"
down_revision = None
branch_labels = ("events",)
depends_on = None


def upgrade() -> None:
    texts = ("site", "version", "name")
    op.create_table(
        "event_log",
        sql.Column("id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True),
        sql.Column("robot", sql.String(127), nullable=False),
        *(_whole(name) for name in ("epoch", "seq", "at_ns", "clock_ns", "arrived_s")),
        *(sql.Column(name, sql.String(127), nullable=False) for name in texts),
        sql.Column("severity", sql.String(16), nullable=False),
        *(sql.Column(name, sql.String(127), nullable=False) for name in ("source", "task")),
        sql.Column("task_id", sql.BigInteger),
        sql.Column("replayed", sql.Boolean, nullable=False),
        sql.Column("fields", sql.Text, nullable=False),
        sql.Column("words", sql.Text, nullable=False),
        sql.UniqueConstraint("robot", "epoch", "seq"),
    )
    op.create_index("event_log_at", "event_log", ["at_ns", "id"])
    op.create_index("event_log_robot_at", "event_log", ["robot", "at_ns"])
    op.create_index("event_log_name_at", "event_log", ["name", "at_ns"])
    op.create_index("event_log_task_id", "event_log", ["task_id", "at_ns"])
    op.create_index("event_log_arrived", "event_log", ["arrived_s"])
    for statement in POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE:
        op.execute(statement)


def _whole(name: str) -> "sql.Column[int]":
    return sql.Column(name, sql.BigInteger, nullable=False)


POSTGRESQL = (
    "ALTER TABLE event_log ADD COLUMN found tsvector"
    " GENERATED ALWAYS AS (to_tsvector('simple', words)) STORED",
    "CREATE INDEX event_log_found ON event_log USING GIN (found)",
)
SQLITE = (
    "CREATE VIRTUAL TABLE event_words USING fts5(words, content='event_log', content_rowid='id')",
    "CREATE TRIGGER event_log_in AFTER INSERT ON event_log BEGIN"
    " INSERT INTO event_words(rowid, words) VALUES (new.id, new.words); END",
    "CREATE TRIGGER event_log_out AFTER DELETE ON event_log BEGIN"
    " INSERT INTO event_words(event_words, rowid, words)"
    " VALUES ('delete', old.id, old.words); END",
)
