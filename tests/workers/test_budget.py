"""What a thousand messages cost in statements, transactions and Redis commands: counts, so that no machine is too slow.

The budget is `bench/budget.json`: whoever needs more has to say so there. How many answers share a transaction depends
on how busy the machine is, so there is room for that, and none for one statement or command a message.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from models.database import Database
from models.states import MessageState as S
from tests.support.redis_server import EmbeddedRedis
from tests.support.rows import ACCOUNT
from tests.support.scripted import Scripted
from tests.workers.conftest import MakeWorld

BUDGET: dict[str, dict[str, int]] = json.loads((Path(__file__).parents[2] / "bench" / "budget.json").read_text("utf-8"))
MESSAGES = 1000
RECIPIENTS = {"many": 200, "one": 1}


@contextmanager
def counted(database: Database, redis: EmbeddedRedis) -> Iterator[Counter[str]]:
    """Statements and commits of the database, commands of Redis."""
    found: Counter[str] = Counter()

    def statement(*_: Any) -> None:
        found["statements"] += 1

    def commit(*_: Any) -> None:
        found["commits"] += 1

    before = _commands(redis)
    event.listen(database.engine, "before_cursor_execute", statement)
    event.listen(database.engine, "commit", commit)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", statement)
        event.remove(database.engine, "commit", commit)
        found["redis"] = _commands(redis) - before


def _commands(redis: EmbeddedRedis) -> int:
    with redis.client() as client:
        stats: dict[str, dict[str, int]] = client.info("commandstats")
    return sum(
        value["calls"] for name, value in stats.items() if name not in {"cmdstat_info", "cmdstat_client|setinfo"}
    )


@pytest.mark.parametrize("kind", sorted(BUDGET))
def test_a_thousand_messages_stay_within_the_budget(
    make_world: MakeWorld, redis_server: EmbeddedRedis, kind: str
) -> None:
    world = make_world({ACCOUNT: Scripted(max_recipients=RECIPIENTS[kind])})
    world.submit(world.campaign(3).batch)  # first uses: scripts are loaded, connections opened
    sent = world.campaign(MESSAGES)
    with counted(world.database, redis_server) as found:
        world.submit(sent.batch)
    assert {world.message(one).state for one in sent.messages[::97]} == {S.SUBMITTED}
    over = {name: (found[name], most) for name, most in BUDGET[kind].items() if found[name] > most}
    assert not over, f"{kind}: found and allowed: {over}"
