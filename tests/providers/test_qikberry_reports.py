"""Qikberry: pulled pages and their paging, pushed reports in every form, opt-outs and inbound messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from models.states import MessageState as S
from providers.base import FailureClass, Inbound, OpenWork, OptOut, Page, Parsed, Raw, Report
from providers.qikberry import Qikberry
from providers.wire import BadBody, Reply
from tests.support.cases import answer
from tests.support.exchanges import load
from tests.support.qikberry import BASE, EXCHANGES, GROUP, NOW, ONE, REF, TWO, adapter, older_page, page, status_row

F = FailureClass


def parsed(body: object, **changes: Any) -> Parsed:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return adapter().parse_reports(Raw(raw, **{"content_type": "application/json", **changes}))


def only(body: object, **changes: Any) -> Report:
    found = parsed(body, **changes)
    assert found.bad == []
    (report,) = found.reports
    return report


# --- rows ------------------------------------------------------------------------------------------------------------


def test_a_pulled_row_gives_all_it_says() -> None:
    report = only(page(status_row(1, units="2", charges="2.5000", provider="Jio")))
    assert report == Report(
        dedupe=f"{GROUP}:1|DELIVRD",
        state=S.DELIVERED,
        provider_id=f"{GROUP}:1",
        ref=ONE.ref,
        msisdn="447700900001",
        raw_status="DELIVRD",
        at=datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC),
        parts=2,
        price=Decimal("2.5"),
        network="Jio",
        group_id=GROUP,
    )


@pytest.mark.parametrize("body", [page(status_row(1)), older_page(status_row(1))], ids=["newer", "older"])
def test_both_envelopes_are_read(body: object) -> None:
    assert only(body).ref == ONE.ref


STATES: dict[str, tuple[S | None, F | None]] = {
    "SCHEDULED": (S.HELD, None),
    "AWAITING-DLR": (S.SUBMITTED, None),
    "AWAITING_DLR": (S.SUBMITTED, None),
    "ENROUTE": (S.SENT, None),
    "EN_ROUTE": (S.SENT, None),
    "DELIVERED": (S.DELIVERED, None),
    "delivrd": (S.DELIVERED, None),
    "EXPIRED": (S.EXPIRED, F.TEMPORARY),
    "DELETED": (S.FAILED, F.UNSPECIFIED),
    "UNDELIVERABLE": (S.UNDELIVERED, F.UNSPECIFIED),
    "UNDELIV": (S.UNDELIVERED, F.UNSPECIFIED),
    "TIMEOUT-DLR": (S.EXPIRED, F.UNSPECIFIED),
    "INV-PEID": (S.REJECTED, F.SENDER),
    "INV-TEMPLATE": (S.REJECTED, F.SENDER),
    "ABSENT-SUB": (S.UNDELIVERED, F.TEMPORARY),
    "OPTOUT-REJ": (S.REJECTED, F.RECIPIENT),
    "DUPLICATE": (S.REJECTED, F.DUPLICATE),
    "ANSWER": (None, None),
    "BREWING": (None, None),
}


@pytest.mark.parametrize("written", STATES)
def test_a_status_becomes_a_state_and_is_kept_as_written(written: str) -> None:
    report = only(page(status_row(1, status=written)))
    state, klass = STATES[written]
    assert (report.state, report.failure.klass if report.failure else None) == (state, klass)
    assert report.raw_status == written


def test_a_code_beside_the_name_says_which_of_its_meanings() -> None:
    plain, coded = only(page(status_row(1, status="NET-ERR"))), only(page(status_row(1, status="NET-ERR", err="019")))
    assert plain.failure
    assert coded.failure
    assert (plain.failure.klass, coded.failure.klass) == (F.TEMPORARY, F.CONTENT)


TIMES: dict[str, tuple[dict[str, object], datetime | None]] = {
    "india by default": ({}, datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC)),
    "an epoch needs no zone": ({"deliv_at": "1772366400"}, NOW),
    "an epoch in milliseconds": ({"deliv_at": 1772366400000}, NOW),
    "a zone of its own": ({"delivered_at": "2026-03-01T12:00:00.000000Z"}, NOW),
    "not yet": ({"delivered_at": ""}, None),
    "nonsense": ({"delivered_at": "soon"}, None),
    "handed over": (
        {"status": "ENROUTE", "submit_time": "2026-03-01 17:30:00", "sent_time": "2026-03-01 17:29:00"},
        NOW,
    ),
    "received": ({"status": "AWAITING-DLR", "submitted_at": "2026-03-01 17:30:00"}, NOW),
}


@pytest.mark.parametrize("label", TIMES)
def test_the_time_is_the_one_of_the_status(label: str) -> None:
    changes, expected = TIMES[label]
    assert only(page(status_row(1, **changes))).at == expected


def test_the_zone_and_the_currency_are_the_accounts() -> None:
    raw = Raw(orjson.dumps(page(status_row(1))))
    (report,) = adapter({"timezone": "UTC", "currency": "INR"}).parse_reports(raw).reports
    assert (report.at, report.currency) == (datetime(2026, 3, 1, 17, 30, 20, tzinfo=UTC), "INR")


def test_a_masked_number_is_never_given_as_one() -> None:
    assert only(page(status_row(1, mobile="44770090xxxx"))).msisdn is None


def test_our_reference_is_told_from_a_strangers() -> None:
    assert only(page(status_row(1, cid="12344", custom=ONE.ref))).ref == ONE.ref
    assert only(page(status_row(1, cid=ONE.ref, custom="9882"))).ref == ONE.ref
    assert only(page(status_row(1, custom="order-7"))).ref == "order-7"


def test_a_repeat_has_the_same_key_and_every_change_another() -> None:
    pulled = only(page(status_row(1)))
    pushed = only({"id": f"{GROUP}:1", "mobile": "447700900001", "status": "DELIVERED", "cid": ONE.ref})
    assert pulled.dedupe == pushed.dedupe
    others = [status_row(1, status="ENROUTE"), status_row(1, status="FAILED"), status_row(2), status_row(1, id=None)]
    assert len({pulled.dedupe, *(only(page(row)).dedupe for row in others)}) == 5


def test_a_bad_row_never_loses_its_neighbours() -> None:
    found = parsed(page(status_row(1), 7, {}, status_row(1, status=""), {"mobile": "1", "status": "X"}, status_row(2)))
    assert [report.ref for report in found.reports] == [ONE.ref, TWO.ref]
    assert found.bad == [
        ("body.data[1]", "neither an id, a reference nor a number"),
        ("body.data[2]", "neither an id, a reference nor a number"),
        ("body.data[3]", "no status"),
        ("body.data[4]", "neither an id nor a reference"),
    ]


def test_an_empty_page_is_empty_and_an_error_page_is_told() -> None:
    assert parsed(page()) == parsed(older_page()) == Parsed([], [], [], [])
    assert len(parsed({"status": "ERROR", "code": 404, "message": "No records found"}).bad) == 1


def test_the_documents_own_report_with_its_trailing_comma_is_read() -> None:
    sample = b"""{
      "id": "b34e35ad-fe34-4a8b-977c-b21cd76cd7d6:1",
      "mobile": "918921269xxx",
      "status": "DELIVRD",
      "credits": "2.0000",
      "units": 2,
      "deliv_time": "2021-04-09 16:27:51",
      "custom2": "new-camp, }XXX",
      "region" : "Bangalore",
      "provider_code": "RJ",
    }"""
    found = only(sample, kind="push")
    assert (found.provider_id, found.state) == ("b34e35ad-fe34-4a8b-977c-b21cd76cd7d6:1", S.DELIVERED)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"data":[', b"\xff", b'{"id":"1",,}', b'{"id":"1" "x":2,}'])
def test_what_cannot_be_read_at_all_is_said(body: bytes) -> None:
    with pytest.raises(BadBody, match=r"^body: "):
        parsed(body)


# --- pages -----------------------------------------------------------------------------------------------------------


def pages(qikberry: Qikberry, replies: list[Reply], first: Page) -> list[str]:
    """Follow a list to its end through canned answers; the URLs asked for."""
    asked, at = [], first
    for reply in replies:
        asked.append(qikberry.page_request(at).url.removeprefix(BASE))
        following = qikberry.following(at, reply)
        if following is None:
            break
        at = following
    return asked


def many(count: int) -> list[dict[str, Any]]:
    return [status_row(1, id=f"{GROUP}:{n}") for n in range(count)]


@pytest.mark.parametrize("older", [False, True], ids=["newer", "older"])
def test_250_rows_are_three_pages_by_our_own_links(older: bool) -> None:
    def body(n: int, count: int) -> object:
        return older_page(*many(count), current=n, last=3) if older else page(*many(count), current_page=n, last=3)

    replies = [answer(200, body(n, count)) for n, count in ((1, 100), (2, 100), (3, 50))]
    asked = pages(adapter(), [*replies, answer(500)], Page({"group_id": GROUP}))
    assert asked == [f"sms/status?group_id={GROUP}{more}" for more in ("", "&page=2", "&page=3")]


ENDS: dict[str, tuple[Reply, bool]] = {
    "full page without meta": (answer(200, {"status": 200, "data": many(100)}), True),
    "short page without meta": (answer(200, {"status": 200, "data": many(99)}), False),
    "empty page of many": (answer(200, page(last=9)), False),
    "the provider stands still": (answer(200, page(*many(100), current_page=1, last=9)), False),
    "error": (answer(500, page(*many(100), last=9)), False),
    "nonsense": (answer(200, "<html>"), False),
}


@pytest.mark.parametrize("label", ENDS)
def test_paging_ends(label: str) -> None:
    reply, goes_on = ENDS[label]
    assert (adapter().following(Page({"group_id": GROUP}, number=2), reply) is not None) is goes_on


def test_a_hostile_last_page_does_not_lead_on_for_ever() -> None:
    reply = answer(200, page(*many(100), current_page=5000, last=10**9))
    assert adapter().following(Page({"group_id": GROUP}, number=5000), reply) is None


def test_every_open_group_is_asked_for_once() -> None:
    work = OpenWork(NOW - timedelta(days=1), [GROUP, "G-2", GROUP], NOW)
    assert adapter().first_pages(work) == [Page({"group_id": GROUP}), Page({"group_id": "G-2"})]


def test_without_a_group_the_providers_days_are_asked_for() -> None:
    late = NOW.replace(hour=18, minute=0)  # 23:30 in India: an hour on it is tomorrow there
    assert adapter().first_pages(OpenWork(late, [], late)) == [
        Page({"date": "2026-03-02"}),
        Page({"date": "2026-03-01"}),
    ]
    assert len(adapter().first_pages(OpenWork(NOW - timedelta(days=30), [], NOW))) == 4
    both = adapter({"poll_by_date": True}).first_pages(OpenWork(NOW, [GROUP]))
    assert both == [Page({"group_id": GROUP}), Page({"date": "2026-03-01"})]


# --- pushes ----------------------------------------------------------------------------------------------------------

FLAT = orjson.loads(load(EXCHANGES / "push.txt").body)
FORM = {key: str(value) for key, value in FLAT.items()}
MULTIPART = b"".join(
    b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (key.encode(), value.encode())
    for key, value in FORM.items()
)
PUSHES: dict[str, Raw] = {
    "flat": Raw(orjson.dumps(FLAT), "application/json"),
    "envelope": Raw(orjson.dumps({"event": "sms:message:status", "payload": FLAT}), "application/json"),
    "flat with its event": Raw(orjson.dumps({"event": "sms:message:status", **FLAT}), "application/json"),
    "list": Raw(orjson.dumps([FLAT]), "application/json"),
    "list of envelopes": Raw(orjson.dumps([{"event": "sms:message:status", "payload": FLAT}])),
    "form": Raw(urlencode(FORM).encode(), "application/x-www-form-urlencoded; charset=utf-8"),
    "multipart": Raw(MULTIPART + b"--b--\r\n", "multipart/form-data; boundary=b"),
    "query": Raw(b"", "", urlencode(FORM), "push"),
}


@pytest.mark.parametrize("form", PUSHES)
def test_every_form_of_a_push_is_the_same_report(form: str) -> None:
    found = adapter().parse_reports(PUSHES[form])
    assert found.bad == []
    assert found.reports == [
        Report(
            dedupe=f"{GROUP}:1|DELIVRD",
            state=S.DELIVERED,
            provider_id=f"{GROUP}:1",
            ref=ONE.ref,
            msisdn="447700900001",
            raw_status="DELIVRD",
            at=datetime(2026, 3, 1, 12, 0, 20, tzinfo=UTC),
            parts=2,
            price=Decimal("2.0000"),
            network="Jio",
            group_id=GROUP,
        )
    ]


def test_a_read_receipt_of_another_channel_says_when() -> None:
    payload = {
        "id": "m-1",
        "channel": "rcs",
        "to": "447700900001",
        "status": "read",
        "read_at": "2026-03-01T12:00:00.886358Z",
        "foreign_id": REF.format(1),
    }
    report = only({"event": "rcs:message:status", "payload": payload})
    assert (report.state, report.channel, report.ref) == (S.DELIVERED, "rcs", REF.format(1))
    assert report.read_at == NOW.replace(microsecond=886358)


def test_the_event_tells_the_channel_where_the_payload_does_not() -> None:
    report = only({"event": "viber:message:status", "payload": {"id": "m-1", "status": "deleted"}})
    assert (report.channel, report.state) == ("viber", S.EXPIRED)


@pytest.mark.parametrize("event", ["voice:message:out", "whatsapp:unsubscription", "contacts:subscriber:subscription"])
def test_events_that_do_not_concern_us_are_taken_and_nothing_else(event: str) -> None:
    assert parsed({"event": event, "payload": {"id": 436, "receiver": "447700900001"}}) == Parsed([], [], [], [])


def test_an_inbound_text_is_kept() -> None:
    payload = {
        "id": "in-1",
        "channels": [{"name": "vmn", "to": "447700900999"}],
        "recipient": {"from": "447700900001"},
        "message": {"type": "text", "payload": {"text": "STOP"}},
    }
    assert parsed({"event": "vmn:message:in", "payload": payload}).inbound == [
        Inbound("in-1", "447700900001", "447700900999", "STOP")
    ]


# --- opt-outs --------------------------------------------------------------------------------------------------------


def stop(**changes: object) -> dict[str, object]:
    return {"id": "d105", "receiver": "447700900001", "type": "all", "value": "*", "created_at": "x", **changes}


OPT_OUTS: dict[str, tuple[dict[str, object], str | bool | None]] = {
    "everything": (stop(), None),
    "a sender": (stop(type="sender", value="MyStore"), "MyStore"),
    "a tag counts for all": (stop(type="tag", value="promo"), None),
    "our product": (stop(type="service", value="T"), None),
    "another product": (stop(type="product", value="P"), False),
    "taken back": (stop(status="Unsubscriber deleted successfully"), False),
    "number as a number": (stop(receiver=447700900001), None),
}


@pytest.mark.parametrize("label", OPT_OUTS)
def test_an_opt_out_is_taken_as_wide_as_it_was_meant(label: str) -> None:
    payload, sender = OPT_OUTS[label]
    for body in ({"event": "sms:unsubscription", "payload": payload}, payload):
        found = parsed(body)
        assert [(o.msisdn, o.sender) for o in found.opt_outs] == (
            [] if sender is False else [("+447700900001", sender)]
        )
        assert not found.bad


def test_an_opt_out_without_a_whole_number_is_told() -> None:
    assert parsed(stop(receiver="4477009000xx")).bad == [("body", "an opt-out without a whole number")]


def test_the_providers_unsubscribers_are_read_page_by_page() -> None:
    qikberry = adapter()
    (first,) = qikberry.opt_out_pages()
    reply = answer(
        200, page(stop(), stop(receiver="447700900002", type="sender", value="MyStore"), last=2, per_page=15)
    )
    second = qikberry.following(first, reply)
    assert second is not None
    assert [qikberry.opt_out_request(p).url for p in (first, second)] == [
        BASE + "sms/suppressions/unsubscribers",
        BASE + "sms/suppressions/unsubscribers?page=2",
    ]
    assert qikberry.parse_opt_outs(Raw(reply.body)).opt_outs == [
        OptOut("+447700900001", None, "qikberry all *"),
        OptOut("+447700900002", "MyStore", "qikberry sender MyStore"),
    ]
