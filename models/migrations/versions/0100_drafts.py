"""campaigns in the making, with their files"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0100"
down_revision = "0090"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drafts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=True),
        sa.Column("file_name", sa.String(length=255), nullable=True),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("sample", sa.JSON(), nullable=False),
        sa.Column("checked", sa.JSON(), nullable=False),
        sa.Column("rejects_id", sa.Uuid(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name="fk_drafts_api_key_id_api_keys", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_drafts"),
    )
    op.create_index("ix_drafts_api_key_id", "drafts", ["api_key_id"])
    op.create_index("ix_drafts_changed_at", "drafts", ["changed_at"])
    op.create_table(
        "draft_pieces",
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["draft_id"], ["drafts.id"], name="fk_draft_pieces_draft_id_drafts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("blob_id", "number", name="pk_draft_pieces"),
    )
    op.create_index("ix_draft_pieces_draft_id", "draft_pieces", ["draft_id"])


def downgrade() -> None:
    op.drop_index("ix_draft_pieces_draft_id", "draft_pieces")
    op.drop_table("draft_pieces")
    op.drop_index("ix_drafts_changed_at", "drafts")
    op.drop_index("ix_drafts_api_key_id", "drafts")
    op.drop_table("drafts")
