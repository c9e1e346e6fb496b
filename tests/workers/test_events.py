"""Outgoing events against a real HTTP server: what arrives, how it is proved, and where nothing ever goes."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import func, select, update

from config.events import endpoint_secret
from models.queries import note_event
from models.states import MessageState
from models.tables import EventEndpoint, OutboxEvent
from models.web_address import may_connect, networks, url_fault
from producer.webhooks_out import EndpointError, add_endpoint, list_endpoints, remove_endpoint, replay
from providers.base import Report
from tests.support.world import World
from workers import events
from workers.events import backoff, deliver_events, forget_old

S = MessageState


@dataclass
class Listener:
    """Answers with `status` and remembers what it was sent."""

    url: str = ""
    status: int = 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        return [event for _, body in self.got for event in orjson.loads(body)["events"]]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events()]


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(heard.status)
            self.send_header("Location", heard.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield heard
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(world: World, tmp_path: Any) -> World:
    """A world whose events may go to this machine."""
    world.settings.state_dir = tmp_path
    world.settings.events_allowed_networks = "127.0.0.0/8"
    return world


def listen(world: World, campaign: UUID, url: str) -> UUID:
    with world.database.write() as session:
        return add_endpoint(session, world.settings, url, world.clock(), campaign_id=campaign).id


def deliver(world: World) -> int:
    return world.run(deliver_events(world.runtime))


def delivered(world: World, message: UUID, price: str | None = None) -> None:
    world.report(Report(dedupe=f"{message}", state=S.DELIVERED, ref=str(message), raw_status="ok"))


def waiting(world: World) -> int:
    open_ones = select(func.count()).where(OutboxEvent.delivered_at.is_(None), OutboxEvent.dead_at.is_(None))
    with world.database.read() as session:
        return session.execute(open_ones).scalar_one()


def test_a_campaign_with_an_endpoint_tells_signed_what_happened_once(home: World, listener: Listener) -> None:
    sent = home.campaign(3)
    endpoint = listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    for message in sent.messages:
        delivered(home, message)
        delivered(home, message)  # a repeat is no event
    home.sweep()

    assert deliver(home) == 7
    assert deliver(home) == 0
    assert sorted(listener.kinds()) == ["campaign.completed"] + ["message.delivered"] * 3 + ["message.submitted"] * 3
    headers, body = listener.got[0]
    signed = headers["drumline-timestamp"].encode() + b"." + body
    proof = hmac.new(endpoint_secret(home.settings, endpoint).encode(), signed, hashlib.sha256).hexdigest()
    assert headers["drumline-signature"] == f"v1={proof}"
    assert {event["message"]["id"] for event in listener.events() if "message" in event} == {
        str(message) for message in sent.messages
    }
    assert len({event["id"] for event in listener.events()}) == 7


def test_a_campaign_without_an_endpoint_makes_no_rows(home: World, listener: Listener) -> None:
    told, quiet = home.campaign(1), home.campaign(1)
    listen(home, told.id, listener.url)
    home.submit(quiet.batch)
    delivered(home, quiet.message)
    assert waiting(home) == 0


def test_a_rolled_back_change_tells_nobody(home: World, listener: Listener) -> None:
    sent = home.campaign(1)
    listen(home, sent.id, listener.url)

    def undone() -> None:
        with home.database.write() as session:
            note_event(session, sent.id, "paused", "", home.clock())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        undone()
    assert waiting(home) == 0


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 429, 500, 503])
def test_whatever_is_not_received_is_sent_again_with_the_same_ids(home: World, listener: Listener, status: int) -> None:
    sent = home.campaign(1)
    listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    listener.status = status
    assert deliver(home) == 0
    assert len(listener.got) == 1  # a redirect is not followed
    assert deliver(home) == 0  # not before the wait is over
    assert len(listener.got) == 1
    home.clock.advance(15)
    listener.status = 200
    assert deliver(home) == 1
    first, second = listener.events()
    assert first["id"] == second["id"]


def test_an_event_is_dead_after_its_last_try_and_a_replay_brings_it_back(home: World, listener: Listener) -> None:
    sent = home.campaign(1)
    endpoint = listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    listener.status = 500
    for _ in range(events.MOST_TRIES + 3):
        deliver(home)
        home.clock.advance(2 * events.LONGEST_WAIT)
    assert len(listener.got) == events.MOST_TRIES
    with home.database.write() as session:
        (line,) = list_endpoints(session)
        assert (line["dead"], line["waiting"], line["last_error"]) == (1, 0, "HTTP 500")
        assert replay(session, endpoint_id=endpoint) == 1
    listener.status = 200
    assert deliver(home) == 1
    assert len({event["id"] for event in listener.events()}) == 1
    with home.database.write() as session:
        assert replay(session) == 0
        assert replay(session, everything=True) == 1


def test_a_removed_endpoint_hears_nothing_more(home: World, listener: Listener) -> None:
    sent = home.campaign(1)
    endpoint = listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    with home.database.write() as session:
        remove_endpoint(session, endpoint, home.clock())
    delivered(home, sent.message)
    assert (deliver(home), listener.got) == (0, [])


def test_many_events_go_in_batches_in_the_order_they_came(
    home: World, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH", 4)
    sent = home.campaign(1)
    listen(home, sent.id, listener.url)
    with home.database.write() as session:
        for number in range(10):
            note_event(session, sent.id, f"step-{number}", "", home.clock())
    assert deliver(home) == 10
    assert listener.kinds() == [f"campaign.step-{number}" for number in range(10)]
    assert [len(orjson.loads(body)["events"]) for _, body in listener.got] == [4, 4, 2]


def test_an_endpoint_somebody_serves_is_left_alone_until_the_claim_ends(home: World, listener: Listener) -> None:
    sent = home.campaign(1)
    listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    with home.database.write() as session:
        assert len(events.claim(session, home.clock(), 10)) == 1
    assert deliver(home) == 0
    home.clock.advance(events.CLAIM_SECONDS + 1)
    assert deliver(home) == 1


def test_an_endpoint_of_a_key_hears_of_every_campaign_the_key_made(home: World, listener: Listener) -> None:
    from producer.keys import create_key

    with home.database.write() as session:
        _, key = create_key(session, "client", "submit", home.clock())
        add_endpoint(session, home.settings, listener.url, home.clock(), api_key_id=key.id)
    mine, other = home.campaign(1, api_key_id=key.id), home.campaign(1)
    for sent in (mine, other):
        home.submit(sent.batch)
    assert deliver(home) == 1
    assert listener.events()[0]["campaign_id"] == str(mine.id)


def test_a_name_that_leads_to_a_private_address_is_never_connected_to(home: World, listener: Listener) -> None:
    sent = home.campaign(1)
    url = listener.url.replace("http://127.0.0.1", "https://localhost")
    home.settings.events_allowed_networks = ""
    listen(home, sent.id, url)
    home.submit(sent.batch)
    assert deliver(home) == 0
    assert listener.got == []
    with home.database.read() as session:
        (line,) = list_endpoints(session)
    assert line["last_error"] == "the address is private"


def test_an_endpoint_that_was_allowed_once_is_checked_again_each_time(home: World, listener: Listener) -> None:
    sent = home.campaign(1)
    listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    home.settings.events_allowed_networks = ""
    assert deliver(home) == 0
    assert listener.got == []


def test_old_delivered_events_are_forgotten_waiting_ones_never(home: World, listener: Listener) -> None:
    sent = home.campaign(2)
    listen(home, sent.id, listener.url)
    home.submit(sent.batch)
    with home.database.write() as session:
        one = session.execute(select(OutboxEvent.id).limit(1)).scalar_one()
        session.execute(update(OutboxEvent).where(OutboxEvent.id == one).values(delivered_at=home.clock()))
    home.clock.advance(8 * 86400)
    with home.database.write() as session:
        assert forget_old(session, home.clock()) == 1
    assert waiting(home) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.2.1", "198.18.0.1", "240.0.0.1", "::1", "::",
        "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_however_they_are_written(address: str) -> None:
    assert not may_connect(ip_address(address), ())


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert may_connect(ip_address(address), ())


def test_an_allowed_network_opens_itself_and_nothing_else() -> None:
    allowed = networks("10.1.0.0/16, fd00::/64")
    assert may_connect(ip_address("10.1.2.3"), allowed)
    assert may_connect(ip_address("fd00::7"), allowed)
    assert not may_connect(ip_address("10.2.0.1"), allowed)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///x", "example.com",
        "https://user:pass@example.com/", "https://example.com/#x", "https://127.0.0.1/", "https://[::1]/",
        "https://169.254.169.254/latest/meta-data", "https://[::ffff:10.0.0.1]/", "https://exa mple.com/",
        "https://example.com:99999/", "https://example.com/\r\nX: y", "https://" + "a" * 2000,
    ],
)  # fmt: skip
def test_what_cannot_be_an_endpoint_is_refused_when_it_is_named(url: str) -> None:
    assert url_fault(url, ()) is not None


def test_https_to_the_world_is_fine() -> None:
    assert url_fault("https://example.com:8443/events?of=us", ()) is None
    assert url_fault("http://10.1.0.7/events", (ip_network("10.1.0.0/16"),)) is None


def test_an_endpoint_needs_exactly_one_owner_that_exists(home: World) -> None:
    sent = home.campaign(1)
    with home.database.write() as session:
        for owner in ({}, {"campaign_id": sent.id, "api_key_id": sent.id}, {"api_key_id": sent.id}):
            with pytest.raises(EndpointError):
                add_endpoint(session, home.settings, "https://example.com/", home.clock(), **owner)
        assert session.execute(select(func.count()).select_from(EventEndpoint)).scalar_one() == 0


def test_the_wait_doubles_to_its_longest() -> None:
    assert [backoff(n, 0.0) for n in (1, 2, 3, 4)] == [10.0, 20.0, 40.0, 80.0]
    assert backoff(99, 1.0) == events.LONGEST_WAIT * 1.25
