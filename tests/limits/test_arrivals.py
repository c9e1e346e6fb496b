"""The promise as the provider sees it: its own arrival log, by its own clock, under strict sliding windows."""

from __future__ import annotations

from config.accounts import Counts, Limit
from tests.limits.conftest import MakeCluster, Sandbox, account
from tests.support.cluster import Ask, SandboxProcess
from tests.support.limit_model import most_in_any_window
from tests.support.redis_server import EmbeddedRedis


def requests(sandbox: SandboxProcess, provider: str) -> list[tuple[float, int]]:
    return [(at, 1) for at, _, _ in sandbox.arrivals(provider)]


def test_no_window_of_any_alignment_ever_holds_more_than_two_providers_allow(
    sandbox: Sandbox, cluster: MakeCluster
) -> None:
    box = sandbox(
        quicksms={"limits": [{"limit": 60, "per_seconds": 3}]},
        cliqtel={"limits": [{"limit": 20, "per_seconds": 4}, {"limit": 8, "per_seconds": 1, "counts": "messages"}]},
    )
    quick = account(box, "quicksms", Limit(60, 3.0))
    cliq = account(box, "cliqtel", Limit(20, 4.0), Limit(8, 1.0, Counts.MESSAGES))
    work = cluster([quick, cliq])
    work.plant(Ask("quicksms", 400, 60))
    work.plant(Ask("cliqtel", 120, 20))
    work.run(9.0)
    # A crowded machine uses less of what nine seconds allow; until there is enough to look at, it may go on.
    work.run(60.0, until=lambda: len(requests(box, "quicksms")) >= 60 and len(requests(box, "cliqtel")) >= 15)
    assert box.throttled("quicksms") == box.throttled("cliqtel") == 0
    assert most_in_any_window(requests(box, "quicksms"), 3.0) <= 60
    assert most_in_any_window(requests(box, "cliqtel"), 4.0) <= 20
    assert most_in_any_window([(at, n) for at, n, _ in box.arrivals("cliqtel")], 1.0) <= 8
    assert len(requests(box, "quicksms")) >= 60
    assert len(requests(box, "cliqtel")) >= 15


def test_a_redis_that_forgets_everything_lets_nobody_send_more(
    sandbox: Sandbox, cluster: MakeCluster, redis_server: EmbeddedRedis
) -> None:
    box = sandbox(quicksms={"limits": [{"limit": 40, "per_seconds": 4}]})
    work = cluster([account(box, "quicksms", Limit(40, 4.0))])
    work.plant(Ask("quicksms", 400, 40))
    for _ in range(3):
        work.run(2.0)
        redis_server.wipe()
    work.run(4.0)
    assert box.throttled("quicksms") == 0
    assert most_in_any_window(requests(box, "quicksms"), 4.0) <= 40
    assert len(requests(box, "quicksms")) >= 10


def test_a_campaigns_own_rate_is_kept_over_all_workers_and_others_use_the_rest(
    sandbox: Sandbox, cluster: MakeCluster
) -> None:
    box = sandbox(quicksms={"limits": [{"limit": 40, "per_seconds": 1}]})
    work = cluster([account(box, "quicksms", Limit(40, 1.0))])
    slow = work.plant(Ask("quicksms", 200, 20, max_rate=4.0))
    fast = work.plant(Ask("quicksms", 400, 20))
    work.run(6.0)
    left, others = work.left(slow), work.left(fast)
    assert 5 <= left <= 4 * 6 + 4 * 1.5
    assert others >= 25


def test_what_a_provider_counts_by_sender_is_counted_by_sender(sandbox: Sandbox, cluster: MakeCluster) -> None:
    box = sandbox(quicksms={"limits": []})
    work = cluster([account(box, "quicksms", Limit(60, 1.0), sender_limits=(Limit(10, 2.0),))])
    work.plant(Ask("quicksms", 100, 20, sender="Alpha"))
    work.plant(Ask("quicksms", 100, 20, sender="Beta"))
    work.run(6.0)
    accepted = box.senders("quicksms")
    for sender in ("Alpha", "Beta"):
        moments = [(at, 1) for at, name in accepted if name == sender]
        assert most_in_any_window(moments, 2.0) <= 10
        assert len(moments) >= 5


def test_urgent_work_leaves_at_once_and_bulk_keeps_its_minimum(sandbox: Sandbox, cluster: MakeCluster) -> None:
    box = sandbox(quicksms={"limits": [{"limit": 20, "per_seconds": 1}]})
    work = cluster([account(box, "quicksms", Limit(20, 1.0))])
    bulk = work.plant(Ask("quicksms", 1000, 200, priority="low"))
    work.run(2.0)
    urgent = work.plant(Ask("quicksms", 60, 60, priority="high"))
    before = work.left(bulk)
    work.run(12.0, until=lambda: work.left(urgent) == 60)
    during = work.left(bulk) - before
    assert work.left(urgent) == 60
    # Sixty messages at twenty a second; without priority they would have had a third of it.
    assert 1 <= during <= 50
