"""Control is quick at any size: a hundred thousand messages under way to a simulated provider, over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from config.accounts import Account
from config.settings import Settings
from models.database import Database
from models.moves import add_counts
from models.plain import trail_line
from models.queries import counts, recount
from models.segments import Encoding
from models.states import CampaignState, MessageState
from models.steering import Steering
from models.tables import Batch, Campaign, Message
from models.types import new_id
from producer import campaigns
from producer.campaigns import CampaignSpec, check_spec
from producer.dispatch import dispatch
from producer.shaping import Batcher, Shape
from providers.accounts import open_provider
from tests.support.redis_server import EmbeddedRedis
from workers.closing import cancel_all
from workers.in_turn import submit_in_turn
from workers.runtime import Runtime

SIZE = 100_000
RUN_SECONDS = 0.8  # of sending before each step
WITHIN = 1.0  # second: the promise


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ready = tmp_path_factory.mktemp("sandbox") / "ready.json"
    command = [sys.executable, "-m", "sandbox", "--no-limits", "--dlr-delay", "3600", "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": "."})
    try:
        yield _wait(lambda: ready.exists() and json.loads(ready.read_text())["base_urls"]["qikli"])
    finally:
        process.terminate()
        process.wait()


def _wait(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "it did not happen in time"
        threading.Event().wait(0.02)
    return found


class Hiccups:
    """How long this machine lets a thread wait beyond what it asked for: on a busy one a second is not a second."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Hiccups:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(0.01):
            now = time.monotonic()
            self._worst = max(self._worst, now - last - 0.01)
            last = now

    @property
    def worst(self) -> float:
        """Seconds."""
        return self._worst


@dataclass
class Line:
    """The whole line without Celery: dispatcher, queue, worker; the simulator's log tells when what arrived."""

    database: Database
    url: str
    redis: EmbeddedRedis
    folder: Path
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(12))
    stop: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        account = Account(
            "qikli",
            "qikli",
            self.url,
            {"username": "sandbox", "password": "sandbox"},
            max_connections=20,
            request_cap=5,
        )
        self.accounts = {"qikli": account}
        settings = Settings(redis_url=self.redis.url, state_dir=self.folder)
        self.runtime = Runtime(settings, self.accounts, self.database, lambda *_, **__: None)
        self.dispatcher = threading.Thread(target=self._dispatch)
        self.dispatcher.start()

    def _dispatch(self) -> None:
        while not self.stop.wait(0.05):
            dispatch(self.database, self.accounts, self._send, self.database.now())

    def _send(self, task: str, args: list[str], **_: Any) -> None:
        self.pool.submit(self._work, UUID(args[0]))

    def _work(self, batch_id: UUID) -> None:
        try:
            self.runtime.run(submit_in_turn(self.runtime, batch_id))
        except BaseException as error:
            self.errors.append(error)
            raise

    def campaign(self) -> UUID:
        spec = CampaignSpec("Large", "Drumline", "Hello", {"qikli": 1})
        providers = {"qikli": open_provider(self.accounts["qikli"])}
        now = self.database.now()
        with self.database.write() as session:
            made = campaigns.create(session, spec, check_spec(spec, self.accounts, providers), now)
            batcher = Batcher(made, {"qikli": 1000}, Shape(Steering()), self.database.now)
            trail = trail_line(MessageState.QUEUED, "imported", now)
            for n in range(SIZE):
                batcher.place(_row(made, n, trail), None)
            batches, messages = batcher.take(last=True)
            session.connection().execute(insert(Batch), batches)
            session.connection().execute(insert(Message), messages)
            add_counts(session, {(made, "qikli", "queued"): SIZE})
            session.get_one(Campaign, made).rows_accepted = SIZE
            campaigns.start(session, made, now)
        return made

    def step(self, act: Callable[..., object], *args: object) -> float:
        """Do it in a transaction; monotonic seconds at the call."""
        called = time.monotonic()
        with self.database.write() as session:
            act(session, *args, self.database.now())
        return called

    def arrived(self) -> int:
        with urllib.request.urlopen(f"{self.control}/stats?provider=qikli") as answer:
            return int(json.load(answer)["providers"]["qikli"]["accepted"])

    def goes_on(self) -> None:
        before = self.arrived()
        _wait(lambda: self.arrived() > before + 100)

    def arrivals(self) -> list[float]:
        """When each submit arrived, in the simulator's seconds, which are this machine's."""
        with urllib.request.urlopen(f"{self.control}/arrivals?provider=qikli") as answer:
            found = json.load(answer)
        offset = found["now"] - time.monotonic()
        return [at - offset for at, _account, method, *_ in found["arrivals"]["qikli"] if method == "POST"]

    def refs(self) -> Counter[str]:
        with urllib.request.urlopen(f"{self.control}/ledger?provider=qikli") as answer:
            return Counter(json.loads(line)["ref"] for line in answer)

    @property
    def control(self) -> str:
        return self.url.removesuffix("/qikli") + "/_sandbox"

    def quiet(self) -> bool:
        """Nothing is under way."""
        query = select(Message.id).where(Message.state == MessageState.SUBMITTING).limit(1)
        with self.database.read() as session:
            return session.execute(query).first() is None

    def close(self) -> None:
        self.stop.set()
        self.dispatcher.join()
        self.runtime.stop()
        self.pool.shutdown()
        self.runtime.close()


def _row(campaign_id: UUID, n: int, trail: str) -> dict[str, Any]:
    return {
        "id": new_id(), "campaign_id": campaign_id, "row_no": n, "account": "qikli",
        "msisdn": f"+447700{900000 + n % 1000}", "country": "GB", "sender": "Drumline", "text": None,
        "encoding": str(Encoding.GSM7), "segments": 1, "reference": None, "state": MessageState.QUEUED, "trail": trail,
    }  # fmt: skip


@pytest.fixture
def line(database: Database, sandbox: str, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Line]:
    redis_server.wipe()
    made = Line(Database(database.url), sandbox, redis_server, tmp_path)
    urllib.request.urlopen(urllib.request.Request(f"{made.control}/reset", method="POST"))
    yield made
    made.close()


@pytest.mark.timeout(300)
def test_the_last_submit_leaves_within_a_second_of_pause_and_cancel_and_resume_repeats_nothing(line: Line) -> None:
    campaign = line.campaign()
    _wait(lambda: line.errors or line.arrived() > 100)
    assert line.errors == []

    for act, args in ((campaigns.pause, (campaign, "by an operator")), (campaigns.cancel, (campaign, "enough"))):
        threading.Event().wait(RUN_SECONDS)
        before = line.arrived()
        with Hiccups() as hiccups:
            called = line.step(act, *args)
            _wait(line.quiet)
        threading.Event().wait(1.0)
        late = [at - called for at in line.arrivals() if at > called]
        assert max(late, default=0.0) < WITHIN + hiccups.worst
        assert line.arrived() >= before > 0
        if act is campaigns.pause:
            line.step(campaigns.resume, campaign)
            line.goes_on()

    assert max(line.refs().values()) == 1
    began = time.monotonic()
    cancel_all(line.database.write, line.database.now(), budget=120.0)
    spent = time.monotonic() - began
    with line.database.read() as session:
        found = counts(session, campaign)
        assert found == recount(session, campaign)
        assert session.get_one(Campaign, campaign).state is CampaignState.CANCELLED
    states = found["qikli"]
    assert MessageState.QUEUED not in states
    assert states[MessageState.CANCELLED] > SIZE / 2
    assert spent < 60.0
