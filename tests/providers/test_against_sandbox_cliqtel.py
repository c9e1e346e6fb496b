"""Cliqtel's adapter through the HTTP client against its simulator, which knows nothing of the adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.states import MessageState
from providers.base import (
    Accepted,
    FailureClass,
    Forged,
    Found,
    Genuine,
    Misconfigured,
    NoAnswer,
    NotThere,
    OpenWork,
    OutOfCredit,
    Page,
    Refused,
    Throttle,
)
from providers.cliqtel import Cliqtel
from providers.wire import BadBody
from tests.providers.sandbox_promises import keep
from tests.support.fates import TROUBLES, Fate, Trouble
from tests.support.simulated import SENDERS, Bench, bench, states

S = MessageState
F = FailureClass
FREE: dict[str, Any] = {"limits": []}


@pytest.fixture
async def here() -> AsyncIterator[Bench]:
    async with bench("cliqtel", **FREE) as made:
        yield made


# --- submit ----------------------------------------------------------------------------------------------------------


async def test_a_message_is_accepted_with_its_price(here: Bench) -> None:
    one = here.message("+31612345678", text="Grüße + 😀 & more" * 10, segments=3)
    accepted = await here.outcome(one)
    assert isinstance(accepted, Accepted)
    assert accepted.state is S.SUBMITTED
    assert accepted.parts is not None
    assert accepted.price == Decimal("0.008") * accepted.parts
    assert accepted.currency == "EUR"
    (entry,) = await here.live.ledger("cliqtel")
    assert [entry[name] for name in ("id", "msisdn", "text", "sender")] == [
        accepted.provider_id,
        "31612345678",
        one.text,
        one.sender,
    ]


async def test_a_number_id_stands_for_the_sender(here: Bench) -> None:
    assert isinstance(await here.outcome(here.message(), here.rebuild(options={"from_number_id": 6})), Accepted)
    (entry,) = await here.live.ledger("cliqtel")
    assert entry["sender"] == "+12025550124"


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], str, FailureClass]] = [
    ("no such sender", {}, {"sender": "+12025550199"}, "number_not_found", F.SENDER),
    ("a number without SMS", {}, {"sender": "+12025550125"}, "number_not_found", F.SENDER),
    ("a bad number", {}, {"number": "+353209159997"}, "validation_error", F.RECIPIENT),
    ("the carrier refuses", {}, {"number": "+353209159995"}, "send_failed", F.UNSPECIFIED),
    ("a long text", {}, {"text": "x" * 1601}, "validation_error", F.CONTENT),
    ("an empty text", {}, {"text": ""}, "validation_error", F.CONTENT),
    ("letters as sender", {}, {"sender": "MyStore"}, "validation_error", F.SENDER),
    ("no money, 422", {"wallet": 0}, {}, "insufficient_balance", F.ACCOUNT),
    ("no money, 402", {"wallet": 0, "balance_status": 402}, {}, "insufficient_balance", F.ACCOUNT),
    ("no money, 400", {"wallet": 0, "balance_status": 400}, {}, "insufficient_balance", F.ACCOUNT),
]


@pytest.mark.parametrize(
    ("label", "switches", "changes", "code", "klass"), REFUSALS, ids=[case[0] for case in REFUSALS]
)
async def test_every_refusal_is_read_by_its_code(
    label: str, switches: dict[str, Any], changes: dict[str, Any], code: str, klass: FailureClass
) -> None:
    async with bench("cliqtel", **FREE, **switches) as here:
        one = here.message(**changes)
        submission = await here.submit(one)
        refused = submission.outcomes[one.id]
        assert isinstance(refused, Refused)
        assert (refused.failure.code, refused.failure.klass) == (code, klass)
        assert isinstance(submission.signal, OutOfCredit) == (code == "insufficient_balance")
        assert await here.live.ledger("cliqtel") == []


@pytest.mark.parametrize("label", ["a long text", "an empty text", "letters as sender"])
async def test_what_would_be_refused_for_its_form_is_refused_before_the_wire(here: Bench, label: str) -> None:
    _, _, changes, _, _ = next(case for case in REFUSALS if case[0] == label)
    assert here.adapter.check(here.message(**changes)) is not None


@pytest.mark.parametrize(
    ("keys", "code"),
    [({"other": ["sms:read"]}, "unauthenticated"), ({"17|sandbox": ["sms:read"]}, "insufficient_scope")],
)
async def test_a_wrong_key_and_a_missing_scope_stop_the_account(keys: dict[str, Any], code: str) -> None:
    async with bench("cliqtel", keys=keys) as here:
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Misconfigured)
        assert submission.signal.code == code


async def test_a_wrong_address_says_what_the_base_url_should_be(here: Bench) -> None:
    submission = await here.submit(here.message(), adapter=here.rebuild(base_url=f"{here.live.running.url}/cliqtel"))
    assert isinstance(submission.signal, Misconfigured)
    assert "/api/v1/sms" in submission.signal.reason


async def test_submits_and_polls_share_the_sixty_a_minute() -> None:
    async with bench("cliqtel", limits=[{"limit": 2, "per_seconds": 60}]) as here:
        first = await here.submit(here.message())
        assert first.allowance is not None
        assert (first.allowance.limit, first.allowance.remaining) == (2, 1)
        await here.pull()
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Throttle)
        assert submission.signal.retry_after is not None
        assert 55 < submission.signal.retry_after <= 60
        assert here.adapter.shares_poll_budget


# --- faults and look-ups ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_every_fault_has_its_fate_and_the_list_tells_the_truth(here: Bench, trouble: Trouble) -> None:
    story, one = await keep(here, trouble)
    if story.fates == (Fate.UNKNOWN,):
        sighting = (await here.look_up(one))[one.id]
        assert isinstance(sighting, Found if trouble.taken else NotThere)


async def test_two_identical_messages_are_two_candidates_oldest_first(here: Bench) -> None:
    one = here.message()
    ids = [
        outcome.provider_id
        for outcome in [await here.outcome(one), await here.outcome(one)]
        if isinstance(outcome, Accepted)
    ]
    sighting = (await here.look_up(one))[one.id]
    assert isinstance(sighting, Found)
    assert [candidate.provider_id for candidate in sighting.candidates] == ids


async def test_another_text_to_the_same_number_is_not_ours(here: Bench) -> None:
    sent = here.message()
    await here.outcome(sent)
    sought = sent._replace(id="x", ref="x", text="Something else")
    assert isinstance((await here.look_up(sought))["x"], NotThere)


async def test_clocks_that_differ_prove_no_absence(here: Bench) -> None:
    ahead = Cliqtel(here.adapter._settings, clock=lambda: datetime.now(UTC) - timedelta(seconds=90))  # type: ignore[attr-defined]  # the same account with another clock
    here.adapter = ahead
    one = here.message()
    assert isinstance((await here.look_up(one))[one.id], NoAnswer)


async def test_a_look_up_that_is_throttled_says_nothing_about_the_message() -> None:
    async with bench("cliqtel", limits=[{"limit": 1, "per_seconds": 60}]) as here:
        one = here.message()
        await here.outcome(one)
        sighting = (await here.look_up(one))[one.id]
        assert isinstance(sighting, NoAnswer)
        assert isinstance(sighting.signal, Throttle)


# --- reports ---------------------------------------------------------------------------------------------------------


async def test_two_hundred_and_fifty_messages_are_read_in_three_pages(here: Bench) -> None:
    chunk = here.messages(250)
    ids = {outcome.provider_id for one in chunk if isinstance(outcome := await here.outcome(one), Accepted)}
    await here.live.settle()
    reports = await here.pull()
    assert here.pages == 3
    assert {report.provider_id for report in reports} == ids
    assert set(states(reports)) == {"delivered"}


async def test_messages_that_appear_while_the_pages_are_read_hide_none() -> None:
    async with bench("cliqtel", {"poll_limit": 10}, **FREE) as here:
        old = [await here.outcome(one) for one in here.messages(35)]
        now = datetime.now(UTC)
        page: Page | None = here.adapter.first_pages(OpenWork(now - timedelta(minutes=1), (), now))[0]
        seen: set[str | None] = set()
        while page is not None:
            reply = await here.send(here.adapter.page_request(page))
            seen |= {str(row["id"]) for row in _rows(reply.json())}
            for _ in range(7):  # new ones push the old ones onto later pages
                if page.number <= 3:
                    await here.outcome(here.message())
            page = here.adapter.following(page, reply)
        assert {outcome.provider_id for outcome in old if isinstance(outcome, Accepted)} <= seen


def _rows(body: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = body["data"]
    return rows


@pytest.mark.parametrize(
    ("ending", "state"), [("0000", S.UNDELIVERED), ("9999", S.UNDELIVERED), ("9998", S.UNDELIVERED), ("9996", S.SENT)]
)
async def test_every_end_is_read_from_the_list(here: Bench, ending: str, state: MessageState) -> None:
    await here.outcome(here.message(f"+35320915{ending}"))
    await here.live.settle()
    (report,) = await here.pull()
    assert report.state is state
    assert (report.failure is not None) is (state is S.UNDELIVERED)


async def test_a_few_old_messages_are_asked_for_one_by_one(here: Bench) -> None:
    ids = [
        outcome.provider_id or ""
        for one in here.messages(3)
        if isinstance(outcome := await here.outcome(one), Accepted)
    ]
    await here.live.settle()
    reports = await here.pull(*ids, since=datetime.now(UTC) - timedelta(hours=2))
    assert [report.provider_id for report in reports] == ids


async def test_what_came_in_is_kept_apart_from_reports(here: Bench) -> None:
    await here.live.control("POST", "/inbound", {"provider": "cliqtel", "from": "+447700900123", "body": "STOP"})
    assert await here.pull() == []


@pytest.mark.parametrize("signature", ["raw", "stringify", "php"])
async def test_webhooks_are_known_by_every_form_of_signature(signature: str) -> None:
    async with bench("cliqtel", signature=signature, **FREE) as here:
        accepted = await here.outcome(here.message())
        await here.live.settle()
        hits = here.arrived()
        assert [here.verdict(hit) for hit in hits] == [Genuine()] * 2
        reports = [report for hit in hits for report in here.read(hit).reports]
        assert states(reports) == ["sent", "delivered"]
        assert isinstance(accepted, Accepted)
        assert {report.provider_id for report in reports} == {accepted.provider_id}
        for hit in hits:
            assert (
                isinstance(here.verdict(replace(hit, body=hit.body.replace(b"sent", b"read"))), Forged)
                or b"sent" not in hit.body
            )
            assert isinstance(here.verdict(hit, adapter=here.rebuild(webhook_secret="another")), Forged)


async def test_an_unsigned_webhook_is_never_taken_unless_the_account_says_so() -> None:
    async with bench("cliqtel", webhook_secret=None, **FREE) as here:
        await here.outcome(here.message())
        await here.live.settle()
        by_token = here.rebuild(options={"webhook_auth": "token"})
        for hit in here.arrived():
            assert isinstance(here.verdict(hit), Forged)
            assert here.verdict(hit, adapter=by_token) == Genuine()
            assert isinstance(here.verdict(hit, token="wrong", adapter=by_token), Forged)


@pytest.mark.parametrize(("kind", "keys"), [("report_twice", 2), ("report_out_of_order", 2), ("report_early", 2)])
async def test_repeated_and_early_reports_keep_their_keys(here: Bench, kind: str, keys: int) -> None:
    await here.live.faults("cliqtel", {"kind": kind})
    await here.outcome(here.message())
    await here.live.settle()
    await here.live.advance(60)
    reports = [report for hit in here.arrived() for report in here.read(hit).reports]
    assert len({report.dedupe for report in reports}) == keys
    assert {str(report.state) for report in reports} == {"sent", "delivered"}


async def test_a_pushed_report_has_the_key_of_the_pulled_one(here: Bench) -> None:
    await here.outcome(here.message())
    await here.live.settle()
    pushed = [report.dedupe for hit in here.arrived() for report in here.read(hit).reports]
    (pulled,) = await here.pull()
    assert pulled.dedupe == pushed[-1]


# --- senders and probe -----------------------------------------------------------------------------------------------


async def test_the_probe_lists_the_senders_and_finds_the_missing_one(here: Bench) -> None:
    request = here.adapter.probe_request()
    assert request is not None
    reply = await here.send(request)
    assert here.adapter.read_probe(reply) == f"ok, senders {SENDERS['cliqtel']}, +12025550124"
    with pytest.raises(BadBody, match="from_number_id 7"):
        here.rebuild(options={"from_number_id": 7}).read_probe(reply)
    with pytest.raises(BadBody, match=r"options\.senders"):
        here.rebuild(options={"senders": "+12025550199"}).read_probe(reply)
