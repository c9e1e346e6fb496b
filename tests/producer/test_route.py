"""Routes: the first rule that fits decides, weights are kept exactly, and whoever refuses has not had its turn."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.msisdn import Msisdn
from producer.plan import Rota, RouteError
from producer.route import Chooser, Route, read_route

KNOWN = ("a", "b", "c")
GB, US = Msisdn("+447700900123", "GB"), Msisdn("+12025550123", "US")
WHOLE: dict[str, Any] = {
    "accounts": {"a": 2, "b": 1},
    "rules": [{"prefixes": ["+4479"], "accounts": {"b": 1}}, {"countries": ["US"], "accounts": {"c": 1}}],
    "failover": ["c"],
    "senders": {"c": "+12025550199"},
    "deny": ["KP"],
}


def first(chooser: Chooser, number: Msisdn) -> str:
    return next(chooser.offers(number, number.country))


def test_a_rule_decides_and_all_others_go_by_weight() -> None:
    chooser = Chooser(Route.parse(WHOLE, KNOWN))
    assert {first(chooser, US) for _ in range(5)} == {"c"}
    assert first(chooser, Msisdn("+447911123456", "GB")) == "b"
    assert Counter(first(chooser, GB) for _ in range(300)) == {"a": 200, "b": 100}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=1), st.integers(1, 5))
def test_every_cycle_gives_each_account_exactly_its_share(weights: dict[str, int], cycles: int) -> None:
    rota = Rota(weights)
    assert Counter(rota.next() for _ in range(cycles * sum(weights.values()))) == {
        name: cycles * weight for name, weight in weights.items()
    }


def test_an_account_that_refuses_keeps_its_turn() -> None:
    chooser = Chooser(Route.parse({"accounts": {"a": 1, "b": 1}}, KNOWN))
    refusals = ("a", "a", None, None, None, None)
    taken = [next(name for name in chooser.offers(GB, "GB") if name != refuses) for refuses in refusals]
    assert taken == ["b", "b", "a", "b", "a", "b"]


def test_failover_is_asked_last_and_in_its_order_and_nobody_twice() -> None:
    route = Route.parse({"accounts": {"a": 1, "b": 1}, "failover": ["c", "b"]}, KNOWN)
    offered = list(Chooser(route).offers(GB, "GB"))
    assert sorted(offered[:2]) == ["a", "b"]
    assert offered[2:] == ["c"]


def test_a_route_is_stored_and_read_again_as_it_was() -> None:
    route = Route.parse(WHOLE, KNOWN)
    assert route.weights == {"a": 2, "b": 1, "c": 0}
    assert Route.stored(json.loads(json.dumps(route.weights)), json.loads(json.dumps(route.routing))) == route
    assert Route.parse("a=2,b", KNOWN).routing == {}


WRONG = [
    ({"accounts": {"a": 0}}, r"route.accounts: a has weight 0"),
    ({"accounts": {"a": "x"}}, r"route.accounts.a: found 'x'"),
    ({"accounts": {"x": 1}, "rules": []}, r"unknown account 'x'"),
    ({"rules": []}, r"route.accounts: found None, expected a table"),
    ({"accounts": {"a": 1}, "rules": [{"accounts": {"a": 1}}]}, r"rules\[0\]: expected countries or prefixes"),
    ({"accounts": {"a": 1}, "rules": [{"countries": ["gb"], "accounts": {"a": 1}}]}, r"countries: found 'gb'"),
    ({"accounts": {"a": 1}, "rules": [{"prefixes": ["44"], "accounts": {"a": 1}}]}, r"prefixes: found '44'"),
    ({"accounts": {"a": 1}, "failover": ["a", "a"]}, r"named twice"),
    ({"accounts": {"a": 1}, "senders": {"b": ""}}, r"route.senders.b: found ''"),
    ({"accounts": {"a": 1}, "rule": []}, r"unknown key 'rule'"),
]


@pytest.mark.parametrize(("document", "text"), WRONG)
def test_a_wrong_route_names_the_place(document: dict[str, Any], text: str) -> None:
    with pytest.raises(RouteError, match=text):
        Route.parse(document, KNOWN)


def test_a_route_is_read_from_a_file(tmp_path: Path) -> None:
    toml = tmp_path / "route.toml"
    toml.write_text('accounts = {a = 2}\n[[rules]]\ncountries = ["IN"]\naccounts = {b = 1}\n')
    assert read_route(str(toml), KNOWN).rules[0].countries == {"IN"}
    (tmp_path / "route.json").write_text(json.dumps(WHOLE))
    assert read_route(str(tmp_path / "route.json"), KNOWN) == Route.parse(WHOLE, KNOWN)
    assert read_route("a=1", KNOWN).accounts == {"a": 1}
    with pytest.raises(RouteError, match=r"missing\.toml"):
        read_route("missing.toml", KNOWN)
