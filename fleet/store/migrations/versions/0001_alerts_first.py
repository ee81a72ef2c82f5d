"""States of alerts that outlive the process, what has fired, and what nobody has taken yet."""

import sqlalchemy as sql
from alembic import op

revision = "alerts_0001"
down_revision = None
branch_labels = ("alerts",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_lane",
        sql.Column("subject", sql.String(128), primary_key=True),
        sql.Column("signal", sql.String(64), primary_key=True),
        sql.Column("body", sql.LargeBinary, nullable=False),
    )
    op.create_table(
        "alert_episode",
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
        sql.Column("subject", sql.String(128), nullable=False),
        sql.Column("rule", sql.String(64), nullable=False),
        sql.Column("began_ns", sql.BigInteger, nullable=False),
        sql.Column("ended_ns", sql.BigInteger, index=True),
        sql.Column("alert", sql.String(64), nullable=False),
        sql.Column("severity", sql.String(16), nullable=False),
        sql.Column("summary", sql.Text, nullable=False),
        sql.Column("runbook", sql.String(200), nullable=False),
        sql.Column("value", sql.Float),
        sql.Column("past", sql.Boolean, nullable=False),
        sql.Column("told_ns", sql.BigInteger),
        sql.UniqueConstraint("subject", "rule", "began_ns"),
    )
    op.create_table(
        "alert_notice",
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
        sql.Column("at_ns", sql.BigInteger, nullable=False),
        sql.Column("body", sql.LargeBinary, nullable=False),
    )
