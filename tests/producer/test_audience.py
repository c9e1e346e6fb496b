"""From rows to decisions: every row exactly once, the first of a number wins, and no reason without its row."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.msisdn import Msisdn, NumberFault
from producer.audience import Accepted, Audience, RejectCode, Rejected, Rules, masked, read_suppressed
from producer.audience_types import NUMBER_CODES, REJECT_TEXTS, ROW_CODES, Refusal
from producer.readers import FileError, FileFault, RowFaultCode, open_table
from producer.template import Template

HELLO = Template.parse("Hi {{ name }}")
EXAMPLES = Path(__file__).parents[2] / "examples"


def run(data: str, template: Template = HELLO, rules: Rules | None = None) -> tuple[list[Accepted], list[Rejected]]:
    chunks = list(Audience(template, rules or Rules()).chunks(open_table(io.BytesIO(data.encode()))))
    return [a for chunk in chunks for a in chunk.accepted], [r for chunk in chunks for r in chunk.rejected]


def codes(data: str, template: Template = HELLO, rules: Rules | None = None) -> list[RejectCode]:
    return [rejected.code for rejected in run(data, template, rules)[1]]


def test_an_accepted_row_has_all_that_a_message_needs() -> None:
    (accepted,), rejected = run("Phone,Name,Ref\n+447700900123,Zoë,A-1\n", Template.parse("Hi {{ name }} “x”"))
    assert isinstance(accepted.msisdn, Msisdn)
    assert tuple(accepted) == (2, "+447700900123", "Hi Zoë “x”", 1, "UCS2", "GB", "A-1", None)
    assert rejected == []


def test_a_row_whose_loop_cannot_be_costs_no_other_row() -> None:
    template = Template.parse("{% for i in (1..5) limit: n %}{{ i }}{% endfor %}z")
    accepted, (rejected,) = run(
        "phone,n\n" + "".join(f"+44770090010{row},{n}\n" for row, n in enumerate((1, 2, -1, 3))), template
    )
    assert [one.text for one in accepted] == ["1z", "12z", "123z"]
    assert (rejected.row_no, rejected.code) == (4, RejectCode.TEXT_FAILED)


def test_a_rejected_row_says_where_and_why_without_the_number() -> None:
    _, (rejected,) = run("phone,name\n4.477e11,Ann\n")
    assert (rejected.row_no, rejected.column, rejected.code) == (2, "phone", RejectCode.NUMBER_MANGLED)
    assert "spreadsheet" in rejected.reason
    assert "4.47" not in rejected.value


REJECTED = [
    ("phone,name\nO7700,Ann\n", Rules(), RejectCode.NUMBER_LETTERS),
    ("phone,name\n,Ann\n", Rules(), RejectCode.NUMBER_EMPTY),
    ("phone,name\n+447700900123\n", Rules(), RejectCode.ROW_RAGGED),
    ("phone,name\n+447700900123,Ann\n", Rules(deny=frozenset({"GB"})), RejectCode.COUNTRY_DENIED),
    ("phone,name\n+447700900123,Ann\n", Rules(allow=frozenset({"DE"})), RejectCode.COUNTRY_NOT_ALLOWED),
    ("phone,name\n+447700900123,Ann\n", Rules(suppressed={"+447700900123"}), RejectCode.SUPPRESSED),
    ("phone,name\n+447700900123,Ann\n", Rules(suppressed=lambda number: True), RejectCode.SUPPRESSED),
    ("phone,name\n+447700900123,Ann\n", Rules(strict_numbers=True), RejectCode.NUMBER_UNASSIGNED),
    ("phone,name\n+447700900123," + "x" * 1_700 + "\n", Rules(), RejectCode.TEXT_TOO_LONG),
    ("phone,name\n+447700900123," + "x" * 2_001 + "\n", Rules(), RejectCode.TEXT_FAILED),
    ("phone,name,ref\n+447700900123,Ann," + "r" * 129 + "\n", Rules(), RejectCode.REFERENCE_TOO_LONG),
    ('{"to": "+447700900123", "name": "A"}\n{"to": "+447700900124"}\n', Rules(), RejectCode.VARIABLE_MISSING),
    ('{"to": "+447700900123", "name": "A"}\n{"name": "B"}\n', Rules(), RejectCode.NUMBER_EMPTY),
    ('{"to": "+447700900123", "name": "A"}\n[]\n', Rules(), RejectCode.ROW_BAD_JSON),
]


@pytest.mark.parametrize(("data", "rules", "code"), REJECTED)
def test_each_reason(data: str, rules: Rules, code: RejectCode) -> None:
    assert codes(data, rules=rules) == [code]


def test_a_text_of_blanks_is_empty() -> None:
    assert codes("phone,name\n+447700900123,\n", Template.parse(" {{ name }} ")) == [RejectCode.TEXT_EMPTY]


def test_a_providers_rule_is_asked_last_and_named() -> None:
    asked: list[str] = []

    def check(number: Msisdn, country: str, text: str, encoding: str, segments: int) -> Refusal | None:
        asked.append(f"{country} {text} {segments}")
        return Refusal("E7", "no such sender") if number.endswith("4") else None

    accepted, (rejected,) = run("phone,name\n+447700900123,A\n+447700900124,B\n", rules=Rules(check=check))
    assert [one.row_no for one in accepted] == [2]
    assert asked == ["GB Hi A 1", "GB Hi B 1"]
    assert (rejected.code, rejected.reason) == (RejectCode.PROVIDER_RULE, "no such sender (E7)")


def test_the_first_row_of_a_number_wins_in_any_spelling() -> None:
    data = "phone,name\n+447700900123,Ann\n07700 900123,Bob\n00447700900123,Cy\n+447700900124,Di\n"
    accepted, rejected = run(data, rules=Rules(default_region="GB"))
    assert [one.text for one in accepted] == ["Hi Ann", "Hi Di"]
    assert [(one.row_no, one.code) for one in rejected] == [(3, RejectCode.DUPLICATE), (4, RejectCode.DUPLICATE)]


def test_a_rejected_row_does_not_take_the_number_from_a_good_one() -> None:
    data = "phone,name\n+447700900123," + "x" * 2_001 + "\n+447700900123,Bob\n"
    accepted, rejected = run(data)
    assert [one.row_no for one in accepted] == [3]
    assert [one.code for one in rejected] == [RejectCode.TEXT_FAILED]


def test_duplicates_are_found_across_the_files_of_one_campaign() -> None:
    audience = Audience(HELLO, Rules())
    for expected in (1, 0):
        (chunk,) = audience.chunks(open_table(io.BytesIO(b"phone,name\n+447700900123,Ann\n")))
        assert len(chunk.accepted) == expected
    assert (audience.accepted, audience.counts) == (1, Counter({RejectCode.DUPLICATE: 1}))


def test_a_column_that_the_template_needs_is_missed_before_the_first_row() -> None:
    with pytest.raises(FileError, match="the template uses order, the file has 'phone', 'name'") as caught:
        run("phone,name\n+447700900123,Ann\n", Template.parse("{{ order }}"))
    assert caught.value.fault is FileFault.UNKNOWN_COLUMN
    assert run("phone,name\n+447700900123,Ann\n", Template.parse("{{ order | default: 'x' }}"))[0][0].text == "x"
    assert run("phone,name\n+447700900123,Ann\n", Template.parse("-{{ order }}", missing=""))[0][0].text == "-"


def test_a_variable_of_two_columns_is_refused_and_others_may_be_double() -> None:
    with pytest.raises(FileError, match="columns 2, 3 have this name"):
        run("phone,Name,NAME\n+447700900123,Ann,Bo\n")
    assert len(run("phone,name,x,x\n+447700900123,Ann,1,2\n")[0]) == 1


def test_gsm7_by_choice() -> None:
    data = "phone,name\n+447700900123,“Ann”\n"
    assert [one.encoding for one in run(data)[0]] == ["UCS2"]
    assert [(one.encoding, one.text) for one in run(data, rules=Rules(gsm7_only=True))[0]] == [("GSM7", 'Hi "Ann"')]


def test_chunks_have_the_size_asked_for_and_keep_the_order() -> None:
    data = "phone,name\n" + "".join(f"+4477009{n:05},A\nx,B\n" for n in range(60))
    chunks = list(Audience(HELLO, Rules()).chunks(open_table(io.BytesIO(data.encode())), size=50))
    assert [len(chunk) for chunk in chunks] == [50, 50, 20]
    assert [one.row_no for chunk in chunks for one in chunk.accepted] == list(range(2, 122, 2))


def test_every_code_has_its_text_and_every_fault_its_code() -> None:
    assert set(REJECT_TEXTS) == set(RejectCode)
    assert set(NUMBER_CODES) == set(NumberFault)
    assert set(ROW_CODES) == set(RowFaultCode)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("+447700900123", "+••••••••••23"), ("call me", "call me"), ("12", "12"), ("x" * 100, "x" * 60 + "…")],
)
def test_shown_values_are_masked_and_capped(value: str, shown: str) -> None:
    assert masked(value) == shown


def test_an_opt_out_list_has_remarks_and_its_bad_lines_are_named() -> None:
    found, bad = read_suppressed(["# opted out", "+447700900123  # in May", "", "07700 900124", "rubbish"], "GB")
    assert found == {"+447700900123", "+447700900124"}
    assert bad == [5]


NUMBERS = [f"+4477009001{n:02}" for n in range(6)] + ["07700900101", "447700900102", "x", "", "4.4e11", "+1"]
LINES = st.lists(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(["Ann", "", "Zoë"])), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(LINES, st.sets(st.sampled_from(NUMBERS[:6])), st.integers(1, 7))
def test_every_row_ends_exactly_once_and_no_good_one_is_lost(
    lines: list[tuple[str, str]], suppressed: set[str], size: int
) -> None:
    data = "phone,name\n" + "".join(f"{number},{name}\n" for number, name in lines)
    audience = Audience(HELLO, Rules(default_region="GB", suppressed=suppressed))
    chunks = list(audience.chunks(open_table(io.BytesIO(data.encode())), size))
    ended = [one.row_no for chunk in chunks for one in chunk.accepted]
    ended += [one.row_no for chunk in chunks for one in chunk.rejected]
    assert sorted(ended) == list(range(2, len(lines) + 2))
    assert audience.accepted + audience.counts.total() == len(lines)
    wanted = {_spelled(number) for number, _ in lines} - suppressed - {""}
    assert sorted(one.msisdn for chunk in chunks for one in chunk.accepted) == sorted(wanted)


def _spelled(number: str) -> str:
    plain = {"07700900101": "+447700900101", "447700900102": "+447700900102"}.get(number, number)
    return plain if plain.startswith("+44") else ""


def test_the_example_list_shows_every_kind_of_row() -> None:
    suppressed, bad = read_suppressed((EXAMPLES / "suppressed.txt").read_text("utf-8").splitlines())
    audience = Audience(Template.parse("Hi {{ name }}, {{ order }}"), Rules(suppressed=suppressed))
    accepted = [one for chunk in audience.chunks(open_table(EXAMPLES / "recipients.csv")) for one in chunk.accepted]
    assert len(accepted) >= 2_000
    assert len({one.country for one in accepted}) >= 8
    assert audience.counts[RejectCode.SUPPRESSED] == len(suppressed) == 15
    assert audience.counts[RejectCode.DUPLICATE] == 20
    assert audience.counts[RejectCode.NUMBER_MANGLED] == 5
    assert bad == []
    assert not [one for one in accepted if one.msisdn.endswith("9996")]
