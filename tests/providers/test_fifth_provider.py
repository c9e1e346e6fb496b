"""A provider more is one source file and one test file: shown with one that no other file of ours has heard of.

Its source stands here as a text and is put beside the others; nothing is registered anywhere. Then it is held to the
contract that all providers keep, opened from the accounts file, and sent through the real HTTP client.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import providers
from config.accounts import load_accounts
from providers import registry
from providers.accounts import open_provider
from providers.http import HttpClient
from providers.registry import PROVIDERS
from tests.providers import test_contract as contract
from tests.support.cases import message
from tests.support.fates import Fate, story_of
from tests.support.raw_server import RawServer, answer, replies

SOURCE = '''
"""Acme: one message a request, told by form, answered in JSON. Source: Acme API, "Sending"."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlencode

from models.states import MessageState
from providers.base import (
    Accepted, AccountSettings, Allowance, Failure, FailureClass, Forged, Genuine, LookUpBy, LookUpPolicy, NoAnswer,
    OpenWork, Outcome, Outgoing, OutOfCredit, Page, Parsed, Push, Raw, Refused, Report, ServerTrouble, Sighting, Signal,
    Sought, Submission, Unclear, Verdict,
)
from providers.bodies import parse_json
from providers.shared import (
    Options, bare_refusal, bearer, credential, dig, join_url, json_or_none, rows, same_secret, showable, tell_once,
    text, timestamp,
)
from providers.wire import BadBody, Reply, Request, Send

F, S = FailureClass, MessageState

# Acme API, "Errors"
ERRORS = {"bad_number": F.RECIPIENT, "bad_sender": F.SENDER, "no_credit": F.ACCOUNT}

# Acme API, "Statuses"
STATES = {"queued": S.SUBMITTED, "sent": S.SENT, "ok": S.DELIVERED, "failed": S.UNDELIVERED}


