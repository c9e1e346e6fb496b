"""templates, sources, routing"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0050"
branch_labels = None
depends_on = None


def _campaign_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("template_name", sa.String(length=100), nullable=True),
        sa.Column("template_version", sa.Integer(), nullable=True),
        sa.Column("missing", sa.Text(), nullable=True),
        sa.Column("gsm7_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("routing", sa.JSON(), server_default="{}", nullable=False),
        sa.Column("region", sa.String(length=2), nullable=True),
        sa.Column("stream", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


WITH_SOURCE = ("batches", "messages", "rejects")


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("rows_accepted", sa.Integer(), nullable=False),
        sa.Column("rows_rejected", sa.Integer(), nullable=False),
        sa.Column("segments", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_sources_campaign_id_campaigns"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("pk_sources")),
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("missing", sa.Text(), nullable=True),
        sa.Column("gsm7_only", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_templates")),
    )
    for column in _campaign_columns():
        op.add_column("campaigns", column)
    for table in WITH_SOURCE:
        op.add_column(table, sa.Column("source_no", sa.SmallInteger(), server_default="1", nullable=False))


def downgrade() -> None:
    for table in WITH_SOURCE:
        op.drop_column(table, "source_no")
    for column in _campaign_columns():
        op.drop_column("campaigns", column.name)
    op.drop_table("templates")
    op.drop_table("sources")
