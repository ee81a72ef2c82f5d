"""Maintenance ends by itself, and remembers the silence that goes with it."""

import sqlalchemy as sql
from alembic import op

revision = "upkeep_0002"
down_revision = "upkeep_0001"
branch_labels = None
depends_on = None

LEFT_S = 30 * 86_400  # for what began before windows had an end


def upgrade() -> None:
    number = sql.Column("until_s", sql.BigInteger, nullable=False, server_default="0")
    op.add_column("robot_maintenance", number)
    word = sql.Column("silence", sql.String(64), nullable=False, server_default="")
    op.add_column("robot_maintenance", word)
    op.execute(f"UPDATE robot_maintenance SET until_s = since_s + {LEFT_S}")
