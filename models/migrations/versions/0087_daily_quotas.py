"""daily quotas of API keys: what a key may send in a day, what it has used, what each campaign holds of it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0087"
down_revision = "0085"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("daily_quota", sa.Integer(), nullable=True))
    op.add_column("campaigns", sa.Column("quota_day", sa.Date(), nullable=True))
    op.add_column("campaigns", sa.Column("quota_held", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("recurring", sa.Column("api_key_id", sa.Uuid(), nullable=True))
    op.create_table(
        "key_days",
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_key_days_api_key_id_api_keys", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("api_key_id", "day", name="pk_key_days"),
    )


def downgrade() -> None:
    op.drop_table("key_days")
    op.drop_column("recurring", "api_key_id")
    op.drop_column("campaigns", "quota_held")
    op.drop_column("campaigns", "quota_day")
    op.drop_column("api_keys", "daily_quota")
