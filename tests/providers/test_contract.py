"""What every registered provider must keep, whoever wrote it: found by the registry, not listed here."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from models.states import MessageState
from providers import shared
from providers.base import (
    Accepted,
    FailureClass,
    Forged,
    LookUpBy,
    LookUpPolicy,
    Misconfigured,
    NoAnswer,
    OpenWork,
    Outgoing,
    Page,
    Provider,
    Push,
    Raw,
    Refused,
    Sought,
    Throttle,
    Unclear,
)
from providers.registry import PROVIDERS, Adapter, build
from providers.wire import BadBody, NotSent, OutcomeUnknown, Reply, Request
from tests.providers.vocabulary import VOCABULARIES, Vocabulary
from tests.support.cases import answer, message, settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = sorted(PROVIDERS)
NONE = Vocabulary()
every = pytest.mark.parametrize("name", NAMES)


def vocabulary(name: str) -> Vocabulary:
    """The shared one, or `VOCABULARY` in the provider's own test file: a new provider touches only its own files."""
    try:
        own = importlib.import_module(f"tests.providers.test_{name}")
    except ModuleNotFoundError:
        return VOCABULARIES.get(name, NONE)
    found = getattr(own, "VOCABULARY", VOCABULARIES.get(name, NONE))
    assert isinstance(found, Vocabulary)
    return found


SECRETS = {"username": "s3cr3t-user", "password": "s3cr3t-pass", "token": "s3cr3t-token"}


def secrets(name: str) -> dict[str, str]:
    needed = {key: SECRETS.get(key, f"s3cr3t-{key}") for key in PROVIDERS[name].credential_names}
    return needed or {"token": SECRETS["token"]}


def provider(name: str, **changes: object) -> Adapter:
    given = {"credentials": secrets(name), "options": vocabulary(name).options, **changes}
    return build(name, settings("http://127.0.0.1:1/prefix/", **given))


def one(name: str) -> Outgoing:
    return message(sender=vocabulary(name).sender)


def leaks(name: str, *values: object) -> list[str]:
    """Secrets and full numbers that show in the representation of these values."""
    shown = repr(values)
    return [s for s in (*secrets(name).values(), "447700900001", "s3cr3t-webhook") if s in shown]


# --- form ------------------------------------------------------------------------------------------------------------


@every
def test_every_provider_has_the_whole_protocol(name: str) -> None:
    built = provider(name)
    for member, value in inspect.getmembers(Provider):
        if not member.startswith("_") and callable(value):
            assert callable(getattr(built, member)), member
    for attribute in Provider.__annotations__:
        assert hasattr(built, attribute), attribute
    assert built.name == name
    assert built.max_recipients >= 1
    assert isinstance(built.look_up_policy, LookUpPolicy)
    assert built.report_deadline > 0


@every
def test_every_missing_credential_is_named(name: str) -> None:
    for missing in PROVIDERS[name].credential_names:
        kept = {key: value for key, value in secrets(name).items() if key != missing}
        with pytest.raises(ValueError, match=missing) as caught:
            provider(name, credentials=kept)
        assert not leaks(name, str(caught.value))


@every
def test_an_unknown_option_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"options\.no_such_option"):
        provider(name, options={**vocabulary(name).options, "no_such_option": 1})


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"expected one of .*qikli"):
        build("nobody", settings())


# --- requests --------------------------------------------------------------------------------------------------------


@every
def test_the_same_chunk_gives_the_same_bytes_under_the_base_url(name: str) -> None:
    first, second = (provider(name).submit_request([one(name)], "BULK-1") for _ in range(2))
    assert first == second
    assert first.url.startswith("http://127.0.0.1:1/prefix/")
    assert not first.url.startswith("http://127.0.0.1:1/prefix//")


@every
def test_secrets_travel_in_headers_only(name: str) -> None:
    built = provider(name)
    requests = [built.submit_request([one(name)], "BULK-1"), built.probe_request()]
    requests += [built.page_request(page) for page in built.first_pages(OpenWork(NOW, ["group-1"], NOW))]
    for request in filter(None, requests):
        assert not any(secret in request.url or secret.encode() in request.body for secret in secrets(name).values())
        assert all("\r" not in value and "\n" not in value for value in request.headers.values())


@every
def test_no_secret_shows_in_the_adapter_s_own_representation(name: str) -> None:
    assert not leaks(name, provider(name))


# --- answers ---------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("body", ["<html>Login</html>", "", "\x00", "null", "[]", '"ok"', "{"])
def test_a_2xx_nobody_can_read_is_never_a_refusal_and_never_an_acceptance(name: str, body: str) -> None:
    outcome = provider(name).read_submit([one(name)], answer(200, body)).outcomes[one(name).id]
    assert isinstance(outcome, Unclear)


@every
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_a_5xx_without_a_documented_refusal_is_unclear(name: str, status: int) -> None:
    outcome = provider(name).read_submit([one(name)], answer(status, "<html>")).outcomes[one(name).id]
    assert isinstance(outcome, Unclear)


