"""Named templates with versions. A version never changes; a campaign pins one, with its text.

The tags and filters are those of `producer.template`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.tables import TemplateText
from producer.campaigns import CampaignError, CampaignSpec
from producer.template import Template, TemplateError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch


class NoTemplateError(CampaignError):
    """There is no template of this name or version."""


def save(
    session: Session,
    name: str,
    text: str,
    now: datetime,
    *,
    missing: str | None = None,
    gsm7_only: bool = False,
    note: str = "",
) -> TemplateText:
    """A new version, or the newest one if nothing would change. Raises CampaignError for what does not parse.

    `missing` stands for a value that a row has not (None: such a row is refused); `gsm7_only` writes the nearest GSM-7
    characters where that is possible.
    """
    _check(name, text)
    newest = _newest(session, name)
    wanted = (text, missing, gsm7_only)
    if newest is not None and newest.retired_at is None and wanted == (newest.text, newest.missing, newest.gsm7_only):
        return newest
    made = TemplateText(
        name=name, version=newest.version + 1 if newest else 1, text=text, missing=missing, gsm7_only=gsm7_only,
        note=note[:200], created_at=now,
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def _check(name: str, text: str) -> None:
    if not _NAME(name):
        raise CampaignError("name", f"name: found {name!r}, expected up to 100 letters, digits, dots, dashes or _")
    try:
        Template.parse(text)
    except TemplateError as error:
        raise CampaignError("template", str(error)) from error


def _newest(session: Session, name: str) -> TemplateText | None:
    query = select(TemplateText).where(TemplateText.name == name).order_by(TemplateText.version.desc()).limit(1)
    return session.execute(query.with_for_update()).scalar_one_or_none()


def get(session: Session, name: str, version: int | None = None) -> TemplateText:
    """A version; None: the newest that is not retired. Raises NoTemplateError."""
    query = select(TemplateText).where(TemplateText.name == name)
    if version is not None:
        query = query.where(TemplateText.version == version)
    else:
        query = query.where(TemplateText.retired_at.is_(None)).order_by(TemplateText.version.desc()).limit(1)
    found = session.execute(query).scalar_one_or_none()
    if found is None:
        which = f"{name!r}" if version is None else f"{name!r} version {version}"
        raise NoTemplateError("template_name", f"template_name: there is no template {which}")
    return found


def newest(session: Session, after: str = "", limit: int = 500) -> Sequence[TemplateText]:
    """The newest version of every template that is not retired, by name."""
    last = (
        select(TemplateText.name, func.max(TemplateText.version).label("version"))
        .where(TemplateText.retired_at.is_(None), TemplateText.name > after)
        .group_by(TemplateText.name)
        .subquery()
    )
    query = (
        select(TemplateText)
        .join(last, (last.c.name == TemplateText.name) & (last.c.version == TemplateText.version))
        .order_by(TemplateText.name)
        .limit(limit)
    )
    return session.execute(query).scalars().all()


def versions(session: Session, name: str) -> Sequence[TemplateText]:
    """Every version of a template, the newest first, the retired ones too. Raises NoTemplateError."""
    query = select(TemplateText).where(TemplateText.name == name).order_by(TemplateText.version.desc())
    found = session.execute(query).scalars().all()
    if not found:
        raise NoTemplateError("template_name", f"template_name: there is no template {name!r}")
    return found


def retire(session: Session, name: str, now: datetime) -> int:
    """Offer it no more; campaigns that pinned it go on. How many versions there were. Raises NoTemplateError."""
    statement = (
        update(TemplateText)
        .where(TemplateText.name == name, TemplateText.retired_at.is_(None))
        .values(retired_at=now)
        .returning(TemplateText.version)
    )
    gone = session.execute(statement).all()
    if not gone:
        raise NoTemplateError("template_name", f"template_name: there is no template {name!r}")
    return len(gone)


def pin(session: Session, spec: CampaignSpec) -> CampaignSpec:
    """The spec with the text of the template it names, and that version for ever. What the spec itself says of missing
    values and GSM-7 wins. Raises CampaignError."""
    if spec.template_name is None:
        if not spec.template:
            raise CampaignError("template", "template: found nothing; give a text or the name of a template")
        return spec
    if spec.template:
        raise CampaignError("template", "template: give a text or the name of a template, not both")
    found = get(session, spec.template_name, spec.template_version)
    return replace(
        spec,
        template=found.text,
        template_version=found.version,
        missing=spec.missing if spec.missing is not None else found.missing,
        gsm7_only=spec.gsm7_only or found.gsm7_only,
    )


def parse_name(text: str) -> tuple[str, int | None]:
    """'welcome@3' to its parts; without a version: the newest. Raises CampaignError."""
    name, mark, version = text.partition("@")
    if mark and not (version.isascii() and version.isdigit()):
        raise CampaignError("template_name", f"template_name: found {text!r}, expected a name, as welcome or welcome@3")
    return name, int(version) if mark else None
