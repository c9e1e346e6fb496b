"""Routes and batches: who carries a message, and how much a batch holds."""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.accounts import Account, Counts, Limit
from config.pace import MOST_IN_BATCH, MOST_UNLIMITED, REQUESTS_UNLIMITED, batch_size
from producer.plan import Rota, RouteError, check_route, parse_route

KNOWN = ["cliqtel", "qikli", "quicksms"]


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("qikli=70,quicksms=30", {"qikli": 70, "quicksms": 30}), ("qikli", {"qikli": 1}),
        (" qikli = 2 , cliqtel ", {"qikli": 2, "cliqtel": 1}), ("qikli,", {"qikli": 1}),
    ],
)  # fmt: skip
def test_a_route_is_read(text: str, route: dict[str, int]) -> None:
    assert parse_route(text, KNOWN) == route


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no account named, expected one or more of cliqtel, qikli, quicksms"),
        ("qikly=1", "unknown account 'qikly', expected one of cliqtel, qikli, quicksms"),
        ("qikli=1000001", "weight 1000001, expected a whole number of at least 1 and at most 1,000,000"),
        ("qikli=" + "9" * 5000, "weight '99999999999999999999'"),
        ("qikli=0", "qikli has weight 0"), ("qikli=-1", "weight '-1'"), ("qikli=1.5", "weight '1.5'"),
        ("qikli=²", "weight '²'"), ("qikli=1,qikli=2", "'qikli' is named twice"),
    ],
)  # fmt: skip
def test_a_wrong_route_says_which_part_and_what_is_possible(text: str, words: str) -> None:
    with pytest.raises(RouteError, match=words.replace("²", ".")):
        parse_route(text, KNOWN)


def test_a_route_from_elsewhere_is_checked_the_same() -> None:
    with pytest.raises(RouteError, match="weight 0"):
        check_route({"qikli": 0}, KNOWN)


WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1)


@given(WEIGHTS)
def test_after_every_cycle_each_account_had_exactly_its_share(weights: dict[str, int]) -> None:
    rota, cycle = Rota(weights), sum(weights.values())
    for _ in range(3):
        assert Tally(rota.next() for _ in range(cycle)) == weights


@given(WEIGHTS, st.integers(1, 150))
def test_at_no_moment_is_an_account_more_than_one_message_per_rival_away_from_its_share(
    weights: dict[str, int], many: int
) -> None:
    rota = Rota(weights)
    had = Tally(rota.next() for _ in range(many))
    for name, weight in weights.items():
        assert abs(had[name] - many * weight / sum(weights.values())) <= len(weights)


def test_whoever_is_not_allowed_is_passed_over() -> None:
    rota = Rota({"a": 100, "b": 1})
    assert {rota.next(frozenset({"b"})) for _ in range(5)} == {"b"}


@pytest.mark.parametrize(
    ("limits", "recipients", "size"),
    [
        ((Limit(60, 60.0),), 1, 10),  # Cliqtel: ten in ten seconds
        ((Limit(1000, 60.0),), 1, 166),  # QuickSMS
        ((Limit(1000, 60.0), Limit(10, 1.0)), 1, 100),  # the tightest window counts
        ((Limit(10, 1.0),), 500, MOST_IN_BATCH),  # a bulk endpoint
        ((Limit(30, 1.0, Counts.MESSAGES),), 500, 300),
        ((Limit(1, 3600.0),), 1, 1),  # never nothing
        ((), 1, REQUESTS_UNLIMITED),  # only the machine sets the pace
        ((), 100, MOST_UNLIMITED),
    ],
)
def test_a_batch_is_what_the_account_may_send_in_ten_seconds(
    limits: tuple[Limit, ...], recipients: int, size: int
) -> None:
    assert batch_size(Account("a", "x", "http://x", limits=limits), recipients, 10.0) == size
