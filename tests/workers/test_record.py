"""Recording answers: none is lost to a database that is away, and none holds up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import DataError, OperationalError

from models.types import new_id
from workers.record import Answered, Recorder


def answer(reason: str = "") -> Answered:
    return Answered(new_id(), 5, 200, "accepted", reason, None, False)


def away() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("server closed the connection"))


def unfit() -> DataError:
    return DataError("UPDATE", {}, Exception("value too long"))


class Table:
    """Where answers are written. `refuses`: the error for a group, or None."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.errors: list[Exception] = []
        self.poison: dict[str, Exception] = {}
        self.gone = False

    async def write(self, answers: Sequence[Answered]) -> None:
        if self.gone:
            raise away()
        if self.errors:
            raise self.errors.pop(0)
        for one in answers:
            if error := self.poison.get(one.reason or ""):
                raise error
        self.written += [one.reason or "" for one in answers]


@pytest.fixture
async def table() -> Table:
    return Table()


@pytest.fixture
async def recorder(table: Table):  # type: ignore[no-untyped-def]  # an async generator fixture
    made = Recorder(table.write, gather_seconds=0.0, retry_seconds=0.001)
    made.start()
    yield made
    await made.close(0.5)


async def test_an_answer_outlives_a_database_that_is_away(table: Table, recorder: Recorder) -> None:
    table.errors = [away(), away(), away()]
    await asyncio.wait_for(recorder.record(answer("kept")), 5)
    assert table.written == ["kept"]


async def test_an_answer_that_cannot_be_written_does_not_hold_up_the_others(table: Table, recorder: Recorder) -> None:
    table.poison = {"bad": unfit()}
    results = await asyncio.gather(
        *(recorder.record(answer(word)) for word in ("one", "bad", "two")), return_exceptions=True
    )
    assert sorted(table.written) == ["one", "two"]
    assert [type(result) for result in results] == [type(None), DataError, type(None)]


@pytest.mark.parametrize("error", [KeyError("column"), RuntimeError("a fault of ours"), TypeError("no")])
async def test_a_fault_of_ours_ends_one_answer_and_not_the_recorder(
    table: Table, recorder: Recorder, error: Exception
) -> None:
    table.poison = {"bad": error}
    with pytest.raises(type(error)):
        await asyncio.wait_for(recorder.record(answer("bad")), 5)
    await asyncio.wait_for(recorder.record(answer("next")), 5)
    assert table.written == ["next"]


async def test_closing_waits_for_what_is_being_written_and_no_longer_than_it_may(table: Table) -> None:
    made = Recorder(table.write, gather_seconds=0.0, retry_seconds=0.001)
    made.start()
    table.errors = [away()] * 3
    last = asyncio.ensure_future(made.record(answer("last")))
    await asyncio.sleep(0)
    assert await made.close(5.0) == 0
    await last
    assert table.written == ["last"]


async def test_closing_tells_how_many_answers_stay_behind(table: Table) -> None:
    made = Recorder(table.write, gather_seconds=0.0, retry_seconds=0.001)
    made.start()
    table.gone = True
    left = asyncio.ensure_future(made.record(answer("lost")))
    await asyncio.sleep(0)
    assert await made.close(0.02) == 1
    left.cancel()
