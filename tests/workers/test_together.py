"""Whoever comes while a transaction is under way joins the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError

from workers.together import Together


class Desk:
    """Commits when it is told to; what it was given, transaction by transaction."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.begun = asyncio.Event()
        self.may_commit = asyncio.Event()

    async def write(self, words: Sequence[str]) -> list[str]:
        self.seen.append(list(words))
        self.begun.set()
        await self.may_commit.wait()
        if "poison" in words:
            raise ValueError("poison")
        if "broken" in words:
            raise OperationalError("COMMIT", {}, ConnectionError("the connection broke"))
        return [word.upper() for word in words]


async def told(*words: str, most: int = 10) -> tuple[list[list[str]], list[str | BaseException]]:
    """The transactions, and what each word's writer was told: all but the first came while that was under way."""
    desk = Desk()
    together: Together[str, str] = Together(desk.write, len, most)
    waiting = [asyncio.ensure_future(together.write(word)) for word in words]
    await desk.begun.wait()  # all have asked
    desk.may_commit.set()
    return desk.seen, await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize(
    ("words", "transactions"),
    [
        (["a"], [["a"]]),
        (["a", "b", "c"], [["a", "b", "c"]]),
        (["seventeen letters", "b"], [["seventeen letters"], ["b"]]),  # one is taken, whatever it weighs
        (["four", "four", "four"], [["four", "four"], ["four"]]),
    ],
)
async def test_a_transaction_takes_what_waits_and_not_more_than_its_weight(
    words: list[str], transactions: list[list[str]]
) -> None:
    seen, answers = await told(*words)
    assert seen == transactions
    assert answers == [word.upper() for word in words]


async def test_who_comes_during_a_commit_joins_the_next_one() -> None:
    desk = Desk()
    together: Together[str, str] = Together(desk.write, len, 10)
    first = asyncio.ensure_future(together.write("a"))
    await desk.begun.wait()
    others = [asyncio.ensure_future(together.write(word)) for word in "bc"]
    await asyncio.sleep(0)
    assert desk.seen == [["a"]]
    desk.may_commit.set()
    assert await asyncio.gather(first, *others) == ["A", "B", "C"]
    assert desk.seen == [["a"], ["b", "c"]]
    assert await together.write("later") == "LATER"


async def test_what_cannot_be_written_keeps_nobody_else_from_it() -> None:
    seen, answers = await told("a", "poison", "b")
    assert seen == [["a", "poison", "b"], ["a"], ["poison"], ["b"]]
    assert [str(answer) for answer in answers] == ["A", "poison", "B"]


async def test_a_broken_connection_is_everybodys_and_nothing_is_tried_again() -> None:
    """It may have been committed: to write it twice is for nobody here to decide."""
    seen, answers = await told("a", "broken")
    assert seen == [["a", "broken"]]
    assert all(isinstance(answer, OperationalError) for answer in answers)


async def test_who_gave_up_meanwhile_takes_nothing_from_the_others() -> None:
    desk = Desk()
    together: Together[str, str] = Together(desk.write, len, 10)
    gone, here = (asyncio.ensure_future(together.write(word)) for word in "ab")
    await desk.begun.wait()
    gone.cancel()
    desk.may_commit.set()
    assert await here == "B"
    assert gone.cancelled()
