"""Tables of the books: what became of every sequence number, and what was set aside."""

from enum import StrEnum

import sqlalchemy as sql

METADATA = sql.MetaData()
SETTLED = sql.Table(
    "settled",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("outcome", sql.String, primary_key=True),
    sql.Column("first", sql.BigInteger, primary_key=True),
    sql.Column("last", sql.BigInteger, nullable=False),
)
PROVENANCE = sql.Table(
    "provenance",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("config_hash", sql.String, primary_key=True),
    sql.Column("artifact_name", sql.String, primary_key=True),
    sql.Column("first", sql.BigInteger, nullable=False),
    sql.Column("last", sql.BigInteger, nullable=False),
)
ACCOUNT = sql.Table(
    "account",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("head", sql.BigInteger, nullable=False),
    sql.Column("pending", sql.Text, nullable=False),
    sql.Column("counters", sql.Text, nullable=False),
    sql.Column("at_ns", sql.BigInteger, nullable=False),
)
REFUSED = sql.Table(
    "refused_point",
    METADATA,
    sql.Column("robot", sql.String, primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True),
    sql.Column("seq", sql.BigInteger, primary_key=True),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("line", sql.Text, nullable=False),
)
POISON = sql.Table(
    "poison",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("at_ns", sql.BigInteger, nullable=False),
    sql.Column("topic", sql.Text, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("size", sql.Integer, nullable=False),
    sql.Column("payload", sql.LargeBinary, nullable=False),
)


class Outcome(StrEnum):
    STORED = "stored"
    REFUSED = "refused"
    THINNED = "thinned"
    REPLAYED = "replayed"  # beside the others: stored, but late
