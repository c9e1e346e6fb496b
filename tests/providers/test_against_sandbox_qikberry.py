"""Qikberry's adapter through the HTTP client against its simulator, which knows nothing of the adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from models.states import MessageState
from providers.base import (
    Accepted,
    FailureClass,
    Forged,
    Found,
    Genuine,
    Handshake,
    Misconfigured,
    NoAnswer,
    NotThere,
    OutOfCredit,
    Push,
    Raw,
    Refused,
    Throttle,
    Unclear,
)
from providers.qikberry import Qikberry
from providers.qikberry_codes import BY_CODE
from providers.wire import BadBody
from tests.providers.sandbox_promises import keep
from tests.support.fates import TROUBLES, Fate, Trouble
from tests.support.simulated import TOKEN, Bench, bench, states

S = MessageState
F = FailureClass


@pytest.fixture
async def here() -> AsyncIterator[Bench]:
    async with bench("qikberry") as made:
        yield made


async def with_hook(here: Bench, **switches: Any) -> None:
    """The account's default webhook, as its owner would set it up at the provider."""
    await here.live.configure("qikberry", callback_url=here.hook.url, **switches)


# --- submit ----------------------------------------------------------------------------------------------------------


async def test_a_batch_carries_every_reference_text_and_number(here: Bench) -> None:
    chunk = [here.message(), here.message(text="Grüße 😀"), here.message("+233205072987", sender="Other")]
    submission = await here.submit(*chunk)
    outcomes = [submission.outcomes[one.id] for one in chunk]
    assert all(isinstance(outcome, Accepted) and outcome.state is S.SUBMITTED for outcome in outcomes)
    groups = {outcome.group_id for outcome in outcomes if isinstance(outcome, Accepted)}
    assert len(groups) == 1
    ledger = await here.live.ledger("qikberry")
    told = {entry["ref"]: (entry["msisdn"], entry["text"], entry["sender"]) for entry in ledger}
    assert told == {one.ref: (one.msisdn[1:], one.text, one.sender) for one in chunk}
    assert [outcome.provider_id for outcome in outcomes if isinstance(outcome, Accepted)] == [e["id"] for e in ledger]


