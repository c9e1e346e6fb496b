"""Putting jobs on a run's Redis the way the dispatcher does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError


def answering(environment: Mapping[str, str]) -> int:
    """How many workers answer a ping."""
    app = _app(environment)
    try:
        return len(app.control.ping(timeout=0.7) or ())
    except (OSError, OperationalError, RedisError):
        return 0
    finally:
        app.close()


def _app(environment: Mapping[str, str]) -> Celery:
    socket = environment["DRUMLINE_REDIS_URL"].removeprefix("unix://")
    app = Celery("chaos", broker=f"redis+socket://{socket}")
    app.conf.update(
        broker_transport_options={"global_keyprefix": "drumline:", "socket_timeout": 2}, task_ignore_result=True
    )
    return app


@contextmanager
def sender(environment: Mapping[str, str]) -> Iterator[Callable[[str, str, str], None]]:
    """`send(task, queue, argument)`. A Redis that is away loses the job, as it may."""
    app = _app(environment)

    def send(task: str, queue: str, argument: str) -> None:
        try:
            app.send_task(task, args=[argument], queue=queue, ignore_result=True, retry=False)
        except (OSError, OperationalError, RedisError):
            return

    try:
        yield send
    finally:
        app.close()
