"""Recorded exchanges beside those of each provider's own tests: what is pushed to us, with our answer, and probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from models.states import MessageState
from providers.base import (
    Accepted,
    Forged,
    Genuine,
    Handshake,
    Outgoing,
    OutOfCredit,
    Page,
    Parsed,
    Push,
    Raw,
    Refused,
    Unclear,
)
from providers.qikberry import Qikberry
from providers.registry import Adapter, build
from tests.providers.test_generic import ACME
from tests.support.cases import message, settings
from tests.support.exchanges import Exchange, load

FOLDER = Path(__file__).parent / "exchanges"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = "0198c0de-0000-7000-8000-000000000001"
S = MessageState

CREDENTIALS = {
    "username": "s3cr3t-user",
    "password": "s3cr3t-pass",
    "api_key": "sk_live_s3cr3t",
    "access_token": "s3cr3t-token",
    "token": "s3cr3t-token",
}
OPTIONS: Mapping[str, Mapping[str, object]] = {"qikberry": {"service": "T"}, "generic": ACME}


def adapter(provider: str, **changes: Any) -> Adapter:
    options = {**OPTIONS.get(provider, {}), **changes.pop("options", {})}
    given = {"credentials": CREDENTIALS, "webhook_secret": "s3cr3t-webhook", "webhook_token": "s3cr3t-token", **changes}
    name = "acme" if provider == "generic" else provider
    return build(provider, settings(f"http://127.0.0.1:1/{name}/", options=options, **given))


def push_of(exchange: Exchange) -> Push:
    address = urlsplit(exchange.target)
    return Push(
        exchange.method, exchange.headers, dict(parse_qsl(address.query)), exchange.body, address.path.split("/")[-1]
    )


def state(parsed: Parsed) -> tuple[object, ...]:
    (report,) = parsed.reports
    return report.provider_id, report.ref, report.state, report.parts, report.price


PUSHES: list[tuple[str, str, dict[str, Any], Callable[[Parsed], object], object]] = [
    ("qikli", "push", {}, state, ("ref-1", "ref-1", S.DELIVERED, 2, Decimal("0.02"))),
    ("quicksms", "webhook", {}, state, ("msg_80fac5c752941b27", REF, S.DELIVERED, 1, None)),
    ("quicksms", "read_receipt", {}, lambda p: p.reports[0].read_at, datetime(2026, 3, 1, 12, 5, tzinfo=UTC)),
    ("quicksms", "v1_receipt", {"options": {"api": "v1"}}, state, ("564634E434D0586B", REF, S.UNDELIVERED, None, None)),
    ("quicksms", "incoming", {}, lambda p: (p.inbound[0].msisdn, p.inbound[0].text), ("447700900001", "STOP")),
    ("cliqtel", "webhook", {}, state, ("42", None, S.DELIVERED, 1, Decimal("0.008"))),
    ("qikberry", "opt_out", {}, lambda p: p.opt_outs[0].msisdn, "+447700900001"),
    ("generic", "push", {}, state, ("a-1", "ref-1", S.UNDELIVERED, 1, Decimal("0.02"))),
]


@pytest.mark.parametrize(
    ("provider", "name", "changes", "look", "expected"), PUSHES, ids=[f"{case[0]}-{case[1]}" for case in PUSHES]
)
def test_a_recorded_push_is_genuine_answered_as_recorded_and_read(
    provider: str, name: str, changes: dict[str, Any], look: Callable[[Parsed], object], expected: object
) -> None:
    exchange, built = load(FOLDER / provider / f"{name}.txt"), adapter(provider, **changes)
    verdict = built.verify(push_of(exchange), NOW)
    assert isinstance(verdict, Genuine)
    assert (verdict.status, verdict.body) == (exchange.reply.status, exchange.reply.body)
    assert verdict.content_type == exchange.reply.header("content-type")
    parsed = built.parse_reports(Raw(exchange.body, exchange.headers["content-type"], kind="push", received_at=NOW))
    assert look(parsed) == expected
    assert not parsed.bad


@pytest.mark.parametrize(
    ("provider", "name", "changes"), [case[:3] for case in PUSHES], ids=[case[1] for case in PUSHES]
)
def test_a_recorded_push_to_another_account_is_forged(provider: str, name: str, changes: dict[str, Any]) -> None:
    push = push_of(load(FOLDER / provider / f"{name}.txt"))
    other = adapter(provider, webhook_secret="another-secret", webhook_token="another-token", **changes)
    assert isinstance(other.verify(push, NOW), Forged)


def test_the_recorded_handshake_is_answered_as_recorded() -> None:
    exchange = load(FOLDER / "qikberry" / "handshake.txt")
    assert adapter("qikberry").verify(push_of(exchange), NOW) == Handshake(exchange.reply.body)


def test_the_recorded_balance_and_unsubscribers_are_read() -> None:
    built = adapter("qikberry")
    assert isinstance(built, Qikberry)
    balance, listed = (load(FOLDER / "qikberry" / f"{name}.txt") for name in ("balance", "unsubscribers"))
    for request, exchange in ((built.probe_request(), balance), (built.opt_out_request(Page()), listed)):
        assert request is not None
        assert urlsplit(request.url).path == exchange.target
        assert {name.lower(): value for name, value in request.headers.items()} == exchange.headers
    assert built.read_probe(balance.reply) == "ok, balance T 109.0000 credits, P 69.5000 credits, postpaid"
    found = built.parse_opt_outs(Raw(listed.reply.body)).opt_outs
    assert [(one.msisdn, one.sender) for one in found] == [("+447700900001", None), ("+447700900002", "MyStore")]
    assert built.following(Page(), listed.reply) == Page(number=2, seen=2)


def one(**changes: Any) -> Outgoing:
    return message(**{"ref": REF, **changes})


SUBMITS: list[tuple[str, str, Outgoing, dict[str, Any], type[object], type[object] | None]] = [
    ("generic", "accepted", one(id="1", ref="ref-1", options={"tag": "spring"}), {}, Accepted, None),
    (
        "cliqtel", "insufficient_balance", one(msisdn="+31612345678", sender="+12025550123"),
        {"credentials": {"api_key": "17|s3cr3t-cliqtel"}}, Refused, OutOfCredit,
    ),
    ("quicksms", "idempotency_conflict", one(), {}, Unclear, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "name", "sent", "changes", "outcome", "signal"), SUBMITS, ids=[case[1] for case in SUBMITS]
)
def test_a_recorded_submit_is_asked_and_read_as_recorded(
    provider: str,
    name: str,
    sent: Outgoing,
    changes: dict[str, Any],
    outcome: type[object],
    signal: type[object] | None,
) -> None:
    exchange, built = load(FOLDER / provider / f"{name}.txt"), adapter(provider, **changes)
    request = built.submit_request([sent], "BULK-1")
    assert (request.method, urlsplit(request.url).path) == (exchange.method, exchange.target)
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert exchange.headers.items() <= headers.items()
    assert orjson.loads(request.body) == orjson.loads(exchange.body)
    submission = built.read_submit([sent], exchange.reply)
    assert isinstance(submission.outcomes[sent.id], outcome)
    assert (type(submission.signal) if submission.signal else None) is signal


def test_every_recorded_exchange_is_replayed_by_a_test() -> None:
    tests = "\n".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [path.name for path in FOLDER.glob("*/*.txt") if f'"{path.stem}' not in tests] == []