FORMS: list[dict[str, Any]] = [
    {"status_form": "number"},
    {"status_form": "text"},
    {"status_form": "word"},
    {"accepted_http": 202},
    {"numbers_as_text": True},
    {"group_id": "never"},
    {"group_id": "named"},
    {"custom_key": "custom"},
    {"custom_key": "cid"},
    {"custom_key": "foreign_id"},
    {"custom_key": "unheard_of"},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
async def test_every_way_to_say_accepted_is_understood(form: dict[str, Any]) -> None:
    async with bench("qikberry", **form) as here:
        submission = await here.submit(*here.messages(3))
        outcomes = list(submission.outcomes.values())
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert len({outcome.provider_id for outcome in outcomes if isinstance(outcome, Accepted)}) == 3
        assert all(outcome.group_id for outcome in outcomes if isinstance(outcome, Accepted))


@pytest.mark.parametrize("options", [{"mode": "send"}, {"mode": "send", "to_as_text": True}, {"mode": "channels"}])
async def test_the_other_endpoints_take_one_recipient_each(here: Bench, options: dict[str, object]) -> None:
    adapter = here.rebuild(options=options)
    assert adapter.max_recipients == 1
    one = here.message()
    assert isinstance(await here.outcome(one, adapter), Accepted)
    (entry,) = await here.live.ledger("qikberry")
    assert (entry["ref"], entry["text"]) == (one.ref, one.text)


@pytest.mark.parametrize("form", ["sms", "channel"])
async def test_a_template_of_the_provider_is_filled(form: str) -> None:
    templates = {"order": {"id": "t-1", "body": "Hi {{name}}: {{message}}", "sender": "BRAND", "service": "T"}}
    async with bench("qikberry", templates=templates, template_form=form) as here:
        adapter = here.rebuild(options={"mode": "template", "template_alias": "order"})
        one = here.message(options={"var.name": "Ama"}, text="Hello")
        options = {"mode": "template", "template_alias": "order", "text_variable": "message"}
        assert isinstance(await here.outcome(one, here.rebuild(options=options)), Accepted)
        (entry,) = await here.live.ledger("qikberry")
        assert (entry["text"], entry["ref"], entry["sender"]) == ("Hi Ama: Hello", one.ref, "BRAND")
        assert adapter.check(one) is None


async def test_a_recipient_left_out_of_the_answer_is_unclear_and_found_by_its_reference() -> None:
    async with bench("qikberry", answer_gap=2) as here:
        chunk = here.messages(4)
        submission = await here.submit(*chunk)
        unclear = [one for one in chunk if isinstance(submission.outcomes[one.id], Unclear)]
        assert len(unclear) == 2
        assert all(isinstance(sighting, Found) for sighting in (await here.look_up(*unclear)).values())


async def test_a_recipient_neither_answered_nor_counted_was_refused() -> None:
    async with bench("qikberry", drop_gap=2) as here:
        submission = await here.submit(*here.messages(4))
        assert [type(outcome) for outcome in submission.outcomes.values()] == [Accepted, Refused, Accepted, Refused]


async def test_an_answer_without_rows_accepts_without_ids_and_reports_bring_them() -> None:
    async with bench("qikberry", empty_data=True) as here:
        chunk = here.messages(2)
        submission = await here.submit(*chunk)
        outcomes = [outcome for outcome in submission.outcomes.values() if isinstance(outcome, Accepted)]
        assert [outcome.provider_id for outcome in outcomes] == [None, None]
        await here.live.settle()
        reports = await here.pull(outcomes[0].group_id or "")
        assert {report.ref for report in reports} == {one.ref for one in chunk}


async def test_an_id_given_to_two_recipients_is_nobody_s() -> None:
    async with bench("qikberry", repeat_ids=True) as here:
        submission = await here.submit(*here.messages(2))
        outcomes = [outcome for outcome in submission.outcomes.values() if isinstance(outcome, Accepted)]
        assert [outcome.provider_id for outcome in outcomes] == [None, None]
        assert all(outcome.note for outcome in outcomes)


REJECTIONS = sorted({word.name for word in BY_CODE.values() if word.state is S.REJECTED})


@pytest.mark.parametrize("name", REJECTIONS)
async def test_a_refused_recipient_never_harms_its_neighbours(here: Bench, name: str) -> None:
    chunk = here.messages(3)
    rule: dict[str, object] = {
        "kind": "partial_reject",
        "match": {"msisdn": chunk[1].msisdn[-4:]},
        "params": {"status": name},
    }
    await here.live.faults("qikberry", rule)
    submission = await here.submit(*chunk)
    first, refused, last = (submission.outcomes[one.id] for one in chunk)
    assert isinstance(first, Accepted)
    assert isinstance(last, Accepted)
    assert isinstance(refused, Refused)


ROWS: list[tuple[str, dict[str, Any], dict[str, Any], FailureClass]] = [
    ("number", {}, {"number": "+353209159997"}, F.RECIPIENT),
    ("do not disturb", {}, {"number": "+353209159995"}, F.RECIPIENT),
    ("sender", {"approved_senders": ["Known"]}, {}, F.SENDER),
    ("country", {"notallowed": ["44"]}, {}, F.COUNTRY),
]


@pytest.mark.parametrize(("label", "switches", "changes", "klass"), ROWS, ids=[case[0] for case in ROWS])
async def test_a_row_tells_why_its_recipient_was_refused(
    label: str, switches: dict[str, Any], changes: dict[str, Any], klass: FailureClass
) -> None:
    async with bench("qikberry", **switches) as here:
        outcome = await here.outcome(here.message(**changes))
        assert isinstance(outcome, Refused)
        assert outcome.failure.klass is klass


async def test_the_repetition_filter_is_a_duplicate_not_an_acceptance() -> None:
    async with bench("qikberry", repeat_minutes=5) as here:
        one = here.message()
        await here.outcome(one)
        again = await here.outcome(one._replace(id="x", ref="another"))
        assert isinstance(again, Refused)
        assert again.failure.klass is F.DUPLICATE


WHOLE: list[tuple[str, dict[str, Any], dict[str, Any], FailureClass, Any]] = [
    ("token", {"tokens": {"other": "x"}}, {}, F.ACCOUNT, Misconfigured),
    ("service", {"services": ["P"]}, {}, F.ACCOUNT, Misconfigured),
    ("credit", {"credits": 0}, {}, F.ACCOUNT, OutOfCredit),
    ("credit, 402", {"credits": 0, "balance_status": 402}, {}, F.ACCOUNT, OutOfCredit),
    ("credit, 422", {"credits": 0, "balance_status": 422}, {}, F.ACCOUNT, OutOfCredit),
    ("sender", {}, {"sender": ""}, F.SENDER, None),
    ("text", {}, {"text": ""}, F.CONTENT, None),
    ("tags", {}, {"options": {"tags": "a,b,c,d"}}, F.CONTENT, None),
    ("units", {}, {"text": "x" * 400, "options": {"max_units": "2"}}, F.CONTENT, None),
]


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize("form", ["text", "object", "list"])
@pytest.mark.parametrize(("label", "switches", "changes", "klass", "signal"), WHOLE, ids=[case[0] for case in WHOLE])
async def test_every_refusal_of_a_request_is_read_in_every_form(
    label: str,
    switches: dict[str, Any],
    changes: dict[str, Any],
    klass: FailureClass,
    signal: Any,
    form: str,
    code: bool,
) -> None:
    async with bench("qikberry", validation_form=form, error_code=code, **switches) as here:
        one = here.message(**changes)
        submission = await here.submit(one)
        refused = submission.outcomes[one.id]
        assert isinstance(refused, Refused)
        assert refused.failure.klass is klass
        assert (type(submission.signal) if submission.signal else None) is signal


@pytest.mark.parametrize("label", ["sender", "text", "tags"])
async def test_what_would_be_refused_for_its_form_is_refused_before_the_wire(here: Bench, label: str) -> None:
    _, _, changes, klass, _ = next(case for case in WHOLE if case[0] == label)
    ours = here.adapter.check(here.message(**changes))
    assert ours is not None
    assert ours.klass is klass


async def test_too_many_recipients_refuse_the_request_and_nobody_was_sent_to() -> None:
    async with bench("qikberry", max_recipients=2) as here:
        submission = await here.submit(*here.messages(3))
        assert all(isinstance(outcome, Refused) for outcome in submission.outcomes.values())
        assert await here.live.ledger("qikberry") == []


async def test_a_missing_endpoint_says_which_option_to_set(here: Bench) -> None:
    submission = await here.submit(here.message(), adapter=here.rebuild(options={"paths": {"json": "sms/nowhere"}}))
    assert isinstance(submission.signal, Misconfigured)
    assert "options.paths.json" in submission.signal.reason


@pytest.mark.parametrize("hint", [True, False])
async def test_only_gets_are_limited_and_a_429_holds_everybody(hint: bool) -> None:
    limits = [{"limit": 1, "per_seconds": 60, "methods": ["GET"]}]
    async with bench("qikberry", limits=limits, throttle_hint=hint) as here:
        for one in here.messages(3):
            assert isinstance(await here.outcome(one), Accepted)
        request = here.adapter.probe_request()
        assert request is not None
        await here.send(request)
        signal, _ = here.adapter.read_signal(await here.send(request))
        assert isinstance(signal, Throttle)
        assert (signal.retry_after is not None) is hint
        assert not here.adapter.shares_poll_budget


# --- faults and look-ups ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_every_fault_has_its_fate_and_the_status_page_tells_the_truth(here: Bench, trouble: Trouble) -> None:
    story, one = await keep(here, trouble)
    if story.fates == (Fate.UNKNOWN,):
        sighting = (await here.look_up(one))[one.id]
        assert isinstance(sighting, Found if trouble.taken else NotThere)


@pytest.mark.parametrize("status", [200, 404, 422])
async def test_no_record_is_no_proof_unless_the_account_says_so(status: int) -> None:
    async with bench("qikberry", no_record=status) as here:
        one = here.message()
        assert isinstance((await here.look_up(one))[one.id], NotThere)
        here.adapter = here.rebuild(options={"absence_proves": True}, request_cap=1)
        expected = NotThere if status == 200 else NoAnswer
        assert isinstance((await here.look_up(one))[one.id], expected)


@pytest.mark.parametrize("envelope", ["new", "old"])
async def test_a_look_up_reads_both_envelopes(envelope: str) -> None:
    async with bench("qikberry", envelope=envelope) as here:
        one = here.message()
        await here.outcome(one)
        found = (await here.look_up(one))[one.id]
        assert isinstance(found, Found)
        assert states(found.candidates) == ["submitted"]


# --- reports, pulled -------------------------------------------------------------------------------------------------


async def group_of(here: Bench, count: int = 1, number: str | None = None) -> str:
    chunk = [here.message(number) for _ in range(count)]
    submission = await here.submit(*chunk)
    found = {outcome.group_id for outcome in submission.outcomes.values() if isinstance(outcome, Accepted)}
    (group,) = found
    assert group is not None
    return group


@pytest.mark.parametrize("envelope", ["new", "old"])
async def test_two_hundred_and_fifty_rows_are_read_in_three_pages(envelope: str) -> None:
    async with bench("qikberry", {"request_cap": 300}, envelope=envelope) as here:
        group = await group_of(here, 250)
        await here.live.settle()
        reports = await here.pull(group)
        assert here.pages == 3
        assert len({report.ref for report in reports}) == 250
        assert set(states(reports)) == {"delivered"}
        assert all(abs((report.at - datetime.now(UTC)).total_seconds()) < 900 for report in reports if report.at)


async def test_without_a_group_the_day_is_asked_for() -> None:
    async with bench("qikberry") as here:
        await group_of(here, 3)
        await here.live.settle()
        assert set(states(await here.pull())) == {"delivered"}


@pytest.mark.parametrize("words", ["short", "long"])
@pytest.mark.parametrize("code", [code for code in BY_CODE if code != "000"][::3])
async def test_every_code_reaches_us_by_its_name(words: str, code: str) -> None:
    async with bench("qikberry", suffix_statuses={"0123": code}, status_words=words) as here:
        group = await group_of(here, number="+447700900123")
        await here.live.settle()
        (report,) = await here.pull(group)
        assert report.state is BY_CODE[code].state
        assert report.failure is not None


async def test_under_way_comes_before_the_end() -> None:
    async with bench("qikberry", enroute=True) as here:
        group = await group_of(here)
        await here.live.advance(301)
        (under_way,) = await here.pull(group)
        await here.live.settle()
        (end,) = await here.pull(group)
        assert states([under_way, end]) == ["sent", "delivered"]
        assert under_way.dedupe != end.dedupe


@pytest.mark.parametrize("form", [{"numbers_as_text": True}, {"timezone": "UTC"}])
async def test_numbers_as_texts_and_other_zones_are_read(form: dict[str, Any]) -> None:
    account = {"options": {"timezone": form.get("timezone", "Asia/Kolkata"), "currency": "INR"}}
    async with bench("qikberry", account, **form) as here:
        group = await group_of(here)
        await here.live.settle()
        (report,) = await here.pull(group)
        assert (report.parts, report.currency) == (1, "INR")
        assert report.price == 1
        assert report.at is not None
        assert abs((report.at - datetime.now(UTC)).total_seconds()) < 900


# --- reports, pushed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["flat", "envelope", "list", "envelope_list", "form", "get"])
@pytest.mark.parametrize("custom", ["both", "cid", "custom"])
@pytest.mark.parametrize("epoch", [True, False])
async def test_every_form_of_push_says_the_same(form: str, custom: str, epoch: bool) -> None:
    async with bench("qikberry", push_form=form, push_custom=custom, epoch_fields=epoch) as here:
        await with_hook(here)
        one = here.message()
        await here.outcome(one)
        await here.live.settle()
        (hit,) = here.arrived()
        assert isinstance(here.verdict(hit), Genuine)
        parsed = here.read(hit)
        (report,) = parsed.reports
        assert (report.ref, report.state, report.parts) == (one.ref, S.DELIVERED, 1)
        assert report.at is not None
        assert abs((report.at - datetime.now(UTC)).total_seconds()) < 900
        assert not parsed.bad


async def test_a_push_needs_the_token_and_the_secret(here: Bench) -> None:
    await with_hook(here)
    await here.outcome(here.message())
    await here.live.settle()
    (hit,) = here.arrived()
    assert isinstance(here.verdict(hit, token="wrong"), Forged)
    assert isinstance(here.verdict(hit, adapter=here.rebuild(webhook_secret="another")), Forged)
    bare = {name: value for name, value in hit.headers.items() if name != "authorization"}
    assert isinstance(here.verdict(replace(hit, headers=bare)), Forged)


async def test_a_signature_is_checked_where_the_account_wants_it() -> None:
    async with bench("qikberry", signature=True) as here:
        await with_hook(here)
        await here.outcome(here.message())
        await here.live.settle()
        (hit,) = here.arrived()
        strict = here.rebuild(options={"verify_signature": True, "webhook_id": "sandbox-webhook"})
        assert isinstance(here.verdict(hit, adapter=strict), Genuine)
        assert isinstance(here.verdict(replace(hit, body=hit.body + b" "), adapter=strict), Forged)


async def test_pull_and_push_of_the_same_status_have_one_key(here: Bench) -> None:
    await with_hook(here)
    group = await group_of(here)
    await here.live.settle()
    (hit,) = here.arrived()
    (pushed,) = here.read(hit).reports
    (pulled,) = await here.pull(group)
    assert pushed.dedupe == pulled.dedupe


async def test_the_handshake_is_answered_for_whoever_knows_the_token(here: Bench) -> None:
    body = b'{"validation_key":"k","challenge":"a234qwe"}'
    headers = {"authorization": "Bearer qikberry-webhook-secret", "content-type": "application/json"}
    asked = Push("POST", headers, {"token": TOKEN}, body, TOKEN)
    assert here.adapter.verify(asked, datetime.now(UTC)) == Handshake(b'{"challenge":"a234qwe"}')
    assert isinstance(here.adapter.verify(replace(asked, query={"token": "x"}), datetime.now(UTC)), Forged)


@pytest.mark.parametrize(("kind", "keys"), [("report_twice", 1), ("report_out_of_order", 2), ("report_early", 1)])
async def test_repeated_and_early_reports_keep_their_keys(here: Bench, kind: str, keys: int) -> None:
    await with_hook(here)
    await here.live.faults("qikberry", {"kind": kind})
    await here.outcome(here.message())
    await here.live.settle()
    await here.live.advance(60)
    reports = [report for hit in here.arrived() for report in here.read(hit).reports]
    assert len({report.dedupe for report in reports}) == keys
    assert S.DELIVERED in {report.state for report in reports}


# --- opt-outs, balance -----------------------------------------------------------------------------------------------


async def opt_out(here: Bench, number: str, kind: str = "all", value: str = "") -> None:
    fields = {"provider": "qikberry", "receiver": number, "type": kind, "value": value}
    await here.live.control("POST", "/inbound", fields)


async def test_an_opt_out_is_pushed_and_blocks_the_next_message(here: Bench) -> None:
    await with_hook(here)
    await opt_out(here, "447700900123")
    (hit,) = here.arrived()
    assert isinstance(here.verdict(hit), Genuine)
    (found,) = here.read(hit).opt_outs
    assert (found.msisdn, found.sender) == ("+447700900123", None)
    refused = await here.outcome(here.message("+447700900123"))
    assert isinstance(refused, Refused)
    assert refused.failure.klass is F.RECIPIENT


async def test_two_hundred_and_fifty_unsubscribers_are_read_page_by_page(here: Bench) -> None:
    await with_hook(here)
    for n in range(250):
        await opt_out(here, f"447700900{n:03d}")
    adapter = here.adapter
    assert isinstance(adapter, Qikberry)
    found, pages = set(), 0
    page = adapter.opt_out_pages()[0]
    while True:
        reply = await here.send(adapter.opt_out_request(page))
        found |= {one.msisdn for one in adapter.parse_opt_outs(Raw(reply.body)).opt_outs}
        pages += 1
        following = adapter.following(page, reply)
        if following is None:
            break
        page = following
    assert len(found) == 250
    assert pages > 1


@pytest.mark.parametrize("form", ["object", "list"])
async def test_the_probe_shows_the_balance(form: str) -> None:
    async with bench("qikberry", balance_form=form, credits=109) as here:
        request = here.adapter.probe_request()
        assert request is not None
        assert here.adapter.read_probe(await here.send(request)) == "ok, balance T 109.0000 credits"


async def test_a_probe_with_a_wrong_token_says_so() -> None:
    async with bench("qikberry", {"credentials": {"access_token": "wrong-token"}}) as here:
        request = here.adapter.probe_request()
        assert request is not None
        reply = await here.send(request)
        with pytest.raises(BadBody, match="401"):
            here.adapter.read_probe(reply)
        assert isinstance(here.adapter.read_signal(reply)[0], Misconfigured)
