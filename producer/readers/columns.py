"""Which column holds what: names are compared without case, blanks and punctuation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from models.msisdn import Msisdn, parse_msisdn
from producer.readers.table import FileError, FileFault, Hint

NUMBER_NAMES = (
    *("msisdn", "mobile", "mobilenumber", "mobilephone", "mobileno", "cell", "cellphone", "cellnumber", "handy"),
    *("handynummer", "gsm", "phone", "phonenumber", "phoneno", "telephone", "telephonenumber", "tel", "telefon"),
    *("telefonnummer", "recipient", "recipients", "destination", "to", "number"),
)
"""Accepted names of the number column, the surest first: of `phone` and `mobile` it is `mobile`."""
REFERENCE_NAMES = ("reference", "ref", "clientreference", "clientref", "externalid")
ACCEPTED_TEXT = "msisdn, mobile, cell, phone, telephone, tel, recipient, destination, to or number"


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """`Phone Number`, `phone_number` and `PHONE-NUMBER` are one name."""
    return re.sub(r"[\W_]+", "", name.casefold())


def find_column(header: Sequence[str], wanted: str) -> int | None:
    """The place of a column by its exact name, else by its plain name. `FileError` if two columns have that name."""
    exact = [at for at, name in enumerate(header) if name == wanted]
    found = exact or [at for at, name in enumerate(header) if plain(name) == plain(wanted) != ""]
    return _single(found, wanted) if found else None


def find_number_column(header: Sequence[str], wanted: str | None) -> int:
    """The place of the number column; `FileError` says which columns there are and which names would do."""
    if wanted is not None:
        at = find_column(header, wanted)
        if at is None:
            raise FileError(FileFault.UNKNOWN_COLUMN, f"there is no such column; found {listed(header)}", column=wanted)
        return at
    known = {plain(name) for name in header}
    name = next((name for name in NUMBER_NAMES if name in known), None)
    if name is None:
        raise _no_number_column(header)
    return _only(header, name)


def named(found: Sequence[str], hint: Hint) -> tuple[str, ...]:
    """A table's header as the hint wants it: the file's own, or the names that were given to its columns by place."""
    if hint.columns is None:
        return tuple(f"Column {at}" for at in range(1, len(found) + 1)) if hint.headless else tuple(found)
    names = dict(hint.columns)
    return tuple(names.get(at, "") for at in range(len(found)))


def number_place(header: Sequence[str], hint: Hint) -> int:
    """As `find_number_column`; 0 where no number is looked for yet."""
    return 0 if hint.any_columns else find_number_column(header, hint.column)


def find_reference_column(header: Sequence[str]) -> int | None:
    """The place of the caller's own reference, if there is one."""
    known = {plain(name) for name in header}
    name = next((name for name in REFERENCE_NAMES if name in known), None)
    return _only(header, name) if name is not None else None


def _only(header: Sequence[str], name: str) -> int:
    """The place of a plain name; `phone` and `Phone` side by side are one name too many."""
    return _single([at for at, found in enumerate(header) if plain(found) == name], name)


def _single(found: list[int], name: str) -> int:
    if len(found) > 1:
        places = ", ".join(str(at + 1) for at in found)
        raise FileError(FileFault.DUPLICATE_COLUMN, f"columns {places} have this name: rename one", column=name)
    return found[0]


def listed(header: Sequence[str]) -> str:
    """Column names for a message: capped, and without digits if they look like data."""
    names = [_shown(name) for name in header[:20]]
    more = f" and {len(header) - 20} more" if len(header) > 20 else ""
    return ", ".join(names) + more


def _shown(name: str) -> str:
    short = name if len(name) <= 40 else name[:40] + "…"
    return "'" + (re.sub(r"\d", "#", short) if sum(c.isdigit() for c in short) > 4 else short) + "'"


def _no_number_column(header: Sequence[str]) -> FileError:
    if any(isinstance(parse_msisdn(name), Msisdn) or plain(name).isdigit() for name in header):
        text = "the first row looks like data, not like column names: put names over the columns"
        return FileError(FileFault.NO_HEADER, f"{text}, the number's being {ACCEPTED_TEXT}", row=1)
    text = f"no column for the number; found {listed(header)}; name it {ACCEPTED_TEXT}, or say which column it is"
    return FileError(FileFault.NO_NUMBER_COLUMN, text, row=1)
