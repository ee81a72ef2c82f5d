"""What an earlier evaluation of alerts remembered; nobody reads it any more."""

from alembic import op

revision = "alerts_0002"
down_revision = "alerts_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("alert_state", "alert_robot"):  # made without a migration, and not everywhere
        op.drop_table(table, if_exists=True)
