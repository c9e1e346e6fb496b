"""Number sets, prices, estimates, named templates, suppressions: the small parts of sending."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.accounts import Account, Counts, Limit
from config.prices import Prices, PricesError, load_prices
from models.database import Database
from producer import templates
from producer.campaigns import CampaignError
from producer.estimate import Load, account_seconds, seconds
from producer.numberset import NumberSet
from producer.suppressions import add_suppressions, list_suppressions, opted_out, remove_suppressions
from tests.producer.plan_support import (
    ACCOUNTS,
    NOW,
    PROVIDERS,
    campaign_of,
    draft,
    importer,
    messages_of,
    people,
    spec,
)

NUMBER = st.integers(10**6, 10**15)


def no_key() -> bytes:
    raise AssertionError("no number was erased here: nobody asks for the key")


@given(st.lists(NUMBER), st.lists(NUMBER), st.integers(1, 20))
def test_a_number_set_holds_what_a_set_holds(added: list[int], asked: list[int], held: int) -> None:
    numbers, plain = NumberSet(held=held), set(added)
    for number in added:
        numbers.add(number)
    assert [number in numbers for number in (*added, *asked)] == [number in plain for number in (*added, *asked)]
    assert bool(numbers) is bool(plain)


def test_a_number_set_keeps_no_more_in_memory_than_it_was_told() -> None:
    numbers = NumberSet(range(10_000_000, 10_050_000), held=1_000)
    assert len(numbers._recent) <= 1_000
    assert 10_000_000 in numbers
    assert 10_049_999 in numbers
    assert 10_050_000 not in numbers


# --- prices and time -------------------------------------------------------------------------------------------------

PRICES = """
currency = "EUR"
[default]
GB = 0.1
"*" = 0.3
[accounts.a]
currency = "USD"
GB = 0.05
[accounts.b]
"*" = 1
"""


def priced(folder: Path, text: str) -> Prices:
    (folder / "prices.toml").write_text(text)
    return load_prices(folder / "prices.toml")


def test_the_nearest_price_is_taken_and_stays_exact(tmp_path: Path) -> None:
    prices = priced(tmp_path, PRICES)
    found = {where: prices.of(*where) for where in (("a", "GB"), ("a", "FR"), ("c", "GB"), ("c", "FR"), ("b", "GB"))}
    assert {where: (price.amount, price.currency) for where, price in found.items() if price} == {
        ("a", "GB"): (Decimal("0.05"), "USD"),
        ("a", "FR"): (Decimal("0.3"), "EUR"),
        ("c", "GB"): (Decimal("0.1"), "EUR"),
        ("c", "FR"): (Decimal("0.3"), "EUR"),
        ("b", "GB"): (Decimal(1), "EUR"),
    }


def test_without_a_table_nothing_is_priced(tmp_path: Path) -> None:
    assert load_prices(tmp_path / "none.toml").of("a", "GB") is None


WRONG_PRICES = [
    "currency = 'euro'",
    "[default]\nGB = 1",
    "[default]\ngb = 1",
    "currency='EUR'\n[default]\nGB = -1",
    "x = 1",
    "currency='EUR'\n[default]\nGB = nan",
    "[",
]


@pytest.mark.parametrize("text", WRONG_PRICES)
def test_a_wrong_price_table_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(PricesError, match=r"prices\.toml: "):
        priced(tmp_path, text)


def test_the_tightest_window_decides_how_long_it_takes() -> None:
    limits = (Limit(60, 60.0), Limit(100, 60.0, Counts.SEGMENTS))
    account = Account("a", "qikli", "http://127.0.0.1:1", {}, limits)
    assert account_seconds(account, Load(600, 600, recipients=1)) == pytest.approx(600)
    assert account_seconds(account, Load(600, 1800, recipients=1)) == pytest.approx(1080)
    assert account_seconds(account, Load(600, 600, recipients=200)) == pytest.approx(360)
    assert seconds({"a": account}, {"a": Load(600, 600)}, max_rate=0.5) == pytest.approx(1200)
    assert seconds({}, {}) == 0.0


# --- named templates -------------------------------------------------------------------------------------------------


def test_a_campaign_keeps_the_version_it_pinned(database: Database) -> None:
    with database.write() as session:
        templates.save(session, "welcome", "Hi {{ name }}", NOW)
    with database.read() as session:
        pinned = templates.pin(session, spec(template="", template_name="welcome"))
    campaign_id = draft(database, template=pinned.template, template_name="welcome", template_version=1)
    with database.write() as session:
        assert templates.save(session, "welcome", "Hello {{ name }}", NOW).version == 2
    importer(database).run(campaign_id, io.BytesIO(people(1)))
    assert [message.text for message in messages_of(database, campaign_id)] == ["Hi P0"]
    assert campaign_of(database, campaign_id).template_version == 1


def test_saving_the_same_text_again_makes_no_new_version(database: Database) -> None:
    with database.write() as session:
        versions = [templates.save(session, "a", text, NOW).version for text in ("x", "x", "y", "x")]
        assert versions == [1, 1, 2, 3]
        assert templates.save(session, "a", "x", NOW, missing="").version == 4
        assert [one.version for one in templates.versions(session, "a")] == [4, 3, 2, 1]


def test_a_retired_template_is_not_offered_but_can_be_looked_up(database: Database) -> None:
    with database.write() as session:
        templates.save(session, "a", "x", NOW)
        templates.save(session, "b", "y", NOW)
        assert templates.retire(session, "a", NOW) == 1
        assert [one.name for one in templates.newest(session)] == ["b"]
        assert templates.get(session, "a", 1).text == "x"
        for gone in ("a", "never"):
            with pytest.raises(CampaignError, match="there is no template"):
                templates.get(session, gone)
        assert templates.save(session, "a", "x", NOW).version == 2  # and it may come back


@pytest.mark.parametrize(("name", "text"), [("a b", "x"), ("", "x"), ("a", "{{ x"), ("a" * 101, "x")])
def test_a_wrong_template_is_not_saved(database: Database, name: str, text: str) -> None:
    with database.write() as session, pytest.raises(CampaignError):
        templates.save(session, name, text, NOW)


def test_a_spec_names_a_text_or_a_template(database: Database) -> None:
    with database.read() as session:
        for wrong in (spec(template=""), spec(template_name="a")):
            with pytest.raises(CampaignError, match="template"):
                templates.pin(session, wrong)


def test_missing_values_refuse_the_row_or_get_their_stand_in(database: Database) -> None:
    rows = b'{"to": "+33639980000"}\n{"to": "+33639980001", "name": "Ann"}\n'
    for missing, texts in ((None, ["Hi Ann"]), ("you", ["Hi you", "Hi Ann"])):
        campaign_id = draft(database, missing=missing)
        importer(database).run(campaign_id, io.BytesIO(rows))
        assert [message.text for message in messages_of(database, campaign_id)] == texts


# --- suppressions ----------------------------------------------------------------------------------------------------


def test_suppressions_are_listed_in_pages_and_lifted(database: Database) -> None:
    numbers = [f"+33639980{n:03}" for n in range(5)]
    with database.write() as session:
        add_suppressions(session, numbers, "", "list", NOW)
        add_suppressions(session, numbers[:2], "Shop", "list", NOW)
        add_suppressions(session, numbers[:2], "Shop", "again", NOW)
        page = list_suppressions(session, 3)
        rest = list_suppressions(session, 10, after=(page[-1].msisdn, page[-1].sender))
        assert [(row.msisdn[-1], row.sender) for row in (*page, *rest)] == [
            ("0", ""), ("0", "Shop"), ("1", ""), ("1", "Shop"), ("2", ""), ("3", ""), ("4", ""),
        ]  # fmt: skip
        assert remove_suppressions(session, numbers, no_key, "Shop") == 2
        assert remove_suppressions(session, numbers[:1], no_key) == 1
        assert sorted(opted_out(session, {"", "Shop"})) == [int(number[1:]) for number in numbers[1:]]


def test_a_campaign_needs_accounts_that_exist() -> None:
    from producer import campaigns

    with pytest.raises(CampaignError, match="unknown account"):
        campaigns.check_spec(spec(routing={"failover": ["nobody"]}), ACCOUNTS, PROVIDERS)
    with pytest.raises(CampaignError, match="region"):
        campaigns.check_spec(spec(region="XX"), ACCOUNTS, PROVIDERS)


def test_rules_failover_and_senders_decide_what_is_stored(database: Database) -> None:
    routing = {
        "rules": [{"countries": ["US"], "accounts": {"cliqtel": 1}}],
        "senders": {"cliqtel": "+12025550199"},
        "deny": ["IE"],
    }
    campaign_id = draft(database, template="Hi", routing=routing)
    rows = b"phone\n+447700900123\n+12025550123\n+353209151234\n"
    importer(database).run(campaign_id, io.BytesIO(rows))
    found = {(message.msisdn, message.account, message.sender) for message in messages_of(database, campaign_id)}
    assert found == {("+447700900123", "qikli", "MyStore"), ("+12025550123", "cliqtel", "+12025550199")}
    assert campaign_of(database, campaign_id).route == {"qikli": 1, "cliqtel": 0}
