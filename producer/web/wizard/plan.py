"""Through which accounts, when, and how fast: the form of the fourth step as what the API takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from config.accounts import Account
from models.options import DEFAULT_PARTS, MOST_PARTS
from models.steering import MOST_MESSAGES, MOST_SECONDS
from producer.campaigns import MAX_VALIDITY
from producer.web.wizard.countries import is_country
from producer.web.wizard.reading import Reading

FURTHEST = timedelta(days=366)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
STARTS = ("now", "at", "draft")


@dataclass(frozen=True, slots=True)
class Plan:
    """`body`: those fields of a campaign of the API that this step decides. `start`: now, at, or draft."""

    body: Mapping[str, Any]
    start: str
    faults: Mapping[str, str] = field(default_factory=dict)


def defaults(accounts: Iterable[str], zone: str) -> dict[str, str]:
    """A form as it is first shown: a single account is chosen, of several none."""
    names = list(accounts)
    chosen = {f"account-{name}": "on" for name in names} if len(names) == 1 else {}
    everyday = {f"day-{day}": "on" for day in range(1, 8)}
    return {
        **chosen, **everyday, "failover": "on", "start": "now", "zone": zone, "priority": "normal", "pace": "all",
        "on_unknown": "give_up", "spread-unit": "hours", "every-unit": "minutes", "validity-unit": "hours",
        "period-unit": "hours", "repeat-unit": "hours", "wait-unit": "minutes",
    }  # fmt: skip


def plan_of(fields: Mapping[str, str], accounts: Mapping[str, Account], now: datetime) -> Plan:
    """What the form says, and what is wrong with it by field."""
    form = Reading(fields)
    start = form.text("start") if form.text("start") in STARTS else "now"
    body: dict[str, Any] = {
        "route": _route(form, accounts),
        "routing": _routing(form, accounts),
        "failover": form.is_on("failover"),
        "priority": form.text("priority") if form.text("priority") in ("high", "low") else "normal",
        "on_unknown": "resend" if form.text("on_unknown") == "resend" else "give_up",
        "max_rate": form.number("max_rate", 0.01, 1e6),
        "validity": form.span("validity", MAX_VALIDITY),
        "max_parts": form.whole("max_parts", 1, MOST_PARTS) or DEFAULT_PARTS,
        "start_at": _start_at(form, now) if start == "at" else None,
        "steering": dict(_steering(form)),
    }
    return Plan(body, start, form.faults)


def _route(form: Reading, accounts: Mapping[str, Account]) -> dict[str, int]:
    chosen = [name for name in accounts if form.is_on(f"account-{name}")]
    if not chosen:
        form.faults["accounts"] = "Choose at least one account."
    return {name: form.whole(f"weight-{name}", 1, 1_000_000) or 1 for name in chosen}


def _routing(form: Reading, accounts: Mapping[str, Account]) -> dict[str, Any]:
    senders = {name: form.text(f"sender-{name}")[:64] for name in accounts if form.is_on(f"account-{name}")}
    found: dict[str, Any] = {
        "senders": {name: sender for name, sender in senders.items() if sender},
        "allow": _countries(form, "allow"),
        "deny": _countries(form, "deny"),
    }
    return {name: value for name, value in found.items() if value}


def _countries(form: Reading, name: str) -> list[str]:
    codes = [code.upper() for code in re.split(r"[\s,;]+", form.text(name)) if code]
    wrong = [code for code in codes if not is_country(code)]
    if wrong:
        form.faults[name] = f"{wrong[0][:20]} is no country; expected codes of two letters, as GB, IE."
    return list(dict.fromkeys(codes))


def _start_at(form: Reading, now: datetime) -> datetime | None:
    zone = form.zone("zone")
    if zone is None:
        form.faults.setdefault("zone", "Say by which clock, as Europe/Berlin.")
        return None
    at = form.moment("at", zone)
    if at is None:
        return None
    if at <= now:
        form.faults["at"] = "This time is past."
    elif at - now > FURTHEST:
        form.faults["at"] = "At most a year ahead."
    return at


def _steering(form: Reading) -> Iterator[tuple[str, Any]]:
    for name, read in _STEERING.items():
        if (found := read(form)) is not None:
            yield name, found


def _window(form: Reading) -> dict[str, Any] | None:
    opens, closes = form.text("opens"), form.text("closes")
    if not opens and not closes:
        return None
    for name, clock in (("opens", opens), ("closes", closes)):
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", clock):
            form.faults[name] = "Expected a time of the day, as 09:00."
    if opens == closes:
        form.faults["closes"] = "Expected two different times."
    days = [day for day in range(1, 8) if form.is_on(f"day-{day}")]
    if not days:
        form.faults["days"] = "Choose at least one day."
    return {"from": opens, "to": closes, "days": days, "zone": form.zone("window_zone")}


def _pacing(form: Reading) -> dict[str, Any] | None:
    match form.text("pace"):
        case "spread":
            spread = form.span("spread", MOST_SECONDS)
            form.needed("spread", spread)
            return {"spread": spread}
        case "slices":
            size, every = form.whole("slice", 1, MOST_MESSAGES), form.span("every", MOST_SECONDS)
            form.needed("slice", size)
            form.needed("every", every)
            return {"slice": size, "every": every}
        case _:
            return None


def _canary(form: Reading) -> dict[str, Any] | None:
    size = form.whole("canary", 1, MOST_MESSAGES)
    if size is None:
        return None
    found: dict[str, Any] = {"size": size, "codes": [code for code in re.split(r"[\s,;]+", form.text("codes")) if code]}
    share, wait = form.number("share", 0, 100), form.span("wait", MOST_SECONDS)
    if len(found["codes"]) > 50 or any(len(code) > 64 for code in found["codes"]):
        form.faults["codes"] = "At most 50 codes of 64 characters."
    return found | ({} if share is None else {"share": share / 100}) | ({} if wait is None else {"wait": wait})


def _guard(form: Reading) -> dict[str, Any] | None:
    share, last = form.number("errors", 0.1, 100), form.whole("last", 10, MOST_MESSAGES)
    return None if share is None else {"share": share / 100} | ({} if last is None else {"last": last})


def _caps(form: Reading) -> dict[str, Any] | None:
    most, repeat = form.whole("most", 0, 1_000_000), form.span("repeat", MOST_SECONDS)
    period = form.span("period", MOST_SECONDS)
    if most and period is None:
        form.needed("period", None)
    found = {"most": most, "period": period if most else None, "repeat": repeat}
    said = {name: value for name, value in found.items() if value is not None}
    return said or None


_STEERING = {"window": _window, "pacing": _pacing, "canary": _canary, "guard": _guard, "caps": _caps}
