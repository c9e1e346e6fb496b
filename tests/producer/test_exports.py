"""Files of messages and rejects: what is in them, and that memory does not grow with the campaign."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from uuid import UUID

import pyarrow
import pytest
from pyarrow import parquet
from sqlalchemy import update

from config.settings import ROOT
from models.database import Database
from models.states import MessageState
from models.tables import Message, Reject
from producer import exports
from producer.exports import (
    MESSAGE_COLUMNS,
    REJECT_COLUMNS,
    Column,
    FileFormat,
    Kind,
    as_csv,
    as_file,
    as_parquet,
    message_rows,
    reject_rows,
)
from producer.message_pages import Wanted
from tests.support.rows import add_batch, add_campaign, add_messages

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
FORMULAS = ["=1+1", "+cmd|x", "-2", "@SUM(A1)", "\tx", "\rx"]


def campaign_of(database: Database, messages: int) -> UUID:
    with database.write() as session:
        campaign = add_campaign(session, NOW)
        add_messages(session, campaign, add_batch(session, campaign, NOW), messages, reference="=1+1")
        first = update(Message).where(Message.row_no == 1)
        session.execute(first.values(price=Decimal("0.0123"), currency="EUR", parts=2, submitted_at=NOW))
        for formula in FORMULAS:
            session.add(Reject(campaign_id=campaign, row_no=1, column=formula, value=formula, code="x", reason="x"))
    return campaign


def table_of(pieces: Iterator[bytes]) -> pyarrow.Table:
    return parquet.read_table(io.BytesIO(b"".join(pieces)))


def test_parquet_holds_what_csv_holds_with_types(database: Database) -> None:
    campaign = campaign_of(database, 25)

    def rows() -> exports.Rows:
        return message_rows(database, Wanted(campaign), str)

    lines = list(csv.DictReader(io.StringIO(b"".join(as_csv(MESSAGE_COLUMNS, rows())).decode())))
    table = table_of(as_parquet(MESSAGE_COLUMNS, rows()))
    assert table.column_names == list(lines[0]) == [column.name for column in MESSAGE_COLUMNS]
    found = table.to_pylist()
    assert [row["phone"] for row in found] == [line["phone"] for line in lines]
    assert (found[0]["price"], found[0]["parts"], found[0]["submitted_at"]) == (Decimal("0.012300000"), 2, NOW)
    assert (lines[0]["price"], lines[0]["submitted_at"]) == ("0.0123", NOW.isoformat())
    assert (found[1]["price"], lines[1]["price"]) == (None, "")
    assert (found[0]["reference"], lines[0]["reference"]) == ("=1+1", "'=1+1")


def test_formulas_are_made_harmless_in_csv_and_left_as_they_are_in_parquet(database: Database) -> None:
    campaign = campaign_of(database, 1)
    cells = list(csv.reader(io.StringIO(b"".join(as_csv(REJECT_COLUMNS, reject_rows(database, campaign))).decode())))
    assert [row[1] for row in cells[1:]] == [f"'{formula}" for formula in FORMULAS]
    table = table_of(as_parquet(REJECT_COLUMNS, reject_rows(database, campaign)))
    assert table.column("value").to_pylist() == FORMULAS
    assert table.schema.field("row").type == pyarrow.int32()


@pytest.mark.parametrize("kind", list(FileFormat))
def test_nothing_makes_a_file_without_rows(database: Database, kind: FileFormat) -> None:
    campaign = campaign_of(database, 3)
    wanted = Wanted(campaign, (MessageState.DELIVERED,))
    pieces = list(as_file(kind, MESSAGE_COLUMNS, message_rows(database, wanted, str)))
    if kind is FileFormat.CSV:
        assert b"".join(pieces).count(b"\n") == 1
    else:
        assert table_of(iter(pieces)).num_rows == 0


def test_a_filter_by_account_goes_on_past_pages_that_hold_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.message_pages.LOOK", 10)
    monkeypatch.setattr(exports, "PAGE", 3)
    campaign = campaign_of(database, 60)
    with database.write() as session:
        session.execute(update(Message).where(Message.row_no.in_((2, 41, 60))).values(account="other"))
    table = table_of(as_parquet(MESSAGE_COLUMNS, message_rows(database, Wanted(campaign, account="other"), str)))
    assert table.column("row").to_pylist() == [2, 41, 60]


COLUMNS = (Column("n", Kind.NUMBER), Column("text"))


def endless() -> exports.Rows:
    """Pages of rows that do not compress to nothing."""
    n = 0
    while True:
        yield [[n + i, f"{(n + i) * 2654435761 % 2**64:020}" * 5] for i in range(1000)]
        n += 1000


def test_row_groups_are_handed_on_one_by_one_and_memory_stays_flat() -> None:
    assert list(map(len, islice(exports._groups(endless()), 3))) == [exports.ROW_GROUP] * 3
    pieces = as_parquet(COLUMNS, endless())
    next(pieces)
    tracemalloc.start()
    peaks = []
    for _ in range(4):
        for piece in islice(pieces, 4):
            assert piece
        peaks.append((tracemalloc.get_traced_memory()[0], pyarrow.total_allocated_bytes()))
    tracemalloc.stop()
    assert peaks[-1][0] < peaks[0][0] + 2_000_000
    assert peaks[-1][1] < peaks[0][1] + 2_000_000


def test_a_file_has_row_groups_of_the_declared_size() -> None:
    rows = islice(endless(), 25)
    made = parquet.ParquetFile(io.BytesIO(b"".join(as_parquet(COLUMNS, rows))))
    assert [made.metadata.row_group(i).num_rows for i in range(made.num_row_groups)] == [10_000, 10_000, 5000]


def test_no_worker_and_no_command_loads_arrow_before_it_is_asked_for() -> None:
    modules = "producer.cli, producer.exports, producer.api.exports, workers.submit"
    code = f"import sys, {modules}; print('pyarrow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.returncode) == ("False", 0), found.stderr


def test_the_command_writes_what_its_name_says(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from config import settings as settings_module
    from producer import cli

    campaign = campaign_of(database, 12)
    monkeypatch.setenv("DRUMLINE_DATABASE_URL", database.url)
    monkeypatch.chdir(tmp_path)
    settings_module.settings.cache_clear()
    for name, rows in (("out.parquet", 12), ("out.csv", 12), ("rejects.parquet", len(FORMULAS))):
        arguments = ["drumline", "export", str(campaign), "--out", name, *(["--rejects"] if "rejects" in name else [])]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        if name.endswith(".parquet"):
            assert parquet.read_table(tmp_path / name).num_rows == rows
        else:
            assert len((tmp_path / name).read_text("utf-8").splitlines()) == rows + 1
    monkeypatch.setattr(sys, "argv", ["drumline", "export", str(campaign), "--out", "out.xlsx"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    settings_module.settings.cache_clear()
