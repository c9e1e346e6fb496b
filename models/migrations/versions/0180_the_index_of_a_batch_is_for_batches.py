"""on PostgreSQL the index of what is queued in a batch is for looks by batch alone: where its statistics were of a time
when nothing was queued, it took that index for what is too late to leave, and read all that is queued every time
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0180"
down_revision = "0170"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _renew("phase = 'queued' AND batch_id IS NOT NULL")


def downgrade() -> None:
    _renew("phase = 'queued'")


def _renew(condition: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_messages_batch", "messages")
        op.create_index("ix_messages_batch", "messages", ["batch_id", "row_no"], postgresql_where=text(condition))
