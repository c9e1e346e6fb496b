"""Qikberry: exact requests, checks and warnings before the wire, settings, look-ups, the probe, recorded exchanges."""

from __future__ import annotations

import orjson
import pytest

from providers.base import (
    Accepted,
    FailureClass,
    Outgoing,
    Provider,
    Refused,
)
from providers.registry import PROVIDERS
from tests.support.cases import SECRETS, message
from tests.support.exchanges import load
from tests.support.qikberry import BASE, EXCHANGES, ONE, REF, THREE, TOKEN, TWO, adapter, sent

F = FailureClass


def test_it_is_a_provider_and_is_found() -> None:
    provider: Provider = adapter()
    assert PROVIDERS["qikberry"] is type(provider)
    assert (provider.max_recipients, provider.pulls, provider.shares_poll_budget) == (100, True, False)
    assert list(provider.read_limits) == [(1000, 60.0)], "all GET requests together, as the provider documents it"


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_batch_has_root_values_once_and_a_reference_for_each_recipient() -> None:
    request = adapter({"webhook_id": "WH-1"}).submit_request([ONE, TWO], "BULK-1")
    assert (request.method, request.url) == ("POST", "http://127.0.0.1:1/qikberry/sms/send/json")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert (request.headers["Accept"], request.headers["Content-Type"]) == ("application/json", "application/json")
    assert orjson.loads(request.body) == {
        "root": {"sender": "MyStore", "message": "Hello", "type": "A", "service": "T", "webhook_id": "WH-1"},
        "nodes": [
            {"to": "447700900001", "custom": REF.format(1)},
            {"to": "447700900002", "custom": REF.format(2), "message": "Hello Ama"},
        ],
    }


def test_the_same_chunk_gives_the_same_bytes() -> None:
    first, again = (adapter({"tags": ["a", "b"]}).submit_request([ONE, TWO], "BULK-1") for _ in range(2))
    assert first == again


def test_what_a_neighbour_does_not_have_never_reaches_it() -> None:
    first = message(id="1", ref="r-1", options={"template_id": "T-1", "tags": "news"})
    nodes = sent(adapter(), first, TWO)["nodes"]
    assert "template_id" not in nodes[0]
    assert (nodes[1]["template_id"], nodes[1]["meta"]) == ("", "")


CAMPAIGN = {"entity_id": "1234", "template_id": "98", "tags": "a, b", "max_units": "3", "flash": "1", "type": "U"}
FIELDS = {"entity_id": "1234", "template_id": "98", "max_units": 3, "flash": 1, "type": "U"}


@pytest.mark.parametrize("where", ["campaign", "account"])
def test_ids_tags_units_and_flash_come_from_the_campaign_or_the_account(where: str) -> None:
    account: dict[str, object] = {**FIELDS, "flash": True, "tags": ["a", "b"]} if where == "account" else {}
    one = message(options=CAMPAIGN if where == "campaign" else {})
    root = sent(adapter(account), one)["root"]
    assert root == {"sender": "MyStore", "message": "Hello", "service": "T", "meta": {"tags": ["a", "b"]}, **FIELDS}


def test_a_campaign_overrides_its_account() -> None:
    own = message(options={"entity_id": "2", "flash": "0"})
    root = sent(adapter({"entity_id": "1", "flash": True}), own)["root"]
    assert root["entity_id"] == "2"
    assert "flash" not in root


