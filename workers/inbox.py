"""The inbox: raw pages, pulled or pushed, read into reports, opt-outs and incoming messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.database import LASTING_ERRORS, PASSING_ERRORS
from models.msisdn import Msisdn, parse_msisdn
from models.queries import insert_new
from models.stopwords import StopWords
from models.tables import InboxPage, Suppression
from providers.base import OptOut, Parsed, Provider, Raw, Report
from providers.wire import BadBody
from workers.inbound import store_inbound

log = structlog.get_logger("drumline.inbox")

PAGES = 1000  # looked at in one transaction
BYTES = 1_000_000  # of pages read in one transaction: about 2000 reports, or one large page


@dataclass(frozen=True, slots=True)
class Arrived:
    """One report out of a page."""

    account: str
    report: Report
    inbox_id: int | None
    received_at: datetime


def read_pages(
    session: Session, provider_of: Callable[[str], Provider | None], now: datetime, words: StopWords
) -> tuple[int, list[Arrived]]:
    """Read some new pages: how many, and the reports in them. Opt-outs and incoming messages are stored here.

    A page that cannot be read keeps its error and its bytes.
    """
    pages = _new_pages(session)
    arrived: list[Arrived] = []
    for page in pages:
        parsed = _parse(page, provider_of(page.account))
        arrived += [Arrived(page.account, report, page.id, page.received_at) for report in parsed.reports]
        _store(session, page, parsed, words, now)
        page.parsed_at = now
    session.flush()
    session.expunge_all()  # their bytes are not needed any more
    return len(pages), arrived


def _store(session: Session, page: InboxPage, parsed: Parsed, words: StopWords, now: datetime) -> None:
    """What people said. Whatever the database will not take stays in the page, with the reason."""
    if not parsed.opt_outs and not parsed.inbound:
        return
    try:
        with session.begin_nested():
            _opt_out(session, parsed.opt_outs, now)
            store_inbound(session, page.account, parsed.inbound, words, now)
    except PASSING_ERRORS:
        raise
    except LASTING_ERRORS as error:
        log.error("page_not_stored", account=page.account, page=page.id, error=type(error).__name__)
        page.error = f"could not be stored: {type(error).__name__}"


def _new_pages(session: Session) -> Sequence[InboxPage]:
    """The oldest new pages that nobody else reads, up to a bounded size."""
    query = select(InboxPage.id, func.length(InboxPage.body)).where(InboxPage.parsed_at.is_(None))
    listed = session.execute(query.order_by(InboxPage.id).limit(PAGES).with_for_update(skip_locked=True)).all()
    ids: list[int] = []
    size = 0
    for page_id, length in listed:
        if ids and size + length > BYTES:
            break
        ids.append(page_id)
        size += length
    if not ids:
        return []
    return session.execute(select(InboxPage).where(InboxPage.id.in_(ids)).order_by(InboxPage.id)).scalars().all()


def _parse(page: InboxPage, provider: Provider | None) -> Parsed:
    """What the page holds; what cannot be read leaves its reason on the page and never stops the others."""
    if provider is None:
        page.error = "this account is not configured any more"
        return Parsed()
    raw = Raw(page.body, page.content_type, page.query, page.kind, page.received_at)
    try:
        parsed = provider.parse_reports(raw)
    except (BadBody, *LASTING_ERRORS) as error:
        log.error("report_page_unreadable", account=page.account, page=page.id, error=repr(error))
        page.error = str(error)[:2000] or repr(error)
        return Parsed()
    if parsed.bad:
        page.error = "; ".join(f"{where}: {why}" for where, why in parsed.bad)[:2000]
        log.warning("report_items_unreadable", account=page.account, page=page.id, items=len(parsed.bad))
    return parsed


def _opt_out(session: Session, opt_outs: Sequence[OptOut], now: datetime) -> None:
    insert_new(session, Suppression, [row for opt_out in opt_outs if (row := suppression_row(opt_out, now))])


def suppression_row(opt_out: OptOut, now: datetime) -> dict[str, Any] | None:
    number = parse_msisdn(opt_out.msisdn)
    if not isinstance(number, Msisdn):
        log.warning("opt_out_without_number", source=opt_out.source)
        return None
    return {
        "msisdn": str(number),
        "sender": opt_out.sender or "",
        "source": opt_out.source,
        "created_at": now,
    }
