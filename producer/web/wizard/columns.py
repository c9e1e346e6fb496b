"""What each column of a file is used for: guessed, then chosen. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from models.msisdn import BadNumber, Msisdn, parse_msisdn
from producer.audience_columns import ZONE_NAMES
from producer.readers import Format, Hint
from producer.readers.columns import NUMBER_NAMES, REFERENCE_NAMES, plain
from producer.template import Template, TemplateError
from producer.web.wizard.countries import is_country
from producer.web.wizard.sample import Sample, SampleRow

MOST_VARIABLE = 50
MOST_BAD = 10  # unreadable numbers that are shown
LIKELY = 0.5  # share of values that must read as numbers


class Use(StrEnum):
    NUMBER = "number"
    VARIABLE = "variable"
    REFERENCE = "reference"
    ZONE = "zone"
    IGNORED = "ignored"


USES: Mapping[Use, str] = {
    Use.NUMBER: "Phone number",
    Use.VARIABLE: "Value for the text",
    Use.REFERENCE: "Your own reference",
    Use.ZONE: "Time zone of the recipient",
    Use.IGNORED: "Not used",
}
NAMES: Mapping[Use, str] = {Use.NUMBER: "phone", Use.REFERENCE: "reference", Use.ZONE: "timezone"}
"""Under which name a column of that use is read, and can be written into the text too."""
_ONCE = (Use.NUMBER, Use.REFERENCE, Use.ZONE)
_RESERVED = {*REFERENCE_NAMES, *ZONE_NAMES, *(plain(name) for name in NAMES.values())}


@dataclass(frozen=True, slots=True)
class Choice:
    """What one column is for. `variable`: its name in the text."""

    use: Use
    variable: str = ""

    @property
    def name(self) -> str:
        """The name it is read under; empty: not at all."""
        return self.variable if self.use is Use.VARIABLE else NAMES.get(self.use, "")


def region_of(fields: Mapping[str, str]) -> str | None:
    return fields.get("region", "").strip().upper() or None


def fields_of(choices: Sequence[Choice], region: str) -> dict[str, str]:
    """A form filled in with the choices."""
    found = {"region": region}
    for at, choice in enumerate(choices):
        found |= {f"use-{at}": str(choice.use), f"name-{at}": choice.variable}
    return found


def choices_of(fields: Mapping[str, str], sample: Sample) -> list[Choice]:
    """What the form says, column by column; what it does not know is not used."""
    return [
        Choice(_use(fields.get(f"use-{at}", "")), fields.get(f"name-{at}", "").strip()[:MOST_VARIABLE])
        for at in range(len(sample.names))
    ]


def _use(word: str) -> Use:
    return Use(word) if word in list(Use) else Use.IGNORED


# --- guessing --------------------------------------------------------------------------------------------------------


def guess(sample: Sample, region: str | None) -> list[Choice]:
    """The use of each column by its name, the number also by what stands in it."""
    number = _number(sample, region)
    names = [plain(name) for name in sample.names]
    reference = next((names.index(name) for name in REFERENCE_NAMES if name in names), None)
    zone = next((at for at, name in enumerate(names) if name in ZONE_NAMES), None)
    special = {number: Use.NUMBER, reference: Use.REFERENCE, zone: Use.ZONE}
    taken: set[str] = set()
    return [
        Choice(special[at], "") if at in special else Choice(Use.VARIABLE, _free(variable_name(name, at), taken))
        for at, name in enumerate(sample.names)
    ]


def _number(sample: Sample, region: str | None) -> int | None:
    names = [plain(name) for name in sample.names]
    by_name = next((names.index(name) for name in NUMBER_NAMES if name in names), None)
    if by_name is not None or not sample.good:
        return by_name
    shares = [_share(sample, at, region) for at in range(len(names))]
    best = max(range(len(shares)), key=shares.__getitem__)
    return best if shares[best] > LIKELY else None


def _share(sample: Sample, at: int, region: str | None) -> float:
    values = [row.cells[at] for row in sample.good]
    return sum(isinstance(parse_msisdn(value, region), Msisdn) for value in values) / len(values)


def variable_name(name: str, at: int) -> str:
    """A column's name as it can be written into a text: `First name` becomes `first_name`."""
    word = re.sub(r"\W+", "_", name.strip().lower()).strip("_")[: MOST_VARIABLE - len("_value")]
    if not word or word[0].isdigit():
        word = f"column_{at + 1}" if not word else f"n{word}"
    return word if is_variable(word) else f"{word}_value"


