"""indexes know a message that is just leaving as queued: the intent changes no indexed column, and on PostgreSQL, with
room left in the page, makes no index entries (HOT)"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0140"
down_revision = "0130"
branch_labels = None
depends_on = None

_PHASE = "CASE WHEN state = 'submitting' THEN 'queued' ELSE state END"
_OPEN = "{0} IN ('submitted', 'held', 'sent')"
_INDEXES = {
    "ix_messages_batch": (["batch_id", "{0}"], None),
    "ix_messages_unknown": (["account", "not_before"], "{0} = 'unknown'"),
    "ix_messages_open": (["account", "submitted_at"], _OPEN),
    "ix_messages_held": (["account", "held_until"], "{0} = 'held'"),
    "ix_messages_deadline": (["deadline"], _OPEN),
    "ix_messages_expiring": (["expires_at"], "{0} = 'queued' AND expires_at IS NOT NULL"),
    "ix_messages_state": (["campaign_id", "{0}", "row_no"], None),
}


def upgrade() -> None:
    _drop()
    kept = op.get_bind().dialect.name == "postgresql"  # SQLite can add only a column that it computes each time
    op.add_column("messages", sa.Column("phase", sa.String(20), sa.Computed(_PHASE, persisted=kept)))
    _fill(40)
    _create("phase")


def downgrade() -> None:
    _drop()
    op.drop_column("messages", "phase")
    _fill(100)
    _create("state")


def _drop() -> None:
    for name in _INDEXES:
        op.drop_index(name, "messages")


def _create(word: str) -> None:
    for name, (columns, condition) in _INDEXES.items():
        where = None if condition is None else sa.text(condition.format(word))
        op.create_index(
            name, "messages", [column.format(word) for column in columns],
            postgresql_where=where, sqlite_where=where,
        )  # fmt: skip


def _fill(percent: int) -> None:
    """Of new pages: the rest is for the second version of their rows."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE messages SET (fillfactor = {percent})")
