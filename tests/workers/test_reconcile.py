"""Every delivery report counts once: early, late, twice, out of order, forged, or about an older try."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from models.moves import Move, apply_moves
from models.states import MessageState as S
from models.tables import InboundMessage, InboxPage, Suppression
from providers.base import Failure, FailureClass, Inbound, OptOut, Parsed, Report
from providers.wire import BadBody, Reply, Request
from tests.support.rows import number
from tests.support.scripted import OK
from tests.support.world import Sent, World
from workers.reconcile import GIVE_UP_TRIES, apply_inbox

GONE = Failure("27", FailureClass.RECIPIENT, "absent subscriber")


def submitted(world: World, many: int = 1) -> Sent:
    sent = world.campaign(many)
    world.submit(sent.batch)
    return sent


def told(state: S | None, message: UUID, dedupe: str = "", **more: Any) -> Report:
    return Report(dedupe or f"{message}-{state}", state, provider_id=f"p-{message}", ref=str(message), **more)


def effects(world: World) -> list[str | None]:
    return [row.effect for row in world.reports()]


# --- one report ------------------------------------------------------------------------------------------------------


def test_a_report_moves_its_message_and_brings_all_its_facts(world: World) -> None:
    sent = submitted(world)
    at = world.clock() - timedelta(seconds=3)
    facts: dict[str, Any] = {"parts": 2, "price": Decimal("0.0405"), "currency": "EUR", "network": "26201"}
    world.report(told(S.UNDELIVERED, sent.message, failure=GONE, at=at, **facts))
    row = world.message(sent.message)
    assert (row.state, row.code, row.klass, row.reason) == (S.UNDELIVERED, "27", "recipient", "absent subscriber")
    assert {name: getattr(row, name) for name in facts} == facts
    assert (row.provider_at, row.final_at) == (at, world.clock())
    assert effects(world) == ["moved"]
    world.check_counters(sent.id)


def test_the_same_report_again_changes_nothing(world: World) -> None:
    sent = submitted(world)
    for _ in range(3):
        world.report(told(S.DELIVERED, sent.message))
    assert len(world.reports()) == 1
    assert world.message(sent.message).trail.count("delivered") == 1
    world.check_counters(sent.id)


@pytest.mark.parametrize("late", [S.SUBMITTED, S.HELD, S.SENT, S.EXPIRED, S.UNDELIVERED, S.REJECTED])
def test_nothing_late_ever_undoes_delivered(world: World, late: S) -> None:
    sent = submitted(world)
    world.report(told(S.DELIVERED, sent.message))
    world.report(told(late, sent.message))
    assert world.message(sent.message).state is S.DELIVERED
    assert effects(world) == ["moved", "late"]


def test_a_late_enroute_never_undoes_sent(world: World) -> None:
    sent = submitted(world)
    world.report(told(S.SENT, sent.message), told(S.SUBMITTED, sent.message))
    assert world.message(sent.message).state is S.SENT
    assert effects(world) == ["moved", "behind"]


def test_a_delivery_after_we_gave_up_waiting_is_still_the_truth(world: World) -> None:
    sent = submitted(world)
    world.clock.advance(60 * 3600)
    world.sweep()
    assert (world.message(sent.message).state, world.message(sent.message).code) == (S.EXPIRED, "no_dlr")
    world.report(told(S.DELIVERED, sent.message))
    row = world.message(sent.message)
    assert (row.state, row.code, row.reason) == (S.DELIVERED, None, None)


def test_a_word_we_do_not_know_is_kept_and_moves_nothing(world: World) -> None:
    sent = submitted(world)
    world.report(told(None, sent.message, raw_status="FANCY_NEW"))
    assert world.message(sent.message).state is S.SUBMITTED
    assert [(row.raw_status, row.effect) for row in world.reports()] == [("FANCY_NEW", "no word for it")]


def test_a_read_receipt_after_delivery_sets_when_it_was_read(world: World) -> None:
    sent = submitted(world)
    world.report(told(S.DELIVERED, sent.message))
    read_at = world.clock() + timedelta(seconds=40)
    world.report(told(S.DELIVERED, sent.message, "read", read_at=read_at, channel="RCS"))
    row = world.message(sent.message)
    assert (row.state, row.read_at, row.channel) == (S.DELIVERED, read_at, "RCS")
    assert effects(world) == ["moved", "facts"]


def test_a_read_receipt_that_comes_first_also_proves_delivery(world: World) -> None:
    sent = submitted(world)
    world.report(told(S.DELIVERED, sent.message, "read", read_at=world.clock()))
    world.report(told(S.DELIVERED, sent.message))
    assert (world.message(sent.message).state, world.message(sent.message).read_at) == (S.DELIVERED, world.clock())


# --- whose it is -----------------------------------------------------------------------------------------------------


def test_a_report_that_beats_our_own_commit_is_applied_and_the_answer_changes_nothing(world: World) -> None:
    sent = world.campaign(1)

    def early(request: Request) -> Reply:
        world.report(told(S.DELIVERED, sent.message))
        return OK

    world.line.answer = early
    world.submit(sent.batch)
    row = world.message(sent.message)
    assert (row.state, row.provider_id) == (S.DELIVERED, f"p-{sent.message}")
    assert row.submitted_at is not None
    world.check_counters(sent.id)


def test_an_early_report_known_by_the_providers_id_alone_waits_and_is_applied(world: World) -> None:
    sent = world.campaign(1)
    report = Report("d", S.DELIVERED, provider_id=f"p-{sent.message}")

    def early(request: Request) -> Reply:
        world.report(report)
        return OK

    world.line.answer = early
    world.submit(sent.batch)
    assert (world.message(sent.message).state, effects(world)) == (S.SUBMITTED, ["unmatched"])
    world.clock.advance(3)
    assert world.apply() == 1
    assert (world.message(sent.message).state, effects(world)) == (S.DELIVERED, ["moved"])


def test_a_report_of_nobody_is_kept_tried_again_and_in_the_end_only_listed(world: World) -> None:
    world.report(Report("d", S.DELIVERED, provider_id="nobody"))
    for _ in range(GIVE_UP_TRIES + 5):
        world.clock.advance(3601)
        world.apply()
    (row,) = world.reports()
    assert (row.applied_at, row.next_try_at, row.tries, row.effect) == (None, None, GIVE_UP_TRIES, "unmatched")


@pytest.mark.parametrize("ref", ["", "no-uuid", "00000000-0000-7000-8000-000000000000", "x" * 400, "\x00", "{}"])
def test_forged_references_touch_nobody(world: World, ref: str) -> None:
    sent = submitted(world)
    world.report(Report("d", S.UNDELIVERED, provider_id="p-forged", ref=ref))
    assert world.message(sent.message).state is S.SUBMITTED
    assert effects(world) == ["unmatched"]


def test_another_accounts_report_never_reaches_our_message(make_world: Any) -> None:
    from tests.support.scripted import Scripted

    world = make_world({"acme": Scripted(), "other": Scripted()})
    sent = submitted(world)
    world.report(told(S.UNDELIVERED, sent.message), account="other")
    assert world.message(sent.message).state is S.SUBMITTED


# --- older tries -----------------------------------------------------------------------------------------------------


def at_round_two(world: World, state: S) -> Sent:
    sent = world.campaign(1)
    world.change(sent.message, ref_round=2)
    if state is not S.QUEUED:
        world.submit(sent.batch)
    return sent


@pytest.mark.parametrize("state", [S.REJECTED, S.UNDELIVERED, S.EXPIRED])
@pytest.mark.parametrize("now", [S.QUEUED, S.SUBMITTED])
def test_an_older_trys_bad_end_never_touches_the_new_try(world: World, now: S, state: S) -> None:
    sent = at_round_two(world, now)
    world.report(Report("d", state, provider_id="p-old", ref=str(sent.message), failure=GONE))
    row = world.message(sent.message)
    assert (row.state, row.code) == (now, None)
    assert effects(world) == ["older try"]
    world.report(Report("e", S.DELIVERED, ref=f"{sent.message}-r2"))
    assert world.message(sent.message).state is S.DELIVERED, "the report of the current try is never lost"


def test_an_older_try_that_arrived_after_all_is_not_sent_again(world: World) -> None:
    sent = at_round_two(world, S.QUEUED)
    world.report(Report("d", S.SENT, provider_id="p-old", ref=str(sent.message)))
    assert world.message(sent.message).state is S.SENT
    assert world.submit(sent.batch) is not None
    assert world.line.sent == []
    world.report(Report("e", S.DELIVERED, provider_id="p-old", ref=str(sent.message)))
    assert world.message(sent.message).state is S.DELIVERED


@pytest.mark.parametrize("state", [S.REJECTED, S.EXPIRED])
def test_a_refusals_report_does_not_end_a_message_that_waits_for_its_next_try(world: World, state: S) -> None:
    sent = world.campaign(1)
    world.report(Report("d", state, ref=str(sent.message), failure=GONE))
    assert (world.message(sent.message).state, effects(world)) == (S.QUEUED, ["older try"])


# --- bad pages and bad reports ---------------------------------------------------------------------------------------


def test_a_bad_item_never_costs_the_good_ones(world: World) -> None:
    sent = submitted(world)
    world.report(told(S.DELIVERED, sent.message), bad=[("item 1", "no status")])
    assert world.message(sent.message).state is S.DELIVERED
    with world.database.read() as session:
        assert session.execute(select(InboxPage.error)).scalar_one() == "item 1: no status"


@pytest.mark.parametrize("fault", [BadBody("not JSON"), KeyError("x"), TypeError("odd"), RecursionError("deep")])
def test_a_page_nobody_can_read_blocks_no_other_and_keeps_its_bytes(world: World, fault: Exception) -> None:
    sent = submitted(world)
    world.page(fault, body=b"poison")
    world.page(Parsed([told(S.DELIVERED, sent.message)]))
    world.apply()
    assert world.message(sent.message).state is S.DELIVERED
    with world.database.read() as session:
        bad = session.execute(select(InboxPage).where(InboxPage.body == b"poison")).scalar_one()
    assert bad.parsed_at is not None
    assert bad.error


def test_a_page_the_database_will_not_take_blocks_no_other(world: World) -> None:
    sent = submitted(world)
    odd: Any = object()
    world.page(Parsed([Report("d", S.SENT, provider_id=odd)]), body=b"poison")
    world.page(Parsed([told(S.DELIVERED, sent.message)]))
    world.apply()
    assert world.message(sent.message).state is S.DELIVERED
    with world.database.read() as session:
        errors = dict(session.execute(select(InboxPage.body, InboxPage.error)).all())
    assert str(errors[b"poison"]).startswith("could not be stored")


def test_a_report_that_cannot_be_applied_is_set_aside_and_blocks_no_other(world: World) -> None:
    sent = submitted(world, 2)
    bad, good = sent.messages
    world.report(Report("b", S.UNDELIVERED, provider_id="early-b"), Report("g", S.DELIVERED, provider_id="early-g"))
    poisoned = world.reports()[0]
    with world.database.write() as session:
        session.merge(poisoned).details = {"code": "27", "klass": "no such class", "reason": "x"}
    world.change(bad, provider_id="early-b")
    world.change(good, provider_id="early-g")
    world.clock.advance(5)
    world.apply()
    assert [row.state for row in world.messages()] == [S.SUBMITTED, S.DELIVERED]
    assert effects(world)[0] == "cannot be applied"


@pytest.mark.parametrize("text", ["z" * 4000, "nul \x00 inside", "half \udfff of a pair"])
def test_whatever_a_report_says_it_is_stored_and_applied(world: World, text: str) -> None:
    sent = submitted(world)
    report = told(
        S.UNDELIVERED, sent.message, dedupe=text, raw_status=text, network=text, channel=text, currency=text,
        msisdn=text, parts=10**12, price=Decimal("1e40"), failure=Failure(text, FailureClass.RECIPIENT, text),
    )  # fmt: skip
    inbound = Inbound(text, text, text, text)
    world.report(report, inbound=[inbound], opt_outs=[OptOut(number(1), source=text), OptOut(text)])
    row = world.message(sent.message)
    assert (row.state, row.parts, row.price) == (S.UNDELIVERED, None, None)
    assert row.reason is not None
    assert len(row.reason) <= 300
    with world.database.read() as session:
        assert len(session.execute(select(InboundMessage)).scalars().all()) == 1
        assert session.execute(select(Suppression.msisdn)).scalars().all() == [number(1)]


def test_a_page_of_an_account_that_is_gone_says_so(world: World) -> None:
    with world.database.write() as session:
        session.add(InboxPage(account="gone", kind="push", received_at=world.clock(), body=b"x"))
    world.apply()
    with world.database.read() as session:
        assert "not configured" in str(session.execute(select(InboxPage.error)).scalar_one())


# --- many reports, any order -----------------------------------------------------------------------------------------

LIVES = (
    (S.SENT, S.DELIVERED), (S.HELD, S.SENT, S.UNDELIVERED), (S.DELIVERED,), (S.SENT,), (S.SENT, S.EXPIRED),
    (S.HELD, S.SENT, S.DELIVERED), (),
)  # fmt: skip


def life(world: World, message: UUID, states: tuple[S, ...]) -> list[Report]:
    facts: dict[str, Any] = {"price": Decimal("0.01"), "currency": "EUR", "parts": 1}
    return [
        told(state, message, at=world.clock() + timedelta(seconds=place), **(facts if place == 0 else {}))
        for place, state in enumerate(states)
    ]


def lives(world: World, sent: Sent) -> list[Report]:
    return [report for m, states in zip(sent.messages, LIVES, strict=True) for report in life(world, m, states)]


def picture(world: World, sent: Sent) -> list[tuple[Any, ...]]:
    """What reports have made of the messages."""
    names = ("state", "code", "price", "currency", "parts", "provider_at", "read_at")
    return [tuple(getattr(world.message(m), name) for name in names) for m in sent.messages]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ten_shuffled_copies_are_worth_one_ordered_copy(world: World, seed: int) -> None:
    chance = Random(seed)
    shuffled, ordered = submitted(world, len(LIVES)), submitted(world, len(LIVES))
    noise = [Report(f"forged {n}", S.REJECTED, provider_id="p-nobody", ref="no-uuid") for n in range(3)]
    stream = [*lives(world, shuffled), *noise] * 10
    chance.shuffle(stream)
    while stream:
        size = chance.randint(5, 80)
        world.page(Parsed(stream[:size]))
        stream = stream[size:]
    world.apply()
    world.report(*lives(world, ordered))
    assert picture(world, shuffled) == picture(world, ordered)
    for sent in (shuffled, ordered):
        world.check_counters(sent.id)


def test_reports_and_answers_at_the_same_moment_never_block_each_other(world: World) -> None:
    """Two appliers and a recorder over the same messages in different orders, many times: no deadlock, one outcome."""
    sent = world.campaign(60)
    world.submit(sent.batch)
    reports = [told(state, m) for state in (S.SENT, S.DELIVERED) for m in sent.messages]
    for start in range(0, len(reports), 15):
        world.page(Parsed(reports[start : start + 15]))
    failures: list[BaseException] = []

    def keep_applying() -> None:
        try:
            for _ in range(12):
                with world.database.write() as session:
                    apply_inbox(session, world.runtime.adapter, world.clock())
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)

    def keep_moving() -> None:
        try:
            for start in range(0, 60, 10):
                moves = [Move(m, S.SENT, "answer") for m in reversed(sent.messages[start : start + 20])]
                with world.database.write() as session:
                    apply_moves(session, moves, world.clock())
        except Exception as error:  # noqa: BLE001  # as above
            failures.append(error)

    threads = [threading.Thread(target=target) for target in (keep_applying, keep_moving, keep_applying)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    world.apply()
    assert set(world.states()) == {S.DELIVERED}
    world.check_counters(sent.id)
