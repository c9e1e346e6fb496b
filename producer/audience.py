"""From rows to decisions: number, country, duplicate, opt-out, text, parts. Pure: no database, no clock, no network.

    audience = Audience(table, template, Rules(default_region="GB"))
    for chunk in audience.chunks():
        chunk.accepted, chunk.rejected
    audience.counts

Every row of the table ends exactly once, accepted or rejected. Of several rows with one number the first that is
accepted wins; a row that was rejected for its text does not take the number from a later, better one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from models.msisdn import Msisdn, parse_msisdn
from models.plain import is_storable
from models.segments import downgrade, measure
from models.windows import WindowError, check_zone
from producer.audience_columns import Binding, bind
from producer.audience_types import (
    NUMBER_CODES,
    REJECT_TEXTS,
    ROW_CODES,
    Accepted,
    RejectCode,
    Rejected,
    Rules,
)
from producer.numberset import Numbers, NumberSet
from producer.readers.table import Row, Table
from producer.template import MissingVariable, RenderError, Template

__all__ = ["CHUNK", "Accepted", "Audience", "Chunk", "RejectCode", "Rejected", "Rules"]

CHUNK = 5_000
"""Rows per chunk: what one bulk insert takes well."""
SHOWN = 60
"""Characters of a rejected value that are shown."""


@dataclass(slots=True)
class Chunk:
    """A slice of the file's rows, each list in the order of the file."""

    accepted: list[Accepted] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.accepted) + len(self.rejected)


class Audience:
    """Decides over the rows of one or more tables of one campaign; remembers the numbers it has seen.

    `seen` may be handed on to the next file of the same campaign.
    """

    def __init__(self, template: Template, rules: Rules, seen: Numbers | None = None) -> None:
        self.counts: Counter[RejectCode] = Counter()
        self.accepted = 0
        self.seen: Numbers = NumberSet() if seen is None else seen
        self._template = template
        self._rules = rules
        self._is_suppressed = _predicate(rules)
        self._constant = template.render({}) if template.is_constant else None

    def chunks(self, table: Table, size: int = CHUNK, first: int | None = None) -> Iterator[Chunk]:
        """Decide row by row; `first`: the size of the first chunk, from which the others grow tenfold to `size`.

        `FileError` at once if the template needs a column that the table has not, and whenever
        the reader finds the file broken: then nothing of it may be kept.
        """
        binding = bind(table, self._template)
        chunk = Chunk()
        most = min(first or size, size)
        for row in table.rows:
            result = self.decide(row, binding)
            if isinstance(result, Accepted):
                chunk.accepted.append(result)
            else:
                chunk.rejected.append(result)
            if len(chunk.accepted) + len(chunk.rejected) >= most:
                yield self._counted(chunk)
                chunk = Chunk()
                most = min(size, most * 10)
        if len(chunk):
            yield self._counted(chunk)

    def decide(self, row: Row, binding: Binding) -> Accepted | Rejected:
        """The decision over one row; an accepted number is remembered."""
        if row.fault is not None:
            return Rejected(row.row_no, row.fault.column, "", ROW_CODES[row.fault.code], row.fault.reason)
        raw = binding.number(row.cells)
        number = parse_msisdn(raw, self._rules.default_region, strict=self._rules.strict_numbers)
        if not isinstance(number, Msisdn):
            return Rejected(row.row_no, binding.number_name, masked(raw), NUMBER_CODES[number.fault], number.reason)
        key = int(number[1:])
        refusal = self._refusal(number, key)
        if refusal is not None:
            return _rejected(row, binding.number_name, raw, refusal)
        return self._write(row, binding, number, key)

    def _refusal(self, number: Msisdn, key: int) -> RejectCode | None:
        """What speaks against the number whatever the text says."""
        rules = self._rules
        if rules.deny and number.country in rules.deny:
            return RejectCode.COUNTRY_DENIED
        if rules.allow and number.country not in rules.allow:
            return RejectCode.COUNTRY_NOT_ALLOWED
        if key in self.seen:
            return RejectCode.DUPLICATE
        return RejectCode.SUPPRESSED if self._is_suppressed(number) else None

    def _write(self, row: Row, binding: Binding, number: Msisdn, key: int) -> Accepted | Rejected:
        rules = self._rules
        try:
            text = self._constant if self._constant is not None else self._template.render(binding.variables(row.cells))
        except RenderError as error:
            return _unwritten(row, error)
        if rules.gsm7_only:
            text = downgrade(text)
        encoding, _, segments, _ = measure(text)
        reference = binding.reference(row.cells)
        if not 0 < segments <= rules.max_segments or text.isspace():
            return _unfit(row, segments, rules.max_segments)
        if not is_storable(text):
            reason = "the text holds a character that no message can carry: NUL, or half of a surrogate pair"
            return Rejected(row.row_no, None, "", RejectCode.TEXT_FAILED, reason)
        if reference is not None and len(reference) > rules.max_reference:
            return _rejected(row, binding.reference_name, reference, RejectCode.REFERENCE_TOO_LONG)
        zone = binding.zone(row.cells) if rules.zones else None
        if zone is not None and not _is_zone(zone):
            return _rejected(row, "zone", zone, RejectCode.ZONE_UNKNOWN)
        if (
            rules.check is not None
            and (refusal := rules.check(number, number.country, text, encoding, segments)) is not None
        ):
            reason = f"{refusal.reason} ({refusal.code})"
            return Rejected(row.row_no, binding.number_name, number.masked(), RejectCode.PROVIDER_RULE, reason)
        self.seen.add(key)
        return Accepted(row.row_no, number, text, segments, encoding, number.country, reference, zone)

    def _counted(self, chunk: Chunk) -> Chunk:
        self.accepted += len(chunk.accepted)
        self.counts.update(rejected.code for rejected in chunk.rejected)
        return chunk


