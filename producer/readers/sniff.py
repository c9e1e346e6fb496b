"""What a file is, from its first bytes: format, encoding, delimiter. Pure functions of those bytes."""

from __future__ import annotations

import codecs
import csv
import re

from producer.readers.columns import NUMBER_NAMES, plain
from producer.readers.table import FileError, FileFault, Format

HEAD = 65_536
"""How many bytes are looked at."""
DELIMITERS = ",;\t|"

_BOMS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOREIGN = {
    b"%PDF": "a PDF file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls): save it as .xlsx or CSV",
    b"SQLite format 3": "an SQLite database",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: use gzip or zip",
    b"Rar!": "a RAR archive: use gzip or zip",
    b"BZh": "a bzip2 archive: use gzip or zip",
    b"\xfd7zXZ": "an xz archive: use gzip or zip",
    b"\x28\xb5\x2f\xfd": "a zstd archive: use gzip or zip",
    b"PAR1": "a Parquet file: export it as CSV",
}


def refuse_foreign(head: bytes) -> None:
    """`FileError` for files that are surely something else."""
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise FileError(FileFault.FORMAT, f"not a recipient list but {name}")


_NOT_OF_FILES = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7"})
"""Encodings of domain names, of program texts and of old mail: they make other texts of plain ASCII."""


def sniff_encoding(head: bytes, told: str | None) -> str:
    """Python's name of the encoding: what was told, else by BOM, else UTF-16 by its zero bytes, else UTF-8.

    Latin-1 and its like are never guessed: every file is valid in them, and a wrong guess sends wrong names.
    """
    by_bom = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    if told is not None:
        return _told(told, by_bom)
    return by_bom or _by_zeros(head) or "utf-8"


def _told(name: str, by_bom: str | None) -> str:
    try:
        canonical = codecs.lookup(name).name
        b"1".decode(canonical, "ignore")  # rot13 and its like are codecs too, but not of texts
        if canonical in _NOT_OF_FILES:
            raise LookupError(canonical)
    except (LookupError, ValueError):
        raise FileError(FileFault.ENCODING, f"there is no encoding {name!r}; say utf-8, utf-16, cp1252 or so") from None
    return by_bom if by_bom is not None and by_bom.startswith(canonical[:6]) else canonical


def _by_zeros(head: bytes) -> str | None:
    """UTF-16 without BOM: delimiters and digits leave every second byte zero."""
    even, odd = head[0:4096:2], head[1:4096:2]
    zeros = even.count(0), odd.count(0)
    if len(odd) >= 4 and zeros[1] > 0.4 * len(odd) and zeros[0] < 0.1 * len(even):
        return "utf-16-le"
    if len(odd) >= 4 and zeros[0] > 0.4 * len(even) and zeros[1] < 0.1 * len(odd):
        return "utf-16-be"
    return None


def sniff_format(text: str) -> Format:
    """CSV or NDJSON, from the beginning of the text. A JSON array is refused: it cannot be read row by row."""
    start = text.lstrip()
    if start.startswith("{"):
        return Format.NDJSON
    if re.match(r'\[\s*[{\[\]"]', start):
        raise FileError(FileFault.FORMAT, "a JSON array: write one JSON object per line (NDJSON)")
    if re.match(r"<(!DOCTYPE|html|\?xml)", start, re.IGNORECASE):
        raise FileError(FileFault.FORMAT, "not a recipient list but a web page or XML")
    return Format.CSV


def sniff_delimiter(text: str) -> str:
    """The delimiter that cuts the first lines into equally many cells, best with a number column in the header."""
    lines = text.split("\n")[:51]
    sample = [line for line in (lines[:-1] if len(lines) > 1 else lines) if line.strip()]
    scores = {delimiter: _score(sample, delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    return best if scores[best][1] > 0 else ","


def _score(sample: list[str], delimiter: str) -> tuple[bool, float, int]:
    """Whether a number column shows up; the share of rows as wide as the header; the width."""
    try:
        rows = [row for row in csv.reader(sample, delimiter=delimiter) if row]
    except csv.Error:
        return (False, 0.0, 0)
    if not rows or len(rows[0]) < 2:
        return (False, 0.0, 0)
    even = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
    return (any(plain(name) in NUMBER_NAMES for name in rows[0]), even, len(rows[0]))
