"""What became of a request, proved on the socket: every fault, on both event loops, through every carrier."""

import traceback
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from providers.http import Carrier, ConnectionSettings, HttpClient
from providers.wire import BadBody, OutcomeUnknown, Reply, Request, WireError
from tests.support.http_faults import CASES, Case, Scene
from tests.support.loops import on_both_loops

SECRET = {"Authorization": "App s3cret", "Content-Type": "application/json"}


@pytest.mark.parametrize("carrier", Carrier)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@on_both_loops
async def test_the_outcome_tells_whether_the_request_may_have_been_received(
    case: Case, carrier: Carrier, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(case.stage(tmp_path))
        settings = ConnectionSettings(connect_timeout=case.connect_timeout, ca_file=scene.ca_file)
        client = await stack.enter_async_context(HttpClient(settings, carrier))
        request = Request("POST", scene.url, SECRET, case.body, timeout=2 * case.patience)
        outcome = await fate(client, request)
        check_outcome(case, carrier, outcome)
        check_server(case, scene)


RECEIVED = dict.fromkeys(("cut body", "reset within the answer", "no last chunk"), b'{"ok":')
"""What has arrived of some answers when they break."""


async def fate(client: HttpClient, request: Request) -> Reply | WireError:
    try:
        return await client.send(request)
    except WireError as error:
        return error


def check_outcome(case: Case, carrier: Carrier, outcome: Reply | WireError) -> None:
    if isinstance(outcome, Reply):
        assert outcome.status == case.expect
        assert_json(outcome, case.bad_json)
        return
    assert type(outcome) is case.expect, outcome
    if carrier is not Carrier.NATIVE and case.reason is not None:  # httpx itself tells fewer things apart
        assert outcome.reason == case.reason, outcome
    if isinstance(outcome, OutcomeUnknown):
        assert case.partial in (..., outcome.partial)
        assert outcome.received.startswith(RECEIVED.get(case.name, b"") if carrier is not Carrier.NATIVE else b"")
        assert not outcome.received or repr(outcome.received) not in repr(outcome)
    text = "".join(traceback.format_exception(outcome)) + repr(outcome)
    assert "s3cret" not in text
    assert outcome.__cause__ is None
    assert outcome.__context__ is None


def assert_json(reply: Reply, refused: str | None) -> None:
    if refused is None:
        assert reply.json() is not None
        return
    with pytest.raises(BadBody, match=refused):
        reply.json()


def check_server(case: Case, scene: Scene) -> None:
    if scene.server is None:
        return
    assert (b"POST /sms" in scene.server.seen) is case.seen
    assert scene.server.seen.count(b"POST /sms") <= 1
    assert scene.server.connections <= 1
