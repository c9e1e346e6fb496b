"""One row about one message, in any of the shapes Qikberry writes: send answer, pull, push, channels.

The same thing has several names there: our reference comes back as `customid` (send answer), `custom` (pull), `cid`
(push) or `foreign_id` (channels), the number as `mobile` or `to`, the price as `charges` or `credits`; numbers come
as numbers or as text ("2.0000").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import NamedTuple

from models.states import MessageState
from providers.base import Outgoing, Report
from providers.qikberry_codes import Word, failure_of, read_word
from providers.shared import digits, money, text, timestamp, whole

Owners = Callable[["Item"], Sequence[Outgoing]]
"""Which messages a row may be about, by its number."""

Rule = Callable[[Sequence[Outgoing]], Owners]

_REFERENCES = ("customid", "foreign_id", "cid", "custom")
_OUR_FORM = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")

# Which time says when a status came about. `sent` is when the platform received the message, `submit` when it handed
# it to the operator (public documentation of the same platform): the reverse of what the names suggest. An epoch
# (`*_at`) needs no time zone and goes first.
_TIMES: Mapping[MessageState | None, Sequence[str]] = {
    MessageState.SUBMITTED: ("sent_at", "sent_time", "submitted_at", "created_at", "processed_at", "timestamp"),
    MessageState.HELD: ("sent_at", "sent_time", "submitted_at", "created_at", "processed_at", "timestamp"),
    MessageState.SENT: ("submit_at", "submit_time", "processed_at", "timestamp"),
}
_TIMES_OF_AN_END = ("deliv_at", "deliv_time", "delivered_at", "timestamp")


class Item(NamedTuple):
    """`number` is as the provider wrote it, perhaps masked; `written` is the status as it came."""

    fields: Mapping[str, object]
    provider_id: str | None
    group_id: str | None
    references: tuple[str, ...]
    number: str
    written: str
    word: Word | None
    channel: str | None

    @property
    def reference(self) -> str | None:
        """Ours, if it is among them: the provider's sample of a push has two, of which one is somebody else's."""
        own = (found for found in self.references if _OUR_FORM.fullmatch(found))
        return next(own, self.references[0] if self.references else None)

    @property
    def full_number(self) -> str | None:
        """The digits, or None where some are masked: a masked number must never be taken for another."""
        plain = re.sub(r"[+\s()-]", "", self.number)
        return plain if plain.isascii() and plain.isdecimal() else None

    @property
    def units(self) -> int | None:
        found = whole(self.fields, "units")
        return found if found is not None and found > 0 else None

    @property
    def price(self) -> Decimal | None:
        """In credits of the account, for the whole message."""
        charged = money(self.fields.get("charges"))
        return charged if charged is not None else money(self.fields.get("credits"))


def read_item(value: object) -> Item | None:
    """The row, or None where it says neither whose it is nor what happened."""
    if not isinstance(value, dict):
        return None
    provider_id, channel = _line(value, "id"), _line(value, "channel")
    item = Item(
        fields=value,
        provider_id=provider_id,
        group_id=_line(value, "group_id") or _group_of(provider_id),
        references=tuple(found for key in _REFERENCES if key in value and (found := _line(value, key))),
        number=_line(value, "mobile") or _line(value, "to") or "",
        written=_line(value, "status") or "",
        word=read_word(value.get("status"), _code(value), channel),
        channel=channel,
    )
    return item if item.provider_id or item.references or item.number else None


def _line(value: Mapping[str, object], key: str) -> str | None:
    """A short text on one line: an id of kilobytes or with line breaks is none."""
    given = value.get(key)
    if given is None:
        return None  # as most of the names a row may use
    found = (text(given) or "").strip()
    return found if 0 < len(found) <= 200 and found.isprintable() else None


def _code(value: Mapping[str, object]) -> object:
    return next((value[key] for key in ("error_code", "err_code", "err", "code") if key in value), None)


def _group_of(provider_id: str | None) -> str | None:
    """An id is `<group>:<n>`."""
    group, colon, number = (provider_id or "").rpartition(":")
    return group if colon and group and number.isdecimal() else None


def to_report(item: Item, zone: tzinfo, currency: str | None) -> Report | None:
    """The report in a row, or None where nobody could tell whose it is."""
    if not item.provider_id and not item.references:
        return None
    word = item.word
    state = word.state if word else None
    price = item.price
    return Report(
        dedupe=_dedupe(item),
        state=state,
        provider_id=item.provider_id,
        ref=item.reference,
        msisdn=item.full_number,
        raw_status=item.written,
        failure=failure_of(word) if word else None,
        at=_time(item, _TIMES.get(state, _TIMES_OF_AN_END), zone),
        parts=item.units,
        price=price,
        currency=currency if price is not None else None,
        network=_line(item.fields, "provider"),
        channel=item.channel,
        read_at=_time(item, ("read_at", "deliv_at", "timestamp"), zone) if word and word.read else None,
        group_id=item.group_id,
    )


def _dedupe(item: Item) -> str:
    """Whose and what: pull and push write different times, and long or short names, for the same status."""
    whose = item.provider_id or f"{item.reference}/{digits(item.number)}"
    return f"{whose}|{item.word.name if item.word else item.written.upper()}"


def _time(item: Item, keys: Sequence[str], zone: tzinfo) -> datetime | None:
    times = (timestamp(item.fields.get(key), zone) for key in keys)
    return next((found for found in times if found is not None), None)


def assign(chunk: Sequence[Outgoing], items: Sequence[Item]) -> tuple[dict[str, Item], int]:
    """Which row is whose (by `Outgoing.id`), and how many rows are nobody's.

    By our reference first; then by the whole number; then by what a masked number shows, where it fits one message
    only and no other masked row could mean that one too.
    """
    found: dict[str, Item] = {}
    by_ref = {message.ref: message for message in chunk}
    rest = [item for item in items if not _take(found, _owner(by_ref, item), item)]
    for rule in (_same_number, _under_mask):
        rest = _by_number(chunk, found, rest, rule)
    return found, len(rest)


def _owner(by_ref: Mapping[str, Outgoing], item: Item) -> Outgoing | None:
    return next((by_ref[ref] for ref in item.references if ref in by_ref), None)


def _take(found: dict[str, Item], message: Outgoing | None, item: Item) -> bool:
    """A row for a message that has one already is nobody's: the first stays."""
    if message is None or message.id in found:
        return False
    found[message.id] = item
    return True


