"""A stream of reports as life makes it (shuffled, repeated, partly forged, partly about others) against the truth."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import func, insert, select

from models.database import Database
from models.queries import counts, recount
from models.states import MessageState
from models.tables import DeliveryReport, InboxPage, Message
from providers.base import AccountSettings, Genuine, Provider, Push
from providers.registry import build
from tests.support.rows import add_batch, add_campaign, add_messages
from workers.reconcile import apply_inbox

S = MessageState
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "a secret for signing pushes"  # of a test
EACH = 12  # messages that live each story
COPIES = 10

QIKLI, QUICK = "qikli-main", "quick-main"
PROVIDERS: Mapping[str, Provider] = {
    QIKLI: build("qikli", AccountSettings(QIKLI, "http://127.0.0.1:1", {"username": "u", "password": "p"})),
    QUICK: build(
        "quicksms",
        AccountSettings(QUICK, "http://127.0.0.1:1", {"api_key": "key"}, webhook_secret=SECRET),
    ),
}


@dataclass(frozen=True)
class Story:
    """What the provider reports of a message, as it happened, and what must be known of the message at the end."""

    account: str
    reports: Sequence[Mapping[str, Any]]
    ends: MessageState
    facts: Mapping[str, Any] = field(default_factory=dict)


def at(minute: int) -> datetime:
    return NOW + timedelta(minutes=minute)


def qikli(status: int, group: int, minute: int, **more: Any) -> dict[str, Any]:
    """One row of Qikli's answer."""
    done = at(minute).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return {"status": {"groupId": group, "id": status, "name": f"STATUS_{status}"}, "doneAt": done, **more}


def priced(amount: float, parts: int = 1) -> dict[str, Any]:
    return {"smsCount": parts, "price": {"pricePerMessage": amount, "currency": "EUR"}}


def quick(status: str, minute: int, **more: Any) -> dict[str, Any]:
    """One push of QuickSMS."""
    return {"message_status": status, "done_time": at(minute).isoformat(), **more}


ABSENT = {"error": {"groupId": 1, "id": 27, "name": "EC_ABSENT_SUBSCRIBER", "permanent": False}}

STORIES = (
    Story(
        QIKLI,
        [qikli(7, 1, 1, mccMnc="23415"), qikli(5, 3, 2, **priced(0.0375, 2))],
        S.DELIVERED,
        {"price": Decimal("0.0750"), "currency": "EUR", "parts": 2, "network": "23415", "provider_at": at(2)},
    ),
    Story(
        QIKLI,
        [qikli(1, 1, 0), qikli(7, 1, 1), qikli(9, 2, 5, **ABSENT, **priced(0.01))],
        S.UNDELIVERED,
        {"code": "9/27", "klass": "temporary", "price": Decimal("0.01"), "provider_at": at(5)},
    ),
    # The provider gave up too early; the price it names with the end is the one that counts.
    Story(
        QIKLI,
        [qikli(15, 4, 3, **priced(0.03)), qikli(5, 3, 9, **priced(0.04))],
        S.DELIVERED,
        {"code": None, "price": Decimal("0.04"), "provider_at": at(9)},
    ),
    Story(QIKLI, [qikli(9, 2, 3), qikli(5, 3, 4)], S.DELIVERED, {"code": None, "reason": None, "provider_at": at(4)}),
    Story(QIKLI, [qikli(10, 5, 1)], S.REJECTED, {"code": "10", "klass": "recipient"}),
    Story(QIKLI, [qikli(7, 1, 1, mccMnc="23430")], S.SENT, {"network": "23430", "provider_at": at(1)}),
    # Nobody documented this status: it is kept, and moves nothing.
    Story(QIKLI, [qikli(777, 9, 1)], S.SUBMITTED),
    Story(QIKLI, [], S.SUBMITTED),
    Story(
        QUICK,
        [quick("PENDING", 1), quick("DELIVERED", 2, channel="RCS", message_parts=3)],
        S.DELIVERED,
        {"channel": "RCS", "parts": 3, "provider_at": at(2)},
    ),
    Story(
        QUICK,
        [
            quick("DELIVERED", 2, channel="RCS"),
            quick("DELIVERED", 8, channel="RCS", read_receipt=True, read_receipt_timestamp=at(8).isoformat()),
        ],
        S.DELIVERED,
        {"read_at": at(8)},
    ),
    Story(QUICK, [quick("PENDING", 1), quick("UNDELIVERED", 4, status_code=27)], S.UNDELIVERED, {"code": "27"}),
    Story(QUICK, [quick("REJECTED", 1, status_code=1)], S.REJECTED, {"code": "1", "klass": "recipient"}),
)


