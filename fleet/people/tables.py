"""Rows of people. Passwords, sessions, tokens and links are kept as hashes only."""

import sqlalchemy as sql

METADATA = sql.MetaData()

PERSON = sql.Table(
    "person",
    METADATA,
    sql.Column("name", sql.String(48), primary_key=True),
    sql.Column("role", sql.String(16), nullable=False),
    sql.Column("password_hash", sql.String(256), nullable=False),
    sql.Column("disabled", sql.Boolean, nullable=False),
    sql.Column("created_s", sql.BigInteger, nullable=False),
    sql.Column("changed_s", sql.BigInteger, nullable=False),
)
SESSION = sql.Table(
    "person_session",
    METADATA,
    sql.Column("digest", sql.String(64), primary_key=True),
    sql.Column("person", sql.String(48), nullable=False, index=True),
    sql.Column("address", sql.String(64), nullable=False),
    sql.Column("created_s", sql.BigInteger, nullable=False),
    sql.Column("seen_s", sql.BigInteger, nullable=False),
)
TOKEN = sql.Table(
    "person_token",
    METADATA,
    sql.Column("id", sql.String(16), primary_key=True),
    sql.Column("digest", sql.String(64), nullable=False, unique=True),
    sql.Column("person", sql.String(48), nullable=False, index=True),
    sql.Column("label", sql.String(80), nullable=False),
    sql.Column("role", sql.String(16), nullable=False),
    sql.Column("created_s", sql.BigInteger, nullable=False),
    sql.Column("expires_s", sql.BigInteger, nullable=False),
    sql.Column("used_s", sql.BigInteger),
)
SIGN_IN = sql.Table(
    "sign_in_link",
    METADATA,
    sql.Column("digest", sql.String(64), primary_key=True),
    sql.Column("person", sql.String(48), nullable=False),
    sql.Column("expires_s", sql.BigInteger, nullable=False),
)
AUDIT = sql.Table(
    "audit",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
    sql.Column("at_ns", sql.BigInteger, nullable=False, index=True),
    sql.Column("who", sql.String(80), nullable=False),
    sql.Column("via", sql.String(16), nullable=False),
    sql.Column("address", sql.String(64), nullable=False),
    sql.Column("action", sql.String(120), nullable=False),
    sql.Column("target", sql.String(200), nullable=False),
    sql.Column("outcome", sql.String(40), nullable=False),
)
