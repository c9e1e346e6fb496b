"""retention: when a campaign was purged; suppressions of erased numbers as keyed digests"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0090"
down_revision = "0088"
branch_labels = None
depends_on = None

CAMPAIGN_COLUMNS = ("purge_began_at", "purged_at")


def upgrade() -> None:
    for name in CAMPAIGN_COLUMNS:
        op.add_column("campaigns", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "suppression_digests",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=64), nullable=False),
        sa.Column("key_mark", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", "sender", name="pk_suppression_digests"),
    )
    op.create_index("ix_suppression_digests_key_mark", "suppression_digests", ["key_mark"])


def downgrade() -> None:
    op.drop_table("suppression_digests")
    for name in reversed(CAMPAIGN_COLUMNS):
        op.drop_column("campaigns", name)
