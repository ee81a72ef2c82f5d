"""Rows of events. The series store has them too; these can be searched, on either database."""

import re

import sqlalchemy as sql

METADATA = sql.MetaData()
EVENT_LOG = sql.Table(
    "event_log",
    METADATA,
    sql.Column(
        "id", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True
    ),  # in the order of arrival
    sql.Column("robot", sql.String(127), nullable=False),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("seq", sql.BigInteger, nullable=False),
    sql.Column("at_ns", sql.BigInteger, nullable=False),  # the robot's clock, where plausible
    sql.Column("clock_ns", sql.BigInteger, nullable=False),  # the robot's clock, whatever it says
    sql.Column("arrived_s", sql.BigInteger, nullable=False),  # the fleet's clock
    sql.Column("site", sql.String(127), nullable=False),
    sql.Column("version", sql.String(127), nullable=False),
    sql.Column("name", sql.String(127), nullable=False),
    sql.Column("severity", sql.String(16), nullable=False),
    sql.Column("source", sql.String(127), nullable=False),
    sql.Column("task", sql.String(127), nullable=False),  # what kind; "" where it is of no task
    sql.Column("task_id", sql.BigInteger),
    sql.Column("replayed", sql.Boolean, nullable=False),
    sql.Column("fields", sql.Text, nullable=False),
    sql.Column("words", sql.Text, nullable=False),
    sql.UniqueConstraint("robot", "epoch", "seq"),
    sql.Index("event_log_at", "at_ns", "id"),
    sql.Index("event_log_robot_at", "robot", "at_ns"),
    sql.Index("event_log_name_at", "name", "at_ns"),
    sql.Index("event_log_task_id", "task_id", "at_ns"),
    sql.Index("event_log_arrived", "arrived_s"),
)
WORDS = "event_words"  # SQLite's index over `words`; PostgreSQL has a column of its own, `found`

_WORD = re.compile(r"[^\W_]+")
WORDS_MAX = 8000


def words_of(text: str) -> str:
    """Letters and digits only, in lower case: both databases then agree what a word is."""
    return " ".join(_WORD.findall(text.lower()))[:WORDS_MAX]
