"""What alerts remember: states that must outlive the process, and what has fired."""

import sqlalchemy as sql

METADATA = sql.MetaData()
LANE = sql.Table(
    "alert_lane",
    METADATA,
    sql.Column("subject", sql.String(128), primary_key=True),
    sql.Column("signal", sql.String(64), primary_key=True),
    sql.Column("body", sql.LargeBinary, nullable=False),
)
EPISODE = sql.Table(
    "alert_episode",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("subject", sql.String(128), nullable=False),
    sql.Column("rule", sql.String(64), nullable=False),
    sql.Column("began_ns", sql.BigInteger, nullable=False),
    sql.Column("ended_ns", sql.BigInteger),
    sql.Column("alert", sql.String(64), nullable=False),
    sql.Column("severity", sql.String(16), nullable=False),
    sql.Column("summary", sql.Text, nullable=False),
    sql.Column("runbook", sql.String(200), nullable=False),
    sql.Column("value", sql.Float),
    sql.Column("past", sql.Boolean, nullable=False),
    sql.Column("told_ns", sql.BigInteger),
    sql.UniqueConstraint("subject", "rule", "began_ns"),
)
HEARD = sql.Table(
    "alert_heard",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("body", sql.LargeBinary, nullable=False),
)
NOTICE = sql.Table(
    "alert_notice",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("at_ns", sql.BigInteger, nullable=False),
    sql.Column("body", sql.LargeBinary, nullable=False),
)
