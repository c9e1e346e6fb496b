"""What the documents leave open is taken either way: addresses as they are printed, odd echoes, other forms of ids."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from models.states import MessageState
from providers.base import Accepted, Misconfigured, OpenWork, Page, Raw, Refused, Unclear
from providers.registry import Adapter, build
from tests.providers.qikli_support import NOW, ONE, TWO
from tests.providers.qikli_support import adapter as qikli
from tests.support.cases import answer, message, settings
from tests.support.qikberry import adapter as qikberry
from tests.support.qikberry import sent as qikberry_body

CREDENTIALS = {"username": "u", "password": "p", "api_key": "k", "access_token": "t"}
OPTIONS: dict[str, dict[str, object]] = {"qikberry": {"service": "T"}}


def at(provider: str, base_url: str, **options: object) -> Adapter:
    given = {**OPTIONS.get(provider, {}), **options}
    return build(provider, settings(base_url, credentials=CREDENTIALS, options=given))


ADDRESSES = [
    ("qikli", "http://api.sms.qikli.com/sms/2/text/advanced", "http://api.sms.qikli.com/sms/2/text/advanced"),
    ("qikli", "http://api.sms.qikli.com/sms/2/text/advanced/", "http://api.sms.qikli.com/sms/2/text/advanced"),
    ("qikli", "https://api.sms.qikli.com", "https://api.sms.qikli.com/sms/2/text/advanced"),
    ("qikli", "http://127.0.0.1:8/x/sms/1/reports", "http://127.0.0.1:8/x/sms/2/text/advanced"),
    ("quicksms", "https://api.quicksms.com", "https://api.quicksms.com/v1/messages"),
    ("quicksms", "https://api.quicksms.com/", "https://api.quicksms.com/v1/messages"),
    ("quicksms", "https://api.quicksms.com/v1", "https://api.quicksms.com/v1/messages"),
    ("quicksms", "https://api.quicksms.com/v1/messages", "https://api.quicksms.com/v1/messages"),
    ("cliqtel", "https://cliqtel.com/api/v1/sms", "https://cliqtel.com/api/v1/sms/messages"),
    ("cliqtel", "https://cliqtel.com/api/v1/sms/messages", "https://cliqtel.com/api/v1/sms/messages"),
    ("cliqtel", "https://cliqtel.com", "https://cliqtel.com/api/v1/sms/messages"),
    ("cliqtel", "http://127.0.0.1:8", "http://127.0.0.1:8/messages"),
    ("qikberry", "https://alerts.qikberry.com/api/v2/", "https://alerts.qikberry.com/api/v2/sms/send/json"),
    ("qikberry", "https://alerts.qikberry.com/api/v2/sms/send", "https://alerts.qikberry.com/api/v2/sms/send/json"),
    ("qikberry", "https://alerts.qikberry.com", "https://alerts.qikberry.com/api/v2/sms/send/json"),
    ("qikberry", "http://127.0.0.1:8/api/v2", "http://127.0.0.1:8/api/v2/sms/send/json"),
]


@pytest.mark.parametrize(("provider", "written", "asked"), ADDRESSES)
def test_a_base_url_may_be_written_as_the_documents_print_it(provider: str, written: str, asked: str) -> None:
    one = message(sender="+12025550123")
    assert at(provider, written).submit_request([one], "BULK-1").url == asked


def test_the_legacy_address_of_quicksms_is_known_as_a_base_url() -> None:
    account = at("quicksms", "https://api.quicksms.com/rcs/v2/api", api="v1")
    assert account.submit_request([message()], "B").url == "https://api.quicksms.com/rcs/v2/api"


# --- Qikli -----------------------------------------------------------------------------------------------------------

PENDING = {"groupId": 1, "id": 26, "name": "MESSAGE_ACCEPTED"}


@pytest.mark.parametrize(
    "entry",
    [
        {"to": "233205072987", "status": PENDING},
        {"to": "+233 20 507 2987", "status": PENDING},
        {"status": PENDING},
        {"messageId": "their-own-id", "status": PENDING},
        {"to": "233205072987", "messageId": "their-own-id", "status": PENDING},
        {"messageId": "ref-1", "status": {"groupId": "1", "id": "26"}},
        {"messageId": "ref-1", "status": {"groupName": "PENDING", "name": "MESSAGE_ACCEPTED"}},
        {"messageId": "ref-1", "status": {"groupName": "Accepted"}},
    ],
)
def test_qikli_may_echo_less_than_it_was_told(entry: dict[str, Any]) -> None:
    submission = qikli().read_submit([ONE], answer(200, {"messages": [entry]}))
    assert isinstance(submission.outcomes["1"], Accepted)


def test_a_bare_entry_is_nobody_s_among_several() -> None:
    submission = qikli().read_submit([ONE, TWO], answer(200, {"messages": [{"status": PENDING}, {"status": PENDING}]}))
    assert all(isinstance(outcome, Unclear) for outcome in submission.outcomes.values())


@pytest.mark.parametrize(("rows", "more"), [(500, True), (100, True), (50, True), (49, False), (0, False)])
def test_a_server_that_gives_less_than_asked_for_is_drained_all_the_same(rows: int, more: bool) -> None:
    page = qikli(poll_limit=500).following(Page(), answer(200, {"results": [{}] * rows}))
    assert (page is not None) is more


# --- Cliqtel ---------------------------------------------------------------------------------------------------------


def test_cliqtel_ids_may_be_texts() -> None:
    account, one = at("cliqtel", "http://127.0.0.1:8"), message(sender="+12025550123")
    reply = answer(201, {"data": {"id": "b34e35ad-fe34", "status": "queued"}})
    accepted = account.read_submit([one], reply).outcomes[one.id]
    assert isinstance(accepted, Accepted)
    assert accepted.provider_id == "b34e35ad-fe34"


def test_a_plus_in_a_query_is_never_read_as_a_blank() -> None:
    account = at("cliqtel", "http://127.0.0.1:8")
    (page,) = account.first_pages(OpenWork(NOW, (), NOW))
    url = account.page_request(page).url
    assert "%2B00%3A00" in url
    assert "+" not in url


# --- Qikberry --------------------------------------------------------------------------------------------------------


def test_a_missing_endpoint_of_qikberry_says_what_to_set() -> None:
    submission = qikberry().read_submit([ONE], answer(404, "<html>Not Found</html>"))
    assert isinstance(submission.outcomes["1"], Refused)
    assert isinstance(submission.signal, Misconfigured)
    assert "options.paths.json" in submission.signal.reason
    assert "options.mode" in submission.signal.reason


def test_the_connector_endpoints_of_qikberry_can_be_chosen() -> None:
    account = at("qikberry", "https://alerts.qikberry.com/api/v2/", paths={"json": "sms/clevertap/json"})
    assert account.submit_request([ONE], "B").url == "https://alerts.qikberry.com/api/v2/sms/clevertap/json"


def test_recipients_of_qikberry_go_as_a_list_or_as_a_text() -> None:
    assert qikberry_body(qikberry({"mode": "send"}), ONE)["to"] == ["233205072987"]
    assert qikberry_body(qikberry({"mode": "send", "to_as_text": True}), ONE)["to"] == "233205072987"


@pytest.mark.parametrize("status", [200, "200", "OK", "ok", 202])
@pytest.mark.parametrize("more", [{}, {"group_id": "g-1"}, {"group_id": None}])
@pytest.mark.parametrize(
    "row",
    [
        {"id": "a1", "mobile": "233205072987", "status": "AWAITING-DLR"},
        {"id": "a1", "to": "+233205072987", "status": "queued"},
        {"id": 7, "mobile": 233205072987, "status": "AWAITING_DLR", "customid": None},
        {"id": "a1", "custom": ONE.ref, "status": "SUBMITTED"},
    ],
)
def test_an_acceptance_of_qikberry_is_one_in_every_form(status: object, more: dict[str, Any], row: Any) -> None:
    reply = answer(200, {"status": status, "message": "1 numbers accepted for delivery.", "data": [row], **more})
    outcome = qikberry().read_submit([ONE], reply).outcomes["1"]
    assert isinstance(outcome, Accepted)
    assert outcome.state is MessageState.SUBMITTED


def test_a_flat_push_and_one_in_an_envelope_say_the_same() -> None:
    row = {"id": "g:1", "mobile": "233205072987", "status": "DELIVRD", "credits": "2.0000", "units": "2", "cid": "x"}
    forms: list[object] = [row, {"event": "sms:message:status", "payload": row}, [row]]
    found = [qikberry().parse_reports(Raw(orjson.dumps(form), "application/json", kind="push")) for form in forms]
    assert len({parsed.reports[0] for parsed in found}) == 1
