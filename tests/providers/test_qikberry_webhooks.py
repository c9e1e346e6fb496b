"""Qikberry: who may push in its name, and the handshake that registers our URL."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from providers.base import Forged, Genuine, Handshake, Push, Verdict
from providers.qikberry_webhooks import sign
from tests.support.cases import SECRETS
from tests.support.exchanges import load
from tests.support.qikberry import EXCHANGES, NOW, adapter

SECRET = "s3cr3t-webhook"
BODY = load(EXCHANGES / "push.txt").body
BEARER = {"authorization": f"Bearer {SECRET}"}


def push(
    headers: Mapping[str, str] | None = None,
    body: bytes = BODY,
    query: Mapping[str, str] | None = None,
    token: str | None = None,
) -> Push:
    return Push("POST" if body else "GET", headers or {}, query or {}, body, token)


def verdict(one: Push, options: Mapping[str, object] | None = None, **account: object) -> Verdict:
    return adapter(options, **account).verify(one, NOW)


def test_the_recorded_push_is_genuine_and_answered_with_ok() -> None:
    exchange = load(EXCHANGES / "push.txt")
    found = verdict(push(exchange.headers, exchange.body), webhook_secret=SECRET)
    assert found == Genuine()
    assert isinstance(found, Genuine)
    assert (found.status, found.body) == (exchange.reply.status, exchange.reply.body)


SIGNED = {"webhook_id": "WH-1", "verify_signature": True}
GOOD = {"signature": sign("WH-1", BODY)}
CASES: dict[str, tuple[Push, dict[str, object], dict[str, object], bool]] = {
    "bearer": (push(BEARER), {}, {"webhook_secret": SECRET}, True),
    "bearer in small letters": (push({"authorization": f"bearer {SECRET}"}), {}, {"webhook_secret": SECRET}, True),
    "wrong bearer": (push({"authorization": "Bearer x"}), {}, {"webhook_secret": SECRET}, False),
    "the secret without its scheme": (push({"authorization": SECRET}), {}, {"webhook_secret": SECRET}, False),
    "no bearer": (push(), {}, {"webhook_secret": SECRET}, False),
    "not ASCII": (push({"authorization": "Bearer \xff\u20ac"}), {}, {"webhook_secret": SECRET}, False),
    "url token": (push(token="s3cr3t-user"), {}, {"webhook_token": "s3cr3t-user"}, True),
    "wrong url token": (push(token="x"), {}, {"webhook_token": "s3cr3t-user"}, False),
    "no url token": (push(), {}, {"webhook_token": "s3cr3t-user"}, False),
    "right bearer, wrong url token": (
        push(BEARER, token="x"),
        {},
        {"webhook_secret": SECRET, "webhook_token": "s3cr3t-user"},
        False,
    ),
    "signature": (push(GOOD), SIGNED, {}, True),
    "signature in capitals": (push({"signature": GOOD["signature"].upper()}), SIGNED, {}, True),
    "signature of another body": (push(GOOD, BODY + b" "), SIGNED, {}, False),
    "signature by another key": (push({"signature": sign("WH-2", BODY)}), SIGNED, {}, False),
    "no signature": (push(), SIGNED, {}, False),
    "signature without the bearer": (push(GOOD), SIGNED, {"webhook_secret": SECRET}, False),
    "signature and bearer": (push({**GOOD, **BEARER}), SIGNED, {"webhook_secret": SECRET}, True),
    "another hash": (
        push({"signature": sign("WH-1", BODY, "sha512")}),
        {**SIGNED, "signature_algorithm": "sha512"},
        {},
        True,
    ),
    "a GET is signed by nothing": (push({"signature": sign("WH-1", b"")}, b""), SIGNED, {}, False),
    "a GET with the bearer": (push(BEARER, b"", {"id": "1"}), {}, {"webhook_secret": SECRET}, True),
    "nothing configured proves nothing": (push({**GOOD, **BEARER}, token="x"), {}, {}, False),
    "a signature nobody asked for": (push({**BEARER, "signature": "x"}), {}, {"webhook_secret": SECRET}, True),
}


@pytest.mark.parametrize("label", CASES)
def test_only_what_proves_itself_is_taken(label: str) -> None:
    one, options, account, genuine = CASES[label]
    found = verdict(one, options, **account)
    assert isinstance(found, Genuine) is genuine
    assert not any(secret in repr(found) for secret in SECRETS)


def test_push_is_offered_only_where_it_can_be_proven() -> None:
    assert not adapter().pushes
    assert adapter(webhook_secret=SECRET).pushes
    assert adapter(webhook_token="s3cr3t-user").pushes
    assert adapter(SIGNED).pushes


# --- handshake -------------------------------------------------------------------------------------------------------

ASKED = b'{"validation_key": "9012", "challenge": "a234qwe"}'
SAMPLE = b'{\n    "validation_key": "9012XXXX",\n    "challenge": "a234qwe",\n  }'
TOKEN = {"token": "9012XX"}
OURS = {"verification_token": "9012XX"}
SHAKES: dict[str, tuple[Push, dict[str, object], bool]] = {
    "as documented": (push(BEARER, ASKED, TOKEN), {"webhook_secret": SECRET}, True),
    "with the comma of the document's sample": (push(BEARER, SAMPLE, TOKEN), {"webhook_secret": SECRET}, True),
    "the bearer may be missing": (push({}, ASKED, TOKEN), {"webhook_secret": SECRET}, True),
    "but not be wrong": (push({"authorization": "Bearer x"}, ASKED, TOKEN), {"webhook_secret": SECRET}, False),
    "wrong token": (push(BEARER, ASKED, {"token": "9012"}), {"webhook_secret": SECRET}, False),
    "no token": (push(BEARER, ASKED), {"webhook_secret": SECRET}, False),
    "wrong url token": (push(BEARER, ASKED, TOKEN, "x"), {"webhook_token": "s3cr3t-user"}, False),
}


@pytest.mark.parametrize("label", SHAKES)
def test_a_challenge_is_returned_only_to_who_knows_the_token(label: str) -> None:
    one, account, shaken = SHAKES[label]
    found = verdict(one, OURS, **account)
    expected = Handshake(b'{"challenge":"a234qwe"}')
    assert found == expected if shaken else isinstance(found, Forged)


def test_the_urls_token_serves_where_no_other_is_named() -> None:
    one = push({}, ASKED, {"token": "s3cr3t-user"}, "s3cr3t-user")
    assert isinstance(verdict(one, webhook_token="s3cr3t-user"), Handshake)
    assert isinstance(verdict(push(BEARER, ASKED, {"token": ""}), webhook_secret=SECRET), Forged)


@pytest.mark.parametrize(
    "body",
    [
        {"challenge": "x", "status": "DELIVRD", "id": "1"},
        {"event": "sms:message:status", "payload": {"challenge": "x"}},
        {"challenge": ["x"]},
        {"challenge": "x" * 513},
        {"challenge": ""},
        ["challenge"],
    ],
)
def test_a_report_that_talks_of_a_challenge_is_no_handshake(body: object) -> None:
    found = verdict(push(BEARER, orjson.dumps(body), TOKEN), OURS, webhook_secret=SECRET)
    assert found == Genuine()
