"""Recipient files: hostile ones refused as a whole, bad rows alone, good rows never lost."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.readers import FileError, FileFault, Format, Hint, RowFaultCode, Table, open_table, read_rows

PLAIN = 'phone,name\n+447700900123,Ann\n+447700900124,"Bo\nb"\n\n+447700900125,Zoë\n'
EXPECTED = [(2, ["+447700900123", "Ann"]), (3, ["+447700900124", "Bo\nb"]), (6, ["+447700900125", "Zoë"])]


def table_of(data: bytes, **hint: object) -> Table:
    return open_table(io.BytesIO(data), Hint(**hint))  # type: ignore[arg-type]  # each test names its own fields


def rows_of(data: bytes, **hint: object) -> list[tuple[int, object]]:
    return [(row.row_no, row.fault.code if row.fault else row.cells) for row in table_of(data, **hint).rows]


def zipped(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


FORMS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "utf-8": (lambda text: text.encode(), "utf-8"),
    "bom": (lambda text: text.encode("utf-8-sig"), "utf-8-sig"),
    "utf-16 with bom": (lambda text: text.encode("utf-16"), "utf-16"),
    "utf-16 big-endian with bom": (lambda text: b"\xfe\xff" + text.encode("utf-16-be"), "utf-16"),
    "utf-16-le": (lambda text: text.encode("utf-16-le"), "utf-16-le"),
    "utf-16-be": (lambda text: text.encode("utf-16-be"), "utf-16-be"),
    "crlf": (lambda text: text.replace("\n", "\r\n").encode(), "utf-8"),
    "old mac": (lambda text: text.replace("\n", "\r").encode(), "utf-8"),
    "no line end": (lambda text: text.rstrip().encode(), "utf-8"),
    "gzip": (lambda text: gzip.compress(text.encode(), mtime=0), "utf-8"),
    "two gzip members": (
        lambda text: gzip.compress(text[:30].encode(), mtime=0) + gzip.compress(text[30:].encode(), mtime=0),
        "utf-8",
    ),
    "zip": (lambda text: zipped(("people.csv", text.encode())), "utf-8"),
    "semicolons": (lambda text: text.replace(",", ";").encode(), "utf-8"),
    "tabs": (lambda text: text.replace(",", "\t").encode(), "utf-8"),
    "bars": (lambda text: text.replace(",", "|").encode(), "utf-8"),
    "empty columns": (lambda text: text.replace("name", "name,,").encode(), "utf-8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_one_list_gives_the_same_rows_and_lines(form: str) -> None:
    encode, encoding = FORMS[form]
    table = table_of(encode(PLAIN))
    assert [(row.row_no, row.cells) for row in table.rows] == EXPECTED
    assert (table.format, table.encoding, table.number) == (Format.CSV, encoding, "phone")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp1250", "utf-16"])
def test_a_named_encoding_is_used(encoding: str) -> None:
    text = PLAIN.replace("ë", "á")
    assert rows_of(text.encode(encoding), encoding=encoding)[-1] == (6, ["+447700900125", "Zoá"])


def test_a_stream_that_cannot_seek_is_read_and_a_path_too(tmp_path: object) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for data in (PLAIN.encode(), gzip.compress(PLAIN.encode(), mtime=0), zipped(("a.csv", PLAIN.encode()))):
        assert [row.row_no for row in read_rows(Pipe(data))] == [2, 3, 6]
    path = f"{tmp_path}/people.csv"
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 (a path as text is what is tested)
        file.write(PLAIN)
    assert [row.row_no for row in read_rows(path)] == [2, 3, 6]


BAD_FILES = [
    (b"", FileFault.EMPTY),
    (b"\n \n\n", FileFault.EMPTY),
    (b"\xef\xbb\xbf", FileFault.EMPTY),
    (b"phone,name\n", FileFault.NO_ROWS),
    (b"phone,name\n\n\n", FileFault.NO_ROWS),
    (b"name,city\nAnn,Ely\n", FileFault.NO_NUMBER_COLUMN),
    (b"+447700900123,Ann\n+447700900124,Bob\n", FileFault.NO_HEADER),
    (b"447700900123\n447700900124\n", FileFault.NO_HEADER),
    (b"phone,Phone\n1,2\n", FileFault.DUPLICATE_COLUMN),
    ("phone,name\n1,José\n".encode("latin-1"), FileFault.ENCODING),
    ("phone,name\n1,Ann\n".encode("utf-16")[:-1], FileFault.ENCODING),
    (b"%PDF-1.7\n", FileFault.FORMAT),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), FileFault.FORMAT),
    (b"\xd0\xcf\x11\xe0" + bytes(100), FileFault.FORMAT),
    (bytes(range(1, 32)) * 50, FileFault.FORMAT),
    (b'[{"to": "+447700900123"}]', FileFault.FORMAT),
    (b"<!DOCTYPE html><html>", FileFault.FORMAT),
    (b"{broken\n{broken\n", FileFault.FORMAT),
    (b'{"name": "Ann"}\n', FileFault.NO_NUMBER_COLUMN),
    (b'"phone,name\n1,2\n', FileFault.QUOTES),
    (b"phone,name\n" + b'1,"x\n' * 1_100, FileFault.QUOTES),
    (gzip.compress(b"phone\n" + b"0" * 30_000_000, mtime=0), FileFault.TOO_LARGE),
    (zipped(("a.csv", b"phone\n" + b"0" * 30_000_000)), FileFault.TOO_LARGE),
    (zipped(("a.csv", b"phone\n1\n"), ("b.csv", b"phone\n1\n")), FileFault.FORMAT),
    (zipped(), FileFault.FORMAT),
    (gzip.compress(zipped(("a.csv", b"phone\n1\n")), mtime=0), FileFault.FORMAT),
    (zipped(("a.csv", PLAIN.encode()))[:-30], FileFault.TRUNCATED),
    (b"PK\x03\x04rubbish", FileFault.TRUNCATED),
    (b"\x1f\x8brubbish", FileFault.TRUNCATED),
]


@pytest.mark.parametrize(("data", "fault"), BAD_FILES, ids=lambda value: str(value)[:30])
def test_a_bad_file_is_refused_as_a_whole(data: bytes, fault: FileFault) -> None:
    with pytest.raises(FileError) as caught:
        rows_of(data)
    assert caught.value.fault is fault
    assert "4477" not in str(caught.value)


def test_the_error_names_what_was_found_and_what_would_do() -> None:
    with pytest.raises(FileError, match=r"'name', 'city'.*msisdn, mobile.*telephone"):
        rows_of(b"name,city\nAnn,Ely\n")
    with pytest.raises(FileError, match="row 2, column 2: not UTF-8"):
        rows_of("phone,name\n1,José\n".encode("latin-1"))
    with pytest.raises(FileError, match="no such column; found 'a', 'b'"):
        rows_of(b"a,b\n1,2\n", column="c")
    with pytest.raises(FileError, match="no encoding 'utf-99'"):
        rows_of(b"phone\n1\n", encoding="utf-99")


@pytest.mark.parametrize("cut", [1, 8, 100, 2_000])
def test_a_truncated_gzip_is_an_error_at_its_end(cut: int) -> None:
    lines = "".join(f"+447700900{n % 1000:03},x{n * 7919 % 10007}\n" for n in range(20_000))
    packed = gzip.compress(("phone,name\n" + lines).encode(), mtime=0)
    with pytest.raises(FileError) as caught:
        rows_of(packed[:-cut])
    assert caught.value.fault is FileFault.TRUNCATED


def test_a_damaged_zip_member_is_an_error_at_its_end() -> None:
    data = bytearray(zipped(("a.csv", ("phone\n" + "".join(f"{n}\n" for n in range(5_000))).encode())))
    data[2_000] ^= 0xFF
    with pytest.raises(FileError) as caught:
        rows_of(bytes(data))
    assert caught.value.fault is FileFault.TRUNCATED


BAD_ROWS = [
    (b"1,a\n2\n3,c\n", [2, RowFaultCode.RAGGED, 4]),
    (b"1,a\n2,b,c\n3,c\n", [2, RowFaultCode.RAGGED, 4]),
    (b"1,a\n2,b,,\n3,c\n", [2, 3, 4]),
    (b'1,a\n2,"b" x\n3,c\n', [2, RowFaultCode.QUOTES, 4]),
    (b'1,a\n2,"b\n3,c\n4,d\n', [2, RowFaultCode.QUOTES, 4, 5]),
    (b'1,a\n2,"b\n3,"c"\n4,d\n', [2, RowFaultCode.QUOTES, 4, 5]),
    (b'1,a\n2,5" nail\n3,c\n', [2, 3, 4]),
    (b'1,a\n2,"x\ny",z\n3,c\n', [2, RowFaultCode.RAGGED, 4, 5]),
    (b"1,a\n2," + b"x" * 1_000_000 + b"\n3,c\n", [2, RowFaultCode.FIELD_TOO_LONG, 4]),
    (b"1,a\n2," + b"x" * 3_000_000 + b"\n3,c\n", [2, RowFaultCode.FIELD_TOO_LONG, 4]),
    (b"1,a\n2," + b"x" * 3_000_000, [2, RowFaultCode.FIELD_TOO_LONG]),
    (b"1,a\n2,b\0\n3,c\n", [2, RowFaultCode.NUL, 4]),
    (b"1,Zo\xc3\xab\n2,b\xff\n3,c\n", [2, RowFaultCode.ENCODING, 4]),
    (b'1,a\n2,"' + b"x\n" * 60 + b'"\n3,c\n', [2, RowFaultCode.QUOTES, *[RowFaultCode.RAGGED] * 59]),
]


@pytest.mark.parametrize(("body", "expected"), BAD_ROWS, ids=lambda value: str(value)[:30])
def test_a_bad_row_spoils_only_itself(body: bytes, expected: list[object]) -> None:
    found = [code if isinstance(code, RowFaultCode) else row_no for row_no, code in rows_of(b"phone,name\n" + body)]
    assert found[: len(expected)] == expected


def test_a_lower_cap_on_fields_can_be_asked_for() -> None:
    body = b"phone,name\n1," + b"x" * 200 + b"\n2,b\n"
    assert rows_of(body, max_field=100)[0] == (2, RowFaultCode.FIELD_TOO_LONG)
    assert len(rows_of(body)) == 2


@pytest.mark.parametrize(
    ("header", "column"),
    [("Phone Number", None), ("MSISDN", None), ("Mobile-No", None), ("TO", None), ("handy_nummer", None), ("x", "X")],
)
def test_the_number_column_is_found_without_regard_to_case_and_blanks(header: str, column: str | None) -> None:
    assert table_of(f"name,{header}\nAnn,1\n".encode(), column=column).number == header


def test_the_surest_name_wins_and_the_named_column_wins_over_it() -> None:
    data = b"number,phone,mobile\n1,2,3\n"
    assert table_of(data).number == "mobile"
    assert table_of(data, column="number").number == "number"


def test_the_line_that_names_the_delimiter_is_no_row() -> None:
    table = table_of(b"sep=;\nphone;name\n1;a,b\n")
    assert [(row.row_no, row.cells) for row in table.rows] == [(3, ["1", "a,b"])]


def test_ndjson_rows_may_be_nested_flat_and_bad() -> None:
    data = (
        b'{broken\n{"to": "+447700900123", "variables": {"name": "Ann"}, "n": 3, "none": null}\n\n'
        b'{"to": 447700900123, "vip": true}\n[1]\n{"to": 4.477e11}\n{"to": "1", "list": []}\n'
    )
    assert rows_of(data) == [
        (1, RowFaultCode.BAD_JSON),
        (2, {"name": "Ann", "to": "+447700900123", "n": "3"}),
        (4, {"to": "447700900123", "vip": "true"}),
        (5, RowFaultCode.BAD_JSON),
        (6, {"to": "447700000000.0"}),
        (7, RowFaultCode.BAD_VALUE),
    ]


WHOLE_LINE = '{"to": "+447700900123", "variables": {"name": "Zoë \\u00e9"}, "n": [-1.5e3, true, null]}'.encode()


@pytest.mark.parametrize("cut", range(1, len(WHOLE_LINE)))
def test_ndjson_that_ends_in_a_line_is_no_whole_file(cut: int) -> None:
    with pytest.raises(FileError, match="row 2: the file ends in the middle of this line") as caught:
        rows_of('{"to": "+447700900122", "name": "Zoë"}\n'.encode() + WHOLE_LINE[:cut])
    assert caught.value.fault is FileFault.TRUNCATED


@pytest.mark.parametrize("last", [b'{"to" "x"}', b"nobody", b'{"to": "1"}}', b"[1", b'{"to": "\xff"}', b'{"to": [1]}'])
def test_a_bad_last_line_of_ndjson_without_a_line_end_harms_only_itself(last: bytes) -> None:
    good = '{"to": "+447700900122", "name": "Zoë"}\n'.encode()
    assert [isinstance(cells, dict) for _, cells in rows_of(good + last)] == [True, False]


def test_a_line_of_ndjson_that_was_never_closed_harms_only_itself_where_another_line_follows() -> None:
    good = b'{"to": "+447700900122"}\n'
    assert [isinstance(cells, dict) for _, cells in rows_of(good + b'{"to": "1\n' + good)] == [True, False, True]
    assert [isinstance(cells, dict) for _, cells in rows_of(good + b'{"to": "1\n')] == [True, False]


QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=12)
GOOD_ROW = st.tuples(st.integers(10**9, 10**11).map(str), CELL, CELL).map(list)


def written(rows: list[list[str]], delimiter: str, quoting: int) -> tuple[bytes, list[int]]:
    """A CSV file, and the line on which each row begins."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerow(["phone", "a", "b"])
    starts = []
    for row in rows:
        starts.append(out.getvalue().count("\n") + 1)
        writer.writerow(row)
    return out.getvalue().encode(), starts


