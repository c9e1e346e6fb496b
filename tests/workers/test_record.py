"""Answers in hand are the only copy of the truth: a database that is away is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest
from sqlalchemy.exc import DataError, OperationalError

from models.states import MessageState as S
from tests.support.world import World
from workers.record import Answered, Recorder


def answer() -> Answered:
    return Answered(uuid4(), 5, 200, "accepted", None, None, False)


class Away:
    """A database that is away for a while, and what was written to it."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.groups: list[list[Answered]] = []

    async def write(self, answers: Sequence[Answered]) -> None:
        if self.times:
            self.times -= 1
            raise OperationalError("UPDATE", {}, OSError("away"))
        self.groups.append(list(answers))


async def test_answers_wait_while_the_database_is_away_and_are_written_once() -> None:
    away = Away(3)
    recorder = Recorder(away.write, retry_seconds=0.0, gather_seconds=0.0)
    recorder.start()
    given = [answer() for _ in range(5)]
    await asyncio.gather(*(recorder.record(one) for one in given))
    assert [one for group in away.groups for one in group] == given
    await recorder.close()


async def test_answers_of_many_batches_share_a_transaction() -> None:
    away = Away(0)
    recorder = Recorder(away.write, most=100)
    recorder.start()
    await asyncio.gather(*(recorder.record(answer()) for _ in range(250)))
    assert [len(group) for group in away.groups] == [100, 100, 50]
    await recorder.close()


async def test_closing_writes_what_still_waits() -> None:
    away = Away(1)
    recorder = Recorder(away.write, retry_seconds=0.0)
    recorder.start()
    waiting = asyncio.create_task(recorder.record(answer()))
    await asyncio.sleep(0)
    await recorder.close()
    await waiting
    assert len(away.groups) == 1


async def test_one_answer_that_no_column_takes_is_refused_alone() -> None:
    good, bad, fine = answer(), answer(), answer()
    written: list[Answered] = []

    async def picky(answers: Sequence[Answered]) -> None:
        if bad in answers:
            raise DataError("UPDATE", {}, ValueError("out of range"))
        written.extend(answers)

    recorder = Recorder(picky)
    recorder.start()
    results = await asyncio.gather(*(recorder.record(one) for one in (good, bad, fine)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), DataError, type(None)]
    assert written == [good, fine]
    await recorder.close()


def test_a_batch_whose_database_goes_away_loses_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = world.campaign(3)
    real, failures = world.runtime._write_answers, [OperationalError("UPDATE", {}, OSError("away"))] * 2

    async def away(answers: Sequence[Answered]) -> None:
        if failures:
            raise failures.pop()
        await real(answers)

    monkeypatch.setattr(world.runtime.recorder, "_write", away)
    monkeypatch.setattr(world.runtime.recorder, "_retry", 0.0)
    world.submit(sent.batch)
    assert world.states() == [S.SUBMITTED] * 3
    assert len(world.line.sent) == 3
