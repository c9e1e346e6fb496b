"""Whether a provider says of a message what we say: what counts as a difference, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from models.segments import Encoding
from models.states import MessageState as S
from providers.base import Found, LookUpBy, LookUpPolicy, NoAnswer, NotThere, Outgoing, Report, Sighting, Sought
from tests.support.rows import ACCOUNT
from tests.support.scripted import Scripted
from tests.workers.conftest import MakeWorld
from workers.compare import Ours, Said, compare, compare_all

ID = UUID(int=7)


def ours(state: S, provider_id: str | None = "x-1") -> Ours:
    message = Outgoing(str(ID), str(ID), "+447700900123", "Shop", "Hi", Encoding.GSM7, 1, None, {})
    return Ours(ID, state, provider_id, Sought(message, datetime(2026, 1, 1, tzinfo=UTC), 0))


def found(state: S | None, provider_id: str | None = "x-1") -> Found:
    return Found([Report("d", state, provider_id=provider_id, raw_status="WORD")])


@pytest.mark.parametrize(
    ("mine", "sighting", "said"),
    [
        (S.DELIVERED, found(S.DELIVERED), Said.SAME),
        (S.SUBMITTED, found(S.SUBMITTED), Said.SAME),
        (S.DELIVERED, found(S.DELIVERED, None), Said.SAME),
        (S.SUBMITTED, found(S.DELIVERED), Said.UNFINISHED),
        (S.DELIVERED, found(S.SUBMITTED), Said.UNFINISHED),
        (S.DELIVERED, found(None), Said.UNFINISHED),
        (S.DELIVERED, found(S.UNDELIVERED), Said.OTHER),
        (S.EXPIRED, found(S.DELIVERED), Said.OTHER),
        (S.FAILED, found(S.DELIVERED), Said.OTHER),
        (S.REJECTED, found(S.SUBMITTED), Said.OTHER),
        (S.DELIVERED, found(S.DELIVERED, "x-2"), Said.OTHER),
        (S.DELIVERED, NotThere(), Said.OTHER),
        (S.REJECTED, NotThere(), Said.SAME),
        (S.FAILED, NotThere(), Said.SAME),
        (S.DELIVERED, NoAnswer("http_500"), Said.SILENT),
        (S.DELIVERED, None, Said.SILENT),
    ],
)
def test_only_what_contradicts_is_a_difference(mine: S, sighting: Sighting | None, said: Said) -> None:
    told, sentence = compare(ours(mine), sighting, absence_proves=True)
    assert told is said
    assert bool(sentence) is (said is Said.OTHER)


def test_absence_that_proves_nothing_is_no_difference() -> None:
    assert compare(ours(S.DELIVERED), NotThere(), absence_proves=False) == (Said.SILENT, "")


def test_of_several_sightings_the_one_with_our_id_counts() -> None:
    two = Found([*found(S.UNDELIVERED, "x-0").candidates, *found(S.DELIVERED).candidates])
    assert compare(ours(S.DELIVERED), two, absence_proves=True)[0] is Said.SAME


@pytest.mark.parametrize(
    ("others", "known", "said"),
    [({"x-1"}, "x-1", Said.SILENT), ({"x-2"}, "x-1", Said.OTHER), ({"x-2"}, None, Said.SILENT)],
)
def test_what_may_be_there_with_another_text_is_not_said_to_be_missing(
    others: set[str], known: str | None, said: Said
) -> None:
    absence = NotThere(frozenset(others))
    assert compare(ours(S.DELIVERED, known), absence, absence_proves=True)[0] is said


def policy(by: LookUpBy) -> LookUpPolicy:
    return LookUpPolicy(by, (5.0,), True, 3600.0)


def test_the_messages_that_left_are_asked_about_and_nothing_is_changed(make_world: MakeWorld) -> None:
    world = make_world({ACCOUNT: Scripted(policy=policy(LookUpBy.QUERY))})
    sent = world.campaign(3)
    world.submit(sent.batch)
    rows = [world.message(one) for one in sent.messages]
    wrong = str(rows[1].id)
    world.provider.sightings = lambda sought: (
        NotThere()
        if sought.message.id == wrong
        else found(S.SUBMITTED, next(row.provider_id for row in rows if str(row.id) == sought.message.id))
    )
    before = world.states()
    (told,) = world.run(compare_all(world.runtime, sent.id, 100))
    assert (told.asked, told.same, told.silent) == (3, 2, 0)
    assert told.differences == [f"{ACCOUNT}: message {wrong} is submitted with us, and not there"]
    assert world.states() == before


def test_no_more_are_asked_about_than_wanted_and_none_that_never_left(make_world: MakeWorld) -> None:
    world = make_world({ACCOUNT: Scripted(policy=policy(LookUpBy.QUERY))})
    sent = world.campaign(4)
    (told,) = world.run(compare_all(world.runtime, sent.id, 100))
    assert told.asked == 0
    world.submit(sent.batch)
    (told,) = world.run(compare_all(world.runtime, sent.id, 2))
    assert told.asked == 2


@pytest.mark.parametrize("by", [LookUpBy.REPLAY, LookUpBy.NONE])
def test_where_nobody_can_be_asked_it_says_so(make_world: MakeWorld, by: LookUpBy) -> None:
    world = make_world({ACCOUNT: Scripted(policy=policy(by))})
    sent = world.campaign(1)
    world.submit(sent.batch)
    (told,) = world.run(compare_all(world.runtime, sent.id, 100))
    assert "cannot be asked" in told.why
    assert world.line.sent[1:] == []


def test_an_account_that_is_gone_is_named(make_world: MakeWorld) -> None:
    world = make_world({ACCOUNT: Scripted()})
    sent = world.campaign(1)
    world.runtime.accounts = {}
    (told,) = world.run(compare_all(world.runtime, sent.id, 100))
    assert "not in the accounts file" in told.why