MODES: dict[str, tuple[str, dict[str, object]]] = {
    "send": (
        "sms/send",
        {
            "sender": "MyStore",
            "message": "Hello",
            "type": "A",
            "entity_id": "E",
            "service": "T",
            "webhook_id": "W",
            "to": ["447700900001"],
            "custom": REF.format(1),
        },
    ),
    "channels": (
        "sms/message/send",
        {
            "channels": [
                {
                    "name": "sms",
                    "from": "MyStore",
                    "meta": {
                        "service": "T",
                        "foreign_id": REF.format(1),
                        "type": "A",
                        "entity_id": "E",
                        "webhook_id": "W",
                    },
                }
            ],
            "recipient": {"to": ["447700900001"]},
            "message": {"type": "text", "payload": {"text": "Hello"}},
        },
    ),
    "template": (
        "sms/send/template",
        {
            "alias": "welcome",
            "recipient": {"to": ["447700900001"]},
            "data": {"message": "Hello"},
            "meta": {"foreign_id": REF.format(1), "webhook_id": "W"},
        },
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_other_endpoints_carry_one_message_with_its_reference(mode: str) -> None:
    path, body = MODES[mode]
    options = {"mode": mode, "entity_id": "E", "webhook_id": "W", "template_alias": "welcome"}
    qikberry = adapter(options, request_cap=500)
    assert qikberry.max_recipients == 1
    assert qikberry.submit_request([ONE], "BULK-1").url == BASE + path
    assert sent(qikberry, ONE) == body
    with pytest.raises(ValueError, match="one message a request, found 2"):
        qikberry.submit_request([ONE, TWO], "BULK-1")


def test_a_template_takes_named_variables_and_the_text_where_it_is_wanted() -> None:
    qikberry = adapter({"mode": "template", "template": "77"})
    fixed = message(options={"var.name": "Ama", "var.": "nameless"})
    assert sent(qikberry, fixed)["data"] == {"name": "Ama"}
    named = message(options={"var.name": "Ama", "text_variable": "body"})
    assert sent(qikberry, named)["data"] == {"name": "Ama", "body": "Hello"}
    assert sent(qikberry, named)["id"] == "77"


def test_paths_are_configuration_and_a_request_may_carry_a_name() -> None:
    request = adapter({"paths": {"json": "/v3/json"}, "name_requests": True}).submit_request([ONE], "BULK-1")
    assert request.url == "http://127.0.0.1:1/qikberry/v3/json"
    assert orjson.loads(request.body)["root"]["name"] == "BULK-1"


# --- before the wire -------------------------------------------------------------------------------------------------

INDIAN_VARIABLE = message("+910000000000", text="x" * 31)
CHECKS: dict[str, tuple[dict[str, object], Outgoing, tuple[str, F] | None]] = {
    "fine": ({}, ONE, None),
    "letters in the number": ({}, message("+44abc"), ("INV-NUMBER", F.RECIPIENT)),
    "no country code": ({}, message("+0447700900001"), ("INV-NUMBER", F.RECIPIENT)),
    "no plus": ({}, message("447700900001"), ("INV-NUMBER", F.RECIPIENT)),
    "16 digits": ({}, message("+4477009000010000"), ("INV-NUMBER", F.RECIPIENT)),
    "line break behind": ({}, message("+447700900001\n"), ("INV-NUMBER", F.RECIPIENT)),
    "no sender": ({}, message(sender=" "), ("INV-SENDER", F.SENDER)),
    "no text": ({}, message(text=" \n"), ("empty_text", F.CONTENT)),
    "half a character": ({}, message(text="\ud83d"), ("invalid_text", F.CONTENT)),
    "10 parts": ({}, message(segments=10), None),
    "11 parts": ({}, message(segments=11), ("too_long", F.CONTENT)),
    "own limit": ({"max_parts": 2}, message(segments=3), ("too_long", F.CONTENT)),
    "units": ({}, message(segments=3, options={"max_units": "2"}), ("too_long", F.CONTENT)),
    "4096 characters": ({"mode": "channels"}, message(text="x" * 4096), None),
    "4097 characters": ({"mode": "channels"}, message(text="x" * 4097), ("too_long", F.CONTENT)),
    "4098 units": ({"mode": "channels"}, message(text="\U0001f600" * 2049), ("too_long", F.CONTENT)),
    "long elsewhere": ({}, message(text="x" * 4097), None),
    "four tags": ({}, message(options={"tags": "a,b,c,d"}), ("too_many_tags", F.CONTENT)),
    "odd type": ({}, message(options={"type": "X"}), ("invalid_option", F.CONTENT)),
    "odd units": ({}, message(options={"max_units": "4"}), ("invalid_option", F.CONTENT)),
    "no template": ({"mode": "template"}, ONE, ("TEMPLATE-NOT-FOUND", F.CONTENT)),
    "long variable": ({"mode": "template", "template": "1"}, INDIAN_VARIABLE, ("DLT-TM-VAR-EXECEED", F.CONTENT)),
    "template's sender": ({"mode": "template", "template": "1"}, message(sender=""), None),
}


@pytest.mark.parametrize("label", CHECKS)
def test_what_the_provider_would_refuse_is_refused_before_the_wire(label: str) -> None:
    options, candidate, expected = CHECKS[label]
    failure = adapter(options).check(candidate)
    assert (failure and (failure.code, failure.klass)) == expected


def test_india_wants_its_dlt_ids_and_type_n_loses_characters() -> None:
    indian = message("+910000000000", sender="MYSTOR", text="नमस्ते", options={"type": "N"})
    said = adapter().warnings(indian)
    assert [line.partition(":")[0] for line in said] == ["India", "type N"]
    assert adapter({"entity_id": "1", "template_id": "2"}).warnings(message("+910000000000", sender="MYSTOR")) == []
    assert adapter({"type": "N"}).warnings(message("+4917139200000", text="Grüße [5 €]?")) == []


# --- settings --------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, object], str]] = [
    ({"service": ""}, "options.service: found '', expected the product code"),
    ({"mode": "xml"}, "options.mode: found 'xml', expected one of json, send"),
    ({"type": "X"}, "options.type"),
    ({"max_units": 4}, "options.max_units: found 4, expected a whole number from 2 to 3"),
    ({"tags": ["a", "b", "c", "d"]}, "options.tags: .*at most 3"),
    ({"tags": [1]}, "options.tags: .*a list of texts"),
    ({"tags": 5}, "options.tags: found 5"),
    ({"timezone": "Mars/Base"}, "options.timezone"),
    ({"timezone": "../etc"}, "options.timezone"),
    ({"paths": {"sned": "x"}}, "options.paths.sned"),
    ({"paths": {"send": ""}}, "options.paths.send"),
    ({"paths": "sms"}, "options.paths"),
    ({"verify_signature": True}, "options.verify_signature: .*webhook_id"),
    ({"absence_proves": True}, "options.absence_proves: .*request_cap = 1"),
    ({"max_parts": 0}, "options.max_parts"),
    ({"sevrice": "T"}, "options.sevrice"),
]


@pytest.mark.parametrize(("options", "expected"), WRONG)
def test_a_wrong_option_is_named_at_start(options: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        adapter(options)


def test_a_missing_token_is_named_and_none_is_ever_shown() -> None:
    with pytest.raises(ValueError, match=r"credentials\.access_token"):
        adapter(credentials={})
    qikberry = adapter({"webhook_id": "s3cr3t-webhook"}, webhook_token="s3cr3t-user")
    assert not any(secret in repr(vars(qikberry)["_account"]) for secret in SECRETS)


def test_promotional_traffic_in_india_may_rightly_stay_without_reports() -> None:
    assert "India" in (adapter({"service": "P"}).no_report_note or "")
    assert adapter({"service": "G"}).no_report_note is None


# --- recorded exchanges ----------------------------------------------------------------------------------------------

RECORDED: dict[str, tuple[dict[str, object], list[Outgoing], dict[str, type]]] = {
    "batch_of_three": ({"webhook_id": "WH-1"}, [ONE, TWO, THREE], {"1": Accepted, "2": Accepted, "3": Refused}),
    "channels": ({"mode": "channels"}, [ONE], {"1": Accepted}),
    "no_balance": ({}, [ONE], {"1": Refused}),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_submit_is_replayed(name: str) -> None:
    options, chunk, expected = RECORDED[name]
    exchange, qikberry = load(EXCHANGES / f"{name}.txt"), adapter(options)
    request = qikberry.submit_request(chunk, "BULK-1")
    assert (request.method, request.url) == (exchange.method, "http://127.0.0.1:1" + exchange.target)
    assert {key.lower(): value for key, value in request.headers.items()} == exchange.headers
    assert orjson.loads(request.body) == orjson.loads(exchange.body)
    outcomes = qikberry.read_submit(chunk, exchange.reply).outcomes
    assert {key: type(outcome) for key, outcome in outcomes.items()} == expected
