"""The JSON reader refuses to guess, and expansion is bounded."""

import gzip
import json
import re
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.bodies import (
    MAX_DEPTH,
    BadBody,
    BadCoding,
    TooLarge,
    expand,
    parse_json,
    rows_before_break,
    without_trailing_commas,
)

REFUSED = {
    "nothing": (b"", "empty body"),
    "only a mark and spaces": (b"\xef\xbb\xbf  \n", "empty body"),
    "not UTF-8": (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8 at byte 0"),
    "HTML": (b"<!DOCTYPE html><html></html>", "HTML or XML instead of JSON"),
    "plain words": (b"Service Unavailable", "not JSON: Expecting value at character 0"),
    "cut in an object": (b'{"a": 1', "truncated JSON after 7 characters"),
    "cut in a word": (b'{"a": "hel', "truncated JSON after 10 characters"),
    "two values": (b"{} {}", "not JSON: Extra data at character 3"),
    "a key twice": (b'{"id": 1, "id": 2}', "a key is given twice"),
    "a key twice, without spaces": (b'{"id":1,"id":2}', "a key is given twice"),
    "a key twice with one value, without spaces": (b'[{"a":1,"a":1}]', "a key is given twice"),
    "a key twice, deep inside": (b'[{"a": {"id": 1, "id": 1}}]', "a key is given twice"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "infinity": (b"[-Infinity]", "-Infinity is not JSON"),
    "a number out of range": (b"[1e999]", "a number is out of range"),
    "a number of 5,000 digits": (b"1" * 5000, "a number has too many digits"),
    "one level too many": (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper than 64 levels"),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 64 levels"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_body_that_cannot_be_trusted_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadBody, match=reason):
        parse_json(body)


ROWS = re.compile(r'\s*\{"rows":\s*\[\s*')
BEFORE = {
    "cut behind a row": (b'{"rows": [{"a": 1}', [{"a": 1}]),
    "cut behind a comma": (b'{"rows": [{"a": 1},', [{"a": 1}]),
    "cut within a row": (b'{"rows": [{"a": 1}, {"a": 2', [{"a": 1}]),
    "cut within a letter": ('{"rows": [{"a": 1}, {"a": "\N{EURO SIGN}'.encode()[:-1], [{"a": 1}]),
    "a byte order mark": (b'\xef\xbb\xbf{"rows": [{"a": 1}, {', [{"a": 1}]),
    "a row with a key twice": (b'{"rows": [{"a": 1}, {"a": 2, "a": 3}, {"a": 4}]}', [{"a": 1}]),
    "a row too deep": (b'{"rows": [{"a": 1}, {"a": ' + b"[" * 70 + b"]" * 70 + b"}]}", [{"a": 1}]),
    "100,000 levels": (b'{"rows": [{"a": 1}, {"a": ' + b"[" * 100_000, [{"a": 1}]),
    "something that is no row": (b'{"rows": [{"a": 1}, 7, {"a": 2}', [{"a": 1}]),
    "half an emoji": (rb'{"rows": [{"a": "\ud83d"}, {', [{"a": "?"}]),
    "no rows": (b'{"error": [{"a": 1}', []),
    "HTML": (b"<html>", []),
    "nothing": (b"", []),
}


@pytest.mark.parametrize(("body", "rows"), BEFORE.values(), ids=BEFORE)
def test_rows_before_a_break_are_read_and_no_other(body: bytes, rows: list[object]) -> None:
    assert rows_before_break(body, ROWS) == rows


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers()), max_size=5), st.data())
def test_wherever_a_body_breaks_its_whole_rows_are_read(rows: list[dict[str, object]], data: st.DataObject) -> None:
    start, ends, body = b'{"rows": [', [], b""
    for row in rows:
        body += (b", " if body else b"") + json.dumps(row, ensure_ascii=False).encode()
        ends.append(len(start) + len(body))
    cut = data.draw(st.integers(0, len(start + body)))
    found = rows_before_break((start + body)[:cut], ROWS)
    assert len(found) == sum(end <= cut for end in ends)
    assert found == rows[: len(found)]


