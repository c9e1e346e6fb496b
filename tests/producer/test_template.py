"""Templates: what they can say, what they refuse, and that the fast form says what Liquid says."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.template import MAX_OUTPUT, MissingVariable, RenderError, Template, TemplateError
from producer.template_engine import MAX_ROUNDS
from producer.template_filters import FILTERS, MAX_VALUE

RENDERED = [
    ("Hi {{ name }}!", "Hi Ann!"),
    ("{{name}}{{  name\t}}", "AnnAnn"),
    ("100 % {{ name }} }} %}", "100 % Ann }} %}"),
    ("{{- name -}} x", "Annx"),
    ("{{ nick | default: 'friend' }}", "friend"),
    ("{{ empty | default: 'friend' }}", "friend"),
    ("{{ name | append: '!' }}", "Ann!"),
    ("{{ name | prepend: 'Ms ' }}", "Ms Ann"),
    ("{{ 4.6 | ceil }}", "5"),
    ("{{ 4.6 | floor }}", "4"),
    ("{{ 4.5612 | round: 2 }}", "4.56"),
    ("{{ 10 | divided_by: 3 }}", "3"),
    ("{{ 4 | minus: 2 }}", "2"),
    ("{{ 3 | modulo: 2 }}", "1"),
    ("{{ '1' | plus: '1' }}", "2"),
    ("{{ qty | times: 4 }}", "12"),
    ("{{ name | upcase }}{{ name | downcase }}", "ANNann"),
    ("{{ '<' | escape }}", "&lt;"),
    ("{{ 'a b' | url_encode }}", "a+b"),
    ("{{ ' x ' | strip }}{{ ' x' | lstrip }}{{ 'x ' | rstrip }}", "xxx"),
    ("{{ 'hello' | slice: -3, 3 }}", "llo"),
    ("{{ mobile | slice: -10, 10 }}", "7700900123"),
    ("{{ 'a~b' | split: '~' | first }}", "a"),
    ("{{ 'a~b' | split: '~' | size }}", "2"),
    ("{{ day | date_format: 'd/m/Y' }}", "04/03/2026"),
    ("{{ moment | date_format: 'D j F y, g:i a' }}", "Wed 4 March 26, 3:06 pm"),
    ("{% if vip %}VIP{% else %}you{% endif %}", "you"),
    ("{% unless vip %}x{% endunless %}", "x"),
    ("{% case name %}{% when 'Ann' %}A{% else %}B{% endcase %}", "A"),
    ("{% assign all = list | split: ',' %}{% for x in all %}{{ forloop.index }}{{ x }} {% endfor %}", "1a 2b 3c "),
    ("{% for i in (1..qty) reversed %}{{ i }}{% unless forloop.last %}-{% endunless %}{% endfor %}", "3-2-1"),
    ("{% for i in (1..9) limit: 2 offset: 3 %}{{ i }}{% endfor %}", "45"),
    (
        "{% for i in (1..9) %}{% if i == 2 %}{% continue %}{% elsif i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "13",
    ),
    ("{% for i in (1..0) %}x{% else %}none{% endfor %}", "none"),
    ("{% for i in (1..2) %}{% for j in (1..2) %}{{ i }}{{ j }} {% endfor %}{% endfor %}", "11 12 21 22 "),
    ("{% assign n = qty | times: 2 %}{{ n }}", "6"),
]
ROW = {
    "name": "Ann",
    "empty": "",
    "qty": "3",
    "mobile": "447700900123",
    "day": "2026-03-04",
    "moment": "2026-03-04 15:06:07",
    "list": "a,b,c",
}


@pytest.mark.parametrize(("source", "expected"), RENDERED)
def test_templates_render(source: str, expected: str) -> None:
    assert Template.parse(source).render(ROW) == expected


def test_every_documented_filter_is_there_and_no_other() -> None:
    documented = (
        "append ceil date_format default divided_by downcase escape first floor lstrip minus modulo plus prepend "
        "round rstrip size slice split strip times upcase url_encode"
    )
    assert list(FILTERS) == documented.split()


REFUSED = [
    ("{{", 1, 1),
    ("Hi {{ name", 1, 4),
    ("line\n {{ a {{ b }}", 2, 2),
    ("{{ a b }}", 1, 6),
    ("{{{ name }}}", 1, 3),
    ("{{ }}", 1, 1),
    ("{% for i in (1..1000000000) %}x{% endfor %}", 1, 1),
    ("{% for i in (1..1000000000) reversed %}x{% endfor %}", 1, 1),
    ("{% for i in (1..5) %}x", 1, 1),
    ("{% for i %}x{% endfor %}", 1, 1),
    ("{% for i in (1..5) cols:2 sideways %}x{% endfor %}", 1, 27),
    ("{% tablerow i in (1..5) %}x{% endtablerow %}", 1, 3),
    ("{% cycle 'a', 'b' %}", 1, 3),
    ("{% increment x %}", 1, 3),
    ("{% for i in (1..1) %}" * 11 + "x" + "{% endfor %}" * 11, 1, 232),
    ("{{ 'x' | date_format: 'd' }}", 1, 1),
    ("{% capture x %}{% endcapture %}", 1, 3),
    ("{% include 'x' %}", 1, 3),
    ("{% render 'x' %}", 1, 3),
    ("{% raw %}{{ x }}{% endraw %}", 1, 3),
    ("{% liquid\nassign x = 1 %}", 1, 3),
    ("{% # remark %}", 1, 3),
    ("{% %}", 1, 3),
    ("{% if name %}x", 1, 1),
    ("{% endif %}", 1, 4),
    ("{{ name | join: ',' }}", 1, 11),
    ("{{ name | replace: 'a', 'b' }}", 1, 11),
    ("{{ 'x' | times }}", 1, 10),
    ("{{ 'x' | append: 'a', 'b' }}", 1, 10),
    ("{% if a %}{{ 'x' | sort }}{% endif %}", 1, 20),
    ("{{ [jump].name }}", 1, 4),
    ("x" * 5_001, 1, 1),
    ("{{ " + "a" * 600 + " }}", 1, 1),
]


@pytest.mark.parametrize(("source", "line", "column"), REFUSED)
def test_a_refusal_says_where_and_what_to_do(source: str, line: int, column: int) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse(source)
    assert caught.value.line == line
    assert abs(caught.value.column - column) <= 1
    assert caught.value.hint


BOMBS = [
    "{" * 10_000,
    "{{" * 2_400,
    "{%" * 2_400,
    "{{ a " * 900,
    "{% if a %}" * 400,
    "{% if a %}" * 400 + "{% endif %}" * 100,
    "{% if " + "a and " * 80 + "a %}x{% endif %}",
    "{{ a" + " | upcase" * 50 + " }}" * 2,
    "{{ '" + "x" * 480 + "' }}",
    "{{ 9" + " | times: 999999999" * 20 + " }}",
    "{{ a" + " | append: a" * 38 + " }}",
    "{{ a | split: '' | first }}",
    "{{ 2 | round: 999999999999 }}",
    "{{ a | slice: 0, 999999999999999999999 }}",
    "{{ (1..100000000) }}",
    "{{ 1e999 }}",
    "{{ a.a.a.a.a.a" + ".a" * 200 + " }}",
    "{% for i in (1..100) %}" + ("{{ a" + " | upcase" * 50 + " | slice: 0, 0 }}") * 9 + "{% endfor %}",
    "{% for i in (1..100) %}" + "{{ b }}" * 690 + "{% endfor %}",
    "{% for i in (1..100) %}" + "{% if b %}{% endif %}" * 230 + "{% endfor %}",
    "{% assign x = a %}" + "{% assign x = x | append: x %}" * 100,
    "".join(f"{{% assign x{i} = a %}}" for i in range(200)),
]


@pytest.mark.parametrize("source", BOMBS)
def test_a_bomb_costs_neither_time_nor_memory(source: str) -> None:
    started = time.perf_counter()
    try:
        text = Template.parse(source).render({"a": "x" * MAX_VALUE})
    except (TemplateError, RenderError):
        text = ""
    assert time.perf_counter() - started < 1.0
    assert len(text) <= MAX_OUTPUT


OVER_A_LIMIT = [
    ("{% for i in (1..n) %}x{% endfor %}", "go round"),
    ("{% for i in (1..n) reversed %}x{% endfor %}", "go round"),
    ("{% for i in (1..20) %}{% for j in (1..n) %}x{% endfor %}{% endfor %}", "go round"),
    ("{% for i in (1..60) %}{{ n }}{% endfor %}{% for i in (1..60) %}{{ n }}{% endfor %}", "go round"),
    ("{% for i in (1..90) limit: 1 %}{% for j in (1..50) %}{% endfor %}{% for j in (1..50) %}{{ n }}{% endfor %}"
     "{% endfor %}", "go round"),
    ("{% for i in (1..50) %}{{ long }}{% endfor %}{{ n }}", "the text is longer"),
    ("".join(f"{{% assign x{i} = long %}}" for i in range(60)) + "{{ n }}", "what is assigned"),
    ("{% assign x = 'ab' %}{% for i in (1..50) %}{% assign x = x | append: x %}{% endfor %}{{ n }}", "append"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "reason"), OVER_A_LIMIT)
def test_a_text_over_a_limit_is_a_row_error_with_a_clear_reason(source: str, reason: str) -> None:
    template = Template.parse(source)
    with pytest.raises(RenderError, match=reason):
        template.render({"n": "1000000000", "long": "x" * MAX_VALUE})


NEGATIVE = [
    "{% for i in (1..5) limit: n %}{{ i }}{% endfor %}z",
    "{% for i in (1..5) offset: n %}{{ i }}{% endfor %}z",
    "{% for i in (1..5) limit: 3 offset: n %}{{ i }}{% endfor %}z",
    "{% for i in (1..5) reversed limit: n %}{{ i }}{% endfor %}z",
    "{% assign m = n | times: 1 %}{% for i in (1..5) limit: m %}{{ i }}{% endfor %}z",
]


@pytest.mark.parametrize("source", NEGATIVE)
def test_a_negative_bound_of_a_loop_costs_its_row_and_no_other(source: str) -> None:
    template = Template.parse(source)
    for n in ("-1", "-99999999999999999999"):
        with pytest.raises(RenderError):
            template.render({"n": n})
    with pytest.raises(RenderError, match="limit and offset of a loop must not be negative"):
        template.render({"n": "-2"})
    assert template.render({"n": "2"}).endswith("z")


@pytest.mark.parametrize("bound", ["limit:-1", "limit: '-1'", "offset: -7", "limit: 2 offset:-1"])
@pytest.mark.parametrize("more", ["", "{{ name }}"])
def test_a_constant_that_no_loop_can_have_is_a_fault_of_the_template(bound: str, more: str) -> None:
    with pytest.raises(TemplateError, match=r"must not be negative.*write 0 or more") as caught:
        Template.parse(f"{more}Hello\n{{% for i in (1..5) {bound} %}}{{{{ i }}}}{{% endfor %}}z")
    assert caught.value.line == 2


def test_loops_up_to_the_limit_are_rendered() -> None:
    template = Template.parse("{% for i in (1..n) %}x{% endfor %}")
    assert template.render({"n": str(MAX_ROUNDS)}) == "x" * MAX_ROUNDS
    with pytest.raises(RenderError):
        template.render({"n": str(MAX_ROUNDS + 1)})


def test_what_a_template_assigns_or_loops_over_is_no_column() -> None:
    template = Template.parse(
        "{% assign all = list | split: ',' %}{% for x in all %}{{ x }}{% endfor %}{{ all }}{{ b }}"
    )
    assert template.variables == ("list", "b")
    assert template.required == ("b",)


def test_a_missing_variable_is_an_error_that_names_it() -> None:
    looped = "{% assign all = order | split: ',' %}{% for x in order %}{{ x }}{% endfor %}"
    for source in ("{{ order }}", "{{ order | upcase }}", "{{ order | append: 'x' }}", "{{ now }}", looped):
        with pytest.raises(MissingVariable) as caught:
            Template.parse(source).render(ROW)
        assert caught.value.name in source


def test_a_missing_variable_may_have_a_default_by_choice() -> None:
    for source in ("Hi {{ order }}", "Hi {{ order | upcase }}"):
        assert Template.parse(source, missing="").render(ROW) == "Hi "
    assert Template.parse("{{ name }} {{ order }}", missing="-").render(ROW) == "Ann -"


def test_variables_and_what_cannot_be_done_without() -> None:
    template = Template.parse("{{ a }} {{ b | default: 'x' }} {% if c %}{{ d }}{% endif %} {{ e | upcase }}")
    assert set(template.variables) == {"a", "b", "c", "d", "e"}
    assert template.required == ("a", "e")
    assert Template.parse("{{ a }}", missing="").required == ()
    assert Template.parse("Hello").is_constant
    assert not template.is_constant


@pytest.mark.parametrize("source", ["{{ a }}", "{{ a | upcase }}", "{{ a }}{{ a }}{{ a }}"])
def test_too_long_a_value_or_text_is_a_row_error(source: str) -> None:
    with pytest.raises(RenderError):
        Template.parse(source).render({"a": "x" * (MAX_VALUE + 1)})
    assert Template.parse(source).render({"a": "x"})


def test_an_error_holds_no_value_of_the_row() -> None:
    with pytest.raises(RenderError) as caught:
        Template.parse("{{ name | date_format: 'd' }}").render({"name": "secret"})
    assert "secret" not in str(caught.value)


PIECES = st.lists(
    st.sampled_from(["{{ name }}", "{{order}}", "{{ city\n}}", "{{ x1 }}", "{{ missing }}"])
    | st.text(st.characters(exclude_characters="{", exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["%", "%s", "%(name)s", "{ ", "}}", "\n\n", "%%"]),
    max_size=8,
)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=300, deadline=None)
@given(PIECES, st.fixed_dictionaries(dict.fromkeys(("name", "order", "city", "x1"), VALUES)))
def test_the_fast_form_says_what_liquid_says(pieces: list[str], row: dict[str, str]) -> None:
    template = Template.parse("".join(pieces))
    assert template._format is not None
    try:
        slow = template._render_liquid(row)
    except MissingVariable as error:
        with pytest.raises(MissingVariable, match=error.name):
            template.render(row)
    else:
        assert template.render(row) == slow


TOKENS = [
    "{{",
    "}}",
    "{%",
    "%}",
    " ",
    "a",
    "|",
    "if",
    "endif",
    "for",
    "in",
    "endfor",
    "(1..9)",
    "assign",
    "=",
    "'",
    "upcase",
    ":",
    "\n",
    "-",
    ".",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=30).map("".join))
def test_no_source_raises_anything_but_its_own_error(source: str) -> None:
    with suppress(TemplateError, RenderError):
        assert isinstance(Template.parse(source).render({"a": "x"}), str)