@settings(max_examples=200, deadline=None)
@given(
    st.lists(GOOD_ROW, min_size=1, max_size=12),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_csv_writer_wrote_is_read_with_its_lines(rows: list[list[str]], delimiter: str, quoting: int) -> None:
    data, starts = written(rows, delimiter, quoting)
    table = table_of(data, delimiter=delimiter)
    assert [(row.row_no, row.cells, row.fault) for row in table.rows] == [
        (start, row, None) for start, row in zip(starts, rows, strict=True)
    ]


BROKEN = st.sampled_from(
    ['9,"open', "9", "9,a,b,c", '9,"a" b,c', '99999999,a,"', "9,\0,c", '9,"a""b', '""9",a,b', '99999999,a,"open']
)
SIMPLE = st.tuples(st.integers(10**9, 10**11).map(str), st.sampled_from(["Ann", "", "x y"]), st.just("z")).map(list)


@settings(max_examples=300, deadline=None)
@given(st.lists(SIMPLE | BROKEN, min_size=1, max_size=15).filter(lambda rows: isinstance(rows[-1], list)))
def test_no_good_row_is_lost_because_another_is_bad(rows: list[list[str] | str]) -> None:
    text = "phone,a,b\n" + "".join((",".join(row) if isinstance(row, list) else row) + "\n" for row in rows)
    found = {row.row_no: row for row in table_of(text.encode(), delimiter=",").rows}
    assert sorted(found) == list(range(2, len(rows) + 2))
    for row_no, row in enumerate(rows, 2):
        if isinstance(row, list):
            assert (found[row_no].cells, found[row_no].fault) == (row, None)
        else:
            assert found[row_no].fault is not None


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: ("phone,name\n" + text).encode("utf-8", "replace"))
)
def test_no_bytes_raise_anything_but_a_file_error(data: bytes) -> None:
    try:
        numbers = [row.row_no for row in read_rows(io.BytesIO(data))]
    except FileError as error:
        numbers = [1]
        assert error.text  # noqa: PT017 (either end is right, and this one must say why)
    assert numbers == sorted(set(numbers))


class Repeated(io.RawIOBase):
    """A header and then one line again and again, made as it is read."""

    HEADER, LINE = b"phone,name\n", b"+447700900123,Ann\n"

    def __init__(self, lines: int) -> None:
        self._at = 0
        self._end = len(self.HEADER) + lines * len(self.LINE)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._end - self._at)
        if self._at < len(self.HEADER):
            data = self.HEADER[self._at :][:size]
        else:
            start = (self._at - len(self.HEADER)) % len(self.LINE)
            data = (self.LINE * (size // len(self.LINE) + 2))[start : start + size]
        self._at += len(data)
        return data


def test_memory_does_not_grow_with_the_file() -> None:
    tracemalloc.start()
    stream = cast(BinaryIO, Repeated(200_000))  # all of it that is needed
    count = sum(1 for _ in read_rows(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert peak < 10_000_000
