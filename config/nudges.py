"""Jobs that only say "go look": worth nothing twice, and sent again by beat or the sweep should they get lost.

They carry no expiry: that is a date by the sender's clock, and a worker whose clock is an hour ahead would take none
of them. Instead a queue that is full of jobs which nobody takes gets no more: a dead worker leaves no backlog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

AWAY = (OperationalError, RedisError, OSError)
MOST_WAITING = 20  # jobs in a queue from which on another nudge adds nothing


class Nudges:
    """`nudges(task, queue=..., args=...)` sends a job. Raises one of `AWAY` without Redis."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def __call__(self, task: str, *, queue: str, args: Sequence[str] = ()) -> None:
        with self._app.producer_or_acquire() as producer:
            if waiting(producer, queue) < MOST_WAITING:
                self._app.send_task(
                    task, args=list(args), queue=queue, producer=producer, ignore_result=True, retry=False
                )


def waiting(producer: Any, queue: str) -> int:
    """Jobs in a queue. Raises one of `AWAY` without Redis."""
    return int(producer.channel.client.llen(queue))
