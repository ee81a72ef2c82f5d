"""Accounts of people, their sessions and tokens, links to sign in, and the audit."""

import sqlalchemy as sql
from alembic import op

revision = "people_0001"
down_revision = None
branch_labels = ("people",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person",
        sql.Column("name", sql.String(48), primary_key=True),
        sql.Column("role", sql.String(16), nullable=False),
        sql.Column("password_hash", sql.String(256), nullable=False),
        sql.Column("disabled", sql.Boolean, nullable=False),
        sql.Column("created_s", sql.BigInteger, nullable=False),
        sql.Column("changed_s", sql.BigInteger, nullable=False),
    )
    op.create_table(
        "person_session",
        sql.Column("digest", sql.String(64), primary_key=True),
        sql.Column("person", sql.String(48), nullable=False, index=True),
        sql.Column("address", sql.String(64), nullable=False),
        sql.Column("created_s", sql.BigInteger, nullable=False),
        sql.Column("seen_s", sql.BigInteger, nullable=False),
    )
    op.create_table(
        "person_token",
        sql.Column("id", sql.String(16), primary_key=True),
        sql.Column("digest", sql.String(64), nullable=False, unique=True),
        sql.Column("person", sql.String(48), nullable=False, index=True),
        sql.Column("label", sql.String(80), nullable=False),
        sql.Column("role", sql.String(16), nullable=False),
        sql.Column("created_s", sql.BigInteger, nullable=False),
        sql.Column("expires_s", sql.BigInteger, nullable=False),
        sql.Column("used_s", sql.BigInteger),
    )
    op.create_table(
        "sign_in_link",
        sql.Column("digest", sql.String(64), primary_key=True),
        sql.Column("person", sql.String(48), nullable=False),
        sql.Column("expires_s", sql.BigInteger, nullable=False),
    )
    op.create_table(
        "audit",
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
        sql.Column("at_ns", sql.BigInteger, nullable=False, index=True),
        sql.Column("who", sql.String(80), nullable=False),
        sql.Column("via", sql.String(16), nullable=False),
        sql.Column("address", sql.String(64), nullable=False),
        sql.Column("action", sql.String(120), nullable=False),
        sql.Column("target", sql.String(200), nullable=False),
        sql.Column("outcome", sql.String(40), nullable=False),
    )


def downgrade() -> None:
    for table in ("audit", "sign_in_link", "person_token", "person_session", "person"):
        op.drop_table(table)
