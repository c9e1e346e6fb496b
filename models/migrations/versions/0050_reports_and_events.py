"""held messages, poll times, events and who listens to them"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0030"
branch_labels = None
depends_on = None

_WAITING = sa.text("delivered_at IS NULL AND dead_at IS NULL")
_DELIVERED = sa.text("delivered_at IS NOT NULL")
_HELD = sa.text("state = 'held'")


def upgrade() -> None:
    # Plain ADD COLUMN: a copy of the table, as a batch would make it, is too slow for millions of rows.
    op.add_column("campaigns", sa.Column("api_key_id", sa.Uuid(), nullable=True))
    op.add_column("messages", sa.Column("held_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("account_status", sa.Column("polled_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_messages_held", "messages", ["account", "held_until"], postgresql_where=_HELD, sqlite_where=_HELD
    )
    op.create_table(
        "event_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("api_key_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(length=300), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name="fk_event_endpoints_campaign_id_campaigns", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_event_endpoints"),
    )
    op.create_index("ix_event_endpoints_campaign_id", "event_endpoints", ["campaign_id"])
    op.create_index("ix_event_endpoints_api_key_id", "event_endpoints", ["api_key_id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["event_endpoints.id"], name="fk_outbox_endpoint_id_event_endpoints", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index(
        "ix_outbox_waiting", "outbox", ["endpoint_id", "id"], postgresql_where=_WAITING, sqlite_where=_WAITING
    )
    op.create_index("ix_outbox_delivered", "outbox", ["delivered_at"], postgresql_where=_DELIVERED,
                    sqlite_where=_DELIVERED)  # fmt: skip


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("event_endpoints")
    op.drop_index("ix_messages_held", "messages")
    op.drop_column("account_status", "polled_at")
    op.drop_column("messages", "held_until")
    op.drop_column("campaigns", "api_key_id")
