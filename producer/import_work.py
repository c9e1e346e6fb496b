"""The deciding half of an import: rows of a file become rows of tables. No database, so it can run in a process of its
own beside the one that writes.

Its results are tuples of plain values, as `models.bulk` stores them and `marshal` carries them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import uuid_utils

from config.accounts import Account
from config.pace import batch_size
from models.msisdn import Msisdn
from models.plain import moment, storable, trail_line
from models.segments import Encoding
from models.states import BatchState, MessageState
from models.steering import Steering
from producer.audience import Accepted, Audience, Chunk, Rejected
from producer.audience_types import Refusal, Rules
from producer.numberset import NumberSet
from producer.readers import Table
from producer.route import Chooser, Route
from producer.shaping import Shape
from producer.template import Template
from providers.base import Failure, Outgoing, Provider

NOBODY = str(UUID(int=0))  # the reference of a message that is only asked about
CHUNK = 16_000
FIRST_CHUNK = 100  # of a campaign that is sent while it is imported: the first message shall leave soon

BATCH = ("id", "campaign_id", "source_no", "account", "size", "state", "not_before", "lease_token", "position", "zones")
MESSAGE = (
    "id", "batch_id", "row_no", "account", "msisdn", "country", "sender", "text", "encoding", "segments", "reference",
)  # fmt: skip
REJECT = ("campaign_id", "source_no", "row_no", "column", "value", "code", "reason")

_WORDS = {encoding: str(encoding.value) for encoding in Encoding}
_QUEUED, _PLANNED = str(MessageState.QUEUED.value), str(BatchState.PLANNED.value)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that decisions depend on. `accounts`: those of the route with the sender each uses for this campaign."""

    campaign_id: UUID
    source_no: int
    template: str
    missing: str | None
    gsm7_only: bool
    common: bool  # the text is kept with the campaign
    route: Route
    accounts: Mapping[str, Account]
    senders: Mapping[str, str]
    options: Mapping[str, str]
    max_parts: int
    validity: int | None
    steering: Steering
    position: int  # of the file's first message among those of the campaign, from 0
    region: str | None
    stream: bool
    batch_seconds: float
    dialect: str
    now: datetime
    chunk: int = CHUNK


class Slice(NamedTuple):
    """What one chunk of rows became. The totals count from the beginning of the file; `row` is the last row read.
    `messages`: the values of `MESSAGE`, row after row; `same`: what all of them have in common."""

    batches: list[tuple[Any, ...]]
    messages: list[Any]
    same: dict[str, Any]
    rejects: list[tuple[Any, ...]]
    queued: dict[str, int]  # messages of this slice by account
    accepted: int
    rejected: int
    segments: int
    row: int

    def numbers(self) -> Iterator[tuple[str, str]]:
        """Each message's MSISDN and id."""
        ids, numbers = (self.messages[MESSAGE.index(name) :: len(MESSAGE)] for name in ("id", "msisdn"))
        return zip(numbers, ids, strict=True)


@dataclass(slots=True)
class _Carrier:
    """One account of the route, and the batches that are being filled for it: one, or one for each zone."""

    name: str
    provider: Provider
    sender: str
    size: int
    filling: dict[str | None, _Filling] = field(default_factory=dict)


@dataclass(slots=True)
class _Filling:
    """Messages on their way into a batch. `first` is the position of the first of them."""

    batch_id: str
    first: int
    most: int
    values: list[Any] = field(default_factory=list)  # of `MESSAGE`, row after row

    @property
    def size(self) -> int:
        """Messages in it."""
        return len(self.values) // len(MESSAGE)


