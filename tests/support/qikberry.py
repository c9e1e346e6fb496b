"""What the tests of Qikberry share: an adapter, three messages, and rows as the platform writes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from providers.base import Outgoing
from providers.qikberry import Qikberry
from providers.wire import Reply
from tests.support.cases import answer, message, settings

TOKEN = "s3cr3t-token"
BASE = "http://127.0.0.1:1/qikberry/"
GROUP = "1a772ff9-26ff-4e2c-9921-93ba453ef967"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXCHANGES = Path(__file__).parents[1] / "providers" / "exchanges" / "qikberry"

REF = "0198c0de-0000-7000-8000-00000000000{}"
ONE = message("+447700900001", id="1", ref=REF.format(1))
TWO = message("+447700900002", id="2", ref=REF.format(2), text="Hello Ama")
THREE = message("+233205072987", id="3", ref=REF.format(3))


def adapter(options: Mapping[str, object] | None = None, **changes: object) -> Qikberry:
    given = {"credentials": {"access_token": TOKEN}, "options": {"service": "T", **(options or {})}, **changes}
    return Qikberry(settings(BASE, **given))


def sent(qikberry: Qikberry, *chunk: Outgoing) -> Any:
    return orjson.loads(qikberry.submit_request(chunk, "BULK-1").body)


def row(n: int = 1, **changes: object) -> dict[str, Any]:
    """A row of a send answer."""
    return {
        "id": f"{GROUP}:{n}",
        "mobile": {1: "447700900001", 2: "447700900002", 3: "233205072987"}[n],
        "status": "AWAITING-DLR",
        "units": 1,
        "length": 5,
        "charges": 1,
        "customid": REF.format(n),
        "iso_code": None,
        "submitted_at": "2026-03-01 17:29:50",
        **changes,
    }


def answered(*rows: object, **changes: object) -> Reply:
    body = {"status": 200, "message": f"{len(rows)} numbers accepted for delivery.", "group_id": GROUP, "data": rows}
    return answer(200, {**body, **changes})


def status_row(n: int = 1, **changes: object) -> dict[str, Any]:
    """A row of a status page: 12:00 UTC is 17:30 in India."""
    return {
        "id": f"{GROUP}:{n}",
        "mobile": {1: "447700900001", 2: "447700900002", 3: "233205072987"}[n],
        "status": "DELIVRD",
        "units": 1,
        "service": "T",
        "length": 5,
        "charges": 1,
        "custom": REF.format(n),
        "custom1": "",
        "location": "",
        "provider": "",
        "submitted_at": "2026-03-01 17:30:05",
        "delivered_at": "2026-03-01 17:30:20",
        "sender": "MyStore",
        **changes,
    }


def page(*rows: object, **meta: int) -> dict[str, Any]:
    """The newer pull envelope."""
    last = meta.pop("last", 1)
    return {
        "status": "OK",
        "code": 200,
        "message": "OK",
        "data": list(rows),
        "links": {"first": "https://elsewhere.example/?page=1", "next": "https://elsewhere.example/?page=2"},
        "meta": {"current_page": 1, "last_page": last, "per_page": 100, **meta},
    }


def older_page(*rows: object, current: int = 1, last: int = 1) -> dict[str, Any]:
    """The older pull envelope, with everything inside `data`."""
    inner = {"current_page": current, "data": list(rows), "last_page": last, "next_page_url": None, "per_page": 100}
    return {"status": 200, "data": inner}
