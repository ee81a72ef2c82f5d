"""Until when each robot was heard, so that the next process knows what it has missed."""

import sqlalchemy as sql
from alembic import op

revision = "alerts_0003"
down_revision = "alerts_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_heard",
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("body", sql.LargeBinary, nullable=False),
    )
