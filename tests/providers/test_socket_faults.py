"""Every fault of the socket, for every adapter: what each message of the request is then known to be.

"Known not sent" before the first byte was written; after it only an answer that can be read in full says anything, and
everything else is unknown. One table of faults times one table of providers.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from providers.base import FailureClass, Misconfigured, Outgoing, Throttle
from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.registry import Adapter, build
from providers.wire import NotSent, OutcomeUnknown
from tests.providers.test_generic import ACME
from tests.support.cases import message, settings
from tests.support.fates import Fate, Story, story_of
from tests.support.http_faults import (
    CASES,
    CHUNKED,
    GZIP,
    MEGABYTE,
    PATIENCE,
    UNTIL_CLOSE,
    Case,
    Scene,
    Stage,
    replying,
    says,
)
from tests.support.raw_server import answer

REF = "0198c0de-0000-7000-8000-00000000000{}"
CHUNK = [message(f"+44770090010{n}", id=REF.format(n), ref=REF.format(n)) for n in (1, 2, 3)]


@dataclass(frozen=True, slots=True)
class Speaker:
    """A provider, what a request of it holds, and a true answer that accepts all of it. `roomy`: it reads 10 MB."""

    name: str
    credentials: Mapping[str, str]
    accepts: object
    status: str = "200 OK"
    options: Mapping[str, object] = field(default_factory=dict)
    several: bool = False
    sender: str = "MyStore"
    roomy: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def chunk(self) -> Sequence[Outgoing]:
        return (
            CHUNK
            if self.several
            else [message("+447700900101", id=REF.format(1), ref=REF.format(1), sender=self.sender)]
        )

    @property
    def body(self) -> bytes:
        return orjson.dumps(self.accepts)

    def adapter(self, scene: Scene, patience: float) -> Adapter:
        found = urlsplit(scene.url)
        base = f"{found.scheme}://{found.netloc}/sms"
        return build(
            self.name, settings(base, credentials=self.credentials, options=self.options, timeout=2 * patience)
        )


_PENDING = {"groupId": 1, "groupName": "PENDING", "id": 26, "name": "MESSAGE_ACCEPTED"}
SPEAKERS = (
    Speaker(
        "qikli",
        {"username": "u", "password": "s3cret"},
        {"bulkId": "B", "messages": [{"to": m.msisdn[1:], "status": _PENDING, "messageId": m.ref} for m in CHUNK]},
        several=True,
        roomy=True,
    ),
    Speaker(
        "quicksms",
        {"api_key": "s3cret"},
        {"messages": [{"quicksms_id": "msg_80fac5c752941b27", "status": "ACCEPTED", "message_parts": 1}]},
        "202 Accepted",
    ),
    Speaker(
        "cliqtel",
        {"api_key": "s3cret"},
        {"data": {"id": 42, "status": "queued", "segments": 1, "cost": 0.008, "currency": "EUR"}},
        "201 Created",
        sender="+12025550123",
    ),
    Speaker(
        "qikberry",
        {"access_token": "s3cret"},
        {
            "status": 200,
            "message": "3 numbers accepted for delivery.",
            "group_id": "g",
            "data": [
                {"id": f"g:{n}", "mobile": m.msisdn[1:], "status": "AWAITING-DLR", "customid": m.ref}
                for n, m in enumerate(CHUNK, 1)
            ],
        },
        options={"service": "T"},
        several=True,
    ),
    Speaker("generic", {"token": "s3cret"}, {"state": "queued", "data": [{"id": "a-1"}]}, options=ACME),
)
every = pytest.mark.parametrize("speaker", SPEAKERS, ids=str)


async def told(
    speaker: Speaker, stage: Stage, folder: Path, patience: float = PATIENCE, connect_timeout: float = PATIENCE
) -> tuple[Story, Scene]:
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(stage(folder))
        line = ConnectionSettings(connect_timeout=connect_timeout, ca_file=scene.ca_file)
        client = await stack.enter_async_context(HttpClient(line, Carrier.HTTPX))  # the workers' own
        return await story_of(client, speaker.adapter(scene, patience), speaker.chunk), scene


def all_are(speaker: Speaker, fate: Fate) -> tuple[Fate, ...]:
    return (fate,) * len(speaker.chunk)


# --- faults that no provider is asked about --------------------------------------------------------------------------


@every
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_no_fault_of_the_wire_is_ever_taken_for_an_answer(case: Case, speaker: Speaker, tmp_path: Path) -> None:
    story, scene = await told(speaker, case.stage, tmp_path, case.patience, case.connect_timeout)
    # whole answers of these scripts are no provider's: `{"ok": true}`, redirects, pages, nothing at all
    assert story.fates == all_are(speaker, Fate.NOT_SENT if case.expect is NotSent else Fate.UNKNOWN), story
    assert story.signal is None or not isinstance(story.signal, Misconfigured | Throttle)
    if scene.server is not None and case.expect is NotSent:
        assert b"POST" not in scene.server.seen


def test_the_table_of_faults_has_both_kinds() -> None:
    kinds = [case.expect for case in CASES]
    assert kinds.count(NotSent) >= 8
    assert kinds.count(OutcomeUnknown) >= 15


# --- the provider's own acceptance, well and badly delivered ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an accepting answer (status line, body) arrives, and what may be believed of it."""

    name: str
    fate: Fate
    stage: Any  # (status, body) -> Stage
    roomy: Fate | None = None

    def __str__(self) -> str:
        return self.name

    def expected(self, speaker: Speaker) -> Fate:
        return self.roomy if self.roomy and speaker.roomy else self.fate


def _with(headers: str, body: Any = lambda plain: plain) -> Any:
    return lambda status, plain: replying(answer(body(plain), status, headers))


