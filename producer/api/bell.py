"""Waking a task by name, from any thread, without waiting for Redis and without ringing twice in a moment.

Whatever is woken here also runs every second from beat: a ring that gets lost costs a second, never more. So its
failure is logged and forgotten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = structlog.get_logger("drumline.api")

SPACING = 0.25  # seconds between two rings for one task: one run serves all that came before it


@dataclass
class Bell:
    """`send_task` is Celery's. A ring during the spacing is not lost: it is sent at its end."""

    send_task: Callable[..., object]
    spacing: float = SPACING
    _waiting: set[str] = field(default_factory=set)
    _last: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, thread_name_prefix="bell"))

    def ring(self, task: str, queue: str) -> None:
        with self._lock:
            if task in self._waiting:
                return
            self._waiting.add(task)
        self._threads.submit(self._send, task, queue)

    def _send(self, task: str, queue: str) -> None:
        time.sleep(max(0.0, self._last.get(task, 0.0) + self.spacing - time.monotonic()))
        with self._lock:
            # Before sending: what is committed from now on deserves a ring of its own.
            self._waiting.discard(task)
            self._last[task] = time.monotonic()
        try:
            self.send_task(task, queue=queue, expires=5, ignore_result=True, retry=False)
        except (OSError, OperationalError, RedisError) as error:
            log.warning("task_not_sent", task=task, error=type(error).__name__)

    def close(self) -> None:
        """Wait for the last rings."""
        self._threads.shutdown(wait=True)
