"""Structured logs with numbers masked and secrets left out, for people (console) or machines (JSON)."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog

_NUMBER = re.compile(r"(?<![\w-])\+?[1-9]\d{7,14}(?![\w-])")
_SECRET_NAMES = re.compile(r"authorization|password|secret|token|api_?key|credential", re.IGNORECASE)


def mask_numbers(text: str) -> str:
    """Phone numbers keep their first three and last two digits."""
    return _NUMBER.sub(lambda match: f"{match[0][:4]}…{match[0][-2:]}", text)


def _mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = "***"
        elif isinstance(value, str):
            event[name] = mask_numbers(value)
    return event


def configure_logging(form: Literal["console", "json"], level: str) -> None:
    """Set up structlog, and send the standard library's records through the same masks."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _mask,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Request lines of the HTTP libraries carry addresses with numbers in their queries; Celery tells of every task.
    for chatty in ("httpx", "httpcore", "aiohttp.client", "urllib3", "celery", "kombu", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