@every
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_login_stops_the_account_and_keeps_the_message(name: str, status: int) -> None:
    submission = provider(name).read_submit([one(name)], answer(status, "<html>"))
    outcome = submission.outcomes[one(name).id]
    assert isinstance(outcome, Refused)
    assert outcome.failure.klass is FailureClass.ACCOUNT
    assert isinstance(submission.signal, Misconfigured)


@every
def test_too_many_requests_holds_everybody_for_as_long_as_told(name: str) -> None:
    submission = provider(name).read_submit([one(name)], answer(429, "", {"Retry-After": "7"}))
    outcome = submission.outcomes[one(name).id]
    assert isinstance(outcome, Refused)
    assert (outcome.failure.klass, outcome.retry_after) == (FailureClass.THROTTLED, 7.0)
    assert isinstance(submission.signal, Throttle)
    assert submission.signal.retry_after == 7.0


@every
def test_a_request_timeout_told_by_the_server_is_unclear(name: str) -> None:
    outcome = provider(name).read_submit([one(name)], answer(408)).outcomes[one(name).id]
    assert isinstance(outcome, Unclear)


@every
def test_what_a_peer_echoes_is_shown_without_secrets_and_numbers(name: str, caplog: pytest.LogCaptureFixture) -> None:
    echo = " ".join(("why", *secrets(name).values(), "+447700900001"))
    error = {"code": echo, "messageId": echo, "message": echo, "text": echo, "type": echo, "param": echo}
    bodies: list[object] = [
        {"error": error},
        {"error": echo, "message": echo},
        {"status": "ERROR", "code": echo, "message": echo, "errors": {"to": [echo]}},
        {"requestError": {"serviceException": error}},
        {"errorCode": echo, "description": echo, "violations": [{"property": echo, "violation": echo}]},
        {"messages": [{"status": "REJECTED", "error": error}]},
        {"message": echo, "errors": {"to": [echo]}},
    ]
    built = provider(name)
    with caplog.at_level(logging.DEBUG):
        for body in bodies:
            for status in (200, 400, 401, 402, 404, 409, 422, 429, 500):
                submission = built.read_submit([one(name)], answer(status, body))
                kept = [built.read_signal(answer(status, body)), submission.signal, submission.outcomes.values()]
                assert not leaks(name, *kept), (status, body)
    assert not leaks(name, caplog.text)


DOCUMENTED = [
    pytest.param(name, reply, id=f"{name}-{label}") for name in NAMES for label, reply in vocabulary(name).refusals
]


