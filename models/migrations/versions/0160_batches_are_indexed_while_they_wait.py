"""the index of batches knows only what waits, in the order of its leaving: a look reads no more than it takes, and a
message that has left needs no entry in it. PostgreSQL's pages keep room for both later versions of their rows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0160"
down_revision = "0150"
branch_labels = None
depends_on = None

_NAME = "ix_messages_batch"


def upgrade() -> None:
    op.drop_index(_NAME, "messages")
    waits = sa.text("phase = 'queued'")
    op.create_index(_NAME, "messages", ["batch_id", "row_no"], postgresql_where=waits, sqlite_where=waits)
    _fill(28)


def downgrade() -> None:
    op.drop_index(_NAME, "messages")
    op.create_index(_NAME, "messages", ["batch_id", "phase"])
    _fill(40)


def _fill(percent: int) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE messages SET (fillfactor = {percent})")
