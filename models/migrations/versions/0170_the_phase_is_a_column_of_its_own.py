"""the phase of a message is a column of its own, which moves with the state: as SQLite computed it anew for each row,
an intent renewed its entries in two indexes. A trigger sets it where a statement moved the state alone: workers of the
version before may go on until they are replaced

SQLite writes the table anew: ten seconds for a million messages (PostgreSQL two), and as much room again in its log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import text

revision = "0170"
down_revision = "0160"
branch_labels = None
depends_on = None

_PHASE = "CASE WHEN state = 'submitting' THEN 'queued' ELSE state END"
_NEW_PHASE = _PHASE.replace("state ", "NEW.state ")
_MEND = f"UPDATE messages SET phase = {_NEW_PHASE} WHERE id = NEW.id"  # nosec B608  # noqa: S608  # names are ours
_FORGOTTEN = f"NEW.phase <> {_NEW_PHASE}"
_INDEXES = {
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() "
    "AND tablename = 'messages' AND indexdef LIKE '%phase%'",
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'messages' "
    "AND sql LIKE '%phase%'",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE messages ALTER COLUMN phase DROP EXPRESSION, ALTER COLUMN phase SET DEFAULT 'queued', "
            "ALTER COLUMN phase SET NOT NULL"
        )
        op.execute(
            "CREATE FUNCTION message_rephased() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_MEND}; RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER messages_rephased AFTER UPDATE OF state ON messages FOR EACH ROW "
            f"WHEN ({_FORGOTTEN}) EXECUTE FUNCTION message_rephased()"
        )
        return
    with _without_indexes():
        op.execute("ALTER TABLE messages DROP COLUMN phase")
        op.execute("ALTER TABLE messages ADD COLUMN phase VARCHAR(20) NOT NULL DEFAULT 'queued'")
        op.execute("UPDATE messages SET phase = state WHERE state NOT IN ('queued', 'submitting')")
    op.execute(
        f"CREATE TRIGGER messages_rephased AFTER UPDATE OF state ON messages WHEN {_FORGOTTEN} BEGIN {_MEND}; END"
    )


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute("DROP TRIGGER messages_rephased" + (" ON messages" if postgresql else ""))
    if postgresql:
        op.execute("DROP FUNCTION message_rephased()")
    kept = "STORED" if postgresql else "VIRTUAL"
    with _without_indexes():
        op.execute("ALTER TABLE messages DROP COLUMN phase")
        op.execute(f"ALTER TABLE messages ADD COLUMN phase VARCHAR(20) GENERATED ALWAYS AS ({_PHASE}) {kept}")


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Those that know the phase are made anew as they are."""
    connection = op.get_bind()
    found = connection.execute(text(_INDEXES[connection.dialect.name])).all()
    for name, _ in found:
        op.drop_index(name, "messages")
    yield
    for _, definition in found:
        op.execute(definition)
