"""The text of a campaign and what becomes of it for one row: the count is that of the import, so it is the one billed.
Pure, but for the stored templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.segments import EACH_OF_SEVERAL, SINGLE, Encoding, Offender, downgrade, measure, parts, why_ucs2
from models.tables import TemplateText
from producer import templates
from producer.campaigns import CampaignError
from producer.template import MAX_TEMPLATE, RenderError, Template, TemplateError

MOST_SENDER = 64
MOST_MISSING = 200
MOST_PARTS = 10  # as the import's rules have it
LISTED = 500  # stored templates in the list
ENCODINGS: Mapping[Encoding, str] = {Encoding.GSM7: "GSM-7", Encoding.UCS2: "UCS-2 (Unicode)"}


@dataclass(frozen=True, slots=True)
class Content:
    """What is said. `missing` stands for values that a row has not; None: such a row gets nothing."""

    sender: str
    text: str
    name: str | None = None
    version: int | None = None
    missing: str | None = None
    gsm7_only: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """A character that forces UCS-2. `in_text`: it stands in the template, else in the row's values."""

    char: str
    name: str
    count: int
    replacement: str | None
    in_text: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """The text of one row, counted. `room`: units that as many parts can hold; `cheaper`: the parts it would need in
    GSM-7, where that is fewer. `fault`: why there is no text."""

    parts: Sequence[str] = ()
    encoding: str = ""
    units: int = 0
    segments: int = 0
    room: int = 0
    causes: Sequence[Cause] = ()
    cheaper: int | None = None
    fault: str = ""

    @property
    def left(self) -> int:
        return self.room - self.units

    @property
    def said(self) -> str:
        """The counter in one line."""
        if self.fault:
            return self.fault
        word = "part" if self.segments == 1 else "parts"
        return f"{self.segments} {word}, {self.encoding}, {self.units} of {self.room}"


class TextFault(ValueError):
    """The message cannot be so. `field` of the form."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def content_of(session: Session, fields: Mapping[str, str]) -> Content:
    """What the form says, the stored template looked up. Raises TextFault."""
    missing = fields.get("missing", "")[:MOST_MISSING] if fields.get("absent") == "default" else None
    gsm7_only = fields.get("gsm7_only") == "on"
    sender = fields.get("sender", "").strip()[:MOST_SENDER]
    if fields.get("kind") != "stored":
        return Content(sender, _own(fields), None, None, missing, gsm7_only)
    found = _stored(session, fields.get("template", ""))
    return Content(
        sender, found.text, found.name, found.version,
        missing if missing is not None else found.missing, gsm7_only or found.gsm7_only,
    )  # fmt: skip


def _own(fields: Mapping[str, str]) -> str:
    """Browsers send CR LF for a line break; a phone shows one character, and one is paid for."""
    text = fields.get("text", "").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise TextFault("text", "Write a message.")
    if len(text) > MAX_TEMPLATE:
        raise TextFault("text", f"The text has {len(text):,} characters; {MAX_TEMPLATE:,} at most.")
    return text


def _stored(session: Session, wanted: str) -> TemplateText:
    try:
        name, version = templates.parse_name(wanted)
        return templates.get(session, name, version)
    except CampaignError as error:
        raise TextFault("template", "Choose a stored template.") from error


def stored(session: Session) -> Sequence[TemplateText]:
    """Every version that is offered, by name, the newest first."""
    query = select(TemplateText).where(TemplateText.retired_at.is_(None))
    return session.execute(query.order_by(TemplateText.name, TemplateText.version.desc()).limit(LISTED)).scalars().all()


def parsed(content: Content) -> Template:
    """Raises TextFault with the place of the fault."""
    try:
        return Template.parse(content.text, missing=content.missing)
    except TemplateError as error:
        raise TextFault("text", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error


def lacking(template: Template, known: Sequence[str]) -> list[str]:
    """Variables that no column fills."""
    return [name for name in template.variables if name not in known]


def show(content: Content, values: Mapping[str, str]) -> Shown:
    """What a row with these values would get. Never raises: what is wrong is said."""
    try:
        text = parsed(content).render(values)
    except (TextFault, RenderError) as error:
        return Shown(fault=f"{str(error)[:1].upper()}{str(error)[1:]}".rstrip(".") + ".")
    return counted(downgrade(text) if content.gsm7_only else text, content.text)


def counted(text: str, source: str) -> Shown:
    """`source`: the template, to say where a character comes from."""
    measured = measure(text)
    if not measured.segments or text.isspace():
        return Shown(fault="The text is empty for this row: it would get nothing.")
    if measured.segments > MOST_PARTS:
        return Shown(fault=f"The text needs {measured.segments} parts; {MOST_PARTS} at most.")
    each = SINGLE if measured.segments == 1 else EACH_OF_SEVERAL
    offenders = why_ucs2(text)
    return Shown(
        parts=parts(text), encoding=ENCODINGS[measured.encoding], units=measured.units, segments=measured.segments,
        room=each[measured.encoding] * measured.segments,
        causes=[Cause(one.char, one.name, one.count, one.replacement, one.char in source) for one in offenders],
        cheaper=_cheaper(text, offenders, measured.segments),
    )  # fmt: skip


def _cheaper(text: str, offenders: Sequence[Offender], segments: int) -> int | None:
    plain = measure(text.translate({ord(one.char): one.replacement or "" for one in offenders})).segments
    return plain if offenders and 0 < plain < segments else None


def replaced(text: str, *, remove: bool) -> str:
    """The text with GSM-7's nearest characters; what has none stays, or with `remove` goes."""
    table = {ord(one.char): one.replacement for one in why_ucs2(text) if one.replacement is not None}
    if remove:
        table |= {ord(one.char): "" for one in why_ucs2(text) if one.replacement is None}
    return text.translate(table)
