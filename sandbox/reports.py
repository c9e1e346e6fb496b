"""When things come due, and pushing reports to the client's webhooks with the provider's retry rule."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from sandbox.clock import Clock

if TYPE_CHECKING:
    from sandbox.core import Provider
    from sandbox.ledger import Entry

# How much one wake-up does before the event loop gets its turn: due outcomes must never hold up answers.
BURST = 500
TICK = 0.005
PUSH_WORKERS = 32

Action = Callable[[], None]


class Agenda:
    """A heap of due actions on the sandbox's clock, driven by one loop timer. Nothing runs before `start`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Action]] = []
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = float("inf")
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._heap)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arm()

    def stop(self) -> None:
        self._disarm()
        self._loop = None

    def add(self, due: float, action: Action) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, action))
        if due < self._armed_for:
            self._arm()

    def clear(self) -> None:
        self._heap.clear()
        self._disarm()

    def run_all(self) -> int:
        """Everything now, in due order, including what the actions themselves add. Returns how many ran."""
        ran = 0
        while self._heap:
            heapq.heappop(self._heap)[2]()
            ran += 1
        self._disarm()
        return ran

    def run_due(self) -> None:
        """What is due by now, at most one burst; re-arms for the rest."""
        self._armed_for = float("inf")
        now = self._clock.now()
        try:
            for _ in range(BURST):
                if not self._heap or self._heap[0][0] > now:
                    break
                heapq.heappop(self._heap)[2]()
        finally:
            self._arm()  # one action that fails must not stop the others

    def catch_up(self) -> None:
        """Everything that is due by now, however much it is; for a clock that was moved."""
        while self._heap and self._heap[0][0] <= self._clock.now():
            self.run_due()

    def _arm(self) -> None:
        self._disarm()
        if self._loop is None or not self._heap:
            return
        due = self._heap[0][0]
        # At least one tick: thousands of due times a second become a few hundred wake-ups.
        self._timer = self._loop.call_later(max(TICK, due - self._clock.now()), self.run_due)
        self._armed_for = due

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = float("inf")


@dataclass(frozen=True, slots=True)
class Wire:
    """One webhook request as it goes out."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, eq=False)
class Push:
    """One report on its way. `make(attempt)` builds the request anew for every attempt (fresh timestamp and signature).

    `accepted(status, body)` decides whether the answer acknowledges it (default: any 2xx).
    """

    provider: "Provider"
    make: Callable[[int], Wire]
    entry: "Entry | None" = None
    accepted: Callable[[int, bytes], bool] = field(default=lambda status, _body: 200 <= status < 300)
    final: bool = True
    attempt: int = 0


class Pusher:
    """Sends pushes with a few workers; a failed one waits for its retry in its own agenda."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._retries = Agenda(clock)
        self._queue: asyncio.Queue[Push] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._collected: list[Push] | None = None

    def start(self) -> None:
        self._retries.start()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=PUSH_WORKERS))
        self._workers = [asyncio.create_task(self._work()) for _ in range(PUSH_WORKERS)]
        for worker in self._workers:
            worker.add_done_callback(_raise_in_loop)

    async def stop(self) -> None:
        self._retries.stop()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def submit(self, push: Push) -> None:
        if self._collected is None:
            self._queue.put_nowait(push)
        else:
            self._collected.append(push)

    @contextlib.contextmanager
    def collect(self) -> Iterator[list[Push]]:
        """Inside, submitted pushes land in the list instead of the queue. Only for code that does not await."""
        collected: list[Push] = []
        self._collected = collected
        try:
            yield collected
        finally:
            self._collected = None

    def clear(self) -> None:
        self._retries.clear()
        while not self._queue.empty():
            self._queue.get_nowait()
            self._queue.task_done()

    def pending(self) -> int:
        return self._queue.qsize() + len(self._retries)

    def catch_up(self) -> None:
        self._retries.catch_up()

    async def flush(self) -> None:
        """Try everything once now, waiting retries too; returns when each has been answered or has failed."""
        self._retries.run_all()
        await self.idle()

    async def idle(self) -> None:
        """Until what is queued has been tried once; waiting retries go on waiting."""
        await self._queue.join()

    async def deliver(self, push: Push) -> bool:
        """One attempt; a failure is planned again by the provider's retry rule, or dropped after the last."""
        push.attempt += 1
        settled = await self._attempt(push)
        counts = push.provider.ledger.counts
        if settled:
            counts.pushed += 1
            if push.entry is not None and push.final:
                push.entry.pushed += 1
        else:
            counts.push_failed += 1
            self._plan_retry(push)
        return settled

    async def _attempt(self, push: Push) -> bool:
        wire = push.make(push.attempt)
        if self._session is None:
            raise RuntimeError("the pusher is not started")
        patience = aiohttp.ClientTimeout(total=push.provider.push_timeout)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with self._session.request(
                wire.method,
                wire.url,
                data=wire.body or None,
                headers=wire.headers,
                allow_redirects=False,
                timeout=patience,
            ) as answer:
                return push.accepted(answer.status, await answer.read())
        return False

    def _plan_retry(self, push: Push) -> None:
        delays = push.provider.retry_delays
        if push.attempt >= len(delays):
            push.provider.ledger.counts.push_dropped += 1
            return
        delay = delays[push.attempt] * push.provider.settings.retry_scale
        self._retries.add(self._clock.now() + delay, lambda: self.submit(push))

    async def _work(self) -> None:
        while True:
            push = await self._queue.get()
            try:
                await self.deliver(push)
            finally:
                self._queue.task_done()


def _raise_in_loop(worker: asyncio.Task[None]) -> None:
    """A worker that dies of a provider's mistake is reported at once, not when it is collected."""
    if not worker.cancelled() and (error := worker.exception()) is not None:
        worker.get_loop().call_exception_handler({"message": "a push worker died", "exception": error})
