"""Qikli's adapter through the HTTP client against its simulator, which knows nothing of the adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
    OutOfCredit,
    Refused,
    Throttle,
    Unclear,
)
from providers.qikli_codes import ERRORS, REJECTED, STATUSES
from tests.providers.sandbox_promises import keep
from tests.support.fates import TROUBLES, Fate, Trouble
from tests.support.simulated import Bench, bench, states, twin

S = MessageState
F = FailureClass
WITH_LOGS = {"options": {"include_logs": True}, "poll_limit": 100}
NO_PUSH = {"webhook_url": None}


@pytest.fixture
async def here() -> AsyncIterator[Bench]:
    async with bench("qikli", {**WITH_LOGS, **NO_PUSH}) as made:
        yield made


# --- submit ----------------------------------------------------------------------------------------------------------


async def test_two_texts_go_in_one_request_and_every_message_has_its_answer(here: Bench) -> None:
    chunk = [here.message(), here.message(text="Other"), here.message(), here.message(text="Grüße 😀" * 20)]
    submission = await here.submit(*chunk)
    assert submission.signal is None
    assert submission.outcomes == {one.id: Accepted(one.ref, S.SUBMITTED, "BULK-1") for one in chunk}
    ledger = await here.live.ledger("qikli")
    told = {entry["ref"]: (entry["msisdn"], entry["text"], entry["sender"]) for entry in ledger}
    assert told == {one.ref: (one.msisdn.lstrip("+"), one.text, "MyStore") for one in chunk}
    assert (await here.live.stats("qikli"))["requests"] == 1


@pytest.mark.parametrize(
    ("switches", "parts"),
    [
        ({"accepted_status": 26}, None),
        ({"accepted_status": 0}, None),
        ({"accepted_status": 7}, None),
        ({"registry_names": True}, None),
        ({"shuffle_answer": True}, None),
        ({"omit_bulk_id": True}, None),
        ({"parts_in_answer": True}, 1),
    ],
)
async def test_every_way_to_say_accepted_is_understood(switches: dict[str, Any], parts: int | None) -> None:
    async with bench("qikli", **switches) as here:
        submission = await here.submit(*here.messages(5))
        outcomes = list(submission.outcomes.values())
        assert all(isinstance(outcome, Accepted) and outcome.state is S.SUBMITTED for outcome in outcomes)
        assert {outcome.parts for outcome in outcomes if isinstance(outcome, Accepted)} == {parts}


async def test_a_destination_left_out_of_the_answer_is_unclear_and_the_logs_find_it() -> None:
    async with bench("qikli", WITH_LOGS, answer_gap=3) as here:
        chunk = here.messages(6)
        submission = await here.submit(*chunk)
        unclear = [one for one in chunk if isinstance(submission.outcomes[one.id], Unclear)]
        assert len(unclear) == 2
        assert all(isinstance(sighting, Found) for sighting in (await here.look_up(*unclear)).values())


REFUSALS = sorted(number for number, status in STATUSES.items() if REJECTED in status.groups and number != 23)


@pytest.mark.parametrize("number", REFUSALS)
async def test_a_refused_destination_never_harms_its_neighbours(here: Bench, number: int) -> None:
    chunk = here.messages(3)
    rule: dict[str, object] = {
        "kind": "partial_reject",
        "match": {"msisdn": chunk[1].msisdn[-4:]},
        "params": {"status": number},
    }
    await here.live.faults("qikli", rule)
    submission = await here.submit(*chunk)
    first, refused, last = (submission.outcomes[one.id] for one in chunk)
    assert isinstance(first, Accepted)
    assert isinstance(last, Accepted)
    assert isinstance(refused, Refused)
    assert refused.failure.code == str(number)
    assert refused.failure.klass is STATUSES[number].klass
    assert isinstance(submission.signal, OutOfCredit) == (refused.failure.klass is F.ACCOUNT)


@pytest.mark.parametrize(("ending", "code"), [("9997", "52"), ("9995", "10")])
async def test_bad_numbers_are_refused_for_good(here: Bench, ending: str, code: str) -> None:
    outcome = await here.outcome(here.message(f"+35320915{ending}"))
    assert isinstance(outcome, Refused)
    assert (outcome.failure.code, outcome.failure.klass) == (code, F.RECIPIENT)


async def test_what_our_check_refuses_qikli_refuses_as_well(here: Bench) -> None:
    wrong = {
        "sender": here.message(sender="TwelveLetter"),
        "text": here.message(text="x" * 4001, segments=27),
        "number": here.message("+4477"),
    }
    for name, one in wrong.items():
        ours, theirs = here.adapter.check(one), await here.outcome(one)
        assert ours is not None, name
        assert isinstance(theirs, Refused), name
        assert ours.klass is theirs.failure.klass, name


async def test_a_repeated_message_id_proves_the_earlier_acceptance(here: Bench) -> None:
    one = here.message()
    assert isinstance(await here.outcome(one), Accepted)
    again = await here.outcome(one)
    assert isinstance(again, Accepted)
    assert again.note is not None
    assert len(await here.live.ledger("qikli")) == 1


async def test_without_credit_the_account_pauses() -> None:
    async with bench("qikli", credits=0.02) as here:
        submission = await here.submit(*here.messages(3))
        assert [type(outcome) for outcome in submission.outcomes.values()] == [Accepted, Accepted, Refused]
        assert isinstance(submission.signal, OutOfCredit)


async def test_the_flooding_filter_asks_for_patience() -> None:
    async with bench("qikli", flood_guard=True) as here:
        first = here.message()
        for _ in range(6):
            assert isinstance(await here.outcome(twin(first, ref=here.message().ref)), Accepted)
        refused = await here.outcome(twin(first, ref=here.message().ref))
        assert isinstance(refused, Refused)
        assert (refused.failure.klass, refused.retry_after, refused.new_ref) == (F.DEFERRED, 3600.0, True)


async def test_a_sender_that_is_not_registered_is_refused_for_its_sender() -> None:
    async with bench("qikli", approved_senders=["Known"]) as here:
        outcome = await here.outcome(here.message())
        assert isinstance(outcome, Refused)
        assert outcome.failure.klass is F.SENDER


@pytest.mark.parametrize("form", ["classic", "code"])
async def test_a_wrong_login_stops_the_account_in_both_envelopes(form: str) -> None:
    async with bench("qikli", {"credentials": {"username": "sandbox", "password": "wrong"}}, error_form=form) as here:
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Misconfigured)
        assert [type(outcome) for outcome in submission.outcomes.values()] == [Refused]


@pytest.mark.parametrize("form", ["classic", "code"])
@pytest.mark.parametrize("hint", [True, False])
async def test_the_pace_limit_holds_everybody_in_both_envelopes(form: str, hint: bool) -> None:
    limits = [{"limit": 1, "per_seconds": 60}]
    async with bench("qikli", limits=limits, error_form=form, throttle_hint=hint) as here:
        await here.submit(here.message())
        submission = await here.submit(here.message())
        assert isinstance(submission.signal, Throttle)
        assert (submission.signal.retry_after is not None) is hint


async def test_too_many_destinations_refuse_the_request_and_nobody_was_sent_to() -> None:
    async with bench("qikli", max_destinations=2) as here:
        submission = await here.submit(*here.messages(3))
        assert all(isinstance(outcome, Refused) for outcome in submission.outcomes.values())
        assert await here.live.ledger("qikli") == []


async def test_a_request_without_content_type_is_a_general_error_and_so_unclear(here: Bench) -> None:
    one = here.message()
    request = here.adapter.submit_request([one], "B")
    bare = {name: value for name, value in request.headers.items() if name != "Content-Type"}
    reply = await here.send(type(request)(request.method, request.url, bare, request.body))
    assert isinstance(here.adapter.read_submit([one], reply).outcomes[one.id], Unclear)


# --- faults and look-ups ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
async def test_every_fault_has_its_fate_and_the_logs_tell_the_truth(here: Bench, trouble: Trouble) -> None:
    story, one = await keep(here, trouble)
    if story.fates == (Fate.UNKNOWN,):
        sighting = (await here.look_up(one))[one.id]
        assert isinstance(sighting, Found if trouble.taken else NotThere)


async def test_logs_show_refused_and_final_messages_and_absence_is_no_proof(here: Bench) -> None:
    done, unknown = here.message(), here.message()
    await here.submit(done)
    await here.live.settle()
    sightings = await here.look_up(done, unknown)
    found = sightings[done.id]
    assert isinstance(found, Found)
    assert states(found.candidates) == ["delivered"]
    assert isinstance(sightings[unknown.id], NotThere)
    assert not here.adapter.look_up_policy.proves_absence


async def test_an_account_without_logs_is_no_reason_to_stop() -> None:
    async with bench("qikli", WITH_LOGS, logs=False) as here:
        one = here.message()
        sighting = (await here.look_up(one))[one.id]
        assert isinstance(sighting, NoAnswer)
        assert sighting.signal is None


async def test_too_many_look_ups_are_told_as_such() -> None:
    async with bench("qikli", WITH_LOGS, logs_per_minute=1) as here:
        one = here.message()
        await here.look_up(one)
        sighting = (await here.look_up(one))[one.id]
        assert isinstance(sighting, NoAnswer)
        assert isinstance(sighting.signal, Throttle)


# --- reports ---------------------------------------------------------------------------------------------------------


async def test_two_hundred_and_fifty_reports_are_drained_and_read_once(here: Bench) -> None:
    chunk = here.messages(250)
    await here.submit(*chunk)
    await here.live.settle()
    reports = await here.pull()
    assert here.pages == 4  # 100, 100, 50, 0: fifty may be all that a server gives at once
    assert {report.ref for report in reports} == {one.ref for one in chunk}
    assert states(reports) == ["delivered"] * 250
    assert {(report.group_id, report.parts, str(report.price), report.currency) for report in reports} == {
        ("BULK-1", 1, "0.01", "EUR")
    }
    assert all(report.at is not None and report.at.tzinfo is not None for report in reports)
    assert await here.pull() == []


async def test_a_page_lost_on_the_wire_leaves_the_logs() -> None:
    async with bench("qikli", WITH_LOGS) as here:
        one = here.message()
        await here.submit(one)
        await here.live.settle()
        await here.live.faults("qikli", {"kind": "drop_after", "count": 1, "match": {"path": "/sms/1/reports"}})
        with pytest.raises(Exception, match="disconnected"):
            await here.pull()
        assert await here.pull() == []
        found = (await here.look_up(one))[one.id]
        assert isinstance(found, Found)
        assert states(found.candidates) == ["delivered"]


FINAL = [
    ("9:27:true", S.UNDELIVERED, F.RECIPIENT),
    ("9:27:false", S.UNDELIVERED, F.TEMPORARY),
    ("9:1", S.UNDELIVERED, F.RECIPIENT),
    ("15", S.EXPIRED, F.TEMPORARY),
    ("29", S.EXPIRED, F.TEMPORARY),
    ("10", S.REJECTED, F.RECIPIENT),
    ("25", S.REJECTED, F.CONTENT),
    ("5.777:9999", S.REJECTED, F.TEMPORARY),
    ("2", S.SENT, None),
]


@pytest.mark.parametrize(("spec", "state", "klass"), FINAL)
async def test_every_kind_of_end_is_read_from_its_report(spec: str, state: MessageState, klass: F | None) -> None:
    async with bench("qikli", NO_PUSH, suffix_statuses={"0123": spec}) as here:
        await here.submit(here.message("+447700900123"))
        await here.live.settle()
        (report,) = await here.pull()
        assert report.state is state
        assert (report.failure.klass if report.failure else None) is klass


@pytest.mark.parametrize("number", sorted(set(ERRORS) - {0})[::7])
async def test_errors_of_the_registry_reach_us_by_their_id(here: Bench, number: int) -> None:
    await here.live.configure("qikli", suffix_statuses={"0123": f"9:{number}"})
    await here.submit(here.message("+447700900123"))
    await here.live.settle()
    (report,) = await here.pull()
    assert report.failure is not None
    assert report.failure.code == f"9/{number}"


async def test_an_intermediate_report_comes_first_and_a_stale_one_has_its_own_key() -> None:
    async with bench("qikli", intermediate=True) as here:
        await here.submit(here.message())
        await here.live.settle()
        reports = await here.pull()
        assert states(reports) == ["sent", "delivered"]
        assert len({report.dedupe for report in reports}) == 2


@pytest.mark.parametrize(("kind", "keys"), [("report_twice", 1), ("report_out_of_order", 2)])
async def test_repeats_have_one_key(here: Bench, kind: str, keys: int) -> None:
    await here.live.faults("qikli", {"kind": kind})
    await here.submit(here.message())
    await here.live.settle()
    await here.live.advance(700)
    reports = await here.pull()
    assert len(reports) == 2
    assert len({report.dedupe for report in reports}) == keys


async def test_a_message_without_a_report_stays_without_one(here: Bench) -> None:
    await here.submit(here.message("+353209159996"))
    await here.live.settle()
    assert await here.pull() == []


async def test_pushes_are_taken_by_their_token_and_say_what_the_pull_says() -> None:
    async with bench("qikli", {"poll_limit": 100}) as here:
        chunk = here.messages(120)
        await here.submit(*chunk)
        await here.live.settle()
        hits = here.arrived()
        assert [here.verdict(hit) for hit in hits] == [Genuine()] * len(hits)
        assert all(isinstance(here.verdict(hit, token), Forged) for hit in hits for token in (None, "wrong"))
        pushed = [report for hit in hits for report in here.read(hit).reports]
        pulled = await here.pull()
        assert {report.ref for report in pushed} == {one.ref for one in chunk}
        assert {report.dedupe for report in pushed} == {report.dedupe for report in pulled}


async def test_a_report_may_come_before_the_answer() -> None:
    async with bench("qikli") as here:
        await here.live.faults("qikli", {"kind": "report_early"})
        one = here.message()
        submission = await here.submit(one)
        reports = [report for hit in here.arrived() for report in here.read(hit).reports]
        assert [(report.ref, str(report.state)) for report in reports] == [(one.ref, "sent"), (one.ref, "delivered")]
        assert isinstance(submission.outcomes[one.id], Accepted)


# --- probe -----------------------------------------------------------------------------------------------------------


async def test_the_probe_proves_the_login_and_takes_nobody_s_report(here: Bench) -> None:
    await here.submit(here.message())
    await here.live.settle()
    request = here.adapter.probe_request()
    assert request is not None
    assert here.adapter.read_probe(await here.send(request)).startswith("ok")
    assert len(await here.pull()) == 1
