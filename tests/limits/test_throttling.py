"""429s and lock-outs through the real adapters: one block for all workers, no message charged, a ramp afterwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from config.accounts import Limit
from models.states import MessageState
from providers.accounts import open_provider
from providers.base import Allowance, Misconfigured, Throttle
from providers.wire import Reply
from tests.limits.conftest import MakeCluster, Sandbox, account
from tests.support.cluster import Ask, Cluster
from workers.gate import Cost, Door, Gate, Pass, Wait
from workers.rate_permits import LimitSnapshot
from workers.rate_rules import Budget, Window

FORMS: list[tuple[dict[str, Any], float, float]] = [
    ({"form": "seconds", "seconds": 7}, 5.0, 7.0),
    ({"form": "date", "seconds": 7}, 3.5, 7.0),  # a date has whole seconds
    ({"form": "garbage"}, 3.5, 5.0),
    ({"form": "negative", "seconds": 7}, 3.5, 5.0),
    ({"form": "absent"}, 3.5, 5.0),
    ({"form": "seconds", "seconds": 99_999}, 890.0, 900.0),
]


def gates(cluster: Cluster, name: str) -> list[Gate]:
    return [here.run(here.account(name)).gate for here in cluster.runtimes]


def snapshot(cluster: Cluster, gate: Gate) -> LimitSnapshot:
    return cluster.runtimes[0].run(gate.limiter.snapshot(gate.budget))


def ask(cluster: Cluster, worker: int, name: str) -> list[Pass] | Wait:
    here = cluster.runtimes[worker]
    return here.run(gates(cluster, name)[worker].ask([Cost()], 0.5))


@pytest.mark.parametrize(("params", "least", "most"), FORMS, ids=lambda value: str(value) if value else "")
@pytest.mark.parametrize("provider", ["quicksms", "cliqtel", "qikli", "qikberry"])
def test_a_429_of_any_form_blocks_every_worker_and_charges_no_message(
    sandbox: Sandbox, cluster: MakeCluster, provider: str, params: dict[str, Any], least: float, most: float
) -> None:
    box = sandbox(**{provider: {"faults": [{"kind": "throttle", "count": 1, "params": params}]}})
    work = cluster([account(box, provider, Limit(50, 1.0))], workers=2)
    campaign = work.plant(Ask(provider, 1))
    work.run(10.0, until=lambda: bool(work.messages(campaign)[0].attempt_id) and not work.jobs)
    work.settle()
    message = work.messages(campaign)[0]
    assert (message.state, message.tries) == (MessageState.QUEUED, 0)
    shown = snapshot(work, gates(work, provider)[0])
    assert least - 2.5 <= shown.blocked_for <= most
    for worker in range(2):
        answer = ask(work, worker, provider)
        assert isinstance(answer, Wait)
        assert answer.door in {Door.BLOCKED, Door.BREAKER}
        assert answer.for_all


def test_after_the_block_the_rate_ramps_up_and_the_message_leaves(sandbox: Sandbox, cluster: MakeCluster) -> None:
    fault = {"kind": "throttle", "count": 1, "params": {"seconds": 2}}
    box = sandbox(quicksms={"faults": [fault]})
    work = cluster([account(box, "quicksms", Limit(20, 1.0))], workers=2)
    campaign = work.plant(Ask("quicksms", 20))
    work.run(15.0, until=lambda: work.left(campaign) > 3)
    assert snapshot(work, gates(work, "quicksms")[0]).ramp < 1.0
    work.run(15.0, until=lambda: work.left(campaign) == 20)
    assert {(row.state, row.tries) for row in work.messages(campaign)} == {(MessageState.SUBMITTED, 0)}
    assert box.throttled("quicksms") == 1  # the one we asked for


def test_polls_keep_the_documented_limit_where_the_account_says_nothing(sandbox: Sandbox, cluster: MakeCluster) -> None:
    box = sandbox()
    work = cluster([account(box, "qikberry", Limit(50, 1.0))], workers=1)
    opened = work.runtimes[0].run(work.runtimes[0].account("qikberry"))
    assert opened.poll_gate.budget == Budget("qikberry", (Window(1000, 60.0),), name="poll")


@pytest.fixture
def pair(sandbox: Sandbox, cluster: MakeCluster) -> Cluster:
    """Two workers with an account whose polls have a budget of their own."""
    box = sandbox()
    return cluster([account(box, "qikberry", Limit(50, 1.0), poll_limits=(Limit(20, 1.0),))], workers=2)


def learn(cluster: Cluster, worker: int, signal: Any, passed: Pass | None = None) -> None:
    here = cluster.runtimes[worker]
    here.run(gates(cluster, "qikberry")[worker].learn(signal, None, passed))


def blocked(cluster: Cluster) -> tuple[float, float]:
    here = cluster.runtimes[1]
    opened = here.run(here.account("qikberry"))
    budgets = (opened.gate.budget, opened.poll_gate.budget)
    first, second = (here.run(here.limiter.snapshot(budget)).blocked_for for budget in budgets)
    return first, second


def test_a_lock_out_shuts_polls_and_submits_even_if_an_operator_closes_the_breaker(pair: Cluster) -> None:
    learn(pair, 0, Misconfigured("AUTH_RATE_LIMITED", "locked out", 300.0))
    here = pair.runtimes[1]
    here.run(here.breaker.close("qikberry"))
    assert min(blocked(pair)) > 290.0
    answer = ask(pair, 1, "qikberry")
    assert isinstance(answer, Wait)
    assert answer.door is Door.BLOCKED


def test_too_many_requests_of_one_kind_do_not_shut_the_other(pair: Cluster) -> None:
    learn(pair, 0, Throttle(30.0, "429"))
    submits, polls = blocked(pair)
    assert submits > 25.0
    assert polls == 0.0


def test_fifty_answers_without_a_time_are_one_throttling_and_the_next_one_doubles_it(pair: Cluster) -> None:
    granted = ask(pair, 0, "qikberry")
    assert isinstance(granted, list)
    for _ in range(50):
        learn(pair, 0, Throttle(None, "429"), granted[0])
    assert blocked(pair)[0] <= 5.0
    learn(pair, 0, Throttle(None, "429"))
    assert 5.0 < blocked(pair)[0] <= 10.0


def test_that_nothing_remained_when_it_refused_says_nothing_of_the_time_it_named(pair: Cluster) -> None:
    here = pair.runtimes[0]
    gate = gates(pair, "qikberry")[0]
    here.run(gate.learn(Throttle(1.0, "429"), Allowance(gate.budget.windows[0].limit, 0, None), None))
    assert [window.foreign for window in snapshot(pair, gate).windows] == [0] * len(gate.budget.windows)


def test_a_time_of_nought_is_no_time(pair: Cluster) -> None:
    learn(pair, 0, Throttle(0.0, "429"))
    assert blocked(pair)[0] > 3.0


def test_a_reset_is_measured_by_the_providers_clock_even_if_ours_is_an_hour_wrong(sandbox: Sandbox) -> None:
    provider = open_provider(account(sandbox(), "quicksms"), "https://us.test")
    theirs = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "X-RateLimit-Limit": "1000",
        "X-RateLimit-Remaining": "12",
        "X-RateLimit-Reset": str(int(theirs.timestamp()) + 30),
    }
    _, allowance = provider.read_signal(Reply(200, headers, b"{}"))
    assert allowance == Allowance(1000, 12, 30.0)


def test_rate_headers_of_somebody_else_on_the_account_slow_us_down_before_a_429(
    sandbox: Sandbox, cluster: MakeCluster
) -> None:
    box = sandbox(quicksms={"limits": [{"limit": 60, "per_seconds": 60}]})
    work = cluster([account(box, "quicksms", Limit(60, 60.0))], workers=1)
    # Nothing of ours is in the log yet, and the provider says that 50 of 60 are used.
    here = work.runtimes[0]
    gate = gates(work, "quicksms")[0]
    assert isinstance(ask(work, 0, "quicksms"), list)
    time.sleep(0.3)
    here.run(gate.learn(None, Allowance(60, 9, 30.0), None))
    shown = snapshot(work, gate)
    assert shown.windows[0].foreign == 50
    assert shown.windows[0].remaining <= 9