def _by_number(chunk: Sequence[Outgoing], found: dict[str, Item], items: Sequence[Item], rule: Rule) -> list[Item]:
    owners = rule([message for message in chunk if message.id not in found])
    claims = [(item, owners(item)) for item in items]
    claimed = Counter(message.id for _, messages in claims for message in messages)
    return [item for item, messages in claims if not _sole(found, messages, claimed, item)]


def _sole(found: dict[str, Item], messages: Sequence[Outgoing], claimed: Counter[str], item: Item) -> bool:
    """Take the row if it fits one message only, and no other row claims that one."""
    return len(messages) == 1 and claimed[messages[0].id] == 1 and _take(found, messages[0], item)


def _same_number(open_: Sequence[Outgoing]) -> Owners:
    by_number: dict[str | None, list[Outgoing]] = {}
    for message in open_:
        by_number.setdefault(digits(message.msisdn), []).append(message)
    return lambda item: by_number.get(item.full_number, [])


def _under_mask(open_: Sequence[Outgoing]) -> Owners:
    return lambda item: [message for message in open_ if fits_mask(item.number, digits(message.msisdn))]


def fits_mask(written: str, number: str) -> bool:
    """`9189212693xx` fits every number of that length with those digits; a mask with hardly a digit fits none."""
    masked = written.lstrip("+")
    shown = sum(ch.isdecimal() for ch in masked)
    pairs = zip(masked, number, strict=False)
    return len(masked) == len(number) and shown >= 4 and all(m in ("x", "X", "*", n) for m, n in pairs)
