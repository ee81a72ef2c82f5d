"""Incidents, the alerts in them, their runbook's steps, and what happened when."""

import sqlalchemy as sql

METADATA = sql.MetaData()
INCIDENT = sql.Table(
    "incident",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("title", sql.Text, nullable=False),
    sql.Column("severity", sql.String(16), nullable=False),
    sql.Column("subject", sql.String(128), nullable=False),
    sql.Column("site", sql.String(128), nullable=False),
    sql.Column("runbook", sql.String(200), nullable=False),
    sql.Column("opened_ns", sql.BigInteger, nullable=False),
    sql.Column("opened_by", sql.String(128), nullable=False),
    sql.Column("recovered_ns", sql.BigInteger),
    sql.Column("closed_ns", sql.BigInteger, index=True),
    sql.Column("closed_by", sql.String(128)),
    sql.Column("cause", sql.Text, nullable=False),
    sql.Column("prevention", sql.Text, nullable=False),
)
MEMBER = sql.Table(
    "incident_alert",
    METADATA,
    sql.Column("incident", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("subject", sql.String(128), primary_key=True),
    sql.Column("rule", sql.String(64), primary_key=True),
    sql.Column("began_ns", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("ended_ns", sql.BigInteger),
    sql.Column("summary", sql.Text, nullable=False),
)
STEP = sql.Table(
    "incident_step",
    METADATA,
    sql.Column("incident", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("text", sql.Text, nullable=False),
    sql.Column("commands", sql.Text, nullable=False),  # one a line
    sql.Column("done_ns", sql.BigInteger),
    sql.Column("done_by", sql.String(128)),
    sql.Column("needed", sql.Boolean, nullable=False),
)
ENTRY = sql.Table(
    "incident_entry",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("incident", sql.Integer, nullable=False, index=True),
    sql.Column("at_ns", sql.BigInteger, nullable=False),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("who", sql.String(128), nullable=False),
    sql.Column("text", sql.Text, nullable=False),
)
