"""steering: windows, pace, canary, guard, caps; copies of campaigns and recurring ones"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0060"
branch_labels = None
depends_on = None

CAMPAIGN_COLUMNS = (
    ("steering", sa.JSON(), "{}"),
    ("anchor_at", sa.DateTime(timezone=True), None),
    ("paused_at", sa.DateTime(timezone=True), None),
    ("canary", sa.String(length=20), None),
    ("canary_at", sa.DateTime(timezone=True), None),
    ("guard_marks", sa.JSON(), None),
    ("origin_id", sa.Uuid(), None),
    ("origin", sa.JSON(), None),
    ("copy_due", sa.Boolean(), sa.false()),
)


def upgrade() -> None:
    for name, kind, default in CAMPAIGN_COLUMNS:
        op.add_column("campaigns", sa.Column(name, kind, nullable=default is None, server_default=default))
    op.create_index("ix_campaigns_origin_id", "campaigns", ["origin_id"])
    op.add_column("batches", sa.Column("position", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("batches", sa.Column("zones", sa.Text(), nullable=True))
    op.drop_index("ix_messages_msisdn", "messages")
    op.create_index("ix_messages_msisdn", "messages", ["msisdn", "attempted_at"])
    op.create_table(
        "recurring",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("cron", sa.String(length=200), nullable=False),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_campaign_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name="fk_recurring_campaign_id_campaigns", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_recurring"),
    )
    op.create_index("ix_recurring_campaign_id", "recurring", ["campaign_id"])
    op.create_index("ix_recurring_next_at", "recurring", ["next_at"])


def downgrade() -> None:
    op.drop_table("recurring")
    op.drop_index("ix_messages_msisdn", "messages")
    op.create_index("ix_messages_msisdn", "messages", ["msisdn"])
    for name in ("zones", "position"):
        op.drop_column("batches", name)
    op.drop_index("ix_campaigns_origin_id", "campaigns")
    for name, _, _ in reversed(CAMPAIGN_COLUMNS):
        op.drop_column("campaigns", name)
