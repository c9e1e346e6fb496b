"""What a campaign would do with a file, without storing or sending anything.

The same decisions as an import: numbers, duplicates, opt-outs, texts, routes, the providers' own rules. Memory does not
grow with the file: it counts, and keeps only the rows it was asked to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import exists, select

from config.accounts import Account
from config.prices import Prices
from models.database import Database
from models.msisdn import Msisdn
from models.segments import Encoding, measure, why_ucs2
from models.tables import Suppression
from producer.audience import Accepted, Audience, Chunk, RejectCode, Rejected, Rules
from producer.audience_types import Refusal, Suppressed
from producer.campaigns import CampaignSpec, check_spec, sender_for
from producer.estimate import Load, account_seconds, seconds
from producer.import_feed import size_of
from producer.import_work import NOBODY
from producer.numberset import NumberSet
from producer.readers import Hint, Table, open_table
from producer.readers.columns import find_column, find_reference_column
from producer.route import Chooser, Route
from producer.suppressions import opted_out
from producer.template import Template
from providers.base import Outgoing, Provider

SHOWN = 5  # rows of each kind that are shown unasked
LOOK_UP_BELOW = 500_000  # bytes of a file whose numbers are looked up one by one rather than all opt-outs read
ASKED_AFTER = 200  # messages per account and country that each provider is asked about; then the answers repeat
MOST_WARNINGS = 100  # different ones; a text of its own in each would fill the page


class Shown(NamedTuple):
    """What one recipient would get. `refused_by`: accounts of the route that would not take it, and why."""

    row_no: int
    msisdn: str
    country: str
    account: str
    sender: str
    text: str
    encoding: str
    segments: int
    reference: str | None
    warnings: tuple[str, ...]
    refused_by: Mapping[str, str]


class CountryCost(NamedTuple):
    """Of one country: `cost` by currency; `unpriced`: parts for which the price table has no price."""

    country: str
    messages: int
    parts: int
    cost: Mapping[str, Decimal]
    unpriced: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen. `segments`: number of parts to messages; `seconds`: of sending, by the accounts' limits."""

    valid: int
    reasons: Mapping[RejectCode, int]
    encodings: Mapping[str, int]
    segments: Mapping[int, int]
    by_account: Mapping[str, int]
    account_seconds: Mapping[str, float]
    seconds: float
    countries: tuple[CountryCost, ...]
    warnings: Mapping[str, int]
    notes: tuple[str, ...]
    rows: tuple[Shown, ...]
    rejected: tuple[Rejected, ...]
    encoding: str | None = None
    number_column: str = ""

    @property
    def duplicate(self) -> int:
        return self.reasons.get(RejectCode.DUPLICATE, 0)

    @property
    def suppressed(self) -> int:
        return self.reasons.get(RejectCode.SUPPRESSED, 0)

    @property
    def invalid(self) -> int:
        """All rejected rows that are neither duplicate nor opted out."""
        return sum(self.reasons.values()) - self.duplicate - self.suppressed

    @property
    def parts(self) -> int:
        return sum(parts * messages for parts, messages in self.segments.items())

    @property
    def median_segments(self) -> float:
        return median_of(self.segments)

    @property
    def cost(self) -> dict[str, Decimal]:
        """The whole, by currency."""
        total: dict[str, Decimal] = {}
        for country in self.countries:
            for currency, amount in country.cost.items():
                total[currency] = total.get(currency, Decimal(0)) + amount
        return total

    @property
    def unpriced(self) -> int:
        return sum(country.unpriced for country in self.countries)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        each = sorted(self.segments)
        return {
            "counts": {
                "valid": self.valid, "invalid": self.invalid, "duplicate": self.duplicate,
                "suppressed": self.suppressed, "by_reason": {str(code): n for code, n in self.reasons.items()},
            },
            "encodings": dict(self.encodings),
            "segments": {
                "min": each[0] if each else 0, "median": self.median_segments, "max": each[-1] if each else 0,
                "total": self.parts, "messages_by_segments": {str(parts): self.segments[parts] for parts in each},
            },
            "by_account": dict(self.by_account),
            "duration": {"seconds": self.seconds, "by_account": dict(self.account_seconds)},
            "cost": {
                "total": self.cost, "unpriced_parts": self.unpriced,
                "by_country": [country._asdict() for country in self.countries],
            },
            "warnings": dict(self.warnings),
            "notes": list(self.notes),
            "rows": [row._asdict() for row in self.rows],
            "rejected": [row._asdict() for row in self.rejected],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Previewer:
    """Reads the database for opt-outs alone."""

    database: Database
    accounts: Mapping[str, Account]
    providers: Mapping[str, Provider]
    prices: Prices = field(default_factory=Prices)
    default_region: str | None = None

    def run(
        self,
        spec: CampaignSpec,
        source: BinaryIO | Path,
        hint: Hint | None = None,
        *,
        rows: Collection[int] = (),
        shown: int = SHOWN,
        heard: Callable[[Chunk], None] = lambda chunk: None,
    ) -> Preview:
        """`rows`: numbers of rows to show beside the first `shown` accepted and rejected ones; `heard` is told of all.
        Raises CampaignError, FileError."""
        template = check_spec(spec, self.accounts, self.providers)
        table = open_table(source, hint or Hint())
        with _Rehearsal(self, spec, small=size_of(source) < LOOK_UP_BELOW) as rehearsal:
            audience = Audience(template, rehearsal.rules)
            for chunk in audience.chunks(table):
                rehearsal.add(chunk, frozenset(rows), shown)
                heard(chunk)
        return rehearsal.result(audience.counts, table, template)


class _Rehearsal:
    """Chooses accounts as the import does, remembers who refused, and counts."""

    def __init__(self, previewer: Previewer, spec: CampaignSpec, *, small: bool) -> None:
        self._previewer = previewer
        self._spec = spec
        self._route = Route.stored(spec.route, spec.routing)
        self._chooser = Chooser(self._route)
        self._choices: list[tuple[str, dict[str, str]]] = []
        self._parts: Counter[tuple[str, str, int]] = Counter()  # account, country, segments
        self._encodings: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._rows: list[Shown] = []
        self._rejected: list[Rejected] = []
        self._senders = {
            name: sender_for(previewer.accounts[name], spec.sender, self._route.senders) for name in self._route.weights
        }
        self._reading = previewer.database.read()
        self._small = small
        self.rules = Rules()

    def __enter__(self) -> _Rehearsal:
        self._session = self._reading.__enter__()
        spec = self._spec
        self.rules = Rules(
            default_region=spec.region or self._previewer.default_region,
            allow=self._route.allow,
            deny=self._route.deny,
            suppressed=self._suppressed(),
            check=self._choose,
            gsm7_only=spec.gsm7_only,
            max_segments=spec.max_parts,
        )
        return self

    def __exit__(self, *error: Any) -> None:
        self._reading.__exit__(*error)

    def _suppressed(self) -> Suppressed:
        senders = {"", *self._senders.values()}
        if not self._small:
            numbers = NumberSet(opted_out(self._session, senders))
            return lambda number: int(number[1:]) in numbers

        def look_up(number: Msisdn) -> bool:
            found = exists().where(Suppression.msisdn == str(number), Suppression.sender.in_(senders))
            return bool(self._session.execute(select(found)).scalar_one())

        return look_up

    def _choose(self, number: Msisdn, country: str, text: str, encoding: Encoding, segments: int) -> Refusal | None:
        refused: dict[str, str] = {}
        refusal: Refusal | None = None
        for name in self._chooser.offers(number, country):
            failure = self._previewer.providers[name].check(self._outgoing(name, number, text, encoding, segments))
            if failure is None:
                self._choices.append((name, refused))
                return None
            refused[name] = failure.reason
            refusal = Refusal(failure.code, failure.reason)
        return refusal

    def _outgoing(self, name: str, number: str, text: str, encoding: Encoding, segments: int) -> Outgoing:
        spec = self._spec
        return Outgoing(
            NOBODY, NOBODY, number, self._senders[name], text, encoding, segments, spec.validity, spec.options
        )

    # --- counting ----------------------------------------------------------------------------------------------------

    def add(self, chunk: Chunk, wanted: frozenset[int], shown: int) -> None:
        for row, (account, refused) in zip(chunk.accepted, self._choices, strict=True):
            self._count(row, account)
            said = self._warnings_of(row, account)
            self._note(said)
            if len(self._rows) < shown or row.row_no in wanted:
                self._rows.append(self._shown(row, account, said, refused))
        self._choices.clear()
        for bad in chunk.rejected:
            if len(self._rejected) < shown or bad.row_no in wanted:
                self._rejected.append(bad)

    def _count(self, row: Accepted, account: str) -> None:
        self._parts[account, row.country, row.segments] += 1
        self._encodings[str(row.encoding.value)] += 1

    def _warnings_of(self, row: Accepted, account: str) -> tuple[str, ...]:
        said = costly(row.text) if row.encoding is Encoding.UCS2 else []
        self._asked[account, row.country] += 1
        if self._asked[account, row.country] <= ASKED_AFTER:
            message = self._outgoing(account, row.msisdn, row.text, row.encoding, row.segments)
            said = [*said, *self._previewer.providers[account].warnings(message)]
        return tuple(said)

    def _note(self, said: tuple[str, ...]) -> None:
        for warning in said:
            if warning in self._warnings or len(self._warnings) < MOST_WARNINGS:
                self._warnings[warning] += 1

    def _shown(self, row: Accepted, account: str, said: tuple[str, ...], refused: Mapping[str, str]) -> Shown:
        return Shown(
            row.row_no, str(row.msisdn), row.country, account, self._senders[account], row.text,
            str(row.encoding.value), row.segments, row.reference, said, refused,
        )  # fmt: skip

    # --- the result --------------------------------------------------------------------------------------------------

    def result(self, reasons: Counter[RejectCode], table: Table, template: Template) -> Preview:
        here = self._previewer
        loads = dict(self._loads())
        return Preview(
            valid=self._parts.total(),
            reasons=dict(reasons.most_common()),
            encodings=dict(self._encodings),
            segments=dict(sorted(self._sum(lambda key: key[2]).items())),
            by_account=dict(self._sum(lambda key: key[0])),
            account_seconds={name: account_seconds(here.accounts[name], load) for name, load in loads.items()},
            seconds=seconds(here.accounts, loads, self._spec.max_rate),
            countries=tuple(self._countries()),
            warnings=dict(self._warnings.most_common()),
            notes=tuple(notes(table, template)),
            rows=tuple(self._rows),
            rejected=tuple(self._rejected),
            encoding=table.encoding,
            number_column=table.number,
        )

    def _sum(self, key: Callable[[tuple[str, str, int]], Any]) -> Counter[Any]:
        total: Counter[Any] = Counter()
        for which, messages in self._parts.items():
            total[key(which)] += messages
        return total

    def _loads(self) -> Iterator[tuple[str, Load]]:
        for name, messages in self._sum(lambda key: key[0]).items():
            parts = sum(n * key[2] for key, n in self._parts.items() if key[0] == name)
            yield name, Load(messages, parts, self._previewer.providers[name].max_recipients)

    def _countries(self) -> Iterator[CountryCost]:
        for country, messages in self._sum(lambda key: key[1]).most_common():
            cost: dict[str, Decimal] = {}
            parts = unpriced = 0
            for (account, where, segments), n in self._parts.items():
                if where == country:
                    parts += segments * n
                    price = self._previewer.prices.of(account, country)
                    if price is None:
                        unpriced += segments * n
                    else:
                        cost[price.currency] = cost.get(price.currency, Decimal(0)) + price.amount * segments * n
            yield CountryCost(country, messages, parts, cost, unpriced)


def median_of(distribution: Mapping[int, int]) -> float:
    """Of values with their frequencies; between two middle values their mean."""
    total = sum(distribution.values())
    if not total:
        return 0.0
    lower, upper = (total - 1) // 2, total // 2
    found: list[int] = []
    passed = 0
    for value in sorted(distribution):
        passed += distribution[value]
        while len(found) < 2 and passed > (lower, upper)[len(found)]:
            found.append(value)
    return sum(found) / 2


def costly(text: str) -> list[str]:
    """Why a text needs UCS-2, where that needs more parts than GSM-7 would. Pure."""
    measured = measure(text)
    if measured.encoding is not Encoding.UCS2:
        return []
    offenders = why_ucs2(text)
    foreign = {offender.char for offender in offenders}
    plain = measure("".join(" " if char in foreign else char for char in text))
    if plain.segments >= measured.segments:
        return []
    return [
        f"{offender.name} makes it {measured.segments} parts instead of {plain.segments}"
        + (f"; write {offender.replacement!r}" if offender.replacement else "")
        for offender in offenders
    ]


def notes(table: Table, template: Template) -> Iterator[str]:
    """Columns that nothing uses, and variables that no column fills."""
    if table.header is None:
        return
    places = {name: find_column(table.header, name) for name in template.variables}
    used = {find_column(table.header, table.number), find_reference_column(table.header), *places.values()}
    unused = [name for at, name in enumerate(table.header) if at not in used and name]
    if unused:
        yield f"columns that the template does not use: {', '.join(unused[:20])}"
    lacking = [name for name, at in places.items() if at is None]
    if lacking:
        yield f"variables without a column, so always their default: {', '.join(lacking)}"