def _free(name: str, taken: set[str]) -> str:
    found, n = name, 2
    while plain(found) in taken:
        found, n = f"{name}_{n}", n + 1
    taken.add(plain(found))
    return found


def is_variable(name: str) -> bool:
    """Whether `{{ name }}` is a variable, and none that has another meaning."""
    try:
        return Template.parse("{{ " + name + " }}").variables == (name,) and plain(name) not in _RESERVED
    except TemplateError:
        return False


# --- judging ---------------------------------------------------------------------------------------------------------


def faults(choices: Sequence[Choice], fields: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with the form, by field. Empty: nothing."""
    found: dict[str, str] = {}
    region = region_of(fields)
    if region is not None and not is_country(region):
        found["region"] = "This is no country. Leave it empty if every number has its country code."
    found |= _single(choices)
    found |= dict(_names(choices))
    return found


def _single(choices: Sequence[Choice]) -> dict[str, str]:
    found: dict[str, str] = {}
    for use in _ONCE:
        places = [at for at, choice in enumerate(choices) if choice.use is use]
        for at in places[1:]:
            found[f"use-{at}"] = f"Column {places[0] + 1} is “{USES[use]}” already; only one can be."
    if not any(choice.use is Use.NUMBER for choice in choices):
        found["use-0"] = "Say which column holds the phone number."
    return found


def _names(choices: Sequence[Choice]) -> Iterator[tuple[str, str]]:
    taken: dict[str, int] = {}
    for at, choice in enumerate(choices):
        if choice.use is not Use.VARIABLE:
            continue
        if plain(choice.variable) in _RESERVED:
            yield f"name-{at}", f"“{choice.variable}” means something else here; choose another name."
        elif not is_variable(choice.variable):
            yield f"name-{at}", "A name is made of letters, digits and _, as first_name."
        elif plain(choice.variable) in taken:
            yield f"name-{at}", f"Column {taken[plain(choice.variable)] + 1} has this name already."
        taken.setdefault(plain(choice.variable), at)


def mapped(hint: Hint, sample: Sample, choices: Sequence[Choice]) -> Hint:
    """How to read the file so that every column has the name that was chosen for it."""
    names = tuple(
        (at if sample.positional else sample.names[at], choice.name) for at, choice in enumerate(choices) if choice.name
    )
    return Hint(
        Format(sample.format), hint.encoding, hint.delimiter or sample.delimiter, NAMES[Use.NUMBER], hint.sheet,
        columns=names, headless=sample.headless,
    )  # fmt: skip


def variables(choices: Sequence[Choice]) -> list[str]:
    """The names that a text may use, in the order of the columns."""
    return [choice.name for choice in choices if choice.name]


def values_of(row: SampleRow, choices: Sequence[Choice], sample: Sample) -> dict[str, str]:
    """A row of the sample as the template sees it: in a table every row has every column, empty or not."""
    cells = zip(choices, row.cells, strict=False)
    return {choice.name: cell for choice, cell in cells if choice.name and (cell or sample.positional)}


@dataclass(frozen=True, slots=True)
class Numbers:
    """How the numbers of the first rows read. `bad`: row, value, why."""

    good: int
    rows: int
    bad: Sequence[tuple[int, str, str]]
    shown: Mapping[int, str]


def numbers(sample: Sample, choices: Sequence[Choice], region: str | None) -> Numbers:
    at = next((at for at, choice in enumerate(choices) if choice.use is Use.NUMBER), None)
    bad: list[tuple[int, str, str]] = []
    shown: dict[int, str] = {}
    for row in sample.rows:
        if row.fault or at is None:
            bad.append((row.number, "", row.fault or "no column holds the number"))
            continue
        value = row.cells[at] if at < len(row.cells) else ""
        found = parse_msisdn(value, region if region and is_country(region) else None)
        if isinstance(found, BadNumber):
            bad.append((row.number, value[:60], found.reason))
        else:
            shown[row.number] = str(found)
    return Numbers(len(shown), len(sample.rows), bad[:MOST_BAD], shown)
