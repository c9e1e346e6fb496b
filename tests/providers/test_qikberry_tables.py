"""Qikberry: every code, every name, every country."""

from __future__ import annotations

import pytest

from models.states import MessageState as S
from providers.qikberry_codes import ALIASES, AMBIGUOUS, BY_CODE, BY_NAME, failure_of, read_word
from providers.qikberry_senders import COUNTRIES, sender_warning

# --- tables ----------------------------------------------------------------------------------------------------------


def test_every_documented_code_is_there_and_779_is_not() -> None:
    expected = {
        *range(22),
        34,
        45,
        99,
        *range(400, 409),
        *range(430, 434),
        *range(450, 464),
        777,
        778,
        *range(780, 793),
    }
    assert {int(code) for code in BY_CODE} == expected
    assert len(BY_CODE) == 67


@pytest.mark.parametrize("code", BY_CODE)
def test_every_code_is_known_by_its_number_and_by_its_name(code: str) -> None:
    word = BY_CODE[code]
    assert read_word(word.name, code) == word
    assert read_word(code) == word
    assert read_word(word.name.lower().replace("-", "_")) == AMBIGUOUS.get(word.name, word)
    failure = failure_of(word)
    assert (failure is None) == (word.state is S.DELIVERED)


def test_names_with_several_meanings_claim_only_what_all_share() -> None:
    several = {name for name in BY_NAME if sum(word.name == name for word in BY_CODE.values()) > 1}
    assert set(AMBIGUOUS) == several


def test_an_http_code_beside_a_name_is_not_taken_for_its_number() -> None:
    assert read_word("DELIVRD", 404) == BY_CODE["000"]
    assert read_word("NET-ERR", "019") == BY_CODE["019"]


def test_long_short_and_slipped_names_are_the_same_word() -> None:
    assert all(read_word(alias) == BY_NAME[name] for alias, name in ALIASES.items())
    assert read_word("EN_ROUTE") == read_word("enroute")


def test_three_words_mean_something_else_on_other_channels() -> None:
    states = [(read_word(name, channel="rcs"), read_word(name, channel="sms")) for name in ("deleted", "failed")]
    assert [(rcs and rcs.state, sms and sms.state) for rcs, sms in states] == [
        (S.EXPIRED, S.FAILED),
        (S.FAILED, S.UNDELIVERED),
    ]


def test_an_unknown_word_is_told_once_and_moves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert [read_word("TELEPORTED"), read_word("TELEPORTED"), read_word(None), read_word([1])] == [None] * 4
    assert [record.getMessage().count("TELEPORTED") for record in caplog.records] == [1]


# --- senders by country ---

WARNINGS: dict[str, tuple[str, str, str | None]] = {
    "united states": ("1202", "MyStore", "United States or Canada: delivered from a numeric sender"),
    "jamaica shares +1": ("1876", "MyStore", None),
    "puerto rico shares +1": ("1787", "MyStore", None),
    "dominica": ("1767", "MyStore", "Dominica: delivered from a numeric sender"),
    "france": ("33", "MyStore", "France: delivered from a numeric sender; 'MyStore' is replaced"),
    "russia": ("79", "MyStore", "Russia: the sender must be registered"),
    "kazakhstan shares +7": ("77", "MyStore", "Kazakhstan: the sender must be registered"),
    "china": ("86", "MyStore", "the template must be registered"),
    "ghana takes letters": ("233", "MyStore", None),
    "ghana takes only letters": ("233", "12345", "Ghana: only alphabetic senders"),
    "belgium": ("32", "MyStore", "fixed short number"),
    "uganda": ("256", "MyStore", "network MTN"),
    "afghanistan": ("93", "MyStore", "only a few networks"),
    "sri lanka": ("94", "MyStore", "international senders are refused"),
    "peru": ("51", "MyStore", "generic sender"),
    "poland": ("48", "MyStore", None),
    "germany": ("49", "MyStore", None),
    "india": ("91", "MyStore", "India: senders have six capital letters"),
    "india, right form": ("91", "MYSTOR", None),
}


@pytest.mark.parametrize("label", WARNINGS)
def test_a_sender_that_will_be_changed_is_told(label: str) -> None:
    prefix, sender, expected = WARNINGS[label]
    said = sender_warning(prefix.ljust(11, "0"), sender)
    assert said is None if expected is None else expected in (said or "")


def test_every_country_of_the_senders_table_is_there() -> None:
    named = {country.name for country in COUNTRIES.values() if country.name}
    assert len(named) == 68  # the document names 70: the United States and Canada share +1, India has its own rule
    assert sender_warning("910000000000", "MYSTOR", promotional=True) is not None
    assert sender_warning("910000000000", "777777", promotional=True) is None
