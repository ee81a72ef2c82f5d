"""Robots that are being worked on."""

import sqlalchemy as sql
from alembic import op

revision = "upkeep_0001"
down_revision = None
branch_labels = ("upkeep",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "robot_maintenance",
        sql.Column("robot", sql.String(64), primary_key=True),
        sql.Column("since_s", sql.BigInteger, nullable=False),
        sql.Column("who", sql.String(48), nullable=False),
        sql.Column("reason", sql.String(200), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("robot_maintenance")
