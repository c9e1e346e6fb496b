"""no index of messages that are just leaving: they are found by their campaign, whose counter says that it has some"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0120"
down_revision = "0110"
branch_labels = None
depends_on = None

_LEAVING = text("state = 'submitting'")


def upgrade() -> None:
    op.drop_index("ix_messages_submitting", "messages")


def downgrade() -> None:
    op.create_index(
        "ix_messages_submitting", "messages", ["batch_id"], postgresql_where=_LEAVING, sqlite_where=_LEAVING
    )