@pytest.mark.parametrize(("name", "reply"), DOCUMENTED)
def test_every_documented_refusal_is_one_and_no_surprise(
    name: str, reply: Reply, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_told", set())
    submission = provider(name).read_submit([one(name)], reply)
    outcome = submission.outcomes[one(name).id]
    assert isinstance(outcome, Refused), outcome
    assert outcome.failure.code
    assert outcome.failure.reason
    assert not caplog.records


@every
def test_an_unknown_refusal_is_survived_and_told(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_told", set())
    reply = vocabulary(name).unknown_refusal
    if reply is None:
        reply = answer(422, {"error": {"code": "MOON_PHASE", "message": "no"}, "status": "ERROR", "message": "no"})
    outcome = provider(name).read_submit([one(name)], reply).outcomes[one(name).id]
    assert isinstance(outcome, Refused | Unclear)
    if vocabulary(name).unknown_refusal is not None:
        assert [record for record in caplog.records if record.name.startswith("drumline.providers")]


# --- reports ---------------------------------------------------------------------------------------------------------

WORDS = [pytest.param(name, raw, id=f"{name}-{label}") for name in NAMES for label, raw in vocabulary(name).words]
FAILED = (MessageState.UNDELIVERED, MessageState.REJECTED, MessageState.EXPIRED, MessageState.FAILED)


@pytest.mark.parametrize(("name", "raw"), WORDS)
def test_every_documented_status_moves_a_message_and_is_no_surprise(
    name: str, raw: Raw, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_told", set())
    parsed = provider(name).parse_reports(raw)
    (report,) = parsed.reports
    assert isinstance(report.state, MessageState)
    assert (report.failure is not None) == (report.state in FAILED)
    assert not parsed.bad
    assert not caplog.records


@every
def test_an_unknown_status_moves_nothing_and_is_told_once(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_told", set())
    raw = vocabulary(name).unknown_word
    if raw is None:
        raw = Raw(orjson.dumps({"data": [{"id": "1", "status": "TELEPORTED"}]}), "application/json")
    parsed = provider(name).parse_reports(raw)
    provider(name).parse_reports(raw)
    assert all(report.state is None for report in parsed.reports)
    if vocabulary(name).unknown_word is not None:
        assert len(parsed.reports) == 1
        assert len([record for record in caplog.records if record.name.startswith("drumline.providers")]) == 1


@every
def test_a_repeated_report_has_the_same_key(name: str) -> None:
    for _, raw in vocabulary(name).words:
        first, second = (provider(name).parse_reports(raw).reports[0] for _ in range(2))
        assert first.dedupe == second.dedupe
        assert 0 < len(first.dedupe) <= 500


@every
def test_a_stranger_s_push_is_forged(name: str) -> None:
    for changes in ({}, {"webhook_secret": "s3cr3t-webhook", "webhook_token": "s3cr3t-token"}):
        built = provider(name, **changes)
        for token in (None, "", "guess"):
            verdict = built.verify(Push("POST", {}, {}, b'{"id":"1"}', token), NOW)
            assert isinstance(verdict, Forged)
            assert not leaks(name, verdict)


@every
def test_an_account_that_can_prove_no_push_does_not_say_that_it_can(name: str) -> None:
    proven = [provider(name, **changes).pushes for changes in ({"webhook_token": "t"}, {"webhook_secret": "s"}, {})]
    assert any(proven[:2])
    assert proven[2] is (name == "cliqtel")  # which signs with the API key


# --- look-up and probe -----------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("error", [NotSent("refused"), OutcomeUnknown("read_timeout")])
async def test_a_look_up_without_an_answer_says_nothing(name: str, error: Exception) -> None:
    built = provider(name)
    if built.look_up_policy.by in (LookUpBy.NONE, LookUpBy.REPLAY):
        assert built.look_up_policy.give_up_after > 0
        return

    async def send(request: Request) -> Reply:
        raise error

    sightings = await built.look_up([Sought(one(name), NOW, 0, "BULK-1")], send)
    assert [type(sighting) for sighting in sightings.values()] == [NoAnswer]


@every
def test_a_probe_refused_says_why_without_secrets(name: str) -> None:
    built = provider(name)
    assert built.probe_request() is not None
    with pytest.raises(BadBody) as caught:
        built.read_probe(answer(401, {"error": {"code": "x", "message": " ".join(secrets(name).values())}}))
    assert not leaks(name, str(caught.value))


# --- hostile bodies --------------------------------------------------------------------------------------------------

KEYS = [
    "messages", "results", "data", "status", "error", "errors", "code", "id", "to", "messageId", "message", "groupId",
    "quicksms_id", "message_status", "status_code", "meta", "links", "current_page", "last_page", "page", "total_pages",
    "mobile", "custom", "payload", "event", "requestError", "serviceException", "cost", "price", "credits", "metadata",
    "reports", "bulkId", "segments", "units", "created_at", "done_time", "validationErrors", "violations",
]  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["OK", "ERROR", "ACCEPTED", "HELD", "REJECTED", "DELIVRD", "sent", "200", "", "2026-01-01"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)
STATUS = st.sampled_from([200, 201, 202, 204, 301, 400, 401, 402, 404, 408, 409, 422, 429, 500, 503])
BODY = JSON.map(lambda body: json.dumps(body).encode("utf-8", "surrogatepass")) | st.binary(max_size=40)


def survives(built: Provider, chunk: list[Outgoing], reply: Reply) -> None:
    submission = built.read_submit(chunk, reply)
    assert set(submission.outcomes) == {m.id for m in chunk}
    assert all(isinstance(o, Accepted | Refused | Unclear) for o in submission.outcomes.values())
    refused = [o.failure for o in submission.outcomes.values() if isinstance(o, Refused)]
    assert all(failure.code and failure.reason for failure in refused)
    built.read_signal(reply)
    for page in built.first_pages(OpenWork(NOW, ["group-1"], NOW)) or [Page()]:
        built.following(page, reply)


@every
def test_no_answer_makes_it_raise_and_every_message_has_its_outcome(name: str) -> None:
    built, chunk = provider(name), [one(name)]

    @budget(max_examples=150, deadline=None, database=None)
    @given(status=STATUS, body=BODY)
    def run(status: int, body: bytes) -> None:
        survives(built, chunk, Reply(status, {"content-type": "application/json", "retry-after": "soon"}, body))

    run()


@every
def test_no_page_or_push_makes_it_raise_anything_but_bad_body(name: str) -> None:
    built = provider(name, webhook_secret="s3cr3t-webhook", webhook_token="s3cr3t-token")
    headers: Mapping[str, str] = {"authorization": "Bearer x", "content-type": "application/json"}

    @budget(max_examples=150, deadline=None, database=None)
    @given(body=BODY, kind=st.sampled_from(["pull", "push"]))
    def run(body: bytes, kind: str) -> None:
        try:
            parsed = built.parse_reports(Raw(body, "application/json", kind=kind))
        except BadBody:
            pass
        else:
            assert all(report.dedupe and (report.ref or report.provider_id) for report in parsed.reports)
        assert isinstance(built.verify(Push("POST", headers, {}, body, "wrong"), NOW), Forged)

    run()


@every
async def test_no_look_up_answer_makes_it_raise(name: str) -> None:
    built = provider(name)
    odd: list[Any] = [{"data": [{}, None, {"id": []}]}, {"results": [{}, 3]}, [], None, {"data": {"data": 1}}]

    async def ask(reply: Reply) -> None:
        async def send(request: Request) -> Reply:
            return reply

        sightings = await built.look_up([Sought(one(name), NOW, 0, "BULK-1")], send)
        assert set(sightings) <= {one(name).id}

    for body in odd:
        for status in (200, 404, 422, 500):
            await ask(answer(status, body))
