"""The accounts: how much of each limit is used, who is blocked or stopped and why, and the buttons to change that."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import structlog
from fastapi import Path, Query, Request, Response
from fastapi.responses import RedirectResponse
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool

from config.accounts import Account
from config.names import Order
from models.plain import storable
from producer.api.context import Context, Here, part_of
from producer.api.problems import Problem
from producer.doctor import Finding, probe_accounts
from producer.limits import Standing, give_order, hurry, standings
from producer.web.account_view import health
from producer.web.guard import Anyone, Form, Operator, page_router, text_of
from producer.web.live import Fragments
from producer.web.render import markup, render
from producer.web.streams import live

log = structlog.get_logger("drumline.web")

router = page_router()

MOST_REASON = 200
DONE = {
    "open": "The order is given: nothing more leaves by {} until it is closed.",
    "close": "The order is given: {} works again with its next request.",
    "unblock": "The order is given: the block of {} ends, and its rate climbs from a quarter.",
    "ask": "{} was asked; its answer stands below.",
}
Word = Annotated[Literal["open", "close", "unblock"], Path()]


@dataclass(frozen=True, slots=True)
class Action:
    """What a button does, in words."""

    name: str
    text: str
    note: str
    asks_why: bool = False


ACTIONS: Mapping[str, Action] = {
    "open": Action(
        "Stop", "Nothing leaves by this account any more, not even a probe, until somebody lets it work.",
        "stopped by an operator", asks_why=True,
    ),
    "close": Action(
        "Let it work", "The account works again, whatever had stopped it.", "closed by an operator"
    ),
    "unblock": Action(
        "End the block",
        "The wait after a 429 or a lock-out ends now. The rate climbs from a quarter of what is allowed.",
        "by an operator",
    ),
}  # fmt: skip
ASK = Action(
    "Ask the provider",
    "One request that sends nothing: whether the credentials are right, and the balance where the provider tells it. "
    "It counts against the account's limits. The answer takes a few seconds.", "",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said when somebody asked: whether it knows us, and the balance where it tells one."""

    at: datetime
    findings: Sequence[Finding]


@dataclass
class Answers:
    """The last ones, in this process."""

    _kept: dict[str, Answer] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, account: str, answer: Answer) -> None:
        with self._lock:
            self._kept[account] = answer

    def of(self, account: str) -> Answer | None:
        with self._lock:
            return self._kept.get(account)


def answers_of(request: Request) -> Answers:
    return part_of(request, "answers", Answers)


@router.get("/accounts")
def page(
    request: Request,
    here: Here,
    viewer: Anyone,
    done: Annotated[str, Query(max_length=20)] = "",
    account: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    told = DONE[done].format(account) if done in DONE and account in here.accounts else ""
    return render(
        request, "accounts.html",
        viewer=viewer, standings=_standings(here), accounts=here.accounts, done=told, live="/live/accounts",
        answers=answers_of(request), operator=viewer.may("submit"),
    )  # fmt: skip


@router.get("/live/accounts")
def live_page(request: Request, here: Here, viewer: Anyone) -> Response:
    answers, operator = answers_of(request), viewer.may("submit")

    def make() -> Fragments:
        return Fragments({f"account-{one.account}": _card(here, one, answers, operator) for one in _standings(here)})

    return live(request, viewer, ("accounts", operator), make)


def _standings(here: Context) -> list[Standing]:
    with here.database.read() as session:
        return standings(session, here.accounts, here.now())


def _card(here: Context, one: Standing, answers: Answers, operator: bool) -> str:
    return markup(here, "account_card.html", one=one, accounts=here.accounts, answers=answers, operator=operator)


@router.get("/accounts/{name}/ask")
def confirm_ask(request: Request, name: str, here: Here, viewer: Operator) -> Response:
    _known(here, name)
    one = next(found for found in _standings(here) if found.account == name)
    return render(request, "confirm_account.html", viewer=viewer, one=one, health=health(one), word="ask", action=ASK)


@router.post("/accounts/{name}/ask")
async def ask(request: Request, name: str, here: Here, viewer: Operator) -> Response:
    """Whether the provider knows us, and the balance. The probe runs in the workers' room, behind its limiter."""
    _known(here, name)
    findings = await run_in_threadpool(probe_accounts, [name])
    answers_of(request).keep(name, Answer(here.now(), findings))
    return RedirectResponse(f"/accounts?done=ask&account={name}#account-{name}", 303)


@router.get("/accounts/{name}/{word}")
def confirm(request: Request, name: str, word: Word, here: Here, viewer: Operator) -> Response:
    _known(here, name)
    one = next(found for found in _standings(here) if found.account == name)
    return render(
        request, "confirm_account.html", viewer=viewer, one=one, health=health(one), word=word, action=ACTIONS[word]
    )


@router.post("/accounts/{name}/{word}")
def act(name: str, word: Word, here: Here, viewer: Operator, form: Form) -> Response:
    """Leaves an order; the account's workers carry it out within two seconds."""
    _known(here, name)
    action = ACTIONS[word]
    note = storable(text_of(form, "reason")).strip()[:MOST_REASON] or action.note
    with here.database.write() as session:
        give_order(session, name, Order(word), note)
    log.info("account_order", account=name, order=word)
    try:
        hurry(here.bell.nudge, name)
    except (OSError, OperationalError, RedisError) as error:
        log.warning("order_waits_for_beat", account=name, error=type(error).__name__)
    return RedirectResponse(f"/accounts?done={word}&account={name}#account-{name}", 303)


def _known(here: Context, name: str) -> Account:
    if name not in here.accounts:
        raise Problem(404, "not-found", "there is no account of this name")
    return here.accounts[name]
