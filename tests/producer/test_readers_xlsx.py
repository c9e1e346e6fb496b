"""Workbooks, written by hand so that they can be wrong in every way."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import pytest

from producer.readers import FileError, FileFault, Format, Hint, RowFaultCode, open_table

NS = "http://schemas.openxmlformats.org"
TYPES = (
    f'<Types xmlns="{NS}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>'
)
BOOK = (
    f'<workbook xmlns="{NS}/spreadsheetml/2006/main" xmlns:r="{NS}/officeDocument/2006/relationships"><sheets>'
    '<sheet name="Hidden" sheetId="1" state="hidden" r:id="rId1"/><sheet name="People" sheetId="2" r:id="rId2"/>'
    "</sheets></workbook>"
)


def _relations(*pairs: tuple[str, str]) -> str:
    items = "".join(
        f'<Relationship Id="rId{at}" Type="{NS}/officeDocument/2006/relationships/{kind}" Target="{target}"/>'
        for at, (kind, target) in enumerate(pairs, 1)
    )
    return f'<Relationships xmlns="{NS}/package/2006/relationships">{items}</Relationships>'


def _cell(value: object, ref: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{ref}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{ref}"><v>{value}</v></c>'
    return f'<c r="{ref}" t="inlineStr"><is><t>{value}</t></is></c>'


def _sheet(rows: Sequence[Sequence[object]], first: int, extra: str) -> str:
    body = "".join(
        f'<row r="{row_no}">' + "".join(_cell(v, f"{chr(65 + c)}{row_no}") for c, v in enumerate(row)) + "</row>"
        for row_no, row in enumerate(rows, first)
    )
    return f'<worksheet xmlns="{NS}/spreadsheetml/2006/main"><sheetData>{body}{extra}</sheetData></worksheet>'


def workbook(rows: Sequence[Sequence[object]], first: int = 1, extra: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", TYPES)
        archive.writestr("_rels/.rels", _relations(("officeDocument", "xl/workbook.xml")))
        archive.writestr("xl/workbook.xml", BOOK)
        pairs = (("worksheet", "worksheets/sheet1.xml"), ("worksheet", "worksheets/sheet2.xml"))
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(*pairs))
        archive.writestr("xl/worksheets/sheet1.xml", _sheet([["secret"]], 1, ""))
        archive.writestr("xl/worksheets/sheet2.xml", _sheet(rows, first, extra))
    return out.getvalue()


PEOPLE: list[list[object]] = [
    ["phone", "name"],
    [447700900123, "Ann"],
    [447700900124.0, 12.5],
    [None, None],
    ["+447700900125", True],
]


@pytest.mark.parametrize("first", [1, 5])
def test_cells_become_text_and_rows_keep_their_numbers(first: int) -> None:
    table = open_table(io.BytesIO(workbook(PEOPLE, first)))
    assert (table.format, table.header, table.number) == (Format.XLSX, ("phone", "name"), "phone")
    assert [(row.row_no - first, row.cells) for row in table.rows] == [
        (1, ["447700900123", "Ann"]),
        (2, ["447700900124", "12.5"]),
        (4, ["+447700900125", "true"]),
    ]


def test_a_number_that_a_float_cannot_hold_keeps_its_exponent() -> None:
    rows = list(open_table(io.BytesIO(workbook([["phone"], [1e18], [447700900123.5]]))).rows)
    assert [row.cells for row in rows] == [["1e+18"], ["447700900123.5"]]


def test_cells_behind_the_header_make_the_row_ragged() -> None:
    rows = list(open_table(io.BytesIO(workbook([["phone"], [1], [2, "x"], [3]]))).rows)
    assert [row.fault.code if row.fault else row.cells for row in rows] == [["1"], RowFaultCode.RAGGED, ["3"]]


CORNER = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
BAD = [
    (workbook(PEOPLE, extra=CORNER), FileFault.WORKBOOK),
    (workbook(PEOPLE, extra="<row r='9'><broken"), FileFault.WORKBOOK),
    (workbook([]), FileFault.EMPTY),
    (workbook([["phone"]]), FileFault.NO_ROWS),
    (workbook([["a", "b"], [1, 2]]), FileFault.NO_NUMBER_COLUMN),
    (workbook(PEOPLE)[:-40], FileFault.TRUNCATED),
    (workbook([["phone"], ["x" * 60_000_000]]), FileFault.TOO_LARGE),
]


@pytest.mark.parametrize(("data", "fault"), BAD, ids=[str(fault) + str(at) for at, (_, fault) in enumerate(BAD)])
def test_a_bad_workbook_is_an_error_and_this_process_lives(data: bytes, fault: FileFault) -> None:
    with pytest.raises(FileError) as caught:
        list(open_table(io.BytesIO(data)).rows)
    assert caught.value.fault is fault


def test_another_sheet_can_be_named_and_a_wrong_name_lists_them() -> None:
    with pytest.raises(FileError, match="'Hidden', 'People'"):
        open_table(io.BytesIO(workbook(PEOPLE)), Hint(sheet="Nope"))
    assert open_table(io.BytesIO(workbook(PEOPLE)), Hint(sheet="People")).number == "phone"


def test_text_that_is_called_a_workbook_is_refused() -> None:
    with pytest.raises(FileError, match="not an Excel workbook"):
        open_table(io.BytesIO(b"phone\n1\n"), Hint(format=Format.XLSX))