@dataclass(frozen=True)
class Told:
    """One page of the inbox to be."""

    account: str
    kind: str
    body: bytes


class Life:
    """Messages that live the stories, and everything that is ever said about them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.write() as session:
            self.campaign = add_campaign(session, NOW, route={QIKLI: 1, QUICK: 1})
            self.lived: list[tuple[UUID, Story]] = []
            for place, story in enumerate(STORIES):
                batch = add_batch(session, self.campaign, NOW, account=story.account, size=EACH)
                ids = add_messages(
                    session, self.campaign, batch, EACH, row_no=1 + place * EACH,
                    account=story.account, state=S.SUBMITTED, submitted_at=NOW, deadline=NOW + timedelta(days=3),
                )  # fmt: skip
                self.lived += [(message_id, story) for message_id in ids]
            for message_id, _ in self.lived:
                session.get_one(Message, message_id).provider_id = provider_id(message_id)

    def said(self) -> list[Told]:
        """Every true report, once, in the order it happened."""
        ordered = [
            (place, message_id, story.account, report)
            for message_id, story in self.lived
            for place, report in enumerate(story.reports)
        ]
        ordered.sort(key=lambda one: one[0])
        return [told(account, message_id, report) for _, message_id, account, report in ordered]

    def lies(self) -> list[Told]:
        """True in form, but about messages of another account, or of nobody."""
        strangers = [UUID(int=number) for number in range(1, 30)]
        others = {QIKLI: QUICK, QUICK: QIKLI}
        about_others = [told(others[story.account], message_id, bad_news(others[story.account]))
                        for message_id, story in self.lived[::7]]  # fmt: skip
        return about_others + [told(account, one, bad_news(account)) for one in strangers for account in PROVIDERS]

    def forgeries(self) -> list[Push]:
        """Pushes that somebody else signed."""
        return [
            signed(told(QUICK, message_id, bad_news(QUICK)).body, "not the secret")
            for message_id, story in self.lived
            if story.account == QUICK
        ]

    def rows(self) -> list[tuple[Any, ...]]:
        """All that is known of the messages, save when we learnt it."""
        left_out = {"trail", "final_at"}
        columns = [column for column in Message.__table__.columns if column.name not in left_out]
        with self.database.read() as session:
            return [tuple(row) for row in session.execute(select(*columns).order_by(Message.row_no))]


def provider_id(message_id: UUID) -> str:
    return hashlib.sha256(message_id.bytes).hexdigest()[:24]


def told(account: str, message_id: UUID, report: Mapping[str, Any]) -> Told:
    """As the provider says it: Qikli in a pulled page, QuickSMS in a push, half of them by our reference alone."""
    if account == QIKLI:
        row = {"messageId": str(message_id), "to": "447700900001", **report}
        return Told(account, "pull", orjson.dumps({"results": [row]}))
    known = {"customer_id": str(message_id)} if message_id.int % 2 else {"quicksms_id": provider_id(message_id)}
    return Told(account, "push", orjson.dumps({**known, **report}))


def bad_news(account: str) -> dict[str, Any]:
    return qikli(9, 2, 59, **priced(9.99)) if account == QIKLI else quick("UNDELIVERED", 59, status_code=1)


def signed(body: bytes, secret: str) -> Push:
    stamp = str(int(NOW.timestamp()))
    signature = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"x-quicksms-timestamp": stamp, "x-quicksms-signature": f"sha256={signature}"}
    return Push("POST", headers, {}, body)


def receive(database: Database, pages: Sequence[Told], forged: Sequence[Push] = ()) -> int:
    """What the poller and the webhook receiver do: prove, then store. The number of pushes turned away."""
    pushes = [signed(page.body, SECRET) for page in pages if page.kind == "push"] + list(forged)
    genuine = [push for push in pushes if isinstance(PROVIDERS[QUICK].verify(push, NOW), Genuine)]
    pulled = [page for page in pages if page.kind == "pull"]
    stored = pulled + [Told(QUICK, "push", push.body) for push in genuine]
    rows = [{"account": p.account, "kind": p.kind, "received_at": NOW, "body": p.body, "content_type": "", "query": ""}
            for p in stored]  # fmt: skip
    if rows:
        with database.write() as session:
            session.execute(insert(InboxPage), rows)
    return len(pushes) - len(genuine)


def apply_all(database: Database, now: datetime = NOW) -> int:
    moved = 0
    for _ in range(1000):
        with database.write() as session:
            effect = apply_inbox(session, PROVIDERS.get, now)
        moved += effect.moved
        if not effect:
            return moved
    raise AssertionError("the inbox never gets empty")


def compare_with_truth(life: Life) -> None:
    with life.database.read() as session:
        rows = {row.id: row for row in session.execute(select(Message)).scalars()}
        assert counts(session, life.campaign) == recount(session, life.campaign)
    for message_id, story in life.lived:
        row = rows[message_id]
        found = {"state": row.state, **{name: getattr(row, name) for name in story.facts}}
        assert found == {"state": story.ends, **story.facts}, f"{story}\n{row.trail}"
        assert row.price is None or row.price < 1, "a lie was believed"
        assert (row.final_at is not None) == (story.ends not in {S.SENT, S.SUBMITTED})


@pytest.mark.parametrize("seed", [1, 2])
def test_a_shuffled_repeated_and_forged_stream_leaves_the_truth_row_by_row(database: Database, seed: int) -> None:
    life = Life(database)
    lies = life.lies()
    stream = life.said() * COPIES + lies * 3
    random.Random(seed).shuffle(stream)
    forged = life.forgeries()

    for first in range(0, len(stream), 700):  # in several goes: some reports come late, others together
        assert receive(database, stream[first : first + 700]) == 0
        apply_all(database)
    assert receive(database, [], forged) == len(forged)

    compare_with_truth(life)
    with database.read() as session:
        waiting = select(func.count()).where(DeliveryReport.applied_at.is_(None))
        assert session.execute(waiting).scalar_one() == len(lies)


def test_ten_copies_in_any_order_give_the_same_database_as_one_copy_in_order(database: Database) -> None:
    life = Life(database)
    said = life.said()
    receive(database, said)
    apply_all(database)
    in_order = life.rows()
    compare_with_truth(life)

    reset(life)
    stream = said * COPIES
    random.Random(3).shuffle(stream)
    for first in range(0, len(stream), 333):
        receive(database, stream[first : first + 333])
        apply_all(database)
    assert life.rows() == in_order


def reset(life: Life) -> None:
    """The same messages again, as if nothing had been reported yet."""
    known = ("parts", "price", "currency", "network", "channel", "read_at", "provider_at", "code", "klass", "reason")
    with life.database.write() as session:
        session.execute(DeliveryReport.__table__.delete())  # type: ignore[attr-defined]  # a Table, declared FromClause
        for row in session.execute(select(Message)).scalars():
            row.state, row.final_at, row.group_id = S.SUBMITTED, None, None
            row.provider_id, row.held_until, row.deadline = provider_id(row.id), None, NOW + timedelta(days=3)
            for name in known:
                setattr(row, name, None)
