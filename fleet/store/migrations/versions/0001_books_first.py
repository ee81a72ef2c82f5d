"""The books of sequence numbers, and what was set aside."""

import sqlalchemy as sql
from alembic import op

revision = "books_0001"
down_revision = None
branch_labels = ("books",)
depends_on = None


def upgrade() -> None:
    # Before there were migrations these tables were made as they are here: those are adopted.
    op.create_table(
        "settled",
        sql.Column("robot", sql.String, primary_key=True),
        sql.Column("epoch", sql.BigInteger, primary_key=True),
        sql.Column("outcome", sql.String, primary_key=True),
        sql.Column("first", sql.BigInteger, primary_key=True),
        sql.Column("last", sql.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "provenance",
        sql.Column("robot", sql.String, primary_key=True),
        sql.Column("epoch", sql.BigInteger, primary_key=True),
        sql.Column("config_hash", sql.String, primary_key=True),
        sql.Column("artifact_name", sql.String, primary_key=True),
        sql.Column("first", sql.BigInteger, nullable=False),
        sql.Column("last", sql.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "account",
        sql.Column("robot", sql.String, primary_key=True),
        sql.Column("epoch", sql.BigInteger, primary_key=True),
        sql.Column("head", sql.BigInteger, nullable=False),
        sql.Column("pending", sql.Text, nullable=False),
        sql.Column("counters", sql.Text, nullable=False),
        sql.Column("at_ns", sql.BigInteger, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "refused_point",
        sql.Column("robot", sql.String, primary_key=True),
        sql.Column("epoch", sql.BigInteger, primary_key=True),
        sql.Column("seq", sql.BigInteger, primary_key=True),
        sql.Column("reason", sql.Text, nullable=False),
        sql.Column("line", sql.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "poison",
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
        sql.Column("at_ns", sql.BigInteger, nullable=False),
        sql.Column("topic", sql.Text, nullable=False),
        sql.Column("reason", sql.Text, nullable=False),
        sql.Column("size", sql.Integer, nullable=False),
        sql.Column("payload", sql.LargeBinary, nullable=False),
        if_not_exists=True,
    )
