"""numbers have an index of their own, a table: PostgreSQL writes an entry into every index of a table for each move of
a message, and those of numbers stand all over theirs. Triggers take out what is erased or deleted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0150"
down_revision = "0140"
branch_labels = None
depends_on = None

_POSTGRESQL = (
    """CREATE FUNCTION messages_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM message_numbers AS known USING deleted
        WHERE known.msisdn = deleted.msisdn AND known.message_id = deleted.id;
        RETURN NULL; END $$""",
    """CREATE FUNCTION messages_renumbered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM message_numbers WHERE msisdn = OLD.msisdn AND message_id = OLD.id;
        INSERT INTO message_numbers (msisdn, message_id) SELECT NEW.msisdn, NEW.id WHERE NEW.msisdn <> '';
        RETURN NULL; END $$""",
    """CREATE TRIGGER messages_deleted AFTER DELETE ON messages REFERENCING OLD TABLE AS deleted
        FOR EACH STATEMENT EXECUTE FUNCTION messages_deleted()""",
    """CREATE TRIGGER messages_renumbered AFTER UPDATE OF msisdn ON messages
        FOR EACH ROW EXECUTE FUNCTION messages_renumbered()""",
)
_SQLITE = (
    """CREATE TRIGGER messages_deleted AFTER DELETE ON messages BEGIN
        DELETE FROM message_numbers WHERE msisdn = OLD.msisdn AND message_id = OLD.id; END""",
    """CREATE TRIGGER messages_renumbered AFTER UPDATE OF msisdn ON messages BEGIN
        DELETE FROM message_numbers WHERE msisdn = OLD.msisdn AND message_id = OLD.id;
        INSERT INTO message_numbers (msisdn, message_id) SELECT NEW.msisdn, NEW.id WHERE NEW.msisdn <> ''; END""",
)
_TRIGGERS = ("messages_deleted", "messages_renumbered")


def upgrade() -> None:
    op.create_table(
        "message_numbers",
        sa.Column("msisdn", sa.String(17), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("msisdn", "message_id", name=op.f("pk_message_numbers")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO message_numbers (msisdn, message_id) "
        "SELECT msisdn, id FROM messages WHERE msisdn <> '' ORDER BY msisdn, id"
    )
    for statement in _POSTGRESQL if _is_postgresql() else _SQLITE:
        op.execute(statement)
    op.drop_index("ix_messages_msisdn", "messages")


def downgrade() -> None:
    op.create_index("ix_messages_msisdn", "messages", ["msisdn"])
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON messages" if _is_postgresql() else f"DROP TRIGGER {name}")
        if _is_postgresql():
            op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("message_numbers")


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
