"""the index of batches knows only what waits, in the order of its leaving: a look reads no more than it takes, and a
message that has left needs no entry in it. PostgreSQL's pages keep room for both later versions of their rows. Batches
that are due at the same time are in order, too: of a hundred thousand the next ten are found without sorting them. And
what has no deadline, or is past it, has an index that nothing else can be taken for"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0160"
down_revision = "0150"
branch_labels = None
depends_on = None

_OPEN = "phase IN ('submitted', 'held', 'sent')"
_Index = tuple[str, str, Sequence[str], str | None]
_OLD: tuple[_Index, ...] = (
    ("ix_messages_batch", "messages", ["batch_id", "phase"], None),
    ("ix_messages_open", "messages", ["account", "submitted_at"], _OPEN),
    ("ix_messages_deadline", "messages", ["deadline"], _OPEN),
    ("ix_batches_due", "batches", ["account", "campaign_id", "not_before"], "state = 'planned'"),
)
_NEW: tuple[_Index, ...] = (
    ("ix_messages_batch", "messages", ["batch_id", "row_no"], "phase = 'queued'"),
    ("ix_messages_open", "messages", ["account", "submitted_at"], f"{_OPEN} AND submitted_at IS NOT NULL"),
    ("ix_messages_deadline", "messages", ["deadline"], f"{_OPEN} AND deadline IS NOT NULL"),
    ("ix_messages_endless", "messages", ["account"], f"{_OPEN} AND deadline IS NULL"),
    ("ix_batches_due", "batches", ["account", "campaign_id", "not_before", "id"], "state = 'planned'"),
)


def upgrade() -> None:
    _exchange(_OLD, _NEW)
    _fill(28)


def downgrade() -> None:
    _exchange(_NEW, _OLD)
    _fill(40)


def _exchange(old: Sequence[_Index], new: Sequence[_Index]) -> None:
    for name, table, _, _ in old:
        op.drop_index(name, table)
    for name, table, columns, condition in new:
        where = None if condition is None else sa.text(condition)
        op.create_index(name, table, list(columns), postgresql_where=where, sqlite_where=where)


def _fill(percent: int) -> None:
    """Of new pages: the rest is for the later versions of their rows."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE messages SET (fillfactor = {percent})")
