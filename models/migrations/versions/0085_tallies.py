"""tallies: the counters of the metrics"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0085"
down_revision = "0080"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("name", sa.String(length=30), nullable=False),
        sa.Column("account", sa.String(length=31), nullable=False),
        sa.Column("labels", sa.String(length=80), nullable=False),
        sa.Column("n", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "account", "labels", name="pk_tallies"),
    )


def downgrade() -> None:
    op.drop_table("tallies")
