"""When the record was made that says which version a robot runs."""

import sqlalchemy as sql
from alembic import op

revision = "metrics_0002"
down_revision = "metrics_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "robot_seen",
        sql.Column("newest_ns", sql.BigInteger, nullable=False, server_default="0"),
    )
