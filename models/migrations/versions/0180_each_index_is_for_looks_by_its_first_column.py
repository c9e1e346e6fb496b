"""on PostgreSQL the index of what is queued in a batch is for looks by batch alone, and the one by campaign for looks
by campaign: where its statistics were of a time when nothing was queued, it took the first for what is too late to
leave, the second for batches that are closed, and read all that is queued every time
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0180"
down_revision = "0170"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _renew("phase = 'queued' AND batch_id IS NOT NULL", "campaign_id IS NOT NULL")


def downgrade() -> None:
    _renew("phase = 'queued'", None)


def _renew(batch: str, state: str | None) -> None:
    if op.get_bind().dialect.name == "postgresql":
        _make("ix_messages_batch", ["batch_id", "row_no"], batch)
        _make("ix_messages_state", ["campaign_id", "phase", "row_no"], state)


def _make(name: str, columns: list[str], condition: str | None) -> None:
    op.drop_index(name, "messages")
    op.create_index(name, "messages", columns, postgresql_where=None if condition is None else text(condition))
