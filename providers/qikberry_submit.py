"""What became of every message of a request, read from Qikberry's answer to it.

The answer names its recipients one by one, but not reliably: rows may be missing, masked, without our reference, or
carry the id of their neighbour. Whatever the answer does not say plainly stays unclear, and is looked up.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from models.states import MessageState
from providers.base import (
    Accepted,
    Failure,
    FailureClass,
    Misconfigured,
    Outcome,
    Outgoing,
    OutOfCredit,
    Refused,
    Signal,
    Submission,
    Throttle,
    Unclear,
)
from providers.qikberry_answers import (
    Envelope,
    allowance_of,
    blamed,
    by_words,
    not_success,
    numbers_named,
    read_envelope,
    refusal,
)
from providers.qikberry_codes import Word, failure_of
from providers.qikberry_items import Item, assign, read_item
from providers.qikberry_options import Account
from providers.shared import all_alike, digits, json_or_none, text
from providers.wire import Reply


def read_submit(account: Account, chunk: Sequence[Outgoing], reply: Reply) -> Submission:
    """An outcome for every message. Never raises."""
    envelope = read_envelope(json_or_none(reply), (account.token,))
    found = _read(account, chunk, reply, envelope)
    return Submission(found.outcomes, found.signal, allowance_of(reply), reply.header("x-request-id"))


def _read(account: Account, chunk: Sequence[Outgoing], reply: Reply, envelope: Envelope | None) -> Submission:
    if not 200 <= reply.status < 300:
        outcome, signal = not_success(reply, envelope)
        return _refused(account, chunk, outcome, _hinted(account, reply.status, signal), envelope)
    if envelope is None:
        return all_alike(chunk, Unclear("unreadable_answer"))
    if envelope.ok is None:
        return all_alike(chunk, Unclear("answer_without_status"))
    data = _rows(envelope.data)
    if envelope.ok:
        return _accepted(account, chunk, envelope, data)
    if data:  # rows of messages under an error: two stories at once
        return all_alike(chunk, Unclear("error_with_rows"))
    if not envelope.refuses:
        return all_alike(chunk, Unclear("undocumented_status"))
    return _refused(account, chunk, *refusal(envelope.status, envelope, reply), envelope)


def _hinted(account: Account, status: int, signal: Signal | None) -> Signal | None:
    """The endpoints are not printed in the provider's document: where one is missing, say what to set instead."""
    if status not in (404, 405) or not isinstance(signal, Misconfigured) or account.mode == "template":
        return signal
    path = account.paths[account.mode]
    hint = f"nothing takes POST {path} there: set options.paths.{account.mode}, or another options.mode"
    return Misconfigured(signal.code, f"{signal.reason}; {hint}", signal.retry_after)


def _rows(data: object) -> list[object] | None:
    """The rows of an answer; None where there is something that is none."""
    match data:
        case None:
            return []
        case list():
            return data
        case {"data": list() as rows}:
            return rows
        case {"id": _} | {"mobile": _} | {"to": _}:
            return [data]
        case dict() if not data:
            return []
        case _:
            return None


# --- refused requests ------------------------------------------------------------------------------------------------

_NOT_FOR_ALL = frozenset({FailureClass.RECIPIENT, FailureClass.COUNTRY, FailureClass.DUPLICATE})


def _refused(
    account: Account,
    chunk: Sequence[Outgoing],
    outcome: Refused | Unclear,
    signal: Signal | None,
    envelope: Envelope | None,
) -> Submission:
    """A whole request refused. Where the error names recipients, they alone are to blame and the others may go again;
    where it speaks of one recipient without naming it, nobody's number is held against them."""
    if not isinstance(outcome, Refused) or signal is not None or len(chunk) < 2:
        return all_alike(chunk, outcome, signal)
    named = (blamed(envelope) or _by_number(account, chunk, outcome, envelope)) if envelope else {}
    if any(place < len(chunk) for place in named):
        return Submission({m.id: _by_place(named.get(place), outcome) for place, m in enumerate(chunk)})
    if outcome.failure.klass in _NOT_FOR_ALL:
        failure = Failure(outcome.failure.code, FailureClass.UNSPECIFIED, outcome.failure.reason)
        return all_alike(chunk, Refused(failure))
    return all_alike(chunk, outcome)


_WHOLE = frozenset({"400", "422"})  # "Error Codes": the request was not carried out
_OF_A_RECIPIENT = frozenset({FailureClass.RECIPIENT, FailureClass.COUNTRY, FailureClass.CONTENT})


def _by_number(account: Account, chunk: Sequence[Outgoing], outcome: Refused, envelope: Envelope) -> Mapping[int, str]:
    """The places of the one recipient whose number the error names. The others go again, so nothing is read from words
    that may be about something else (a sender, a filter), or that name several of them."""
    failure = outcome.failure
    if failure.code not in _WHOLE or failure.klass not in _OF_A_RECIPIENT:
        return {}
    ours = [digits(message.msisdn) for message in chunk]
    said = numbers_named(envelope, (account.token,))
    if len(said.keys() & set(ours)) != 1:
        return {}
    return {place: said[number] for place, number in enumerate(ours) if number in said}


