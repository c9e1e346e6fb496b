"""Which columns may say something about a person, and what retention makes of them: one table to look it up in.

Every column that holds text, bytes or a document stands here once; a test sees to it. What is not personal is kept as
it is: counts, states, codes, countries, accounts, parts, prices and times are what the statistics are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, LargeBinary, String
from sqlalchemy.types import TypeDecorator

from models.tables import Base

ERASED: Mapping[str, Mapping[str, Any]] = {
    "campaigns": {"template": "", "common_text": None, "missing": None, "source": None, "state_reason": None},
    "sources": {"name": None, "reason": None},
    "messages": {"msisdn": "", "text": None, "reference": None, "provider_id": None, "group_id": None, "reason": None},
    "attempts": {"reason": None, "body": None},
    "rejects": {"column": "", "value": "", "reason": ""},
    "campaign_events": {"detail": ""},
    "inbound": {"msisdn": "", "text": ""},
}
"""Columns that lose their value while their row stays, and what stands there instead."""

SHORTENED: Mapping[str, frozenset[str]] = {"messages": frozenset({"trail"}), "inbound": frozenset({"inbound_id"})}
"""Of a history the times, the states and our own notes (`models.trails`) stay, without the notes that may be a
provider's. Of an incoming message's id a digest stays, so that a repeat is still known as one."""

GONE = frozenset(
    {"inbox", "delivery_reports", "idempotent_answers", "outbox", "drafts", "draft_pieces", "message_numbers"}
)
"""Tables whose rows are deleted: what they were for is done, and their figures stand with the messages. Drafts go by
themselves after a week without a touch (`producer.drafts`), numbers with those of their messages (by a trigger)."""

BY_REQUEST = frozenset({"suppressions", "suppression_digests"})
"""Who must not be written to has to stay known; only `drumline erase` and the person's own wish change these."""

KEPT: Mapping[str, frozenset[str]] = {
    "campaigns": frozenset({
        "name", "state", "sender", "template_name", "route", "routing", "region", "options", "priority", "on_unknown",
        "steering", "canary", "guard_marks", "origin",
    }),
    "sources": frozenset({"state"}),
    "templates": frozenset({"name", "text", "missing", "note"}),
    "batches": frozenset({"account", "state", "lease_owner", "zones"}),
    "messages": frozenset({
        "account", "country", "sender", "encoding", "state", "phase", "code", "klass", "currency", "network", "channel",
    }),
    "attempts": frozenset({"account", "kind", "outcome", "request_id", "message_ids"}),
    "campaign_counts": frozenset({"account", "state"}),
    "lanes": frozenset({"account"}),
    "account_status": frozenset({"account", "snapshot", "order_word", "order_note"}),
    "rejects": frozenset({"code"}),
    "campaign_events": frozenset({"kind"}),
    "recurring": frozenset({"name", "cron", "zone"}),
    "inbound": frozenset({"account", "to"}),
    "api_keys": frozenset({"name", "prefix", "digest", "scope"}),
    "event_endpoints": frozenset({"url", "last_error"}),
    "web_sessions": frozenset({"digest"}),
    "tallies": frozenset({"name", "account", "labels"}),
}  # fmt: skip
"""Columns that are ours or the operator's: configuration, names, states, codes, digests."""


ERASED_NUMBER = "(erased)"
"""Stands for a number that retention has erased: in lists, in histories and in exports. It is no number, so that no
import takes it for one."""


def speaking_columns() -> dict[str, frozenset[str]]:
    """Every column that could hold a number, a name or a text, by table."""
    return {
        table.name: frozenset(column.name for column in table.columns if _speaks(column.type))
        for table in Base.metadata.sorted_tables
    }


def _speaks(kind: Any) -> bool:
    plain = kind.impl_instance if isinstance(kind, TypeDecorator) else kind
    return isinstance(plain, String | LargeBinary | JSON)
