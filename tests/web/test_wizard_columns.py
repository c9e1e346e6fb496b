"""What a first look at a file finds, and what its columns are taken for."""

from __future__ import annotations

import io

import pytest

from producer.readers import Hint, Row, open_table
from producer.web.wizard import columns
from producer.web.wizard.columns import Choice, Use, choices_of, fields_of, guess, mapped, numbers, variable_name
from producer.web.wizard.recipients import as_file
from producer.web.wizard.sample import Sample, look, sample_of


def seen(text: str, **hint: str) -> Sample:
    return look(io.BytesIO(text.encode()), Hint(**hint))  # type: ignore[arg-type]  # each test names its own fields


def words(choices: list[Choice]) -> list[str]:
    return [choice.variable or str(choice.use) for choice in choices]


GUESSES: list[tuple[str, str | None, list[str]]] = [
    ("phone,name\n+447700900123,Ann\n", None, ["number", "name"]),
    ("Kunde;Handy;Ref;Zeit\nA;+4917139200000;r;x\n", None, ["kunde", "number", "reference", "zeit"]),
    ("a,b\nx,+447700900123\ny,+447700900124\n", None, ["a", "number"]),
    ("a,b\nx,07700900123\n", "GB", ["a", "number"]),
    ("a,b\nx,07700900123\n", None, ["a", "b"]),
    ("phone,First Name,first-name,2nd,\u00e9\u00e8,for,TZ\n1,2,3,4,5,6,7\n", None,
     ["number", "first_name", "first_name_2", "n2nd", "\u00e9\u00e8", "for_value", "zone"]),
    ("phone,,!!\n1,2,3\n", None, ["number", "column_2", "column_3"]),
    ("+447700900123,Ann\n+447700900124,Bo\n", None, ["number", "column_2"]),
    ('{"to": "+447700900123", "n": 1}\n{"to": "+447700900124", "m": 2}\n', None, ["number", "n", "m"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "region", "expected"), GUESSES, ids=[text.split("\n")[0] for text, _, _ in GUESSES])
def test_columns_are_guessed_by_name_and_by_what_stands_in_them(
    text: str, region: str | None, expected: list[str]
) -> None:
    assert words(guess(seen(text), region)) == expected


@pytest.mark.parametrize(("text", "region", "expected"), GUESSES, ids=[text.split("\n")[0] for text, _, _ in GUESSES])
def test_a_guess_is_a_form_without_faults_as_soon_as_it_has_a_number(
    text: str, region: str | None, expected: list[str]
) -> None:
    sample = seen(text)
    choices = guess(sample, region)
    fields = fields_of(choices, region or "")
    assert choices_of(fields, sample) == choices
    assert bool(columns.faults(choices, fields)) is ("number" not in expected)


@pytest.mark.parametrize("name", ["empty", "now", "reference", "2x", "", "First Name", "{{ x }}", "for", "a" * 300])
def test_every_name_becomes_a_variable_that_a_text_can_use(name: str) -> None:
    assert columns.is_variable(variable_name(name, 0))


@pytest.mark.parametrize("text", [text for text, _, _ in GUESSES])
def test_a_look_survives_being_stored(text: str) -> None:
    sample = seen(text)
    again = sample_of(sample.as_json())
    assert again is not None
    assert again.as_json() == sample.as_json()


def rows(text: str, sample: Sample, choices: list[Choice]) -> list[Row]:
    return list(open_table(io.BytesIO(text.encode()), mapped(Hint(), sample, choices)).rows)


def test_a_mapping_names_the_columns_of_a_table_by_their_place() -> None:
    text = "name,name,x\nAnn,Smith,+447700900123\n"
    sample = seen(text)
    choices = [Choice(Use.VARIABLE, "first"), Choice(Use.IGNORED), Choice(Use.NUMBER)]
    table = open_table(io.BytesIO(text.encode()), mapped(Hint(), sample, choices))
    assert (table.header, table.number) == (("first", "", "phone"), "phone")


def test_a_mapping_names_the_keys_of_each_row_and_drops_the_others() -> None:
    text = '{"to": "+447700900123", "n": 1, "secret": "s"}\n{"n": 2, "to": "+447700900124"}\n'
    choices = [Choice(Use.NUMBER), Choice(Use.VARIABLE, "count"), Choice(Use.IGNORED)]
    found = [row.cells for row in rows(text, seen(text), choices)]
    assert found == [{"phone": "+447700900123", "count": "1"}, {"count": "2", "phone": "+447700900124"}]


@pytest.mark.parametrize("start", ["", "sep=;\n", "\n\n"])
def test_a_table_without_names_keeps_its_first_row(start: str) -> None:
    text = start + "+447700900123;Ann\n+447700900124;Bo\n"
    sample = seen(text)
    assert sample.headless
    assert [row.cells for row in sample.rows] == [["+447700900123", "Ann"], ["+447700900124", "Bo"]]
    found = rows(text, sample, [Choice(Use.NUMBER), Choice(Use.VARIABLE, "name")])
    assert [row.cells for row in found] == [["+447700900123", "Ann"], ["+447700900124", "Bo"]]
    assert found[0].row_no == sample.rows[0].number


def test_numbers_that_cannot_be_read_are_named_with_row_and_reason() -> None:
    sample = seen("phone,n\n+447700900123,a\nhello,b\n,c\n")
    found = numbers(sample, guess(sample, None), None)
    assert (found.good, found.rows) == (1, 3)
    assert [(row, value) for row, value, _ in found.bad] == [(3, "hello"), (4, "")]
    assert all(reason for _, _, reason in found.bad)


def test_a_sample_is_bounded_whatever_the_file_holds() -> None:
    sample = seen("phone,text\n" + "".join(f"+4477009{n:05d},{'x' * 50_000}\n" for n in range(60)))
    assert 1 <= len(sample.rows) < 10
    assert sum(len(cell) for row in sample.rows for cell in row.cells) <= 200_000


@pytest.mark.parametrize(
    ("pasted", "lines"),
    [
        ("+447700900123", ["phone", "+447700900123"]),
        ("+447700900123, +447700900124;\n\n07700 900125", ["phone", "+447700900123", "+447700900124", "07700 900125"]),
        ("Phone\tName\n1\tA", ["Phone\tName", "1\tA"]),
    ],
)
def test_pasted_numbers_become_a_file(pasted: str, lines: list[str]) -> None:
    assert as_file(pasted).decode().splitlines() == lines
