"""Previews: what an import would do, with figures, and nothing stored."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from config.prices import Price, Prices
from models.database import Database
from models.tables import Batch, Campaign, Message, Reject
from producer.audience import RejectCode
from producer.preview import Preview, Previewer, costly, median_of
from producer.suppressions import add_suppressions
from tests.producer.plan_support import ACCOUNTS, NOW, PROVIDERS, draft, importer, messages_of, people, spec

EURO = Prices({"": {"FR": Price(Decimal("0.1"), "EUR")}, "quicksms": {"FR": Price(Decimal("0.2"), "USD")}})
FILE = (
    "phone,name,city\n+33639980000,Ann,Lyon\n+33639980000,Ann,Lyon\n+33639980001,Bo,Lyon\nnobody,X,Y\n"
    "+33639980002,Zoë 🎉,Lyon\n+447700900123,Cy,Leeds\n"
).encode()


def preview(database: Database, data: bytes = FILE, rows: tuple[int, ...] = (), **changes: Any) -> Preview:
    previewer = Previewer(database, ACCOUNTS, PROVIDERS, EURO)
    return previewer.run(spec(**changes), io.BytesIO(data), rows=rows)


def test_a_preview_counts_by_reason_and_stores_nothing(database: Database) -> None:
    with database.write() as session:
        add_suppressions(session, ["+33639980001"], "", "test", NOW)
    found = preview(database)
    assert (found.valid, found.invalid, found.duplicate, found.suppressed) == (3, 1, 1, 1)
    assert found.reasons == {RejectCode.DUPLICATE: 1, RejectCode.SUPPRESSED: 1, RejectCode.NUMBER_LETTERS: 1}
    assert found.encodings == {"GSM7": 2, "UCS2": 1}
    with database.read() as session:
        for table in (Campaign, Batch, Message, Reject):
            assert session.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_a_preview_and_the_import_come_to_the_same(database: Database) -> None:
    route = {"qikli": 2, "quicksms": 1}
    found = preview(database, people(50), route=route, rows=tuple(range(60)))
    campaign_id = draft(database, route=route)
    importer(database).run(campaign_id, io.BytesIO(people(50)))
    stored = [(m.row_no, m.msisdn, m.account, m.text, m.segments) for m in messages_of(database, campaign_id)]
    assert [(row.row_no, row.msisdn, row.account, row.text, row.segments) for row in found.rows] == stored


LONG = "ж" * 700  # eleven parts


def test_a_text_of_more_than_ten_parts_is_refused_with_what_to_do(database: Database) -> None:
    found = preview(database, people(1), template=LONG, route={"qikli": 1})
    assert found.reasons == {RejectCode.TEXT_TOO_LONG: 1}
    [rejected] = found.rejected
    assert rejected.reason == "the text needs 11 parts, the campaign allows 10: shorten it, or raise max_parts"


@pytest.mark.parametrize(("most", "parts"), [(11, [11]), (10, []), (25, [11]), (1, [])])
def test_how_long_a_text_may_be_is_the_campaigns_to_say(database: Database, most: int, parts: list[int]) -> None:
    wanted: dict[str, Any] = {"template": LONG, "route": {"qikli": 1}, "max_parts": most}
    assert [row.segments for row in preview(database, people(1), rows=(2,), **wanted).rows] == parts
    campaign_id = draft(database, **wanted)
    importer(database).run(campaign_id, io.BytesIO(people(1)))
    assert [message.segments for message in messages_of(database, campaign_id)] == parts


def test_what_the_provider_takes_at_most_is_not_overruled(database: Database) -> None:
    found = preview(database, people(1), template="ж" * 1800, route={"qikli": 1}, max_parts=255)
    assert found.reasons == {RejectCode.PROVIDER_RULE: 1}


def test_the_row_that_was_asked_for_is_shown(database: Database) -> None:
    found = Previewer(database, ACCOUNTS, PROVIDERS).run(spec(), io.BytesIO(people(500)), rows=[400], shown=1)
    assert [(row.row_no, row.text) for row in found.rows] == [(2, "Hi P0"), (400, "Hi P398")]


def test_cost_is_parts_times_price_by_country_and_currency(database: Database) -> None:
    found = preview(database, people(4), route={"qikli": 1, "quicksms": 1})
    assert found.cost == {"EUR": Decimal("0.2"), "USD": Decimal("0.4")}
    assert preview(database).unpriced == 1  # the British one
    (france, britain) = preview(database).countries
    assert (france.country, france.messages, france.parts, france.cost) == ("FR", 3, 3, {"EUR": Decimal("0.3")})
    assert (britain.country, britain.cost, britain.unpriced) == ("GB", {}, 1)


def test_the_slowest_account_says_how_long_it_takes(database: Database) -> None:
    found = preview(database, people(400), route={"cliqtel": 1}, sender="+12025550199")
    assert found.seconds == pytest.approx(400.0)  # one message a second
    assert preview(database, people(400), route={"quicksms": 1}, max_rate=2.0).seconds == pytest.approx(200.0)


def test_one_emoji_that_makes_three_parts_of_one_is_said(database: Database) -> None:
    rows = f"phone,name\n+33639980000,{'a' * 150}🎉\n".encode()
    found = preview(database, rows)
    assert found.segments == {3: 1}
    assert dict(found.warnings) == {"U+1F389 PARTY POPPER makes it 3 parts instead of 1": 1}


def test_transliteration_saves_the_parts_that_typographic_quotes_cost(database: Database) -> None:
    rows = f"phone,name\n+33639980000,“{'a' * 100}”\n".encode()
    assert preview(database, rows).parts == 2
    assert preview(database, rows, gsm7_only=True).parts == 1


def test_a_sender_that_the_destination_rewrites_is_said(database: Database) -> None:
    found = preview(database, b"phone,name\n+12025550123,Ann\n", route={"qikberry": 1})
    assert any("sender" in warning.lower() for warning in found.warnings)


def test_columns_that_nothing_uses_and_defaults_that_always_hold_are_said(database: Database) -> None:
    found = preview(database, template="Hi {{ name }} {{ title | default: 'friend' }}")
    assert list(found.notes) == [
        "columns that the template does not use: city",
        "variables without a column, so always their default: title",
    ]


def test_a_large_file_is_checked_against_the_whole_list_of_opt_outs(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.preview.LOOK_UP_BELOW", 0)
    with database.write() as session:
        add_suppressions(session, ["+33639980001"], "MyStore", "test", NOW)
    assert preview(database).suppressed == 1


def test_figures_for_programs_are_plain_values(database: Database) -> None:
    found = preview(database).as_dict()
    assert found["segments"] == {"min": 1, "median": 1.0, "max": 1, "total": 4, "messages_by_segments": {"1": 4}}
    assert found["counts"]["by_reason"] == {"duplicate": 1, "number_letters": 1}


@given(st.dictionaries(st.integers(1, 9), st.integers(1, 5), min_size=1))
def test_the_median_of_frequencies_is_that_of_the_values(distribution: dict[int, int]) -> None:
    from statistics import median

    assert median_of(distribution) == median([value for value, n in distribution.items() for _ in range(n)])


def test_nothing_is_costly_that_needs_no_more_parts() -> None:
    assert costly("Hi Zoë 🎉") == []
    assert costly("") == []