READ = {
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    "deepest": (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    "wide": (json.dumps([{"a": []}] * 100).encode(), [{"a": []}] * 100),
    "the same key in two objects": (b'[{"id": 1}, {"id": 2}]', [{"id": 1}, {"id": 2}]),
    "more digits than 64 bits have": (b'{"id":123456789012345678901}', {"id": 123456789012345678901}),
    "a brace in a text": (b'{"a":"}{"}', {"a": "}{"}),
    "nothing but null": (b"null", None),
    "half an emoji": (rb'{"text": "ok \ud83d"}', {"text": "ok ?"}),
    "a whole emoji": (rb'{"text": "ok \ud83d\ude00"}', {"text": "ok \U0001f600"}),
}


@pytest.mark.parametrize(("body", "value"), READ.values(), ids=READ)
def test_what_is_json_is_read(body: bytes, value: object) -> None:
    assert parse_json(body) == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_every_json_value_survives_with_spaces_and_without(value: object) -> None:
    for separators in (None, (",", ":")):
        written = json.dumps(value, ensure_ascii=False, separators=separators).encode("utf-8", "surrogatepass")
        read = parse_json(written)
        assert read == value
        assert json.dumps(read) == json.dumps(value)  # 1 and 1.0 and true are equal, and not the same


@given(st.binary())
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    with suppress(BadBody):
        json.dumps(parse_json(body), ensure_ascii=False).encode()


PLAIN = b"x" * 1000
EXPANDED = {
    "as it is": (PLAIN, ""),
    "identity": (PLAIN, "identity"),
    "gzip": (gzip.compress(PLAIN, mtime=0), "gzip"),
    "capitals and the old name": (gzip.compress(PLAIN, mtime=0), " X-GZIP "),
    "several members": (gzip.compress(PLAIN[:300], mtime=0) + gzip.compress(PLAIN[300:], mtime=0), "gzip"),
    "deflate": (zlib.compress(PLAIN), "deflate"),
    "raw deflate": (zlib.compress(PLAIN, wbits=-15), "deflate"),
}


@pytest.mark.parametrize(("body", "coding"), EXPANDED.values(), ids=EXPANDED)
def test_known_codings_are_expanded_up_to_the_limit_and_no_further(body: bytes, coding: str) -> None:
    assert expand(body, coding, 1000) == PLAIN
    if coding not in {"", "identity"}:
        with pytest.raises(TooLarge):
            expand(body, coding, 999)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd"])
def test_unknown_codings_are_refused(coding: str) -> None:
    with pytest.raises(BadCoding):
        expand(b"?", coding, 1000)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(body=st.binary(min_size=1, max_size=200))
def test_any_bytes_expand_within_the_limit_or_are_refused(coding: str, body: bytes) -> None:
    with suppress(BadCoding, TooLarge):
        assert len(expand(body, coding, 100)) <= 100


def test_an_empty_body_needs_no_stream() -> None:
    assert expand(b"", "gzip", 1000) == b""


# --- commas before a closing bracket ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "clean"),
    [
        (b'{"a": 1,}', b'{"a": 1}'),
        (b'{"a": [1, 2,\n ],\r\n\t}', b'{"a": [1, 2\n ]\r\n\t}'),
        (b'{"a": "x,}", "b": ",]"}', b'{"a": "x,}", "b": ",]"}'),
        (b'{"a": "\\",}", "b": "\\\\",}', b'{"a": "\\",}", "b": "\\\\"}'),
        (b"[1,,]", b"[1,]"),
        (b'{"a": "never closed,}', b'{"a": "never closed,}'),
        (b'"\\', b'"\\'),
        (b"", b""),
    ],
)
def test_only_a_comma_before_a_closing_bracket_and_outside_of_texts_goes(body: bytes, clean: bytes) -> None:
    assert without_trailing_commas(body) == clean


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_is_json_already_keeps_all_of_its_commas(value: object) -> None:
    body = json.dumps(value, indent=1).encode()
    assert without_trailing_commas(body) == body


@pytest.mark.parametrize("piece", [b'\\"', b'"', b", ", b",", b" ", b'{"a":'])
def test_a_hostile_body_costs_no_more_than_its_length(piece: bytes) -> None:
    began = time.process_time()
    without_trailing_commas(b'"' + piece * (1_000_000 // len(piece)))
    without_trailing_commas(b"," + piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 5.0, "a quadratic reading takes hours"
