"""Qikberry: nothing that it, or anybody in its name, may send makes the adapter raise or lose a message."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from providers.base import Forged, Page, Push, Raw
from providers.wire import BadBody, Reply
from tests.support.qikberry import GROUP, NOW, ONE, REF, THREE, TWO, adapter, answered, page, row, status_row

WRONG_TYPES: list[object] = [None, True, -1, 10**30, 1.5, "", "x" * 5000, "\x00", [], {}, [[]], {"a": {"b": None}}]


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: repr(wrong)[:20])
@pytest.mark.parametrize("place", ["status", "code", "message", "group_id", "data", "errors"])
def test_a_wrong_type_in_the_envelope_never_raises(place: str, wrong: object) -> None:
    body = {"status": 200, "message": "1 numbers accepted", "group_id": GROUP, "data": [row(1)], place: wrong}
    for http in (200, 422, 500):
        outcomes = adapter().read_submit([ONE], Reply(http, {}, json_bytes(body))).outcomes
        assert set(outcomes) == {"1"}


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: repr(wrong)[:20])
@pytest.mark.parametrize("place", [*row(1), "credits", "to", "cid", "error_code", "channel"])
def test_a_wrong_type_in_a_row_never_raises(place: str, wrong: object) -> None:
    body = {"status": 200, "data": [row(1, **{place: wrong})]}
    assert set(adapter().read_submit([ONE], Reply(200, {}, json_bytes(body))).outcomes) == {"1"}


def json_bytes(value: object) -> bytes:
    """With `json`, where orjson will not write what a hostile peer may."""
    return json.dumps(value).encode()


LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["200", "OK", "ERROR", "AWAITING-DLR", "FAILED", REF.format(1), "447700900001", "44770090xxxx"]),
)
KEYS = st.sampled_from([*row(1), "code", "data", "message", "errors", "meta", "current_page", "last_page", "cid", "to"])
TREE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)
STATUS = st.sampled_from([200, 202, 302, 400, 401, 404, 408, 409, 422, 429, 500, 503])


@budget(max_examples=300, deadline=None)
@given(body=TREE, status=STATUS)
def test_no_answer_makes_it_raise_and_no_message_is_left_out(body: object, status: int) -> None:
    qikberry, reply = adapter(), Reply(status, {}, orjson.dumps(body))
    assert set(qikberry.read_submit([ONE, TWO], reply).outcomes) == {"1", "2"}
    qikberry.read_signal(reply)
    qikberry.following(Page({"group_id": GROUP}), reply)


@budget(max_examples=200, deadline=None)
@given(rows=st.lists(st.dictionaries(KEYS, LEAF, max_size=8), max_size=4))
def test_no_row_makes_it_raise(rows: list[object]) -> None:
    reply = answered(*rows)
    assert set(adapter().read_submit([ONE, TWO, THREE], reply).outcomes) == {"1", "2", "3"}


@budget(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60), status=st.integers(100, 599))
def test_raw_bytes_never_raise(body: bytes, status: int) -> None:
    assert set(adapter().read_submit([ONE], Reply(status, {}, body)).outcomes) == {"1"}


# --- pages and pushes ------------------------------------------------------------------------------------------------

FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
KINDS = st.sampled_from(["application/json", "", FORM, MULTIPART, f"{MULTIPART}; boundary=b", f"{MULTIPART}; ="])


@budget(max_examples=300, deadline=None)
@given(body=TREE, kind=KINDS)
def test_no_page_makes_it_raise_anything_but_bad_body(body: object, kind: str) -> None:
    for parse in (adapter().parse_reports, adapter().parse_opt_outs):
        try:
            found = parse(Raw(orjson.dumps(body), kind))
        except BadBody:
            continue
        assert all(report.dedupe for report in found.reports)
        assert all(why for _, why in found.bad)


@budget(max_examples=200, deadline=None)
@given(body=st.binary(max_size=80), kind=KINDS, query=st.text(max_size=30))
def test_no_bytes_make_it_raise_anything_but_bad_body(body: bytes, kind: str, query: str) -> None:
    try:
        found = adapter().parse_reports(Raw(body, kind, query, "push"))
    except BadBody:
        return
    assert all(report.provider_id or report.ref for report in found.reports)


@budget(max_examples=200, deadline=None)
@given(body=st.one_of(st.binary(max_size=60), TREE.map(orjson.dumps)), token=st.text(max_size=10))
def test_a_push_without_our_secrets_is_never_genuine(body: bytes, token: str) -> None:
    qikberry = adapter({"webhook_id": "WH", "verify_signature": True}, webhook_secret="s3cr3t-webhook")
    push = Push("POST", {"authorization": f"Bearer {token}", "signature": token}, {"token": token}, body, token)
    assert isinstance(qikberry.verify(push, NOW), Forged)


@pytest.mark.parametrize("wrong", WRONG_TYPES, ids=lambda wrong: repr(wrong)[:20])
@pytest.mark.parametrize("place", [*status_row(1), "cid", "deliv_at", "read_at", "error_code", "channel"])
def test_a_wrong_type_in_a_report_loses_no_neighbour(place: str, wrong: object) -> None:
    body = json_bytes(page(status_row(1, **{place: wrong}), status_row(2)))
    parsed = adapter().parse_reports(Raw(body, "application/json"))
    assert parsed.reports[-1].ref == TWO.ref
    assert len(parsed.reports) + len(parsed.bad) == 2
