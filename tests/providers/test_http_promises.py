"""What the HTTP client promises over several requests: nothing twice, nothing mixed up, nothing leaked."""

import asyncio
import base64
import time
from contextlib import suppress
from pathlib import Path

import aiohttp.connector
import pytest

from providers.connection import ConnectionSettings
from providers.faults import Fault, Reason
from providers.http import Carrier, HttpClient
from providers.mark import Mark, watched
from providers.wire import NotSent, OutcomeUnknown, Reply, Request, Send, public_url
from tests.support.http_requests import CARRIERS, OURS, arrival, request_to, silent
from tests.support.loops import on_both_loops
from tests.support.raw_server import Peer, RawServer, answer, certificates, replies, until_end

METHODS = pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE"])


async def answers_once_then_drops(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(answer())
    await peer.read_request()


@OURS
@METHODS
@on_both_loops
async def test_a_request_on_a_dropped_kept_alive_connection_is_never_repeated(method: str, carrier: Carrier) -> None:
    """A report page that is given out once would be lost by a second GET, a message doubled by a second POST."""
    async with RawServer(answers_once_then_drops) as server, HttpClient(carrier=carrier) as client:
        await client.send(request_to(server, method))
        with pytest.raises(OutcomeUnknown):
            await client.send(request_to(server, method))
        assert len(server.requests) == 2
        assert server.connections == 1


@CARRIERS
@METHODS
@on_both_loops
async def test_a_connection_that_ended_while_idle_costs_nothing(method: str, carrier: Carrier) -> None:
    """The server's goodbye lies unread in the kernel, our loop has not run since: a fresh connection is taken."""
    kept: list[Peer] = []

    async def answers_once(peer: Peer) -> None:
        kept.append(peer)
        await peer.read_request()
        await peer.send(answer())
        await asyncio.Event().wait()

    async with RawServer(answers_once) as server, HttpClient(carrier=carrier) as client:
        await client.send(request_to(server, method))
        kept[0].close()
        reply = await client.send(request_to(server, method))
        assert reply.status == 200
        assert len(server.requests) == server.connections == 2


@CARRIERS
@on_both_loops
async def test_an_answer_nobody_asked_for_is_never_taken_for_the_next_ones(carrier: Carrier) -> None:
    """Some servers say 408 on an idle connection before they close it."""
    idle, said = asyncio.Event(), asyncio.Event()

    async def speaks_when_idle(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer())
        await idle.wait()
        await peer.send(answer(status="408 Request Timeout"))
        said.set()
        await until_end(peer)

    async with RawServer(speaks_when_idle, replies(answer())) as server, HttpClient(carrier=carrier) as client:
        await client.send(request_to(server))
        idle.set()
        await said.wait()
        reply = await client.send(request_to(server))
        assert reply.status == 200
        assert server.connections == 2


@CARRIERS
@on_both_loops
async def test_the_second_of_two_answers_is_never_taken_for_the_next_ones(carrier: Carrier) -> None:
    doubled = replies(answer() + answer(status="500 Second"))
    async with RawServer(doubled, replies(answer())) as server, HttpClient(carrier=carrier) as client:
        statuses = [(await client.send(request_to(server))).status for _ in range(2)]
        assert statuses == [200, 200]
        assert server.connections == 2


@CARRIERS
@on_both_loops
async def test_a_greeting_before_the_request_is_never_its_answer_unless_the_request_was_written(
    carrier: Carrier,
) -> None:
    async def greets(peer: Peer) -> None:
        await peer.send(answer(status="503 Busy"))
        await until_end(peer)

    async with RawServer(greets) as server, HttpClient(carrier=carrier) as client:
        with suppress(NotSent), watched() as watch:
            await client.send(request_to(server))
        assert (b"POST" in server.seen) <= (watch.written == 1)


@OURS
@on_both_loops
async def test_a_connection_is_not_used_beyond_its_keepalive(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(aiohttp.connector, "monotonic", lambda: now)
    settings = ConnectionSettings(keepalive=4.0)
    async with RawServer(replies(answer(), answer())) as server, HttpClient(settings, carrier) as client:
        await client.send(request_to(server))
        await client.send(request_to(server))
        assert server.connections == 1
        now += 4.1
        await client.send(request_to(server))
        assert server.connections == 2


@CARRIERS
@on_both_loops
async def test_an_unread_oversized_answer_does_not_stay_on_the_connection(carrier: Carrier) -> None:
    async with (
        RawServer(replies(answer(bytes(300_000))), replies(answer())) as server,
        HttpClient(carrier=carrier) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            await client.send(request_to(server, max_body=1000))
        assert (await client.send(request_to(server))).status == 200


@CARRIERS
@on_both_loops
async def test_the_bytes_on_the_wire_are_the_adapters(carrier: Carrier) -> None:
    body = '{"text": "ça va? ✓"}'.encode()
    async with RawServer(replies(answer())) as server, HttpClient(carrier=carrier) as client:
        url = server.url.replace("/sms?", "/a%20b/%C3%A9?to=%2B12025550123&a+b&")
        await client.send(Request("POST", url, {"X-Key": "k"}, body))
        head, sent = server.requests[0].split(b"\r\n\r\n")
        assert sent == body
        assert head.startswith(b"POST /a%20b/%C3%A9?to=%2B12025550123&a+b&access_token=s3cret HTTP/1.1\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert lines[b"x-key"] == b"k"
        assert lines[b"accept-encoding"] == b"identity"
        assert lines[b"user-agent"].startswith(b"drumline")
        assert b"content-type" not in lines
        assert b"cookie" not in lines


@CARRIERS
@on_both_loops
async def test_cookies_are_forgotten(carrier: Carrier) -> None:
    cookie = answer(headers="Set-Cookie: session=1; Path=/")
    async with RawServer(replies(cookie, answer())) as server, HttpClient(carrier=carrier) as client:
        for _ in range(2):
            await client.send(request_to(server))
        assert b"cookie" not in server.requests[1].lower()


@CARRIERS
@on_both_loops
async def test_proxies_of_the_environment_are_ignored(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with RawServer(replies(answer())) as server, HttpClient(carrier=carrier) as client:
        assert (await client.send(request_to(server))).status == 200


@CARRIERS
@on_both_loops
async def test_a_proxy_that_was_asked_for_is_used_with_its_password(carrier: Carrier) -> None:
    async with RawServer(replies(answer())) as proxy:
        settings = ConnectionSettings(proxy=f"http://user:pass@127.0.0.1:{proxy.port}")
        async with HttpClient(settings, carrier) as client:
            await client.send(Request("POST", "http://provider.example/sms", {}, b"{}"))
        assert proxy.requests[0].startswith(b"POST http://provider.example/sms HTTP/1.1")
        assert b"Basic " + base64.b64encode(b"user:pass") in proxy.requests[0]


@CARRIERS
@pytest.mark.parametrize("refusal", [answer(status="407 Proxy Authentication Required"), b""], ids=["407", "hang-up"])
@on_both_loops
async def test_a_tunnel_that_never_stood_is_known_not_sent(refusal: bytes, carrier: Carrier) -> None:
    async def refuses(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(refusal)

    async with RawServer(refuses) as proxy:
        settings = ConnectionSettings(proxy=f"http://user:s3cret@127.0.0.1:{proxy.port}")
        async with HttpClient(settings, carrier) as client:
            with pytest.raises(NotSent) as failed:
                await client.send(Request("POST", "https://provider.example/sms", {}, b"{}"))
        assert "s3cret" not in str(failed.value)
        assert b"POST" not in proxy.seen


INVALID = {
    "no scheme": Request("POST", "provider.example/sms", {}),
    "other scheme": Request("POST", "ftp://provider.example/sms", {}),
    "no host": Request("POST", "http:///sms", {}),
    "port out of range": Request("POST", "http://127.0.0.1:99999/sms", {}),
    "not encoded": Request("POST", "http://127.0.0.1/sms?text=a b", {}),
    "not ASCII": Request("POST", "http://127.0.0.1/sms?text=é", {}),
    "line break in the URL": Request("POST", "http://127.0.0.1/sms\r\nX: y", {}),
    "password in the URL": Request("POST", "http://user:s3cret@127.0.0.1/sms", {}),
    "own framing": Request("POST", "http://127.0.0.1/sms", {"content-length": "1"}, b"{}"),
    "line break in a header": Request("POST", "{server}", {"Authorization": "App s3cret\r\nX: y"}, b"{}"),
    "line break in a header, no body": Request("GET", "{server}", {"Authorization": "App s3cret\r\nX: y"}),
    "half a character in a header": Request("POST", "{server}", {"X": "\ud83d"}, b"{}"),
    "line break in the method": Request("GET /\r\n", "{server}", {}),
}


@CARRIERS
@pytest.mark.parametrize("request_", INVALID.values(), ids=INVALID)
@on_both_loops
async def test_a_request_that_cannot_be_written_is_known_not_sent(request_: Request, carrier: Carrier) -> None:
    async with RawServer(replies(answer())) as server, HttpClient(carrier=carrier) as client:
        url = request_.url.replace("{server}", server.url)
        with pytest.raises(NotSent) as failed:
            await client.send(Request(request_.method, url, request_.headers, request_.body))
        assert failed.value.reason == Reason.INVALID_REQUEST
        assert "s3cret" not in str(failed.value)
        assert server.seen == b""


@CARRIERS
@on_both_loops
async def test_a_closed_client_sends_nothing(carrier: Carrier) -> None:
    client = HttpClient(carrier=carrier)
    await client.close()
    with pytest.raises(NotSent, match="client_closed"):
        await client.send(Request("POST", "http://127.0.0.1:1/sms", {}))


@CARRIERS
@on_both_loops
async def test_closing_the_client_under_a_request_leaves_its_outcome_unknown(carrier: Carrier) -> None:
    async with RawServer(silent) as server, HttpClient(carrier=carrier) as client:
        task = asyncio.create_task(client.send(request_to(server, timeout=1.0)))
        await arrival(server)
        await client.close()
        with pytest.raises(OutcomeUnknown):
            await task


@OURS
@on_both_loops
async def test_kept_alive_tls_connections_are_used_again(carrier: Carrier, tmp_path: Path) -> None:
    """Session tickets that TLS 1.3 sends after the handshake must not look like an answer nobody asked for."""
    context, authority = certificates()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with (
        RawServer(replies(*[answer()] * 5), tls=context) as server,
        HttpClient(ConnectionSettings(ca_file=ca_file), carrier) as client,
    ):
        for _ in range(5):
            await client.send(request_to(server))
        assert server.connections == 1


@on_both_loops
async def test_header_names_have_no_case_and_elapsed_is_in_seconds() -> None:
    async with RawServer(replies(answer(headers="Retry-After: 7"))) as server, HttpClient() as client:
        send: Send = client.send
        started = time.perf_counter()
        reply = await send(request_to(server))
        assert reply.header("retry-after") == reply.header("RETRY-AFTER") == "7"
        assert reply.header("X-Missing") is None
        assert 0 < reply.elapsed <= time.perf_counter() - started


async def test_of_a_header_that_comes_twice_the_first_counts() -> None:
    twice = "Retry-After: 7\r\nretry-after: 9\r\nX-Name: caf\u00e9"
    async with RawServer(replies(answer(headers=twice))) as server, HttpClient() as client:
        send: Send = client.send
        reply = await send(request_to(server))
        assert reply.header("Retry-After") == "7"
        assert reply.header("X-Name") == "caf\u00e9"


def test_a_mark_allows_one_write_and_none_after_the_verdict() -> None:
    """The second belt: should the library ever repeat a request by itself, the mark refuses."""
    mark = Mark()
    mark.writing()
    with pytest.raises(Fault, match="second_write"):
        mark.writing()
    given_up = Mark(settled=True)
    with pytest.raises(Fault, match="stale_connection"):
        given_up.writing()


def test_no_secret_shows_in_what_is_printed() -> None:
    request = Request("POST", "https://u:p4ss@api.example:8443/sms?access_token=s3cret#x", {"Authorization": "s3cret"})
    assert repr(request) == "Request(POST https://api.example:8443/sms, 0 bytes)"
    assert "s3cret" not in repr(Reply(200, {"Set-Cookie": "s3cret"}, b"s3cret", 0.1))
    assert public_url("api.example?token=s3cret") == "api.example"
