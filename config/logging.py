"""Structured logs with numbers masked and secrets left out, for people (console) or machines (JSON)."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog

# Eight digits before a hyphen may be the beginning of a UUID; nine and more are a number. %2B is a + in an address.
_NUMBER = re.compile(r"(?:(?<![\w-])|(?<=%2B))\+?(?:\d{9,17}(?!\w)|\d{8}(?![\w-]))", re.IGNORECASE)
_SPELT = re.compile(r"(?<![\w-])\+\d[\d ().-]{7,22}\d(?!\w)")  # +44 7700 900123
_SECRET_NAMES = re.compile(r"authorization|password|secret|token|api_?key(?!_name)|credential", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s@'\"]*:[^/\s@'\"]*(?=@)")  # redis://:password@host
_SAID = re.compile(
    r"(?P<name>authorization|password|passwd|secret|token|api[_-]?key|signature)(?P<is>[\"']?\s*[=:]\s*[\"']?)"
    r"(?:(?:Bearer|Basic)\s+)?(?P<value>[^\s\"'&,;)}\]]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.|~+/=-]{6,}", re.IGNORECASE)


def mask_numbers(text: str) -> str:
    """Phone numbers keep their first three and last two digits."""
    spelt = _SPELT.sub(lambda match: f"{match[0][:4]}…{match[0][-2:]}", text)
    return _NUMBER.sub(lambda match: f"{match[0][:4]}…{match[0][-2:]}", spelt)


def mask_secrets(text: str) -> str:
    """Logins in addresses, and what stands behind the name of a secret."""
    text = _SAID.sub(r"\g<name>\g<is>***", _LOGIN.sub("***", text))
    return _BEARER.sub(r"\1 ***", text)


def masked(value: Any) -> Any:
    """A value as it may be logged, whatever it holds."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {name: "***" if _SECRET_NAMES.search(str(name)) else masked(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [masked(item) for item in value]
        case _:
            return mask_numbers(mask_secrets(str(value)))


def _mask(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        event[name] = "***" if _SECRET_NAMES.search(name) else value if name == "timestamp" else masked(value)
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
    # Uvicorn brings handlers of its own, which would print a failed request's traceback unmasked.
    for own in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(own).handlers.clear()
        logging.getLogger(own).propagate = own != "uvicorn.access"  # paths hold webhook tokens, queries numbers
    # Request lines of the HTTP libraries carry addresses with numbers in their queries; Celery tells of every task.
    for chatty in ("httpx", "httpcore", "aiohttp.client", "urllib3", "celery", "kombu", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
