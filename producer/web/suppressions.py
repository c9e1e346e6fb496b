"""Numbers that must not be written to: looked up, added, and lifted by whoever may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from config.own_keys import suppression_key
from models.msisdn import BadNumber, Msisdn, parse_msisdn
from models.plain import storable
from models.tables import Suppression
from producer.api.context import Context, Here
from producer.api.problems import Problem
from producer.api.values import decode_cursor, encode_cursor
from producer.suppressions import add_suppressions, remove_suppressions
from producer.web.guard import Chief, Form, Operator, Viewer, page_router, text_of
from producer.web.render import render

router = page_router()

PAGE = 100
MOST_NUMBERS = 10_000
SHOWN_FAULTS = 10
MOST_SENDER = MOST_SOURCE = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody typed, to be shown again with what is wrong with it."""

    phones: str = ""
    sender: str = ""
    source: str = ""
    faults: Sequence[str] = ()


@router.get("/suppressions")
def page(
    request: Request,
    here: Here,
    viewer: Operator,
    find: Annotated[str, Query(max_length=64)] = "",
    sender: Annotated[str, Query(max_length=MOST_SENDER)] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    return _page(request, here, viewer, find.strip(), sender.strip(), cursor, _told(done))


def _told(done: str) -> str:
    """What a form before this page did: `added-3`, `lifted-1`. Anything else says nothing."""
    word, _, n = done.partition("-")
    texts = {"added": "{} numbers are suppressed now.", "lifted": "Lifted: {}."}
    return texts[word].format(f"{int(n):,}") if word in texts and n.isascii() and n.isdigit() and len(n) < 8 else ""


def _page(
    request: Request,
    here: Context,
    viewer: Viewer,
    find: str = "",
    sender: str = "",
    cursor: str | None = None,
    done: str = "",
    entry: Entry | None = None,
) -> Response:
    number = parse_msisdn(find, here.settings.default_region or None) if find else None
    fault = number.reason if isinstance(number, BadNumber) else ""
    after = decode_cursor(cursor, _read_place)
    with here.database.read() as session:
        rows = [] if fault else _rows(session, number if isinstance(number, Msisdn) else None, sender, after)
    more = encode_cursor(f"{rows[PAGE - 1].msisdn} {rows[PAGE - 1].sender}") if len(rows) > PAGE else None
    query = urlencode({name: value for name, value in (("find", find), ("sender", sender)) if value})
    return render(
        request, "suppressions.html", 422 if entry and entry.faults else 200,
        viewer=viewer, rows=rows[:PAGE], find=find, sender=sender, fault=fault, done=done, entry=entry or Entry(),
        more=f"/suppressions?{query}&cursor={more}" if more else "",
        first=f"/suppressions?{query}" if cursor else "",
    )  # fmt: skip


def _rows(session: Session, number: Msisdn | None, sender: str, after: tuple[str, str] | None) -> Sequence[Suppression]:
    query = select(Suppression).order_by(Suppression.msisdn, Suppression.sender).limit(PAGE + 1)
    if number is not None:
        query = query.where(Suppression.msisdn == str(number))
    if sender:
        query = query.where(Suppression.sender == sender)
    if after is not None:
        query = query.where(tuple_(Suppression.msisdn, Suppression.sender) > tuple_(*after))
    return session.execute(query).scalars().all()


def _read_place(text: str) -> tuple[str, str]:
    msisdn, space, sender = text.partition(" ")
    if not space or "\0" in text:
        raise ValueError(text)
    return msisdn, sender


@router.post("/suppressions")
def add(request: Request, here: Here, viewer: Operator, form: Form) -> Response:
    """All of them or, if one cannot be read, none."""
    typed = Entry(
        text_of(form, "phones"),
        storable(text_of(form, "sender")).strip()[:MOST_SENDER],
        storable(text_of(form, "source")).strip()[:MOST_SOURCE],
    )
    numbers, faults = _numbers(here, typed.phones)
    if faults:
        shown = Entry(typed.phones, typed.sender, typed.source, faults)
        return _page(request, here, viewer, entry=shown)
    with here.database.write() as session:
        add_suppressions(session, numbers, typed.sender, typed.source or "dashboard", here.now())
    return RedirectResponse(f"/suppressions?done=added-{len(numbers)}", 303)


def _numbers(here: Context, text: str) -> tuple[set[str], list[str]]:
    """The numbers of lines or of a list with commas, and what is wrong with the others."""
    region = here.settings.default_region or None
    found: set[str] = set()
    faults: list[str] = []
    given = [line.strip() for line in text.replace(",", "\n").replace(";", "\n").splitlines() if line.strip()]
    if not given:
        return found, ["No number was given."]
    if len(given) > MOST_NUMBERS:
        return found, [f"{len(given):,} numbers; at most {MOST_NUMBERS:,} at once. The command line takes a file."]
    for at, one in enumerate(given, 1):
        number = parse_msisdn(one[:64], region)
        if isinstance(number, Msisdn):
            found.add(str(number))
        else:
            faults.append(f"Number {at}: {number.reason}.")
    more = len(faults) - SHOWN_FAULTS
    return found, faults[:SHOWN_FAULTS] + ([f"And {more:,} more."] if more > 0 else [])


@router.get("/suppressions/lift")
def confirm(
    request: Request,
    viewer: Chief,
    phone: Annotated[str, Query(max_length=20)],
    sender: Annotated[str, Query(max_length=MOST_SENDER)] = "",
) -> Response:
    return render(request, "confirm_lift.html", viewer=viewer, phone=phone, sender=sender)


@router.post("/suppressions/lift")
def lift(here: Here, viewer: Chief, form: Form) -> Response:
    """Only if the person asked to be written to again."""
    number = parse_msisdn(text_of(form, "phone")[:64], None)
    if not isinstance(number, Msisdn):
        raise Problem(422, "invalid-request", number.reason)
    with here.database.write() as session:
        key = partial(suppression_key, here.settings)
        gone = remove_suppressions(session, [str(number)], key, storable(text_of(form, "sender"))[:MOST_SENDER])
    if not gone:
        raise Problem(404, "not-found", "this number is not suppressed so; perhaps somebody was quicker")
    return RedirectResponse(f"/suppressions?done=lifted-{gone}", 303)
