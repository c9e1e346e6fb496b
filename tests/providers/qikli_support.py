"""What the tests of Qikli share: an account, three messages, and the shapes of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from models.states import MessageState
from providers.base import (
    Accepted,
    FailureClass,
    Outgoing,
)
from providers.qikli import Qikli
from providers.wire import Reply
from tests.support.cases import answer, message, settings

LOGIN = {"username": "s3cr3t-user", "password": "s3cr3t-pass"}
F = FailureClass
S = MessageState
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXCHANGES = Path(__file__).parent / "exchanges" / "qikli"

ONE = message("+233205072987", id="1", ref="ref-1")
TWO = message("+447700900002", id="2", ref="ref-2", text="Hello Ama")
THREE = message("+233201133119", id="3", ref="ref-3")


def adapter(options: Mapping[str, object] | None = None, **changes: object) -> Qikli:
    given = {"credentials": LOGIN, "options": options or {}, **changes}
    return Qikli(settings("http://127.0.0.1:1/qikli/", **given))


def sent(qikli: Qikli, *chunk: Outgoing) -> Any:
    return orjson.loads(qikli.submit_request(chunk, "BULK-1").body)


def entry(ref: str, group: int, number: int, **more: object) -> dict[str, object]:
    return {"to": "233205072987", "messageId": ref, "status": {"groupId": group, "id": number, "name": "X"}, **more}


def answered(*entries: object) -> Reply:
    return answer(200, {"bulkId": "BULK-1", "messages": list(entries)})


def accepted(ref: str, state: MessageState = MessageState.SUBMITTED, **more: Any) -> Accepted:
    return Accepted(ref, state, "BULK-1", **more)


def envelope(code: str, said: str = "no", errors: object = None) -> dict[str, object]:
    exception: dict[str, object] = {"messageId": code, "text": said}
    return {"requestError": {"serviceException": {**exception, "validationErrors": errors} if errors else exception}}
