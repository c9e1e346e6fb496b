"""Adapter tests as data: a canned answer in, the exact request and the exact outcome out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from models.segments import Encoding
from providers.base import AccountSettings, Outcome, Outgoing, Signal
from providers.wire import Reply

SECRETS = ("s3cr3t-user", "s3cr3t-pass", "sk_live_s3cr3t", "17|s3cr3t-cliqtel", "s3cr3t-token", "s3cr3t-webhook")
"""Every credential in the tests is one of these, so that a test can look for leaks."""


def message(number: str = "+447700900001", **changes: object) -> Outgoing:
    values: dict[str, object] = {
        "id": "0198c0de-0000-7000-8000-000000000001",
        "ref": "0198c0de-0000-7000-8000-000000000001",
        "msisdn": number,
        "sender": "MyStore",
        "text": "Hello",
        "encoding": Encoding.GSM7,
        "segments": 1,
    }
    return Outgoing(**{**values, **changes})  # type: ignore[arg-type]  # the dict is checked by the dataclass itself


def settings(base_url: str = "http://127.0.0.1:1", **changes: object) -> AccountSettings:
    values: dict[str, object] = {"name": "acc", "base_url": base_url, "credentials": {}}
    return AccountSettings(**{**values, **changes})  # type: ignore[arg-type]  # as above


def answer(status: int, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
    """A canned reply: a dict or list becomes JSON, bytes and str stay as they are."""
    match body:
        case bytes():
            raw = body
        case str():
            raw = body.encode()
        case None:
            raw = b""
        case _:
            raw = orjson.dumps(body)
    given = {k.lower(): v for k, v in (headers or {}).items()}
    return Reply(status, {"content-type": "application/json", **given}, raw, 0.01)


@dataclass(frozen=True, slots=True)
class SubmitCase:
    """`expect` maps message ids to outcomes; `signal` is what the answer says about the account."""

    label: str
    chunk: Sequence[Outgoing]
    answer: Reply
    expect: Mapping[str, Outcome]
    signal: Signal | None = None
    body: object | None = None  # the exact JSON body expected on the wire, where the case is about it
    headers: Mapping[str, str] = field(default_factory=dict)  # headers the request must carry
