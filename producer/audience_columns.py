"""How to get number, reference and variables out of a row, decided once per table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from producer.readers.columns import REFERENCE_NAMES, find_column, find_reference_column, listed, plain
from producer.readers.table import FileError, FileFault, Table
from producer.template import Template

ZONE_NAMES = frozenset({"timezone", "tz"})
"""Columns that say where a recipient is, as IANA names (Europe/Berlin), written plain."""

Cells = list[str] | dict[str, str]


@dataclass(frozen=True, slots=True)
class Binding:
    """Accessors for the rows of one table. A variable that the row has not is absent from `variables`."""

    number_name: str
    reference_name: str | None
    number: Callable[[Any], str]
    reference: Callable[[Any], str | None]
    zone: Callable[[Any], str | None]
    variables: Callable[[Any], Mapping[str, str]]


def bind(table: Table, template: Template) -> Binding:
    """`FileError` if the template cannot do without a column that the table has not."""
    return _by_name(table) if table.header is None else _by_place(table, table.header, template)


def _by_place(table: Table, header: tuple[str, ...], template: Template) -> Binding:
    number = find_column(header, table.number)
    assert number is not None  # the reader found it  # noqa: S101
    places = {name: at for name in template.variables if (at := find_column(header, name)) is not None}
    lacking = [name for name in template.required if name not in places]
    if lacking:
        text = f"the template uses {', '.join(lacking)}, the file has {listed(header)}"
        raise FileError(FileFault.UNKNOWN_COLUMN, text, row=1, column=lacking[0])
    reference = find_reference_column(header)
    zone = next((at for at, name in enumerate(header) if plain(name) in ZONE_NAMES), None)
    return Binding(
        number_name=table.number,
        reference_name=None if reference is None else header[reference],
        number=itemgetter(number),
        reference=_nothing if reference is None else _filled(reference),
        zone=_nothing if zone is None else _filled(zone),
        variables=_variables(places),
    )


def _by_name(table: Table) -> Binding:
    wanted = plain(table.number)

    def number(cells: dict[str, str]) -> str:
        return cells.get(table.number) or _named(cells, wanted)

    def reference(cells: dict[str, str]) -> str | None:
        return next((value for name in cells if plain(name) in REFERENCE_NAMES and (value := cells[name])), None)

    def zone(cells: dict[str, str]) -> str | None:
        return next((cells[name].strip() or None for name in cells if plain(name) in ZONE_NAMES), None)

    return Binding(table.number, "reference", number, reference, zone, _same)


def _variables(places: dict[str, int]) -> Callable[[list[str]], Mapping[str, str]]:
    """For the common case of few variables the dict is written out: half the time of a loop."""
    match list(places.items()):
        case []:
            return lambda _: {}
        case [(a, i)]:
            return lambda cells: {a: cells[i]}
        case [(a, i), (b, j)]:
            return lambda cells: {a: cells[i], b: cells[j]}
        case pairs:
            return lambda cells: {name: cells[at] for name, at in pairs}


def _filled(at: int) -> Callable[[list[str]], str | None]:
    return lambda cells: cells[at].strip() or None


def _named(cells: dict[str, str], wanted: str) -> str:
    return next((value for name, value in cells.items() if plain(name) == wanted), "")


def _nothing(_: Cells) -> None:
    return None


def _same(cells: dict[str, str]) -> Mapping[str, str]:
    return cells