_JSON = "Content-Type: application/json"
_BOMB = gzip.compress(b" " * (40 * MEGABYTE), mtime=0)
DELIVERIES = (
    Delivery("plain", Fate.ACCEPTED, _with(_JSON)),
    Delivery("without a content type", Fate.ACCEPTED, _with("")),
    Delivery("as plain text", Fate.ACCEPTED, _with("Content-Type: text/plain")),
    Delivery("as HTML by name only", Fate.ACCEPTED, _with("Content-Type: text/html; charset=utf-8")),
    Delivery("compressed", Fate.ACCEPTED, _with(GZIP, gzip.compress)),
    Delivery("with a byte order mark", Fate.ACCEPTED, _with(_JSON, lambda plain: b"\xef\xbb\xbf" + plain)),
    Delivery(
        "in one chunk",
        Fate.ACCEPTED,
        lambda _, plain: says(CHUNKED + f"{len(plain):x}\r\n".encode() + plain + b"\r\n0\r\n\r\n"),
    ),
    Delivery("until the connection closes", Fate.ACCEPTED, lambda _, plain: says(UNTIL_CLOSE + plain)),
    Delivery(
        "before another answer",
        Fate.ACCEPTED,
        lambda status, plain: replying(answer(plain, status) + answer(b"", "500 Second")),
    ),
    Delivery("cut by the connection", Fate.UNKNOWN, lambda status, plain: says(answer(plain, status)[:-5])),
    Delivery("cut by a reset", Fate.UNKNOWN, lambda status, plain: says(answer(plain, status)[:-5], then="reset")),
    Delivery("cut by the server itself", Fate.UNKNOWN, _with(_JSON, lambda plain: plain[:-5])),
    Delivery("until an early close", Fate.UNKNOWN, lambda _, plain: says(UNTIL_CLOSE + plain[:-5])),
    Delivery("with a byte that is not UTF-8", Fate.UNKNOWN, _with(_JSON, lambda plain: plain[:-1] + b',"n":"\xff"}')),
    Delivery("with a key twice", Fate.UNKNOWN, _with(_JSON, lambda plain: plain[:-1] + b',"n":1,"n":2}')),
    Delivery("with a number out of range", Fate.UNKNOWN, _with(_JSON, lambda plain: plain[:-1] + b',"n":1e999}')),
    Delivery("inside a page", Fate.UNKNOWN, _with("Content-Type: text/html", lambda plain: b"<html>" + plain)),
    Delivery("twice", Fate.UNKNOWN, _with(_JSON, lambda plain: plain + plain)),
    Delivery("as the text of a text", Fate.UNKNOWN, _with(_JSON, lambda plain: orjson.dumps(plain.decode()))),
    Delivery(
        "behind 10 MB of blanks", Fate.UNKNOWN, _with(_JSON, lambda plain: b" " * 10 * MEGABYTE + plain), Fate.ACCEPTED
    ),
    Delivery("as a bomb", Fate.UNKNOWN, _with(GZIP, lambda plain: _BOMB)),
    Delivery("under an unknown compression", Fate.UNKNOWN, _with("Content-Encoding: br")),
    Delivery("under a server error", Fate.UNKNOWN, lambda _, plain: replying(answer(plain, "503 Busy"))),
    Delivery("under a redirect", Fate.UNKNOWN, lambda _, plain: replying(answer(plain, "302 Found"))),
)


@every
@pytest.mark.parametrize("delivery", DELIVERIES, ids=str)
async def test_an_acceptance_counts_only_when_it_arrives_whole(
    delivery: Delivery, speaker: Speaker, tmp_path: Path
) -> None:
    story, scene = await told(speaker, delivery.stage(speaker.status, speaker.body), tmp_path)
    assert story.fates == all_are(speaker, delivery.expected(speaker)), story
    assert scene.server is not None
    assert scene.server.seen.count(b"POST /sms") == 1


# --- error pages of whoever stands between ---------------------------------------------------------------------------

PAGE = b"<html><body><h1>Go away</h1></body></html>"
PAGES = [
    ("400 Bad Request", FailureClass.CONTENT, None),
    ("401 Unauthorized", FailureClass.ACCOUNT, Misconfigured),
    ("403 Forbidden", FailureClass.ACCOUNT, Misconfigured),
    ("404 Not Found", FailureClass.ACCOUNT, Misconfigured),
    ("405 Method Not Allowed", FailureClass.ACCOUNT, Misconfigured),
    ("413 Content Too Large", FailureClass.CONTENT, None),
    ("422 Unprocessable", FailureClass.CONTENT, None),
    ("429 Too Many Requests", FailureClass.THROTTLED, Throttle),
]


@every
@pytest.mark.parametrize(("status", "klass", "signal"), PAGES, ids=[page[0] for page in PAGES])
async def test_an_error_page_with_a_4xx_is_a_refusal_of_everybody(
    status: str, klass: FailureClass, signal: Any, speaker: Speaker, tmp_path: Path
) -> None:
    story, _ = await told(speaker, replying(answer(PAGE, status, "Content-Type: text/html")), tmp_path)
    assert story.fates == all_are(speaker, Fate.REFUSED)
    assert story.classes == {klass}
    assert (type(story.signal) if story.signal else None) is signal


@every
@pytest.mark.parametrize("status", ["408 Timeout", "500 Oops", "502 Bad Gateway", "503 Busy", "504 Timeout", "520 Odd"])
async def test_an_error_page_without_a_refusal_is_unknown(status: str, speaker: Speaker, tmp_path: Path) -> None:
    story, _ = await told(speaker, replying(answer(PAGE, status, "Content-Type: text/html")), tmp_path)
    assert story.fates == all_are(speaker, Fate.UNKNOWN)
