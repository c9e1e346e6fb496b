"""QuickSMS's adapter through the HTTP client against its simulator, which knows nothing of the adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.states import MessageState
from providers.base import (
    Accepted,
    FailureClass,
    Forged,
    Genuine,
    Misconfigured,
    Outgoing,
    OutOfCredit,
    Refused,
    Throttle,
    Unclear,
)
from providers.quicksms import QuickSms
from providers.registry import build
from providers.wire import BadBody
from tests.providers.sandbox_promises import keep
from tests.support.cases import answer, settings
from tests.support.fates import TROUBLES, Fate, Trouble
from tests.support.simulated import LOGINS, Bench, bench, states, twin

S = MessageState
F = FailureClass
LEGACY = {"credentials": {"username": "sandbox", "password": "sandbox"}, "options": {"api": "v1"}}
WRONG_KEY = {"credentials": {"api_key": "sk_live_wrong"}}


@pytest.fixture
async def here() -> AsyncIterator[Bench]:
    async with bench("quicksms") as made:
        yield made


# --- submit ----------------------------------------------------------------------------------------------------------


async def test_a_message_is_accepted_as_it_was_meant(here: Bench) -> None:
    one = here.message(text="Grüße 😀", validity=3600, options={"metadata.order": "12345"})
    submission = await here.submit(one)
    accepted = submission.outcomes[one.id]
    assert isinstance(accepted, Accepted)
    assert accepted.state is S.SUBMITTED
    assert accepted.parts == 1
    assert submission.allowance is not None
    assert (submission.allowance.limit, submission.allowance.remaining) == (1000, 999)
    (entry,) = await here.live.ledger("quicksms")
    told = [entry[name] for name in ("id", "ref", "key", "msisdn", "sender", "text")]
    assert told == [accepted.provider_id, one.id, one.ref, one.msisdn[1:], one.sender, one.text]


@pytest.mark.parametrize("options", [{"auth": "bearer"}, {"auth": "basic"}, {"sandbox": True}, {"smart_routing": True}])
async def test_every_way_of_asking_is_accepted(here: Bench, options: dict[str, object]) -> None:
    adapter = here.rebuild(options=options)
    assert isinstance(await here.outcome(here.message(sender="BrandAgent"), adapter), Accepted)


async def test_a_held_message_knows_its_hour() -> None:
    async with bench("quicksms", out_of_hours="hold", hours_resume_in=3600) as here:
        held = await here.outcome(here.message())
        assert isinstance(held, Accepted)
        assert held.state is S.HELD
        assert held.held_until is not None
        assert abs((held.held_until - datetime.now(UTC)).total_seconds() - 3600) < 5


REFUSALS: list[tuple[str, dict[str, Any], dict[str, Any], str, FailureClass]] = [
    ("sender", {"approved_senders": ["Known"]}, {}, "SENDER_NOT_REGISTERED", F.SENDER),
    ("country", {"blocked_countries": ["44"]}, {}, "COUNTRY_NOT_ALLOWED", F.COUNTRY),
    ("credits", {"credits": 0}, {}, "INSUFFICIENT_CREDITS", F.ACCOUNT),
    ("content", {"blocked_words": ["hello"]}, {}, "CONTENT_BLOCKED", F.CONTENT),
    ("hours", {"out_of_hours": "reject", "hours_resume_in": 600}, {}, "OUT_OF_HOURS", F.DEFERRED),
    ("number", {}, {"number": "+353209159997"}, "INVALID_PHONE_NUMBER", F.RECIPIENT),
    ("blocked ending", {}, {"number": "+353209159995"}, "CONTENT_BLOCKED", F.CONTENT),
    ("empty text", {}, {"text": ""}, "MISSING_FIELD", F.CONTENT),
    ("long text", {}, {"text": "x" * 1531}, "CONTENT_TOO_LONG", F.CONTENT),
    ("no sender", {}, {"sender": ""}, "MISSING_FIELD", F.SENDER),
    ("odd sender", {}, {"sender": "TwelveLetter"}, "VALIDATION_ERROR", F.SENDER),
    ("metadata", {}, {"options": {f"metadata.{n}": "x" for n in range(11)}}, "VALIDATION_ERROR", F.CONTENT),
]


@pytest.mark.parametrize(
    ("label", "switches", "changes", "code", "klass"), REFUSALS, ids=[case[0] for case in REFUSALS]
)
async def test_every_refusal_is_read_by_its_code(
    label: str, switches: dict[str, Any], changes: dict[str, Any], code: str, klass: FailureClass
) -> None:
    async with bench("quicksms", **switches) as here:
        one = here.message(**changes)
        submission = await here.submit(one)
        refused = submission.outcomes[one.id]
        assert isinstance(refused, Refused)
        assert (refused.failure.code, refused.failure.klass) == (code, klass)
        assert submission.request_id is None or submission.request_id.startswith("req_")
        assert isinstance(submission.signal, OutOfCredit) == (code == "INSUFFICIENT_CREDITS")
        assert await here.live.ledger("quicksms") == []


@pytest.mark.parametrize("label", ["empty text", "long text", "no sender", "odd sender", "metadata"])
async def test_what_would_be_refused_for_its_form_is_refused_before_the_wire(here: Bench, label: str) -> None:
    _, _, changes, code, klass = next(case for case in REFUSALS if case[0] == label)
    ours = here.adapter.check(here.message(**changes))
    assert ours is not None
    assert (ours.code, ours.klass) == (code, klass)


async def test_a_refusal_for_the_hour_names_when_to_come_back_and_asks_for_a_new_key() -> None:
    async with bench("quicksms", out_of_hours="reject", hours_resume_in=600) as here:
        refused = await here.outcome(here.message())
        assert isinstance(refused, Refused)
        assert refused.new_ref
        assert refused.retry_after is not None
        assert 590 < refused.retry_after <= 600


async def test_a_duplicate_tells_of_the_first() -> None:
    async with bench("quicksms", anti_flood="enforce") as here:
        one = here.message()
        first = await here.outcome(one)
        again = await here.outcome(twin(one, ref="another-key"))
        assert isinstance(first, Accepted)
        assert isinstance(again, Refused)
        assert again.failure.klass is F.DUPLICATE
        assert first.provider_id is not None
        assert first.provider_id in again.failure.reason


@pytest.mark.parametrize("status", ["draft", "suspended", "archived"])
async def test_an_inactive_connection_stops_the_account(status: str) -> None:
    async with bench("quicksms", keys={"sk_live_sandbox": status}) as here:
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Misconfigured)
        assert submission.signal.code == "ACCOUNT_INACTIVE"


async def test_an_address_that_is_not_listed_stops_the_account() -> None:
    async with bench("quicksms", allowed_ips=["192.0.2.1"]) as here:
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Misconfigured)
        assert submission.signal.code == "IP_NOT_ALLOWED"


async def test_ten_wrong_logins_lock_the_address_and_the_answer_says_how_long() -> None:
    async with bench("quicksms", WRONG_KEY) as here:
        for _ in range(10):
            submission = await here.submit(here.message())
            assert isinstance(submission.signal, Misconfigured)
            assert submission.signal.code == "UNAUTHORIZED"
        locked = await here.submit(here.message(), adapter=here.rebuild())
        assert isinstance(locked.signal, Misconfigured)
        assert locked.signal.code == "AUTH_RATE_LIMITED"
        assert locked.signal.retry_after is not None
        assert 295 < locked.signal.retry_after <= 300


async def test_the_thousand_and_first_request_waits() -> None:
    async with bench("quicksms", limits=[{"limit": 2, "per_seconds": 60}]) as here:
        allowances = [(await here.submit(one)).allowance for one in here.messages(2)]
        assert [allowance.remaining for allowance in allowances if allowance] == [1, 0]
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Throttle)
        assert submission.signal.retry_after is not None
        assert 55 < submission.signal.retry_after <= 60


async def test_a_test_key_reaches_its_list_with_its_own_sender_only() -> None:
    async with bench("quicksms", {"credentials": {"api_key": "sk_test_sandbox"}}) as here:
        assert isinstance(await here.outcome(here.message(sender="QuickSMS")), Accepted)
        other_sender, other_number = here.message(), here.message("+12025550123", sender="QuickSMS")
        for one, code in ((other_sender, "SENDER_NOT_REGISTERED"), (other_number, "TEST_NUMBER_NOT_APPROVED")):
            refused = await here.outcome(one)
            assert isinstance(refused, Refused)
            assert refused.failure.code == code


# --- replays and faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_every_fault_has_its_fate_and_a_replay_never_sends_twice(here: Bench, trouble: Trouble) -> None:
    story, one = await keep(here, trouble)
    replayed = await here.outcome(one)
    assert isinstance(replayed, Accepted)
    assert len(await here.live.ledger("quicksms")) == 1
    assert (await here.live.stats("quicksms"))["replays"] == int(trouble.taken)
    assert story.fates != (Fate.NOT_SENT,)


async def test_a_replay_is_byte_identical_and_gets_the_first_answer(here: Bench) -> None:
    one = here.message(text="Grüße", options={"metadata.b": "2", "metadata.a": "1"})
    assert await here.outcome(one) == await here.outcome(one)
    assert here.adapter.submit_request([one], "A") == here.rebuild().submit_request([one], "B")


async def test_the_same_key_with_another_text_is_unclear_never_a_second_message(here: Bench) -> None:
    one = here.message()
    await here.outcome(one)
    assert isinstance(await here.outcome(twin(one, text="Other")), Unclear)
    assert len(await here.live.ledger("quicksms")) == 1


async def test_a_refused_key_may_be_used_again(here: Bench) -> None:
    await here.live.configure("quicksms", blocked_words=["hello"])
    one = here.message()
    assert isinstance(await here.outcome(one), Refused)
    await here.live.configure("quicksms", blocked_words=[])
    assert isinstance(await here.outcome(one), Accepted)


# --- webhooks --------------------------------------------------------------------------------------------------------


async def reported(here: Bench, *numbers: str | None, **changes: Any) -> list[Outgoing]:
    chunk = [here.message(number, **changes) for number in numbers]
    for one in chunk:
        assert isinstance(await here.outcome(one), Accepted)
    await here.live.settle()
    return chunk


ENDS = [
    ("0000", S.UNDELIVERED, "27", F.TEMPORARY),
    ("9999", S.EXPIRED, "255", F.UNSPECIFIED),
    ("9998", S.REJECTED, "13", F.UNSPECIFIED),
    ("1234", S.DELIVERED, None, None),
]


@pytest.mark.parametrize(("ending", "state", "code", "klass"), ENDS)
async def test_every_end_is_pushed_signed_and_read(
    here: Bench, ending: str, state: MessageState, code: str | None, klass: FailureClass | None
) -> None:
    (one,) = await reported(here, f"+35320915{ending}", options={"metadata.a": "1"})
    (hit,) = here.arrived()
    assert here.verdict(hit) == Genuine()
    (report,) = here.read(hit).reports
    assert (report.ref, report.state) == (one.id, state)
    assert (report.failure.code if report.failure else None) == code
    assert (report.failure.klass if report.failure else None) is klass
    assert report.at is not None


async def test_a_forged_late_or_unsigned_push_is_refused(here: Bench) -> None:
    await reported(here, None)
    (hit,) = here.arrived()
    assert isinstance(here.verdict(replace(hit, body=hit.body + b" ")), Forged)
    assert isinstance(here.verdict(hit, seconds=301), Forged)
    assert isinstance(here.verdict(hit, seconds=-301), Forged)
    assert isinstance(here.verdict(hit, adapter=here.rebuild(webhook_secret="another")), Forged)
    unsigned = {name: value for name, value in hit.headers.items() if "signature" not in name}
    assert isinstance(here.verdict(replace(hit, headers=unsigned)), Forged)


async def test_an_unsigned_account_goes_by_its_token() -> None:
    async with bench("quicksms", {"webhook_secret": None}, webhook_secret=None) as here:
        await reported(here, None)
        (hit,) = here.arrived()
        assert here.verdict(hit) == Genuine()
        assert isinstance(here.verdict(hit, token=None), Forged)


async def test_pending_delivered_and_read_are_three_reports_of_one_message() -> None:
    async with bench("quicksms", {"options": {"smart_routing": True}}, pending_webhook=True, read_delay=0) as here:
        (one,) = await reported(here, None, sender="BrandAgent")
        await here.live.advance(2)
        reports = [report for hit in here.arrived() for report in here.read(hit).reports]
        assert states(reports) == ["sent", "delivered", "delivered"]
        assert len({report.dedupe for report in reports}) == 3
        assert {report.ref for report in reports} == {one.id}
        assert [report.read_at is not None for report in reports] == [False, False, True]
        assert {report.channel for report in reports} == {"RCS"}


async def test_a_fallback_says_which_channel_it_took() -> None:
    async with bench("quicksms", {"options": {"smart_routing": True}}, rcs_reach=0.0) as here:
        await reported(here, None, sender="BrandAgent")
        (hit,) = here.arrived()
        (report,) = here.read(hit).reports
        assert (report.channel, report.read_at) == ("SMS", None)


async def test_a_webhook_that_failed_is_repeated_under_the_same_key_and_a_fresh_stamp(here: Bench) -> None:
    here.hook.respond = lambda hit: (500, b"") if len(here.hook.hits) < 3 else (200, b"{}")
    await reported(here, None)
    for seconds in (31, 121, 601):
        await here.live.advance(seconds)
    hits = here.arrived()
    assert len(hits) == 3
    assert len({report.dedupe for hit in hits for report in here.read(hit).reports}) == 1


@pytest.mark.parametrize(("kind", "keys"), [("report_twice", 1), ("report_out_of_order", 2), ("report_early", 1)])
async def test_repeated_and_early_reports_keep_their_keys(here: Bench, kind: str, keys: int) -> None:
    await here.live.faults("quicksms", {"kind": kind})
    (one,) = await reported(here, None)
    await here.live.advance(60)
    reports = [report for hit in here.arrived() for report in here.read(hit).reports]
    assert {report.ref for report in reports} == {one.id}
    assert len({report.dedupe for report in reports}) == keys
    assert S.DELIVERED in {report.state for report in reports}


# --- health ----------------------------------------------------------------------------------------------------------


async def test_the_probe_reads_the_health_page(here: Bench) -> None:
    request = here.adapter.probe_request()
    assert request is not None
    assert "healthy" in here.adapter.read_probe(await here.send(request))
    await here.live.configure("quicksms", degraded=True)
    with pytest.raises(BadBody, match="degraded"):
        here.adapter.read_probe(await here.send(request))


@pytest.mark.parametrize(
    ("account", "switches", "said"),
    [
        ({}, {}, None),
        (WRONG_KEY, {}, "401"),
        ({}, {"keys": {"sk_live_sandbox": "suspended"}}, "403"),
        ({}, {"limits": [{"limit": 0, "per_seconds": 60}]}, "429"),
    ],
)
async def test_an_empty_send_proves_the_key_and_sends_nothing(
    account: dict[str, Any], switches: dict[str, Any], said: str | None
) -> None:
    async with bench("quicksms", account, **switches) as here:
        assert isinstance(here.adapter, QuickSms)
        (question,) = here.adapter.questions()
        reply = await here.send(question.request)
        assert await here.live.ledger("quicksms") == []
        if said is None:
            assert question.read(reply) == "the API key is accepted"
            assert here.adapter.read_signal(reply)[0] is None
        else:
            with pytest.raises(BadBody, match=said):
                question.read(reply)


async def test_an_empty_send_that_is_accepted_is_no_proof_of_anything(here: Bench) -> None:
    assert isinstance(here.adapter, QuickSms)
    (question,) = here.adapter.questions()
    accepted = await here.send(here.adapter.submit_request([here.message()], "B"))
    with pytest.raises(BadBody, match="expected 400 or 422"):
        question.read(accepted)


def test_nothing_harmless_proves_a_login_of_the_legacy_api() -> None:
    legacy = build("quicksms", settings(credentials=LOGINS["qikli"], options={"api": "v1"}))
    assert isinstance(legacy, QuickSms)
    assert legacy.questions() == ()
    assert "login" in legacy.read_probe(answer(200, {"status": "healthy"}))


# --- the legacy API --------------------------------------------------------------------------------------------------


async def test_the_legacy_api_accepts_and_its_receipts_are_read() -> None:
    async with bench("quicksms", LEGACY) as here:
        delivered, absent = await reported(here, None, "+353209150000")
        hits = here.arrived()
        assert {here.verdict(hit) for hit in hits} == {Genuine(body=b"RECEIVED", content_type="text/plain")}
        reports = {report.ref: report.state for hit in hits for report in here.read(hit).reports}
        assert reports == {delivered.id: S.DELIVERED, absent.id: S.UNDELIVERED}


LEGACY_REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str, FailureClass, bool]] = [
    ({"v1_disabled": "temporary"}, {}, "220", F.ACCOUNT, True),
    ({"v1_disabled": "permanent"}, {}, "221", F.ACCOUNT, True),
    ({"v1_require_https": True}, {}, "200", F.ACCOUNT, True),
    ({"v1_users": {"other": "x"}}, {}, "206", F.ACCOUNT, True),
    ({"credits": 0}, {}, "208", F.ACCOUNT, True),
    ({}, {"number": "+353209159997"}, "207", F.RECIPIENT, False),
    ({}, {"text": "x" * 1600, "segments": 11}, "209", F.CONTENT, False),
    ({}, {"sender": "ASenderMuchTooLongForAnySms"}, "210", F.SENDER, False),
]


@pytest.mark.parametrize(("switches", "changes", "code", "klass", "stops"), LEGACY_REFUSALS)
async def test_every_refusal_of_the_legacy_api_is_read_by_its_number(
    switches: dict[str, Any], changes: dict[str, Any], code: str, klass: FailureClass, stops: bool
) -> None:
    async with bench("quicksms", LEGACY, **switches) as here:
        one = here.message(**changes)
        submission = await here.submit(one)
        refused = submission.outcomes[one.id]
        assert isinstance(refused, Refused)
        assert (refused.failure.code, refused.failure.klass) == (code, klass)
        assert (submission.signal is not None) is stops


async def test_an_incoming_message_is_kept_and_answered(here: Bench) -> None:
    fields = {"url": here.hook.url, "MSISDN": "447700900123", "Message": "STOP", "Number": "447700900999", "ID": "7"}
    await here.live.control("POST", "/inbound", {"provider": "quicksms", **fields})
    hit = here.arrived()[0]
    assert here.verdict(hit) == Genuine(body=b"RECEIVED", content_type="text/plain")
    assert isinstance(here.verdict(hit, token="wrong"), Forged)
    (inbound,) = here.read(hit).inbound
    assert (inbound.msisdn, inbound.text, inbound.inbound_id) == ("447700900123", "STOP", "7")


async def test_a_key_is_forgotten_after_a_day_so_replays_end_before() -> None:
    async with bench("quicksms") as here:
        one = here.message()
        await here.outcome(one)
        await here.live.advance(timedelta(days=1, seconds=1).total_seconds())
        await here.outcome(one)
        assert len(await here.live.ledger("quicksms")) == 2
        assert here.adapter.look_up_policy.give_up_after < timedelta(days=1).total_seconds()