class Work:
    """One file: decides, chooses accounts, cuts batches."""

    def __init__(self, plan: Plan, providers: Mapping[str, Provider], seen: NumberSet, opted_out: NumberSet) -> None:
        self._plan = plan
        self._clock = time.monotonic()
        self._campaign, self._source, self._common = plan.campaign_id.hex, plan.source_no, plan.common
        self._carriers = {
            name: _Carrier(
                name,
                providers[name],
                plan.senders[name],
                batch_size(account, providers[name].max_recipients, plan.batch_seconds),
            )
            for name, account in plan.accounts.items()
        }
        self._chooser = Chooser(plan.route)
        self._chosen: list[_Carrier] = []
        self._accepted = self._rejected = self._segments = 0
        self._row = 0
        self._batches: list[tuple[Any, ...]] = []
        self._messages: list[Any] = []
        self._rejects: list[tuple[Any, ...]] = []
        self._queued: dict[str, int] = {}
        self._shape = Shape(plan.steering)
        self._not_before = moment(self._shape.not_before(plan.now), plan.dialect)
        self._shaped, self._zoned = plan.steering.planned, plan.steering.window is not None
        self._position = plan.position
        rules = Rules(
            default_region=plan.region,
            allow=plan.route.allow,
            deny=plan.route.deny,
            suppressed=(lambda number: int(number[1:]) in opted_out) if opted_out else frozenset(),
            check=self._choose,
            gsm7_only=plan.gsm7_only,
            max_segments=plan.max_parts,
            zones=self._zoned,
        )
        self._audience = Audience(Template.parse(plan.template, missing=plan.missing), rules, seen)

    def slices(self, table: Table) -> Iterator[Slice]:
        """FileError, from the first step or from any other."""
        plan = self._plan
        for chunk in self._audience.chunks(table, plan.chunk, FIRST_CHUNK if plan.stream else None):
            self._add(chunk)
            yield self._take(everything=plan.stream)
        yield self._take(everything=True)

    def _choose(self, number: Msisdn, country: str, text: str, encoding: Encoding, segments: int) -> Refusal | None:
        """Give the message to the account whose turn it is, or to another of the route that would take it.

        Called once for every row that is otherwise accepted, in order: `_add` takes the choices in the same order.
        """
        first = self._chooser.first(number, country)
        failure = self._offer(first, number, text, encoding, segments)
        if failure is None:
            return None
        for name in self._chooser.others(number, country, first):
            failure = self._offer(name, number, text, encoding, segments)
            if failure is None:
                return None
        return Refusal(failure.code, failure.reason)

    def _offer(self, name: str, number: Msisdn, text: str, encoding: Encoding, segments: int) -> Failure | None:
        """None: the account takes it."""
        plan, carrier = self._plan, self._carriers[name]
        failure = carrier.provider.check(
            Outgoing(NOBODY, NOBODY, number, carrier.sender, text, encoding, segments, plan.validity, plan.options)
        )
        if failure is None:
            self._chosen.append(carrier)
        return failure

    def _add(self, chunk: Chunk) -> None:
        for row, carrier in zip(chunk.accepted, self._chosen, strict=True):
            self._place(row, carrier)
        self._chosen.clear()
        self._rejects = [self._reject(row) for row in chunk.rejected]
        self._accepted += len(chunk.accepted)
        self._rejected += len(chunk.rejected)
        self._segments += sum(row.segments for row in chunk.accepted)
        self._row = max(self._row, *(rows[-1].row_no for rows in (chunk.accepted, chunk.rejected) if rows))

    def _place(self, row: Accepted, carrier: _Carrier) -> None:
        zones = self._shape.zones(row.msisdn, row.zone) if self._zoned else None
        if self._shaped and self._shape.cut_before(self._position):
            self._cut_all()
        filling = carrier.filling.get(zones)
        if filling is None:
            most = self._shape.most(carrier.size, self._position) if self._shaped else carrier.size
            filling = carrier.filling[zones] = _Filling(uuid_utils.uuid7().hex, self._position, most)
        filling.values += (
            uuid_utils.uuid7().hex, filling.batch_id, row.row_no, carrier.name, row.msisdn[:], row.country or None,
            carrier.sender, None if self._common else row.text, _WORDS[row.encoding], row.segments, row.reference,
        )  # fmt: skip
        self._position += 1
        if filling.size >= filling.most:
            self._cut(carrier, zones)

    def _cut(self, carrier: _Carrier, zones: str | None) -> None:
        """Close the batch that is being filled."""
        done = carrier.filling.pop(zones)
        self._batches.append(
            (
                done.batch_id, self._campaign, self._source, carrier.name, done.size, _PLANNED, self._not_before, 0,
                done.first, zones,
            )
        )  # fmt: skip
        self._messages += done.values
        self._queued[carrier.name] = self._queued.get(carrier.name, 0) + done.size

    def _cut_all(self) -> None:
        for carrier in self._carriers.values():
            for zones in list(carrier.filling):
                self._cut(carrier, zones)

    def _reject(self, row: Rejected) -> tuple[Any, ...]:
        column, value, reason = storable(row.column or ""), storable(row.value), storable(row.reason)
        code = str(row.code.value)
        return (self._campaign, self._source, row.row_no, column[:100], value[:200], code, reason[:400])

    def _take(self, *, everything: bool) -> Slice:
        """What is ready to be written; `everything`: also the batches that did not get full."""
        if everything:
            self._cut_all()
        now = self._plan.now + timedelta(seconds=time.monotonic() - self._clock)
        same = {
            "campaign_id": self._campaign, "source_no": self._source, "state": _QUEUED, "tries": 0, "looks": 0,
            "ref_round": 1, "trail": trail_line(MessageState.QUEUED, "imported", now),
        }  # fmt: skip
        part = Slice(
            self._batches, self._messages, same, self._rejects, self._queued, self._accepted, self._rejected,
            self._segments, self._row,
        )  # fmt: skip
        self._batches, self._messages, self._rejects, self._queued = [], [], [], {}
        return part
