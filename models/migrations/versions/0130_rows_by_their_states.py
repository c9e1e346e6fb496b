"""no index of a campaign's rows: lists walk the states side by side, and every submit writes two entries less"""

from __future__ import annotations

from alembic import op

revision = "0130"
down_revision = "0120"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_messages_campaign", "messages")


def downgrade() -> None:
    op.create_index("ix_messages_campaign", "messages", ["campaign_id", "row_no"])
