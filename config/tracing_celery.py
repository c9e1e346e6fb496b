"""The trace's context on its way through Celery: into each message's headers, out of them around each task."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun

from config import tracing

_HELD = "_drumline_tracing"


def connect() -> None:
    """Only where tracing is on: otherwise Celery has nobody to call."""
    before_task_publish.connect(_publish, weak=False, dispatch_uid="drumline-tracing")
    task_prerun.connect(_begin, weak=False, dispatch_uid="drumline-tracing")
    task_postrun.connect(_end, weak=False, dispatch_uid="drumline-tracing")


def _publish(headers: dict[str, Any] | None = None, **_: object) -> None:
    if headers is not None:
        tracing.inject(headers)


def _begin(task: Any = None, **_: object) -> None:
    given = getattr(task.request, "traceparent", None)
    if given:
        stack = ExitStack()
        stack.enter_context(tracing.continued({"traceparent": given}))
        setattr(task.request, _HELD, stack)


def _end(task: Any = None, **_: object) -> None:
    held = getattr(task.request, _HELD, None)
    if held is not None:
        held.close()