def masked(value: str) -> str:
    """A value for a reject list: capped, every digit but the last two as `•`."""
    short = value if len(value) <= SHOWN else value[:SHOWN] + "…"
    digits = sum(char.isdigit() for char in short)
    if digits <= 2:
        return short
    hidden = digits - 2
    out = []
    for char in short:
        out.append("•" if char.isdigit() and hidden > 0 else char)
        hidden -= char.isdigit()
    return "".join(out)


def read_suppressed(lines: Iterable[str], default_region: str | None = None) -> tuple[set[str], list[int]]:
    """Numbers of an opt-out list, one per line, `#` for remarks; and the lines that hold none, to be shown."""
    found: set[str] = set()
    bad: list[int] = []
    for line_no, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        number = parse_msisdn(text, default_region) if text else None
        if isinstance(number, Msisdn):
            found.add(str(number))
        elif number is not None:
            bad.append(line_no)
    return found, bad


def _rejected(row: Row, column: str | None, value: str, code: RejectCode) -> Rejected:
    return Rejected(row.row_no, column, masked(value), code, REJECT_TEXTS[code])


def _unwritten(row: Row, error: RenderError) -> Rejected:
    if isinstance(error, MissingVariable):
        return Rejected(row.row_no, error.name, "", RejectCode.VARIABLE_MISSING, str(error))
    return Rejected(row.row_no, None, "", RejectCode.TEXT_FAILED, str(error))


def _unfit(row: Row, segments: int, allowed: int) -> Rejected:
    if segments <= allowed:  # none at all, or blanks only
        return _rejected(row, None, "", RejectCode.TEXT_EMPTY)
    reason = f"the text needs {segments} parts, the campaign allows {allowed}: shorten it, or raise max_parts"
    return Rejected(row.row_no, None, "", RejectCode.TEXT_TOO_LONG, reason)


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        check_zone(name)
    except WindowError:
        return False
    return True


def _predicate(rules: Rules) -> Callable[[Msisdn], bool]:
    suppressed = rules.suppressed
    return suppressed if callable(suppressed) else suppressed.__contains__
