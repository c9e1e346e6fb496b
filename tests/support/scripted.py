"""A provider that does what a test says, and a line to it that shows when something is really sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

import orjson

from providers.base import (
    Accepted,
    Allowance,
    Failure,
    Forged,
    LookUpBy,
    LookUpPolicy,
    NoAnswer,
    OpenWork,
    Outcome,
    Outgoing,
    Page,
    Parsed,
    Push,
    Raw,
    ReadLimit,
    Sighting,
    Signal,
    Sought,
    Submission,
    Verdict,
)
from providers.wire import BadBody, Reply, Request, Send

OK = Reply(200, {}, b"{}")
QUERY = LookUpPolicy(LookUpBy.QUERY, (5.0, 30.0), True, 3600.0)


def accept(message: Outgoing) -> Outcome:
    return Accepted(f"p-{message.ref}")


class Scripted:
    """Every attribute may be replaced by a test. `outcome` says what each message of an answered request became."""

    name: ClassVar[str] = "scripted"
    credential_names: ClassVar[Sequence[str]] = ()
    no_report_note: str | None = None
    report_deadline = 7200.0
    shares_poll_budget = False
    read_limits: Sequence[ReadLimit] = ()

    def __init__(self, *, max_recipients: int = 1, policy: LookUpPolicy = QUERY, pulls: bool = True) -> None:
        self.max_recipients = max_recipients
        self.look_up_policy = policy
        self.pulls = pulls
        self.pushes = True
        self.outcome: Callable[[Outgoing], Outcome] = accept
        self.signal: Signal | None = None
        self.sightings: Callable[[Sought], Sighting] = lambda sought: NoAnswer("nothing scripted")
        self.looked_for: list[Sought] = []
        self.parsed: dict[bytes, Parsed | Exception] = {}
        self.pages: list[Page] = [Page()]
        self.last_page = 1
        self.flavour = "plain"  # an account option that goes into every request

    def check(self, message: Outgoing) -> Failure | None:
        return None

    def warnings(self, message: Outgoing) -> Sequence[str]:
        return ()

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        body = {
            "flavour": self.flavour,
            "messages": [{"id": m.id, "ref": m.ref, "to": m.msisdn, "text": m.text} for m in chunk],
        }
        return Request("POST", "http://127.0.0.1:1/send", {"Idempotency-Key": chunk[0].ref}, orjson.dumps(body))

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        return Submission({message.id: self.outcome(message) for message in chunk}, self.signal)

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        return self.pages

    def page_request(self, page: Page) -> Request:
        return Request("GET", f"http://127.0.0.1:1/reports?page={page.number}", {})

    def following(self, page: Page, reply: Reply) -> Page | None:
        return Page(number=page.number + 1) if page.number < self.last_page else None

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        return self.signal, None

    def parse_reports(self, raw: Raw) -> Parsed:
        found = self.parsed.get(raw.body, BadBody("nobody wrote this page"))
        if isinstance(found, Exception):
            raise found
        return found

    def verify(self, push: Push, now: datetime) -> Verdict:
        return Forged("nothing is pushed")

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        self.looked_for += sought
        return {one.message.id: self.sightings(one) for one in sought}

    def probe_request(self) -> Request | None:
        return None

    def read_probe(self, reply: Reply) -> str:
        return "ok"


class Line:
    """Stands for the HTTP client. `answer` is called with every request when it would leave: it may look around in
    the database, raise NotSent or OutcomeUnknown, or wait."""

    def __init__(self) -> None:
        self.sent: list[Request] = []
        self.answer: Callable[[Request], Reply | Awaitable[Reply]] = lambda request: OK
        self.most_at_once = self._at_once = 0

    async def send(self, request: Request) -> Reply:
        self.sent.append(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
            found = self.answer(request)
            return found if isinstance(found, Reply) else await found
        finally:
            self._at_once -= 1

    async def prepare(self, url: str, until: float) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """Nothing is open."""

    def ids(self) -> list[str]:
        """The messages that were sent, in order, as often as they were sent."""
        return [m["id"] for request in self.sent if request.body for m in orjson.loads(request.body)["messages"]]