class Acme:
    name: ClassVar[str] = "acme"
    credential_names: ClassVar[Sequence[str]] = ("token",)
    max_recipients = 1
    pulls = True
    pushes = True
    no_report_note: str | None = None
    report_deadline = 86_400.0
    shares_poll_budget = False
    look_up_policy = LookUpPolicy(LookUpBy.NONE, (), proves_absence=False, give_up_after=86_400.0)

    def __init__(self, settings: AccountSettings) -> None:
        options = Options(settings.options)
        options.done()
        self._token, self._settings = credential(settings, "token"), settings

    def check(self, message: Outgoing) -> Failure | None:
        return None if len(message.text) <= 1000 else Failure("too_long", F.CONTENT, "more than 1000 characters")

    def warnings(self, message: Outgoing) -> Sequence[str]:
        return ()

    def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Request:
        headers = {"Authorization": bearer(self._token), "Accept": "application/json"}
        url = join_url(self._settings.base_url, path)
        if body is None:
            return Request(method, url, headers, timeout=self._settings.timeout)
        form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
        return Request(method, url, form, urlencode(body).encode(), self._settings.timeout)

    def submit_request(self, chunk: Sequence[Outgoing], bulk_ref: str) -> Request:
        (message,) = chunk
        fields = {"to": message.msisdn, "from": message.sender, "text": message.text, "ref": message.ref}
        return self._ask("POST", "/send", fields)

    def read_submit(self, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
        outcome, signal = self._judge(reply)
        return Submission({message.id: outcome for message in chunk}, signal)

    def _judge(self, reply: Reply) -> tuple[Outcome, Signal | None]:
        body = json_or_none(reply)
        given, code = text(body, "id"), text(body, "error")
        if 200 <= reply.status < 300:
            return (Accepted(given) if given else Unclear("no id")), None
        if reply.status >= 500:
            return Unclear(f"http_{reply.status}"), ServerTrouble(reply.status, "server error")
        if not 400 <= reply.status < 500:
            return Unclear(f"http_{reply.status}"), None
        if code not in ERRORS:
            return bare_refusal(reply)
        signal = OutOfCredit(code, "no credit") if code == "no_credit" else None
        return Refused(Failure(code, ERRORS[code], "refused")), signal

    def first_pages(self, work: OpenWork) -> Sequence[Page]:
        return (Page(),)

    def page_request(self, page: Page) -> Request:
        return self._ask("GET", "/reports")

    def following(self, page: Page, reply: Reply) -> Page | None:
        return None

    def read_signal(self, reply: Reply) -> tuple[Signal | None, Allowance | None]:
        return None if reply.status < 400 else self._judge(reply)[1], None

    def parse_reports(self, raw: Raw) -> Parsed:
        found = [(at, self._report(row)) for at, row in enumerate(rows(parse_json(raw.body), "reports"))]
        return Parsed(
            [one for _, one in found if one is not None], bad=[(str(at), "no id") for at, one in found if one is None]
        )

    def _report(self, row: object) -> Report | None:
        given, status = text(row, "id"), text(row, "status") or ""
        if given is None:
            return None
        state = STATES.get(status)
        if state is None:
            tell_once("acme", "status", status)
        failure = Failure("failed", F.UNSPECIFIED, "no reason given") if state is S.UNDELIVERED else None
        return Report(f"{given}|{status}"[:200], state, given, raw_status=showable(status), failure=failure,
                      at=timestamp(dig(row, "at")))

    def verify(self, push: Push, now: datetime) -> Verdict:
        secret = self._settings.webhook_secret
        if not secret:
            return Forged("no secret is set up")
        ours = hmac.new(secret.encode(), push.body, "sha256").hexdigest()
        return Genuine() if same_secret(push.headers.get("x-acme-signature"), ours) else Forged("wrong signature")

    async def look_up(self, sought: Sequence[Sought], send: Send) -> Mapping[str, Sighting]:
        return {one.message.id: NoAnswer("Acme cannot be asked") for one in sought}

    def probe_request(self) -> Request | None:
        return self._ask("GET", "/me")

    def read_probe(self, reply: Reply) -> str:
        if reply.status != 200:
            raise BadBody(f"HTTP {reply.status}")
        return "ok"
'''

ACCOUNT = """
[accounts.mine]
provider = "acme"
base_url = "{base_url}"
credentials = {{ token = "ACME_TOKEN" }}
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The file is put beside the other adapters, and that is all."""
    (tmp_path / "acme.py").write_text(SOURCE, "utf-8")
    monkeypatch.setattr(providers, "__path__", [*providers.__path__, str(tmp_path)])
    _forget()
    yield "acme"
    sys.modules.pop("providers.acme", None)
    vars(providers).pop("acme", None)
    _forget()


def _forget() -> None:
    registry._module_names.cache_clear()
    registry._adapter_in.cache_clear()


def promises() -> dict[str, Any]:
    """Every promise of the contract that asks for nothing but a provider's name."""
    return {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and list(inspect.signature(test).parameters) == ["name"]
    }


def test_it_is_found_without_being_listed_and_keeps_the_contract(acme: str) -> None:
    assert acme in PROVIDERS
    plain = {name: test for name, test in promises().items() if not inspect.iscoroutinefunction(test)}
    assert len(plain) >= 12
    for test in plain.values():
        test(acme)


async def test_its_look_ups_keep_the_contract_as_well(acme: str) -> None:
    asked = [test for test in promises().values() if inspect.iscoroutinefunction(test)]
    assert asked
    for test in asked:
        await test(acme)


async def test_an_account_of_it_sends_through_the_same_client(acme: str, tmp_path: Path) -> None:
    accepted, busy = answer(b'{"id": "a-1"}'), answer(b"<html>", "503 Busy")
    async with RawServer(replies(accepted, busy)) as server, HttpClient() as client:
        (tmp_path / "accounts.toml").write_text(ACCOUNT.format(base_url=f"http://127.0.0.1:{server.port}"))
        (account,) = load_accounts(tmp_path / "accounts.toml", {"ACME_TOKEN": "s3cr3t"}).values()
        adapter = open_provider(account)
        stories = [await story_of(client, adapter, [message()]) for _ in range(2)]
        assert [story.fates for story in stories] == [(Fate.ACCEPTED,), (Fate.UNKNOWN,)]
        assert server.requests[0].startswith(b"POST /send ")
