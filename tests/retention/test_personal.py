"""No column is forgotten: whoever adds one that can hold a text decides what retention makes of it."""

from __future__ import annotations

from collections import Counter

from models.personal import BY_REQUEST, ERASED, GONE, KEPT, SHORTENED, speaking_columns
from models.tables import Base


def test_every_column_that_can_hold_a_text_has_one_fate() -> None:
    decided = {
        table: Counter([*ERASED.get(table, ()), *SHORTENED.get(table, ()), *KEPT.get(table, ())])
        for table in speaking_columns()
    }
    whole = GONE | BY_REQUEST
    undecided = {table: names - decided[table].keys() for table, names in speaking_columns().items()}
    assert {table: names for table, names in undecided.items() if names and table not in whole} == {}
    assert {table for table, fates in decided.items() if fates and max(fates.values()) > 1} == set()


def test_no_table_or_column_is_named_that_does_not_exist() -> None:
    named = {(table, name) for fates in (ERASED, SHORTENED, KEPT) for table, names in fates.items() for name in names}
    real = {(table.name, column.name) for table in Base.metadata.sorted_tables for column in table.columns}
    assert named - real == set()
    assert set(Base.metadata.tables) >= (GONE | BY_REQUEST)
