"""Qikberry: bulk SMS over its REST API, with reports pulled by group and pushed by webhook.

Facts: Qikberry developer documentation and its limits page, and the public documentation of the platform it runs on
(paths, rows). The parts: `qikberry_options` (settings), `qikberry_checks` (before the wire), `qikberry_requests`,
`qikberry_submit` (answers), `qikberry_reports` and `qikberry_bodies` (pull and push), `qikberry_webhooks` (who may
push), `qikberry_lookup` (unknown outcomes), `qikberry_codes` and `qikberry_senders` (tables).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from providers import qikberry_checks, qikberry_lookup, qikberry_reports, qikberry_requests, qikberry_submit
from providers.base import (
    AccountSettings,
    Allowance,
    Failure,
    LookUpPolicy,
    OpenWork,
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
from providers.extras import Question
from providers.qikberry_answers import allowance_of, read_envelope, signal_of
from providers.qikberry_options import read_account
from providers.qikberry_webhooks import verify
from providers.shared import json_or_none, mapping, money, rows, showable, text
from providers.wire import BadBody, Reply, Request, Send

_NO_REPORTS = "India gives no delivery reports for promotional traffic: its messages end as expired without one"


class Qikberry:
    """One account at Qikberry. Raises ValueError naming a missing credential or a wrong option."""

    name: ClassVar[str] = "qikberry"
    credential_names: ClassVar[Sequence[str]] = ("access_token",)
    pulls = True
    report_deadline = 72 * 3600.0
    shares_poll_budget = False  # only GET requests are limited, and submits are POST
    read_limits: Sequence[ReadLimit] = (ReadLimit(1000, 60.0),)  # "All GET requests", all paths together

    max_recipients: int
    pushes: bool
    no_report_note: str | None
    look_up_policy: LookUpPolicy

    def __init__(self, settings: AccountSettings) -> None:
        self._account = read_account(settings)
        self._secret = settings.webhook_secret
        self._path_token = settings.webhook_token
        self.max_recipients = self._account.cap
        self.pushes = bool(self._secret or self._path_token or self._account.verify_signature)
        self.no_report_note = _NO_REPORTS if self._account.promotional else None
        self.look_up_policy = qikberry_lookup.policy(self._account)

    # --- submit ---

    def check(self, message: Outgoing) -> Failure | None:
        return qikberry_checks.check(self._account, message)

    def warnings(self, message: Outgoing) -> Sequence[str]:
        return list(qikberry_checks.warnings(self._account, message))

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        return qikberry_requests.submit(self._account, chunk, bulk_ref)

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        return qikberry_submit.read_submit(self._account, chunk, reply)

    # --- reports ---

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        return qikberry_reports.first_pages(self._account, work)

    def page_request(self, page: Page) -> Request:
        return qikberry_requests.get(self._account, "status", qikberry_reports.page_query(page))

    def following(self, page: Page, reply: Reply) -> Page | None:
        return qikberry_reports.following(page, reply)

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        return signal_of(reply, (self._account.token,)), allowance_of(reply)

    def parse_reports(self, raw: Raw) -> Parsed:
        return qikberry_reports.parse_reports(self._account, raw)

    def verify(self, push: Push, now: datetime) -> Verdict:
        return verify(self._account, self._secret, self._path_token, push)

    # --- unknown outcomes ---

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        return await qikberry_lookup.look_up(self._account, sought, send)

    # --- the account ---

    def probe_request(self) -> Request | None:
        """`finance/balance`, or `auth/me` with option probe = "me"."""
        return qikberry_requests.get(self._account, self._account.probe)

    def read_probe(self, reply: Reply) -> str:
        """ "ok, balance T 109 credits, P 69 credits". Raises BadBody with what is wrong."""
        envelope = read_envelope(json_or_none(reply), (self._account.token,))
        if not 200 <= reply.status < 300 or (envelope is not None and envelope.ok is False):
            said = envelope.message if envelope else ""
            raise BadBody(f"HTTP {reply.status}{f': {said}' if said else ''}")
        if envelope is None:
            raise BadBody("the answer is not a JSON object")
        balances = [line for line in map(_balance, _services(envelope.data)) if line]
        return f"ok, balance {', '.join(balances)}" if balances else "ok"

    def questions(self) -> Sequence[Question]:
        """Whether there is anything at the send endpoint, whose path the document does not print: asked by GET, which
        sends nothing. A place that only takes POST says 405, no such place says 404."""
        account = self._account
        path = account.paths[account.mode]
        return (Question(f"path {path}", qikberry_requests.get(account, account.mode), self._read_path, doubt=True),)

    def _read_path(self, reply: Reply) -> str:
        path, mode = self._account.paths[self._account.mode], self._account.mode
        if reply.status == 404:
            raise BadBody(f"HTTP 404: perhaps nothing takes {path} there; see options.paths.{mode} and options.mode")
        return f"something answers at {path} (HTTP {reply.status})"

    # --- the provider's own suppressions ---

    def opt_out_pages(self) -> Sequence[Page]:
        """Where the list of unsubscribers begins; `following` leads on through it."""
        return [Page()]

    def opt_out_request(self, page: Page) -> Request:
        return qikberry_requests.get(self._account, "unsubscribers", qikberry_reports.page_query(page))

    def parse_opt_outs(self, raw: Raw) -> Parsed:
        """The opt-outs of one page, to be imported into our suppressions. Raises BadBody for no rows at all."""
        return qikberry_reports.parse_opt_outs(self._account, raw)


def _services(data: object) -> Sequence[object]:
    """A list of services (public documentation), or one object (the provider's own document only shows that)."""
    if isinstance(data, dict):
        return rows(data, "data") or [data]
    return rows(data)


def _balance(row: object) -> str | None:
    credit = money(mapping(row).get("credits", mapping(row).get("balance")))
    if credit is None:
        return None
    service = showable(text(row, "service") or "", limit=20)
    postpaid = ", postpaid" if text(row, "postpaid") == "1" else ""
    return f"{f'{service} ' if service else ''}{credit} credits{postpaid}"
