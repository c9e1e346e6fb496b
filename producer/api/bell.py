"""Waking a task by name, from any thread, without waiting for Redis and without ringing twice in a moment.

Whatever is woken here also runs every second from beat: a ring that gets lost costs a second, never more. So its
failure is logged and forgotten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from config import tracing
from config.nudges import AWAY

log = structlog.get_logger("drumline.api")

SPACING = 0.25  # seconds between two rings for one task: one run serves all that came before it

Call = tuple[str, str, tuple[str, ...]]
"""Task, queue, arguments."""


@dataclass
class Bell:
    """`nudge` sends a job (`config.nudges`). A ring while another is being sent is not lost: it is sent next."""

    nudge: Callable[..., object]
    spacing: float = SPACING
    _wanted: dict[Call, bool] = field(default_factory=dict)  # tasks that a thread serves: whether to ring once more
    _threads: list[threading.Thread] = field(default_factory=list)
    _headers: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ring(self, task: str, queue: str, *arguments: str) -> None:
        tracing.inject(self._headers)  # of whoever rang last: one run serves all
        call = (task, queue, arguments)
        with self._lock:
            served, self._wanted[call] = call in self._wanted, True
            if served:
                return
            # A daemon: a Redis that does not answer must not keep the process from ending.
            thread = threading.Thread(target=self._serve, args=(call,), name=f"bell {task}", daemon=True)
            self._threads = [*filter(threading.Thread.is_alive, self._threads), thread]
            thread.start()

    def _serve(self, call: Call) -> None:
        while self._take(call):
            self._send(*call)
            time.sleep(self.spacing)

    def _take(self, call: Call) -> bool:
        """Whether to ring. Taken before sending: what is committed from now on deserves a ring of its own."""
        with self._lock:
            if self._wanted[call]:
                self._wanted[call] = False
                return True
            del self._wanted[call]
            return False

    def _send(self, task: str, queue: str, arguments: tuple[str, ...]) -> None:
        try:
            with tracing.continued(self._headers):
                self.nudge(task, queue=queue, args=arguments)
        except AWAY as error:
            log.warning("task_not_sent", task=task, error=type(error).__name__)

    def close(self, patience: float = 2.0) -> None:
        """Wait a moment for the last rings."""
        with self._lock:
            threads = self._threads
        for thread in threads:
            thread.join(patience)