def _by_place(said: str | None, outcome: Refused) -> Outcome:
    code = outcome.failure.code
    if said is None:
        return Refused(Failure(code, FailureClass.TEMPORARY, "another recipient of the request was refused"))
    own = by_words(code, said)[0]
    klass = own.failure.klass if isinstance(own, Refused) else FailureClass.CONTENT
    return Refused(Failure(code, FailureClass.CONTENT if klass is FailureClass.ACCOUNT else klass, said))


# --- accepted requests -----------------------------------------------------------------------------------------------


def _accepted(account: Account, chunk: Sequence[Outgoing], envelope: Envelope, data: list[object] | None) -> Submission:
    if data is None:
        return all_alike(chunk, Unclear("unreadable_rows"))
    group = _group(envelope)
    told = accepted_count(envelope.message)
    if not data:
        return Submission({message.id: _without_rows(told, len(chunk), group) for message in chunk})
    items = [item for item in map(read_item, data) if item is not None]
    found, nobodys = assign(chunk, items)
    outcomes = _each(account, found, group)
    strangers = nobodys + len(data) - len(items)
    missing = _missing(outcomes, told, len(chunk), strangers)
    return Submission({m.id: outcomes.get(m.id, missing) for m in chunk}, _signal(found))


def _group(envelope: Envelope) -> str | None:
    group = (text(envelope.body, "group_id") or "").strip()
    return group if 0 < len(group) <= 200 and group.isprintable() else None


def accepted_count(message: str) -> int | None:
    """The number in "2 numbers accepted for delivery.", or None."""
    found = re.match(r"\s*([0-9]{1,6})\s+(?:numbers?|messages?)\b", message, re.I)
    return int(found.group(1)) if found else None


_MISSING = Failure("missing_in_response", FailureClass.UNSPECIFIED, "the answer accepted fewer recipients, without it")


def _without_rows(told: int | None, asked: int, group: str | None) -> Outcome:
    """Some endpoints accept without a row for each: the ids then come with the reports."""
    if told is None or told >= asked:
        return Accepted(None, group_id=group, note="accepted without an id")
    return Refused(_MISSING) if told == 0 else Unclear("fewer_accepted_than_sent")


def _missing(outcomes: Mapping[str, Outcome], told: int | None, asked: int, strangers: int) -> Outcome:
    """A recipient without a row was refused only if the count says so and every accepted one has a row of its own."""
    accepted = sum(isinstance(outcome, Accepted) for outcome in outcomes.values())
    if told is not None and told < asked and told == accepted and not strangers:
        return Refused(_MISSING)
    return Unclear("missing_in_response")


def _each(account: Account, found: Mapping[str, Item], group: str | None) -> dict[str, Outcome]:
    ids = Counter(item.provider_id for item in found.values())
    return {key: _outcome(account, item, group, ids[item.provider_id] > 1) for key, item in found.items()}


_UNDER_WAY = frozenset({MessageState.SUBMITTED, MessageState.HELD, MessageState.SENT})
_RETRYABLE = frozenset({FailureClass.TEMPORARY, FailureClass.THROTTLED, FailureClass.DEFERRED, FailureClass.ACCOUNT})


def _outcome(account: Account, item: Item, group: str | None, shared_id: bool) -> Outcome:
    word = item.word
    if word is None or word.state is None:
        return _odd(account, item, group, shared_id)
    if word.klass is None or word.state is MessageState.EXPIRED:  # expired at once: its report says so, too
        return _taken(account, item, group, shared_id, word.state)
    return Refused(_failure(word))


def _failure(word: Word) -> Failure:
    """Only a rejection may be tried again. What failed on its way had been accepted, and may be paid for."""
    failure = failure_of(word) or Failure(word.name, FailureClass.UNSPECIFIED, word.reason)
    if word.state is MessageState.REJECTED or failure.klass not in _RETRYABLE:
        return failure
    return Failure(failure.code, FailureClass.UNSPECIFIED, failure.reason)


def _odd(account: Account, item: Item, group: str | None, shared_id: bool) -> Outcome:
    """A word we do not know: with an id of its own the provider has the message, else nobody can tell."""
    if item.provider_id is None:
        return Unclear("unknown_status")
    return _taken(account, item, group, shared_id, MessageState.SUBMITTED)


def _taken(account: Account, item: Item, group: str | None, shared_id: bool, state: MessageState) -> Accepted:
    """An id that stands in two rows is nobody's: such a message is followed by our reference."""
    price = item.price
    return Accepted(
        provider_id=None if shared_id else item.provider_id,
        state=_entry(state),
        group_id=group or item.group_id,
        parts=item.units,
        price=price,
        currency=account.currency if price is not None else None,
        note="the answer gave its id to two recipients" if shared_id and item.provider_id else None,
    )


def _entry(state: MessageState) -> MessageState:
    """An answer can only open a message; that it has arrived is for its report to say."""
    if state is MessageState.DELIVERED:
        return MessageState.SENT
    return state if state in _UNDER_WAY else MessageState.SUBMITTED


def _signal(found: Mapping[str, Item]) -> Signal | None:
    """What single rows say about the account: no credit before a wrong set-up before "too fast"."""
    words = {item.word.name: item.word.reason for item in found.values() if item.word}
    for name, kind in (("NO-CREDITS", OutOfCredit), ("NO-ACCOUNT", Misconfigured), ("INV-SERVICE", Misconfigured)):
        if name in words:
            return kind(name, words[name])
    return Throttle(None, "THROTTLED") if "THROTTLED" in words else None
