"""indexes that lists walk: each filter from its own place on, none of them over rows that it leaves out"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0088"
down_revision = "0087"
branch_labels = None
depends_on = None

_NOT_FINAL = sa.text("state IN ('queued', 'submitting', 'submitted', 'held', 'sent', 'unknown')")

# name, table, columns now, columns before
_WIDER = (
    ("ix_campaigns_state", "campaigns", ["state", "id"], ["state"]),
    ("ix_rejects_campaign_id", "rejects", ["campaign_id", "id"], ["campaign_id"]),
    ("ix_campaign_events_campaign_id", "campaign_events", ["campaign_id", "id"], ["campaign_id"]),
)
_NEW = (("ix_inbound_msisdn", ["msisdn", "id"]), ("ix_inbound_account_id", ["account", "id"]))


def upgrade() -> None:
    for name, table, columns, _ in _WIDER:
        op.drop_index(name, table)
        op.create_index(name, table, columns)
    for name, columns in _NEW:
        op.create_index(name, "inbound", columns)
    op.create_index("ix_inbound_stops", "inbound", ["id"], postgresql_where=sa.text("stop_word"),
                    sqlite_where=sa.text("stop_word = 1"))  # fmt: skip
    op.create_index("ix_idempotent_answers_created_at", "idempotent_answers", ["created_at"])
    op.create_index("ix_messages_state", "messages", ["campaign_id", "state", "row_no"])
    op.drop_index("ix_messages_not_final", "messages")


def downgrade() -> None:
    op.create_index(
        "ix_messages_not_final", "messages", ["campaign_id"], postgresql_where=_NOT_FINAL, sqlite_where=_NOT_FINAL
    )
    op.drop_index("ix_messages_state", "messages")
    op.drop_index("ix_idempotent_answers_created_at", "idempotent_answers")
    op.drop_index("ix_inbound_stops", "inbound")
    for name, _ in _NEW:
        op.drop_index(name, "inbound")
    for name, table, _, columns in _WIDER:
        op.drop_index(name, table)
        op.create_index(name, table, columns)
