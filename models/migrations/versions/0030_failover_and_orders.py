"""failover of campaigns; trial and operator's orders of accounts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("campaigns", schema=None) as batch_op:
        batch_op.add_column(sa.Column("failover", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    with op.batch_alter_table("account_status", schema=None) as batch_op:
        batch_op.add_column(sa.Column("trial", sa.Boolean(), server_default=sa.text("false"), nullable=False))
        batch_op.add_column(sa.Column("order_word", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("order_note", sa.String(length=300), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("account_status", schema=None) as batch_op:
        batch_op.drop_column("order_note")
        batch_op.drop_column("order_word")
        batch_op.drop_column("trial")
    with op.batch_alter_table("campaigns", schema=None) as batch_op:
        batch_op.drop_column("failover")
